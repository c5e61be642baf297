//! Files of which the sink has lost what it was sent before they were complete.

use super::*;

#[test]
fn a_file_whose_upload_has_vanished_is_closed_and_made_again_from_the_log() {
    for is_closed in [false, true] {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            let mut world = world();
            world.start(to_store(&server), MEMORY).unwrap();
            send(&mut world, 100, 1).await;
            until(&mut world, |_| count(&server, Operation::PutPart) >= 7).await;
            server.forget_uploads();
            if !is_closed {
                send(&mut world, 50, 1).await;
                until(&mut world, |_| server.objects().len() == 1).await;
            }
            send(&mut world, 30, 2).await;
            finish(&mut world).await;
            check_store(&world, &server);
        });
    }
}

#[test]
fn an_upload_that_vanishes_again_and_again_is_begun_as_often() {
    runtime().block_on(async {
        let server = FaultyStore::start().unwrap();
        let mut world = world();
        let gone = Fault::Answer(404, "NoSuchUpload");
        server.rule(Rule::new(Operation::PutPart, gone).after(3).times(2));
        server.rule(Rule::new(Operation::CompleteMultipart, gone).times(2));
        world.start(to_store(&server), MEMORY).unwrap();
        send(&mut world, 100, 1).await;
        finish(&mut world).await;
        check_store(&world, &server);
    });
}

#[test]
fn a_vanished_upload_of_a_stream_in_memory_stops_the_delivery_and_says_why() {
    runtime().block_on(async {
        let server = FaultyStore::start().unwrap();
        let mut world = world();
        world.keeps_ledger = false;
        world.start(to_store(&server), MEMORY).unwrap();
        send(&mut world, 100, 1).await;
        until(&mut world, |_| count(&server, Operation::PutPart) >= 7).await;
        server.forget_uploads();
        send(&mut world, 50, 1).await;
        until(&mut world, |world| world.report().paused.is_some()).await;
        let paused = world.report().paused.unwrap();
        assert!(paused.contains("the sink has lost") && paused.contains("NoSuchUpload"), "{paused}");
        assert!(world.report().pending >= 100, "nothing is called delivered: {:?}", world.report());
        let (_, has_ended) = world.drain(Duration::from_secs(100)).await;
        assert!(has_ended, "there is nothing to wait for");
        assert!(server.objects().is_empty(), "the rest of a file is no file");
    });
}

#[test]
fn a_file_of_which_the_store_has_lost_a_part_is_made_again_from_the_log_and_lands_once() {
    for lists_uploads in [true, false] {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            let mut world = world();
            server.rule(Rule::new(Operation::CompleteMultipart, Fault::LOST_PART).times(2));
            if !lists_uploads {
                // What is left of the first uploads is then known to those who have begun them alone.
                server.rule(Rule::new(Operation::ListMultipart, Fault::DENIED).always());
            }
            world.start(to_store(&server), MEMORY).unwrap();
            send(&mut world, 100, 1).await;
            finish(&mut world).await;
            let count_of =
                |operation| server.requests().iter().filter(|seen| seen.operation == operation).count();
            assert_eq!(count_of(Operation::CompleteMultipart), 3);
            assert_eq!((server.objects().len(), count(&server, Operation::CreateMultipart)), (1, 3));
            check_store(&world, &server);
        });
    }
}

#[test]
fn a_lost_part_of_a_stream_in_memory_stops_the_delivery_and_says_why() {
    runtime().block_on(async {
        let server = FaultyStore::start().unwrap();
        let mut world = world();
        world.keeps_ledger = false;
        server.rule(Rule::new(Operation::CompleteMultipart, Fault::LOST_PART));
        world.start(to_store(&server), MEMORY).unwrap();
        // More than the file's size, so that it is closed.
        send(&mut world, 250, 1).await;
        until(&mut world, |world| world.report().paused.is_some()).await;
        let paused = world.report().paused.unwrap();
        assert!(paused.contains("the sink has lost") && paused.contains("InvalidPart"), "{paused}");
        let (report, has_ended) = world.drain(Duration::from_secs(100)).await;
        assert!(has_ended, "there is nothing to wait for");
        assert!(report.pending >= 200, "nothing is called delivered: {report:?}");
        assert_eq!(server.uploads(), [], "what is of no use is not left there");
    });
}

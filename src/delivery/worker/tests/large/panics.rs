//! Uploads that panic: what they were about is told, nothing waits for them, and nothing is lost.

use super::*;
use crate::runtime::crash_point::armed::panic_at;

/// The steps of a file that is sent while it is filled, each with the passing of its crash point that panics.
const STEPS: [(&str, u64); 4] =
    [("upload.multipart.created", 1), ("stream.part", 1), ("stream.part", 4), ("stream.complete", 1)];

/// Lets the delivery stop, and then drain, which must not wait for what has panicked. Returns the records that are
/// not delivered.
async fn stop(world: &mut World, point: &str) -> u64 {
    until(world, |world| world.report().paused.is_some()).await;
    let paused = world.report().paused.unwrap();
    let (is_told, hint) = (paused.contains("has failed within the program"), "restart to ");
    assert!(is_told && paused.contains(point) && paused.contains(hint), "{paused}");
    let (report, has_ended) = world.drain(Duration::from_secs(100)).await;
    assert!(has_ended, "{point}: {report:?}");
    report.pending
}

#[test]
fn a_step_of_a_large_file_that_panics_stops_the_delivery_and_the_next_process_makes_the_file_again() {
    for (point, nth) in STEPS {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            let mut world = world();
            panic_at(point, nth);
            world.start(to_store(&server), MEMORY).unwrap();
            // More than one file.
            send(&mut world, 250, 1).await;
            let pending = stop(&mut world, point).await;
            assert!(pending >= 200, "{point}: nothing is called delivered: {pending}");
            world.start(to_store(&server), MEMORY).unwrap();
            finish(&mut world).await;
            check_store(&world, &server);
        });
    }
}

#[test]
fn a_step_of_a_file_of_a_stream_in_memory_that_panics_stops_the_delivery_and_holds_nothing() {
    for (point, nth) in STEPS {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            let mut world = world();
            world.keeps_ledger = false;
            panic_at(point, nth);
            world.start(to_store(&server), MEMORY).unwrap();
            send(&mut world, 250, 1).await;
            // What is left are an encoder that has little in it, and blocks of a file that is still open.
            until(&mut world, |world| world.report().paused.is_some() && world.held_bytes() < 1_200_000)
                .await;
            let pending = stop(&mut world, point).await;
            assert!(pending >= 200, "{point}: nothing is called delivered: {pending}");
        });
    }
}

#[test]
fn the_upload_of_a_whole_file_that_panics_stops_the_delivery_and_is_not_waited_for() {
    for keeps_ledger in [true, false] {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            let mut world = world();
            world.keeps_ledger = keeps_ledger;
            let mut config = to_store(&server);
            config.sink.multipart_bytes = 8 << 20;
            panic_at("upload.before", 1);
            world.start(config, MEMORY).unwrap();
            send(&mut world, 250, 1).await;
            let pending = stop(&mut world, "upload.before").await;
            assert!(pending >= 200, "nothing is called delivered: {pending}");
            if keeps_ledger {
                world.start(to_store(&server), MEMORY).unwrap();
                finish(&mut world).await;
                check_store(&world, &server);
            }
        });
    }
}

#[test]
fn a_panic_while_a_file_is_made_again_stops_the_delivery_and_the_next_process_makes_it_again() {
    for (point, nth) in STEPS {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            let mut world = world();
            server.rule(Rule::new(Operation::CompleteMultipart, Fault::INTERNAL).always());
            world.start(to_store(&server), MEMORY).unwrap();
            send(&mut world, 150, 1).await;
            world.drain(Duration::from_millis(500)).await;
            server.heal();
            assert_eq!(world.ledger().open.len(), 1);
            panic_at(point, nth);
            world.start(to_store(&server), MEMORY).unwrap();
            assert_eq!(stop(&mut world, point).await, 150);
            world.start(to_store(&server), MEMORY).unwrap();
            finish(&mut world).await;
            check_store(&world, &server);
        });
    }
}

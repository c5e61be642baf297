use std::sync::Mutex;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::super::{BoxFuture, NoNotes, ObjectSink};
use super::*;
use crate::testkit::faulty_store::{Conditions, Fault, FaultyStore, Operation, Rule};

const KEY: &str = "dt=1/a.json";
const IN_BUCKET: &str = "lake/dt=1/a.json";
const OURS: &str = "node/s/d/1/7/abc";

/// Remembers the ids of uploads, or fails.
#[derive(Default)]
struct Notes {
    begun: Mutex<Vec<String>>,
    fails: bool,
}

impl UploadNotes for Notes {
    fn multipart_begun<'a>(&'a self, upload: &'a str) -> BoxFuture<'a, Result<(), SinkError>> {
        self.begun.lock().unwrap().push(upload.to_owned());
        let result =
            if self.fails { Err(SinkError::new(SinkErrorClass::Transient, "disk full")) } else { Ok(()) };
        Box::pin(std::future::ready(result))
    }
}

/// A sink in `store`, which puts more than three bytes in parts. A request may take `timeout`.
fn sink(store: &FaultyStore, timeout: &str) -> ObjectSink {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = store.sink("lake/").unwrap();
    config.options.insert("timeout".into(), timeout.into());
    config.multipart_bytes = 3;
    ObjectSink::open(&config).unwrap()
}

fn patient(store: &FaultyStore) -> ObjectSink {
    sink(store, "60 seconds")
}

/// A sink that takes its store at its word: it does not look before it writes.
fn over_memory(keeps_conditions: bool) -> (ObjectSink, Arc<InMemory>) {
    let memory = Arc::new(InMemory::new());
    let manners = Manners { metadata_key: "forebay-seal", keeps_conditions };
    let uploads = Uploads { store: memory.clone(), unfinished: None };
    let remote = Remote::new(memory.clone(), Some(uploads), Path::from("lake"), manners, 3);
    (ObjectSink::over(remote), memory)
}

async fn store(
    sink: &ObjectSink,
    content: &'static str,
    notes: &dyn UploadNotes,
) -> Result<Stored, SinkError> {
    let chunks = [Bytes::from_static(content.as_bytes())];
    sink.store(&Object { key: KEY, chunks: &chunks, identity: OURS }, notes).await
}

fn class(result: Result<Stored, SinkError>) -> SinkErrorClass {
    result.unwrap_err().class
}

const SMALL: &str = "abc";
const LARGE: &str = "abcd";

#[tokio::test]
async fn storing_again_confirms_the_same_object_and_writes_nothing() {
    for content in [SMALL, LARGE] {
        for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Refused] {
            let server = FaultyStore::start_with(conditions, 0).unwrap();
            let first = store(&patient(&server), content, &NoNotes).await.unwrap();
            let again = store(&patient(&server), content, &NoNotes).await.unwrap();
            assert_eq!(first, again);
            assert_eq!(first.bytes, content.len() as u64);
            let object = server.object(IN_BUCKET).unwrap();
            assert_eq!((&object.bytes[..], object.writes), (content.as_bytes(), 1), "{conditions:?}");
            assert_eq!(first.etag.as_deref(), Some(&*object.etag));
            assert_eq!(object.metadata["forebay-seal"], OURS);
        }
        for keeps_conditions in [false, true] {
            let (sink, memory) = over_memory(keeps_conditions);
            let first = store(&sink, content, &NoNotes).await.unwrap();
            assert_eq!(store(&sink, content, &NoNotes).await.unwrap(), first);
            let bytes = memory.get(&Path::from(IN_BUCKET)).await.unwrap().bytes().await.unwrap();
            assert_eq!(bytes, content);
        }
    }
}

#[tokio::test]
async fn an_object_of_somebody_else_is_left_alone_and_named() {
    for content in [SMALL, LARGE] {
        for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Refused] {
            let server = FaultyStore::start_with(conditions, 0).unwrap();
            for (metadata, said) in
                [(&[("forebay-seal", "other/s/d/1/7/abc")][..], "other/s/d/1/7/abc"), (&[], "does not tell")]
            {
                server.plant(IN_BUCKET, content, metadata);
                let before = server.object(IN_BUCKET);
                let error = store(&patient(&server), content, &NoNotes).await.unwrap_err();
                assert_eq!(error.class, SinkErrorClass::Foreign, "{error}");
                assert!(error.class.needs_a_person());
                let text = error.to_string();
                assert!(text.contains(said) && text.contains(IN_BUCKET), "{text}");
                assert_eq!(server.object(IN_BUCKET), before);
            }
            // Once a person has moved it away, the next try succeeds.
            server.remove(IN_BUCKET);
            store(&patient(&server), content, &NoNotes).await.unwrap();
        }
        for keeps_conditions in [false, true] {
            let (sink, memory) = over_memory(keeps_conditions);
            memory.put(&Path::from(IN_BUCKET), "theirs".into()).await.unwrap();
            assert_eq!(class(store(&sink, content, &NoNotes).await), SinkErrorClass::Foreign);
        }
    }
}

#[tokio::test]
async fn our_own_object_of_another_size_is_written_over() {
    for content in [SMALL, LARGE] {
        for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Refused] {
            let server = FaultyStore::start_with(conditions, 0).unwrap();
            server.plant(IN_BUCKET, "encoded otherwise", &[("forebay-seal", OURS)]);
            store(&patient(&server), content, &NoNotes).await.unwrap();
            let object = server.object(IN_BUCKET).unwrap();
            assert_eq!((&object.bytes[..], object.writes), (content.as_bytes(), 2), "{conditions:?}");
        }
    }
    let (sink, memory) = over_memory(true);
    store(&sink, "a", &NoNotes).await.unwrap();
    store(&sink, SMALL, &NoNotes).await.unwrap();
    assert_eq!(memory.head(&Path::from(IN_BUCKET)).await.unwrap().size, 3);
}

#[tokio::test]
async fn a_small_object_in_a_store_that_keeps_conditions_takes_one_request() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = FaultyStore::start().unwrap();
    let mut config = server.sink("lake/").unwrap();
    // By another name, so that the store passes for Amazon's own.
    let endpoint = config.options.remove("aws_endpoint").unwrap();
    config.options.insert("aws_endpoint_url".into(), endpoint);
    server.rule(Rule::new(Operation::Head, Fault::DENIED).always());
    server.rule(Rule::new(Operation::Get, Fault::DENIED).always());
    store(&ObjectSink::open(&config).unwrap(), SMALL, &NoNotes).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

/// Every single thing that can go wrong with a request of storing something, before and after it is done.
#[tokio::test]
async fn whatever_goes_wrong_with_a_request_is_mended_by_the_same_call() {
    let small = [Operation::Head, Operation::Put];
    let large = [
        Operation::Head,
        Operation::ListMultipart,
        Operation::CreateMultipart,
        Operation::PutPart,
        Operation::CompleteMultipart,
        Operation::AbortMultipart,
    ];
    let faults = [Fault::INTERNAL, Fault::SLOW_DOWN, Fault::Drop];
    for (content, operations) in [(SMALL, &small[..]), (LARGE, &large[..])] {
        for &operation in operations {
            for fault in faults {
                for rule in [Rule::new(operation, fault), Rule::new(operation, fault).once_done()] {
                    mended(content, rule, "60 seconds").await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_in_time_is_mended_by_the_same_call() {
    for (content, operation) in
        [(SMALL, Operation::Put), (LARGE, Operation::PutPart), (LARGE, Operation::CompleteMultipart)]
    {
        for rule in [Rule::new(operation, Fault::Stall), Rule::new(operation, Fault::Stall).once_done()] {
            mended(content, rule, "500ms").await;
        }
    }
}

/// Stores `content` while `rule` strikes, and again until it is confirmed. In between it can have failed only in a way
/// that trying again mends; at the end it was stored once, and nothing is left over that was not noted.
async fn mended(content: &'static str, rule: Rule, timeout: &str) {
    let server = FaultyStore::start().unwrap();
    let context = format!("{rule:?}");
    let sink = sink(&server, timeout);
    // Only a failed upload is taken back.
    if context.contains("AbortMultipart") {
        server.rule(Rule::new(Operation::PutPart, Fault::INTERNAL));
    }
    server.rule(rule);
    let notes = Notes::default();
    let mut failures = 0;
    let stored = loop {
        match store(&sink, content, &notes).await {
            Ok(stored) => break stored,
            Err(error) => assert_eq!(error.class, SinkErrorClass::Transient, "{context}: {error}"),
        }
        failures += 1;
        assert!(failures < 5, "{context}");
    };
    let object = server.object(IN_BUCKET).unwrap();
    assert_eq!((&object.bytes[..], object.writes), (content.as_bytes(), 1), "{context}");
    assert_eq!(stored, Stored { bytes: content.len() as u64, etag: Some(object.etag) }, "{context}");
    for id in notes.begun.into_inner().unwrap() {
        sink.abort_multipart(KEY, &id).await.unwrap();
    }
    assert_eq!(server.uploads(), [], "{context}");
    assert_eq!(server.object(IN_BUCKET).unwrap().bytes, content);
}

#[tokio::test]
async fn a_write_that_arrives_late_changes_nothing() {
    for conditions in [Conditions::Kept, Conditions::Ignored] {
        let server = FaultyStore::start_with(conditions, 0).unwrap();
        let sink = patient(&server);
        server.rule(Rule::new(Operation::Put, Fault::Late));
        assert_eq!(class(store(&sink, SMALL, &NoNotes).await), SinkErrorClass::Transient);
        let stored = store(&sink, SMALL, &NoNotes).await.unwrap();
        let late = server.release();
        assert_eq!(late, [if conditions == Conditions::Kept { 412 } else { 200 }]);
        let object = server.object(IN_BUCKET).unwrap();
        assert_eq!((object.bytes, Some(object.etag)), (SMALL.into(), stored.etag));
    }
}

#[tokio::test]
async fn a_store_without_permission_to_write_or_to_look_needs_a_person() {
    for (content, operation) in [
        (SMALL, Operation::Put),
        (LARGE, Operation::CreateMultipart),
        (LARGE, Operation::PutPart),
        (LARGE, Operation::CompleteMultipart),
    ] {
        let server = FaultyStore::start().unwrap();
        server.rule(Rule::new(operation, Fault::DENIED).always());
        assert_eq!(class(store(&patient(&server), content, &NoNotes).await), SinkErrorClass::Denied);
        assert_eq!((server.objects().len(), server.uploads().len()), (0, 0), "{operation:?}");
    }
    let server = FaultyStore::start().unwrap();
    server.rule(Rule::new(Operation::Head, Fault::DENIED).always());
    server.rule(Rule::new(Operation::Get, Fault::DENIED).always());
    let error = store(&patient(&server), LARGE, &NoNotes).await.unwrap_err();
    assert_eq!(error.class, SinkErrorClass::Denied);
    let text = error.to_string();
    assert!(text.contains("list the bucket") && text.contains("AccessDenied"), "{text}");
    assert_eq!(server.objects().len(), 0);
}

#[tokio::test]
async fn an_upload_is_noted_before_its_first_part_and_taken_back_if_it_cannot_be() {
    let server = FaultyStore::start().unwrap();
    let notes = Notes { fails: true, ..Notes::default() };
    let error = store(&patient(&server), LARGE, &notes).await.unwrap_err();
    assert_eq!(error.to_string(), "disk full");
    let operations: Vec<_> = server.requests().iter().map(|request| request.operation).collect();
    use Operation::{AbortMultipart, CreateMultipart, Head, ListMultipart};
    assert_eq!(operations, [Head, ListMultipart, CreateMultipart, AbortMultipart]);
    let notes = Notes::default();
    store(&patient(&server), LARGE, &notes).await.unwrap();
    assert_eq!(*notes.begun.lock().unwrap(), ["upload-2"]);
    store(&patient(&server), SMALL, &notes).await.unwrap();
    assert_eq!(notes.begun.lock().unwrap().len(), 1, "a small object has no parts");
}

#[tokio::test]
async fn the_upload_of_a_killed_process_is_taken_back_by_its_id_once_or_more() {
    let server = FaultyStore::start().unwrap();
    server.rule(Rule::new(Operation::PutPart, Fault::Stall));
    let notes = Arc::new(Notes::default());
    let (killed, of_killed) = (patient(&server), Arc::clone(&notes));
    let task = tokio::spawn(async move { store(&killed, LARGE, &*of_killed).await });
    while server.requests().last().is_none_or(|request| request.operation != Operation::PutPart) {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(server.uploads(), [("upload-1".to_owned(), IN_BUCKET.to_owned())]);
    let id = notes.begun.lock().unwrap()[0].clone();
    let next = patient(&server);
    for _ in 0..2 {
        next.abort_multipart(KEY, &id).await.unwrap();
        assert_eq!(server.uploads(), []);
    }
    store(&next, LARGE, &NoNotes).await.unwrap();
    next.abort_multipart(KEY, &id).await.unwrap();
    assert!(server.object(IN_BUCKET).is_some());
}

#[tokio::test]
async fn an_object_of_many_parts_is_put_together_in_their_order() {
    let content: Bytes =
        (0..2 * MULTIPART_PART_BYTES + 5).map(|place| (place >> 10) as u8 ^ place as u8).collect();
    let chunks = [content.slice(..7), content.slice(7..)];
    let object = Object { key: KEY, chunks: &chunks, identity: OURS };
    let server = FaultyStore::start().unwrap();
    let (of_memory, memory) = over_memory(true);
    for sink in [patient(&server), of_memory] {
        let stored = sink.store(&object, &NoNotes).await.unwrap();
        assert_eq!(stored.bytes, content.len() as u64);
        assert_eq!(sink.store(&object, &NoNotes).await.unwrap(), stored);
    }
    assert!(server.object(IN_BUCKET).unwrap().bytes == content);
    assert!(memory.get(&Path::from(IN_BUCKET)).await.unwrap().bytes().await.unwrap() == content);
}

#[tokio::test]
async fn an_upload_that_somebody_took_back_is_begun_again() {
    let server = FaultyStore::start().unwrap();
    let sink = patient(&server);
    server.rule(Rule::new(Operation::CompleteMultipart, Fault::Answer(404, "NoSuchUpload")));
    assert_eq!(class(store(&sink, LARGE, &NoNotes).await), SinkErrorClass::Transient);
    store(&sink, LARGE, &NoNotes).await.unwrap();
}

#[tokio::test]
async fn an_object_is_told_of_and_read_back_in_pieces() {
    use crate::config::limits::OBJECT_PIECE_BYTES;
    let server = FaultyStore::start().unwrap();
    let sink = patient(&server);
    assert_eq!(sink.head(KEY).await.unwrap(), None);
    assert_eq!(sink.get(KEY).await.unwrap_err().class, SinkErrorClass::NotFound);
    let content: Bytes = (0..OBJECT_PIECE_BYTES + 3).map(|n| n as u8).collect();
    server.plant(IN_BUCKET, content.clone(), &[("forebay-seal", OURS)]);
    let head = sink.head(KEY).await.unwrap().unwrap();
    assert_eq!((head.bytes, head.identity.as_deref()), (OBJECT_PIECE_BYTES + 3, Some(OURS)));
    let mut reader = sink.get(KEY).await.unwrap();
    let mut pieces = Vec::new();
    server.rule(Rule::new(Operation::Get, Fault::Drop).after(1));
    loop {
        match reader.next().await {
            Ok(Some(piece)) => pieces.push(piece),
            Ok(None) => break,
            Err(error) => assert_eq!(error.class, SinkErrorClass::Transient, "{error}"),
        }
    }
    assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [OBJECT_PIECE_BYTES as usize, 3]);
    assert_eq!(pieces.concat(), content);
    // One that is replaced while it is read is not mixed with the other.
    let mut reader = sink.get(KEY).await.unwrap();
    reader.next().await.unwrap();
    server.plant(IN_BUCKET, vec![0; content.len()], &[]);
    assert_eq!(reader.next().await.unwrap_err().class, SinkErrorClass::Other);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A store in which everything goes wrong at random, and processes that are killed at random in between.
    #[test]
    fn in_a_store_that_fails_at_random_the_object_ends_up_there_once(
        seed in any::<u64>(), large in any::<bool>(), conditions in 0..3usize, kills in 0..4u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let conditions = [Conditions::Kept, Conditions::Ignored, Conditions::Refused][conditions];
        let content = if large { LARGE } else { SMALL };
        runtime.block_on(async {
            let server = FaultyStore::start_with(conditions, seed).unwrap();
            for fault in [Fault::INTERNAL, Fault::SLOW_DOWN, Fault::Drop, Fault::Late] {
                server.rule(Rule::any(fault).in_thousand(80).always());
                server.rule(Rule::any(fault).in_thousand(80).always().once_done());
            }
            let notes = Notes::default();
            for kill in 0..kills {
                let steps = 1 + (seed >> (8 * kill)) % 6;
                let sink = patient(&server);
                let killed = async {
                    while server.requests().len() as u64 % 7 < steps { tokio::task::yield_now().await }
                };
                tokio::select! { _ = store(&sink, content, &notes) => {} () = killed => {} }
            }
            let sink = patient(&server);
            let stored = loop {
                match store(&sink, content, &notes).await {
                    Ok(stored) => break stored,
                    Err(error) => assert_eq!(error.class, SinkErrorClass::Transient, "{error}"),
                }
            };
            server.heal();
            server.release();
            for id in notes.begun.into_inner().unwrap() {
                sink.abort_multipart(KEY, &id).await.unwrap();
            }
            assert_eq!(store(&sink, content, &NoNotes).await.unwrap().bytes, stored.bytes);
            let objects = server.objects();
            assert_eq!(objects.len(), 1);
            assert_eq!(objects[IN_BUCKET].bytes, content);
            assert_eq!(objects[IN_BUCKET].metadata["forebay-seal"], OURS);
        });
    }
}

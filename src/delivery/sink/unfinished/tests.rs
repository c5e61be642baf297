use std::sync::Arc;

use object_store::RetryConfig;
use object_store::aws::AmazonS3;
use object_store::client::{HttpConnector, ReqwestConnector};
use object_store::{ClientOptions, ObjectStoreExt};
use proptest::prelude::*;

use super::*;
use crate::testkit::faulty_store::{Fault, FaultyStore, Operation, Rule};

const KEY: &str = "lake/k=a b&c%2F+ü/s-d-1f-00000001-0a.json";

fn builder(server: &FaultyStore) -> AmazonS3Builder {
    let sink = server.sink("").unwrap();
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let builder = AmazonS3Builder::new().with_url(sink.url.as_str()).with_retry(retry);
    sink.options
        .iter()
        .fold(builder, |builder, (name, value)| builder.with_config(name.parse().unwrap(), value))
}

fn client() -> HttpClient {
    let _ = rustls::crypto::ring::default_provider().install_default();
    ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap()
}

struct World {
    server: FaultyStore,
    unfinished: Unfinished,
    store: AmazonS3,
}

impl World {
    fn new() -> Self {
        let server = FaultyStore::start().unwrap();
        let (client, builder) = (client(), builder(&server));
        let store = builder.clone().build().unwrap();
        let bucket = Bucket::of("bucket", &builder, client, Arc::clone(store.credentials()));
        Self { server, unfinished: Unfinished::of(bucket), store }
    }

    async fn take_back(&self) -> Result<(), SinkError> {
        self.unfinished.take_back(&self.store, &Path::parse(KEY).unwrap()).await
    }

    /// Keys of the uploads that are left.
    fn left(&self) -> Vec<String> {
        self.server.uploads().into_iter().map(|(_, key)| key).collect()
    }

    fn asked(&self, operation: Operation) -> usize {
        self.server.requests().iter().filter(|request| request.operation == operation).count()
    }
}

#[tokio::test]
async fn all_uploads_of_exactly_this_key_are_taken_back_and_nothing_else() {
    let world = World::new();
    world.take_back().await.unwrap();
    assert_eq!(world.asked(Operation::ListMultipart), 1);
    let others = [format!("{KEY}.gz"), format!("{KEY}/x"), "lake/k=a".to_owned(), "aaa".to_owned()];
    for key in &others {
        world.server.plant_upload(key);
        world.server.plant_upload(KEY);
    }
    world.store.put(&Path::parse(KEY).unwrap(), "stored".into()).await.unwrap();
    world.take_back().await.unwrap();
    assert_eq!(world.left(), others);
    assert_eq!(world.asked(Operation::AbortMultipart), others.len());
    assert_eq!(world.server.objects().len(), 1, "objects are left alone");
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_to_its_end() {
    let world = World::new();
    world.server.list_uploads_by(2);
    for _ in 0..7 {
        world.server.plant_upload(KEY);
        world.server.plant_upload(&format!("{KEY}.gz"));
    }
    world.take_back().await.unwrap();
    assert_eq!(world.left(), vec![format!("{KEY}.gz"); 7]);
    assert_eq!(world.asked(Operation::ListMultipart), 7);
}

#[tokio::test]
async fn what_is_beyond_the_last_page_that_is_read_is_left_to_the_next_look() {
    let world = World::new();
    world.server.list_uploads_by(1);
    for _ in 0..UPLOADS_PAGES_MAX + 3 {
        world.server.plant_upload(KEY);
    }
    world.take_back().await.unwrap();
    assert_eq!(world.left().len(), 3);
    world.take_back().await.unwrap();
    assert_eq!(world.left().len(), 0);
}

#[tokio::test]
async fn a_failure_in_between_is_mended_by_the_next_look() {
    for operation in [Operation::ListMultipart, Operation::AbortMultipart] {
        for fault in [Fault::INTERNAL, Fault::SLOW_DOWN, Fault::Drop] {
            for rule in [Rule::new(operation, fault), Rule::new(operation, fault).once_done()] {
                let world = World::new();
                world.server.list_uploads_by(1);
                for _ in 0..3 {
                    world.server.plant_upload(KEY);
                }
                world.server.rule(rule.after(1));
                let error = world.take_back().await.unwrap_err();
                assert_eq!(error.class, SinkErrorClass::Transient, "{error}");
                world.take_back().await.unwrap();
                assert_eq!(world.left().len(), 0, "{operation:?} {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_upload_that_has_gone_since_it_was_listed_is_no_error() {
    let world = World::new();
    world.server.plant_upload(KEY);
    world.server.rule(Rule::new(Operation::AbortMultipart, Fault::Answer(404, "NoSuchUpload")).once_done());
    world.take_back().await.unwrap();
    assert_eq!(world.left().len(), 0);
}

#[tokio::test]
async fn a_store_that_does_not_know_the_request_is_asked_once() {
    for fault in [
        Fault::Answer(501, "NotImplemented"),
        Fault::Answer(405, "MethodNotAllowed"),
        Fault::Answer(400, "NotImplemented"),
    ] {
        let world = World::new();
        world.server.plant_upload(KEY);
        world.server.rule(Rule::new(Operation::ListMultipart, fault).always());
        for _ in 0..3 {
            world.take_back().await.unwrap();
        }
        assert_eq!(world.asked(Operation::ListMultipart), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_missing_permission_is_told_once_and_then_asked_for_again() {
    for operation in [Operation::ListMultipart, Operation::AbortMultipart] {
        let world = World::new();
        world.server.plant_upload(KEY);
        world.server.rule(Rule::new(operation, Fault::DENIED).always());
        for _ in 0..3 {
            world.take_back().await.unwrap();
            assert!(world.unfinished.has_warned.load(Ordering::Relaxed));
        }
        assert_eq!((world.left().len(), world.asked(operation)), (1, 3));
        world.server.heal();
        world.take_back().await.unwrap();
        assert_eq!(world.left().len(), 0);
        assert!(!world.unfinished.has_warned.load(Ordering::Relaxed), "the next loss is told again");
    }
}

#[tokio::test]
async fn a_store_that_fails_at_nothing_but_listing_holds_nothing_up_for_long() {
    let world = World::new();
    let rule = || Rule::new(Operation::ListMultipart, Fault::INTERNAL).always();
    for _ in 0..2 {
        world.server.rule(rule());
        for _ in 0..UPLOADS_LOOKS_MAX {
            assert_eq!(world.take_back().await.unwrap_err().class, SinkErrorClass::Transient);
        }
        world.server.plant_upload(KEY);
        world.take_back().await.unwrap();
        assert_eq!(world.left().len(), 1);
        // It is looked again, and one look that succeeds counts more than all that failed.
        world.server.heal();
        world.take_back().await.unwrap();
        assert_eq!(world.left().len(), 0);
    }
}

#[tokio::test]
async fn the_bucket_has_the_url_under_which_its_store_reaches_it() {
    let client = client();
    let url = |settings: &[(AmazonS3ConfigKey, &str)]| {
        let builder = settings
            .iter()
            .fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(*key, *value));
        let builder = builder.with_access_key_id("id").with_secret_access_key("secret");
        let store = builder.clone().with_bucket_name("b").build().unwrap();
        Bucket::of("b", &builder, client.clone(), Arc::clone(store.credentials())).url
    };
    use AmazonS3ConfigKey::{Endpoint, Region, VirtualHostedStyleRequest};
    let (host, region) = ((VirtualHostedStyleRequest, "true"), (Region, "eu-west-1"));
    assert_eq!(url(&[]), "https://s3.us-east-1.amazonaws.com/b");
    assert_eq!(url(&[region]), "https://s3.eu-west-1.amazonaws.com/b");
    assert_eq!(url(&[region, host]), "https://b.s3.eu-west-1.amazonaws.com");
    assert_eq!(url(&[(Endpoint, "http://h:1/")]), "http://h:1/b");
    assert_eq!(url(&[(VirtualHostedStyleRequest, "false"), (Endpoint, "http://h:1")]), "http://h:1/b");
    assert_eq!(url(&[host, (Endpoint, "http://b.h:1")]), "http://b.h:1");
}

fn ids(body: &str) -> Vec<(String, String)> {
    let page = Page::read(body.as_bytes()).unwrap();
    page.uploads.into_iter().map(|upload| (upload.key, upload.upload_id)).collect()
}

#[test]
fn the_list_of_a_store_is_read_whatever_else_is_in_it() {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
        <ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">
          <Bucket>b</Bucket><KeyMarker/><UploadIdMarker></UploadIdMarker>
          <NextKeyMarker>a&amp;b</NextKeyMarker><NextUploadIdMarker>i1</NextUploadIdMarker>
          <MaxUploads>2</MaxUploads><IsTruncated>true</IsTruncated>
          <Upload>
            <Key>a&amp;b &#252;&quot;</Key><UploadId>i0</UploadId>
            <Initiator><ID>x</ID><DisplayName>y</DisplayName></Initiator><StorageClass>STANDARD</StorageClass>
          </Upload>
          <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>
          <Upload><UploadId>i1</UploadId><Key>a&amp;b</Key></Upload>
        </ListMultipartUploadsResult>";
    let pair = |key: &str, id: &str| (key.to_owned(), id.to_owned());
    assert_eq!(ids(body), [pair("a&b ü\"", "i0"), pair("a&b", "i1")]);
    let next = Page::read(body.as_bytes()).unwrap().next().unwrap();
    assert_eq!((next.key.as_str(), next.upload.as_str()), ("a&b", "i1"));
    assert_eq!(ids("<ListMultipartUploadsResult/>"), []);
    let last = "<ListMultipartUploadsResult><NextKeyMarker>a</NextKeyMarker></ListMultipartUploadsResult>";
    assert!(Page::read(last.as_bytes()).unwrap().next().is_none(), "it does not say that there is more");
}

#[test]
fn what_is_not_such_a_list_is_refused() {
    for body in [
        "",
        "no",
        "<html><body>welcome</body></html>",
        "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
        "<ListMultipartUploadsResult><Upload><Key>a</Key></Upload></ListMultipartUploadsResult>",
        "<ListMultipartUploadsResult><IsTruncated>perhaps</IsTruncated></ListMultipartUploadsResult>",
        "<ListMultipartUploadsResult><Upload>",
    ] {
        let error = LookError::from(Page::read(body.as_bytes()).unwrap_err());
        assert!(error.class().needs_a_person(), "{body}: {error}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_list_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Page::read(&body);
    }

    #[test]
    fn a_list_with_anything_inside_is_read_or_refused(inside in "[<>/a-zA-Z&;#!\\[\\]\"= ]{0,60}") {
        let body = format!("<ListMultipartUploadsResult>{inside}</ListMultipartUploadsResult>");
        let _ = Page::read(body.as_bytes());
    }

    #[test]
    fn keys_and_ids_come_back_as_they_were(listed in prop::collection::vec(("[ -~ü€]{1,30}", "[!-~]{1,20}"), 0..5)) {
        let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let uploads: String = listed
            .iter()
            .map(|(key, id)| format!("<Upload><Key>{}</Key><UploadId>{}</UploadId></Upload>", escaped(key), escaped(id)))
            .collect();
        let body = format!("<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>");
        prop_assert_eq!(ids(&body), listed);
    }
}

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::super::{NoNotes, SinkErrorClass};
use url::Url;

use super::*;
use crate::testkit::faulty_store::FaultyStore;

fn file_sink(folder: &std::path::Path) -> ObjectSink {
    let url = Url::from_directory_path(folder).unwrap();
    let config = checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 };
    ObjectSink::open(&config).unwrap()
}

async fn store(sink: &ObjectSink, key: &str, chunks: &[Bytes]) -> Result<Stored, SinkError> {
    sink.store(&Object { key, chunks, identity: "test" }, &NoNotes).await
}

/// A store that answers each request as `answer` says, and a sink that sends more than `multipart_bytes` to it in
/// parts.
async fn s3_sink(
    multipart_bytes: u64,
    answer: impl Fn(Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + 'static,
) -> ObjectSink {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let mut request = request;
                    while request.body_mut().frame().await.is_some() {}
                    Ok::<_, Infallible>(answer(request))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service),
            );
        }
    });
    sink_at(&endpoint, multipart_bytes)
}

fn sink_at(endpoint: &str, multipart_bytes: u64) -> ObjectSink {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = [
        ("aws_endpoint", endpoint),
        ("aws_region", "us-east-1"),
        ("aws_allow_http", "true"),
        ("aws_access_key_id", "id"),
        ("aws_secret_access_key", "secret"),
    ];
    let options = options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let url = Url::parse("s3://bucket/lake/").unwrap();
    ObjectSink::open(&checked::ObjectSink { url, options, multipart_bytes }).unwrap()
}

/// The class of a write that is answered like this, where nothing was found before it.
async fn class_of(status: u16, location: Option<&'static str>, body: &'static str) -> SinkErrorClass {
    let sink = s3_sink(u64::MAX, move |request| {
        if request.method() == Method::HEAD {
            return Response::builder().status(StatusCode::NOT_FOUND).body(Full::default()).unwrap();
        }
        let mut response = Response::builder().status(status);
        if let Some(location) = location {
            response = response.header("location", location);
        }
        response.body(Full::from(body)).unwrap()
    });
    store(&sink.await, "a", &[Bytes::from_static(b"abc")]).await.unwrap_err().class
}

#[tokio::test]
async fn an_object_below_a_folder_is_written_whole_and_again_without_change() {
    let folder = tempfile::tempdir().unwrap();
    let sink = file_sink(&folder.path().join("lake"));
    let chunks = [Bytes::from_static(b"ab"), Bytes::from_static(b"c")];
    for _ in 0..2 {
        let stored = store(&sink, "dt=1/a%2Fb.json", &chunks).await.unwrap();
        assert_eq!(stored.bytes, 3);
        assert_eq!(std::fs::read(folder.path().join("lake/dt=1/a%2Fb.json")).unwrap(), b"abc");
    }
}

#[tokio::test]
async fn an_object_is_found_by_who_has_stored_it() {
    let server = FaultyStore::start().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let remote = ObjectSink::open(&server.sink("lake/").unwrap()).unwrap();
    let chunks = [Bytes::from_static(b"abc")];
    let stored = store(&remote, "a", &chunks).await.unwrap();
    assert_eq!(remote.find("a", "test").await.unwrap(), Some(stored));
    assert_eq!(remote.find("a", "another").await.unwrap(), None);
    assert_eq!(remote.find("b", "test").await.unwrap(), None);
    let folder = tempfile::tempdir().unwrap();
    let files = file_sink(folder.path());
    let stored = store(&files, "a", &chunks).await.unwrap();
    assert_eq!(files.find("a", "test").await.unwrap(), Some(stored));
    assert_eq!(files.find("b", "test").await.unwrap(), None);
}

#[test]
fn an_unknown_scheme_is_refused() {
    let url = Url::parse("ftp://host/x").unwrap();
    let config = checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 };
    assert_eq!(ObjectSink::open(&config).unwrap_err().class, SinkErrorClass::Other);
}

#[tokio::test]
async fn a_file_in_the_place_of_a_folder_and_a_name_too_long_need_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let sink = file_sink(folder.path());
    std::fs::write(folder.path().join("file"), "").unwrap();
    let chunks = [Bytes::from_static(b"abc")];
    assert_eq!(store(&sink, "file/a", &chunks).await.unwrap_err().class, SinkErrorClass::Other);
    assert_eq!(store(&sink, &"a".repeat(300), &chunks).await.unwrap_err().class, SinkErrorClass::Other);
}

#[tokio::test]
async fn a_response_has_the_class_of_its_status() {
    let classes = [
        (SinkErrorClass::Denied, &[401, 403][..]),
        (SinkErrorClass::NotFound, &[404]),
        (SinkErrorClass::Other, &[300, 400, 405, 411, 413, 422, 451, 501]),
        // A failed condition where nothing is found (304, 409, 412): another write was or is under way.
        (SinkErrorClass::Transient, &[304, 408, 409, 412, 429, 500, 502, 503, 504, 529]),
    ];
    for (class, statuses) in classes {
        for &status in statuses {
            assert_eq!(class_of(status, None, "").await, class, "{status}");
        }
    }
}

#[tokio::test]
async fn a_store_that_does_not_let_look_is_told_of_in_its_own_words() {
    for (status, class) in [(403, SinkErrorClass::Denied), (400, SinkErrorClass::Other)] {
        let sink = s3_sink(u64::MAX, move |_| {
            Response::builder().status(status).body(Full::from("<Code>InvalidAccessKeyId</Code>")).unwrap()
        });
        let error = store(&sink.await, "a", &[Bytes::from_static(b"abc")]).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        let text = error.to_string();
        assert!(text.contains("InvalidAccessKeyId") && text.contains("object 'lake/a'"), "{text}");
    }
}

#[tokio::test]
async fn a_redirect_needs_a_person_with_and_without_a_place_to_go_to() {
    assert_eq!(class_of(301, None, "").await, SinkErrorClass::Other);
    assert_eq!(class_of(307, Some("ftp://elsewhere/"), "").await, SinkErrorClass::Other);
}

#[tokio::test]
async fn a_bad_request_that_was_only_slow_is_transient() {
    let body = "<Error><Code>RequestTimeout</Code></Error>";
    assert_eq!(class_of(400, None, body).await, SinkErrorClass::Transient);
}

#[tokio::test]
async fn a_store_that_nobody_listens_for_is_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let sink = sink_at(&endpoint, u64::MAX);
    let error = store(&sink, "a", &[Bytes::from_static(b"abc")]).await.unwrap_err();
    assert_eq!(error.class, SinkErrorClass::Transient, "{error}");
}

#[tokio::test]
async fn a_refused_part_takes_the_upload_back_from_the_store() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let sink = s3_sink(1, move |request| {
        log.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let (status, body) = match *request.method() {
            Method::POST => (
                StatusCode::OK,
                "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
            ),
            Method::HEAD => (StatusCode::NOT_FOUND, ""),
            Method::DELETE => (StatusCode::NO_CONTENT, ""),
            _ => (StatusCode::FORBIDDEN, ""),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response
    })
    .await;
    let error = store(&sink, "a", &[Bytes::from_static(b"abc")]).await.unwrap_err();
    assert_eq!(error.class, SinkErrorClass::Denied);
    let expected = [
        "HEAD /bucket/lake/a",
        "GET /bucket?prefix=lake%2Fa&uploads=",
        "POST /bucket/lake/a?uploads=",
        "PUT /bucket/lake/a?partNumber=1&uploadId=u1",
        "DELETE /bucket/lake/a?uploadId=u1",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

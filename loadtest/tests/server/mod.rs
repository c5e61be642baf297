//! A server of a few lines that keeps what it gets as files of a lake, and misbehaves as told.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What the server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Keep it and say so.
    Keep,
    /// Keep it, and wait before saying so, with all other requests waiting behind.
    Stall(Duration),
    /// Say 429, with this `Retry-After`.
    Throttle(&'static str),
    /// Say 500 without keeping it.
    Fail,
    /// Keep it and hang up.
    HangUp,
    /// Keep it, unless it was kept, and say that this is not sure.
    LogFailed,
    /// Say 507 without keeping it.
    DiskFull,
    /// Refuse every third record, which goes to the dead letters, and keep the others.
    RefuseSome,
    /// Keep it twice.
    KeepTwice,
    /// Say that it was kept.
    Lose,
}

type Policy = Box<dyn Fn(u64) -> Act + Send + Sync>;

/// The running server.
pub struct Server {
    pub url: String,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
}

struct State {
    lake: PathBuf,
    policy: Policy,
    requests: AtomicU64,
    /// What was kept, by its key, with a hash of its body.
    keys: Mutex<HashMap<String, u64>>,
    ignores_keys: AtomicBool,
    single_events: AtomicU64,
    /// One request at a time: a stall is seen by everyone.
    turn: tokio::sync::Mutex<()>,
    files: Mutex<()>,
}

impl Server {
    /// `policy` is asked for each request, counted from 0.
    pub fn start(lake: &Path, policy: impl Fn(u64) -> Act + Send + Sync + 'static) -> Self {
        let state = Arc::new(State {
            lake: lake.into(),
            policy: Box::new(policy),
            requests: AtomicU64::new(0),
            keys: Mutex::default(),
            ignores_keys: AtomicBool::new(false),
            single_events: AtomicU64::new(0),
            turn: tokio::sync::Mutex::new(()),
            files: Mutex::new(()),
        });
        Self::serve("127.0.0.1:0", state)
    }

    fn serve(address: &str, state: Arc<State>) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = Arc::new(Notify::new());
        let (stopped, served) = (Arc::clone(&stop), Arc::clone(&state));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = stopped.notified() => {}
                    () = accept(listener, served) => {}
                }
            });
        });
        Self { url, stop, thread: Some(thread), state }
    }

    /// Makes it keep a request again when its key comes again.
    pub fn without_keys(self) -> Self {
        self.state.ignores_keys.store(true, Ordering::Relaxed);
        self
    }

    /// Takes it away; what is in flight gets no reply.
    pub fn stop(self) -> Stopped {
        let address = self.url.strip_prefix("http://").unwrap().to_owned();
        Stopped { address, state: Arc::clone(&self.state) }
    }

    /// Distinct keys of what was kept.
    pub fn keys(&self) -> u64 {
        self.state.keys.lock().unwrap().len() as u64
    }

    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    pub fn single_events(&self) -> u64 {
        self.state.single_events.load(Ordering::Relaxed)
    }
}

/// A server that is away.
pub struct Stopped {
    address: String,
    state: Arc<State>,
}

impl Stopped {
    /// Brings it back at the same address, with what it knew.
    pub fn start(self) -> Server {
        Server::serve(&self.address, self.state)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&state), request));
            // A service that fails makes hyper hang up, or reset the stream of HTTP/2.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
    let (head, body) = request.into_parts();
    assert!(head.uri.path().ends_with("/v1/streams/events/records"), "{}", head.uri);
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
    let text = match header("content-encoding") {
        None => body.to_vec(),
        Some("gzip") => {
            let mut text = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut text).unwrap();
            text
        }
        Some("zstd") => zstd::decode_all(&body[..]).unwrap(),
        other => panic!("{other:?}"),
    };
    match header("content-type") {
        Some("application/json") => drop(state.single_events.fetch_add(1, Ordering::Relaxed)),
        content_type => assert_eq!(content_type, Some("application/x-ndjson")),
    }
    let _turn = state.turn.lock().await;
    let act = (state.policy)(state.requests.fetch_add(1, Ordering::Relaxed));
    let records: Vec<&[u8]> = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    let key = header("idempotency-key").map(str::to_owned);
    let problem = |status: u16, code: &str| {
        let body = format!("{{\"type\":\"about:blank\",\"status\":{status},\"code\":\"{code}\"}}");
        Response::builder()
            .status(status)
            .header("content-type", "application/problem+json")
            .body(body.into())
    };
    let mut refused = vec![];
    let is_known = match key.filter(|_| !matches!(act, Act::DiskFull | Act::Throttle(_) | Act::Fail)) {
        Some(key) => state.knows(key, &text),
        None => false,
    };
    match act {
        Act::HangUp if is_known => return Err("as told".into()),
        Act::LogFailed if is_known => return Ok(problem(503, "log_failed").unwrap()),
        _ if is_known => {}
        Act::LogFailed => {
            state.keep(&records);
            return Ok(problem(503, "log_failed").unwrap());
        }
        Act::DiskFull => return Ok(problem(507, "disk_full").unwrap()),
        Act::Keep => state.keep(&records),
        Act::Stall(pause) => {
            state.keep(&records);
            tokio::time::sleep(pause).await;
        }
        Act::KeepTwice => (0..2).for_each(|_| state.keep(&records)),
        Act::Lose => {}
        Act::HangUp => {
            state.keep(&records);
            return Err("as told".into());
        }
        Act::Throttle(after) => {
            let mut response = problem(429, "throttled").unwrap();
            response.headers_mut().insert("retry-after", after.parse().unwrap());
            return Ok(response);
        }
        Act::Fail => return Ok(problem(500, "internal").unwrap()),
        Act::RefuseSome => {
            let is_refused = |index: &usize| index % 3 == 1;
            refused = (0..records.len()).filter(is_refused).collect();
            let kept = (0..records.len()).filter(|index| !is_refused(index)).map(|index| records[index]);
            state.keep(&kept.collect::<Vec<_>>());
        }
    }
    let errors: Vec<_> =
        refused.iter().map(|index| format!("{{\"index\":{index},\"code\":\"schema\"}}")).collect();
    let reply = format!(
        "{{\"accepted\":{},\"rejected\":{},\"durability\":\"memory\",\"shards\":[],\"errors\":[{}]}}",
        records.len() - refused.len(),
        refused.len(),
        errors.join(",")
    );
    Ok(Response::new(reply.into()))
}

impl State {
    /// Whether a request with this key was kept; it must have been the same.
    fn knows(&self, key: String, body: &[u8]) -> bool {
        let hash = xxhash_rust::xxh3::xxh3_64(body);
        let before = self.keys.lock().unwrap().insert(key, hash);
        before.inspect(|&before| assert_eq!(before, hash, "a key came again with another body"));
        before.is_some() && !self.ignores_keys.load(Ordering::Relaxed)
    }

    /// Adds a gzip member to the lake's file; every tenth record goes to the dead letters instead.
    fn keep(&self, records: &[&[u8]]) {
        let _alone = self.files.lock().unwrap();
        fs::create_dir_all(self.lake.join("errors/reason=schema")).unwrap();
        let open = |name: &str| -> GzEncoder<File> {
            let file = OpenOptions::new().create(true).append(true).open(self.lake.join(name)).unwrap();
            GzEncoder::new(file, Compression::fast())
        };
        let (mut file, mut letters) = (open("part-1.json.gz"), open("errors/reason=schema/1.json.gz"));
        for (index, record) in records.iter().enumerate() {
            if index % 10 == 9 {
                writeln!(letters, "{{\"reason\":\"schema\",\"raw\":\"{}\"}}", STANDARD.encode(record))
                    .unwrap();
            } else {
                file.write_all(record).unwrap();
                file.write_all(b"\n").unwrap();
            }
        }
        file.finish().unwrap();
        letters.finish().unwrap();
    }
}

//! An S3 server in this process that goes wrong on command.
//!
//! It keeps objects, their metadata and uploads in parts in memory, and does what [`Rule`]s tell it: answer an error,
//! drop the connection, or leave a request without an answer, before or after it has done what was asked. It does not
//! look at signatures.
//!
//! ```no_run
//! # use forebay::testkit::faulty_store::{Fault, FaultyStore, Operation, Rule};
//! let store = FaultyStore::start()?;
//! // The second object is stored, but nobody is told.
//! store.rule(Rule::new(Operation::Put, Fault::Drop).once_done().after(1));
//! let sink = store.sink("lake/")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bucket;
mod list;
mod rule;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use crate::config::{checked, limits};
use bucket::{Answer, Bucket, Call};
pub use bucket::{Conditions, StoredObject};
pub use rule::{Fault, Operation, Rule};

/// Bytes of one request's body: a part has 8 MiB, a whole object up to what a test asks for.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Connections at a time: beyond that the oldest waits in the listener's queue.
const CONNECTIONS_MAX: usize = 256;
/// Requests that are remembered.
const REQUESTS_MAX: usize = 10_000;
/// Rules at a time.
const RULES_MAX: usize = 100;
/// Requests that wait to be done late.
const LATE_MAX: usize = 100;

const BUCKET: &str = "bucket";

/// A request that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// What was asked for.
    pub operation: Operation,
    /// Of which object.
    pub key: String,
    /// The answer's status; `None` if none was sent.
    pub status: Option<u16>,
}

/// The server. Ends, with its thread, when it is dropped.
#[derive(Debug)]
pub struct FaultyStore {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Changes when stalled requests are let go.
    releases: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    bucket: Bucket,
    rules: Vec<Rule>,
    late: Vec<Call>,
    requests: VecDeque<SeenRequest>,
    random: fastrand::Rng,
}

/// The reason to close a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped, as told")]
struct Dropped;

impl FaultyStore {
    /// Starts one that is well, on a free port of this machine.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Conditions::Kept, 0)
    }

    /// Starts one that takes conditions in this way, and whose random rules begin with this seed.
    pub fn start_with(conditions: Conditions, seed: u64) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            bucket: Bucket::new(conditions),
            rules: Vec::new(),
            late: Vec::new(),
            requests: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }));
        let (releases, released) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = Server { state: Arc::clone(&state), released };
        let thread = std::thread::Builder::new()
            .name("faulty-store".to_owned())
            .spawn(move || runtime.block_on(serve(listener, server, stopped)))?;
        Ok(Self { address, state, releases, stop, thread: Some(thread) })
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A sink that leads to `folder` in its bucket. To be changed where a test needs it; the option `timeout` (as in
    /// `300ms`) bounds a request.
    pub fn sink(&self, folder: &str) -> Result<checked::ObjectSink, url::ParseError> {
        let options = [
            ("aws_endpoint", self.endpoint().as_str()),
            ("aws_region", "us-east-1"),
            ("aws_allow_http", "true"),
            ("aws_access_key_id", "id"),
            ("aws_secret_access_key", "secret"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let multipart_bytes = limits::MULTIPART_BYTES_DEFAULT;
        Ok(checked::ObjectSink {
            url: Url::parse(&format!("s3://{BUCKET}/{folder}"))?,
            options: options.into(),
            multipart_bytes,
        })
    }

    /// The line of a pipeline file for a delivery whose sink is `folder` in its bucket.
    pub fn sink_line(&self, folder: &str) -> String {
        format!(
            "sink = {{ url = \"s3://{BUCKET}/{folder}\", endpoint = \"{}\", region = \"us-east-1\", \
             access_key_id = \"id\", secret_access_key = \"secret\", multipart = \"5MiB\" }}",
            self.endpoint()
        )
    }

    /// Adds a rule. Of the rules that strike at a request, the first one added decides. Of more than a hundred that are
    /// not over, the oldest makes way.
    pub fn rule(&self, rule: Rule) {
        let mut state = self.state();
        state.rules.retain(|rule| !rule.is_over());
        if state.rules.len() == RULES_MAX {
            state.rules.remove(0);
        }
        state.rules.push(rule);
    }

    /// Forgets all rules. Requests that are stalled stay so.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    /// Drops the connections of stalled requests, and does what was to be done late. Returns the statuses that the
    /// late ones would have been answered with.
    pub fn release(&self) -> Vec<u16> {
        self.releases.send_modify(|releases| *releases += 1);
        let mut state = self.state();
        let late = std::mem::take(&mut state.late);
        late.iter().map(|call| state.bucket.execute(call).status.as_u16()).collect()
    }

    /// Stores an object behind everybody's back, in the place of one that is there.
    pub fn plant(&self, key: &str, bytes: impl Into<Bytes>, metadata: &[(&str, &str)]) {
        let bytes = bytes.into();
        let metadata = metadata.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let etag = bucket::etag_of(&bytes);
        self.state().bucket.insert(key, bytes, etag, metadata);
    }

    /// Begins an upload in parts behind everybody's back, and returns its id.
    pub fn plant_upload(&self, key: &str) -> String {
        self.state().bucket.begin(key, BTreeMap::new())
    }

    /// Throws away every upload in parts, as a bucket's rules do with old ones.
    pub fn forget_uploads(&self) {
        self.state().bucket.forget_uploads();
    }

    /// Lists so many unfinished uploads in one answer, instead of a thousand.
    pub fn list_uploads_by(&self, page: usize) {
        self.state().bucket.uploads_page = page;
    }

    /// Removes an object.
    pub fn remove(&self, key: &str) {
        self.state().bucket.remove(key);
    }

    /// One object.
    pub fn object(&self, key: &str) -> Option<StoredObject> {
        self.state().bucket.objects().get(key).cloned()
    }

    /// All objects by key.
    pub fn objects(&self) -> BTreeMap<String, StoredObject> {
        self.state().bucket.objects().clone()
    }

    /// Id and key of each upload in parts that was neither completed nor taken back.
    pub fn uploads(&self) -> Vec<(String, String)> {
        self.state().bucket.uploads()
    }

    /// The requests that came, in the order in which they ended; of very many, the last ten thousand.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.state().requests.iter().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FaultyStore {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed, and fails what waits for answers.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, server: Server, mut stopped: watch::Receiver<bool>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                let Ok((connection, _)) = accepted else { continue };
                let server = server.clone();
                let service = hyper::service::service_fn(move |request| server.clone().answer(request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service);
                connections.spawn(async move {
                    // Dropped connections are what it is for.
                    let _ = connection.await;
                });
            }
        }
    }
    connections.shutdown().await;
}

#[derive(Debug, Clone)]
struct Server {
    state: Arc<Mutex<State>>,
    released: watch::Receiver<u64>,
}

impl Server {
    async fn answer(mut self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let Ok(body) = body else {
            return Ok(Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "EntityTooLarge").into_response());
        };
        let call = match Call::of(&head, BUCKET, body.to_bytes()) {
            Ok(call) => call,
            Err(answer) => return Ok(answer.into_response()),
        };
        // Before it stalls, so that no release is missed.
        self.released.mark_unchanged();
        let stalls = match self.state().take(call) {
            Outcome::Answer(answer) => return Ok(answer.into_response()),
            Outcome::Drop => false,
            Outcome::Stall => true,
        };
        if stalls {
            let _ = self.released.changed().await;
        }
        Err(Dropped)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Outcome {
    Answer(Answer),
    Drop,
    Stall,
}

impl State {
    /// Does what is asked, or what a rule says.
    fn take(&mut self, call: Call) -> Outcome {
        let (operation, key) = (call.operation, call.key.clone());
        let random = &mut self.random;
        let struck = self
            .rules
            .iter_mut()
            .find_map(|rule| rule.strikes(operation, random).then_some((rule.fault, rule.done_first)));
        let outcome = match struck {
            None => Outcome::Answer(self.bucket.execute(&call)),
            Some((fault, done_first)) => {
                if done_first {
                    self.bucket.execute(&call);
                }
                match fault {
                    Fault::Answer(status, code) => {
                        let status =
                            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                        Outcome::Answer(Answer::error(status, code))
                    }
                    Fault::Drop => Outcome::Drop,
                    Fault::Stall => Outcome::Stall,
                    Fault::Late => {
                        if self.late.len() < LATE_MAX {
                            self.late.push(call);
                            Outcome::Drop
                        } else {
                            Outcome::Answer(Answer::error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"))
                        }
                    }
                }
            }
        };
        let status = match &outcome {
            Outcome::Answer(answer) => Some(answer.status.as_u16()),
            Outcome::Drop | Outcome::Stall => None,
        };
        if self.requests.len() == REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(SeenRequest { operation, key, status });
        outcome
    }
}

#[cfg(test)]
mod tests;

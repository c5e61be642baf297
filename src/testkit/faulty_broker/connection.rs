//! One connection: requests go to the broker, answers come back in their order, and what goes wrong goes wrong here.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::answers::{self, Place, Refusal};
use super::login::Talk;
use super::members;
use super::refusals;
use super::rule::{Api, Fault};
use super::state::{Link, State};
use super::wire::{Fields, Head, read_frame};

/// Requests of a connection without an answer yet: librdkafka's bound (`max.in.flight`) is a million, but an idempotent
/// producer has five, and a consumer hardly more. Beyond them the connection is not read.
const IN_FLIGHT_MAX: usize = 256;

/// A connection that is over because a fault wants it.
const OVER: io::Result<()> = Ok(());

/// What a client gets next.
#[derive(Debug)]
enum Expected {
    /// An answer that was made here.
    Made(Vec<u8>),
    /// The broker's.
    Broker { head: Head, change: Option<Change> },
}

/// What becomes of an answer of the broker.
#[derive(Debug)]
enum Change {
    /// This one goes in its place.
    Instead(Vec<u8>),
    /// It has an error in it.
    Refused(Refusal),
    Drop,
    Late(Duration),
}

/// What all connections share.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    pub(super) place: Place,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) link: watch::Receiver<Link>,
    /// Whether the broker is a mock: see [`super::members`].
    pub(super) is_mock: bool,
}

impl Proxy {
    /// Runs until one of the two sides or a fault ends it.
    pub(super) async fn run(
        self,
        client: impl AsyncRead + AsyncWrite + Send,
        broker: TcpStream,
        talk: Option<Talk>,
    ) -> io::Result<()> {
        let (from_client, to_client) = tokio::io::split(client);
        let (mut from_broker, to_broker) = broker.into_split();
        let (expect, expected) = mpsc::channel(IN_FLIGHT_MAX);
        let (forward, answers) = mpsc::channel(IN_FLIGHT_MAX);
        let read_answers = async move {
            while let Some(frame) = read_frame(&mut from_broker).await? {
                if forward.send((Instant::now(), frame)).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let requests = self.clone().requests(from_client, to_broker, expect, talk);
        // What the broker has answered before it closed still goes out.
        tokio::select! {
            ended = requests => ended,
            ended = self.answers(to_client, expected, answers) => ended,
            ended = async { match read_answers.await { Ok(()) => std::future::pending().await, error => error } } => ended,
        }
    }

    async fn requests(
        mut self,
        mut client: impl AsyncRead + Unpin,
        mut broker: impl AsyncWrite + Unpin,
        expect: mpsc::Sender<Expected>,
        mut talk: Option<Talk>,
    ) -> io::Result<()> {
        while let Some(frame) = read_frame(&mut client).await? {
            let mut fields = Fields(&frame);
            let head = Head::read(&mut fields).ok_or_else(unreadable)?;
            self.pass(frame.len()).await;
            if let Some(talk) = &mut talk
                && !talk.is_over()
                && head.api != answers::API_VERSIONS
            {
                let Some(answer) = talk.answer(head, fields) else { return OVER };
                let _ = expect.send(Expected::Made(answer)).await;
                continue;
            }
            let mut change = None;
            if let Some(strike) = self.state(|state| state.strike(head.api, &frame)) {
                let refused =
                    || refusals::refusal(head, fields, code_of(strike.fault)).ok_or_else(unreadable);
                change = Some(match strike.fault {
                    Fault::Error(code) if !changes_something(head.api) => {
                        Change::Refused(Refusal { code, topic: strike.topic })
                    }
                    Fault::Error(_) if strike.done_first => Change::Instead(refused()?.to_vec()),
                    Fault::Error(_) => {
                        let _ = expect.send(Expected::Made(refused()?.to_vec())).await;
                        continue;
                    }
                    Fault::Drop if strike.done_first => Change::Drop,
                    Fault::Drop => return OVER,
                    Fault::Late(by) if strike.done_first => Change::Late(by),
                    Fault::Late(by) => {
                        tokio::time::sleep(by).await;
                        Change::Late(Duration::ZERO)
                    }
                });
            }
            self.state(|state| state.count(head.api));
            if refusals::is_answered(head, fields).ok_or_else(unreadable)? {
                let _ = expect.send(Expected::Broker { head, change }).await;
            }
            let named = if self.is_mock { members::named(head, fields, &frame) } else { None };
            write_frame(&mut broker, named.as_ref().unwrap_or(&frame)).await?;
        }
        OVER
    }

    async fn answers(
        mut self,
        mut client: impl AsyncWrite + Unpin,
        mut expected: mpsc::Receiver<Expected>,
        mut answers: mpsc::Receiver<(Instant, Vec<u8>)>,
    ) -> io::Result<()> {
        loop {
            // A request is expected before the broker hears of it: an answer that is not is the end of the connection.
            let next = tokio::select! {
                biased;
                next = expected.recv() => next,
                _ = answers.recv() => None,
            };
            let Some(next) = next else { return OVER };
            let (came, answer) = match next {
                Expected::Made(answer) => (Instant::now(), answer),
                Expected::Broker { head, change } => {
                    let Some((came, answer)) = answers.recv().await else { return OVER };
                    match change {
                        Some(Change::Drop) => return OVER,
                        Some(Change::Instead(other)) => (came, other),
                        Some(Change::Late(by)) => {
                            tokio::time::sleep_until(came + by).await;
                            (came, self.edit(head, &answer, None)?)
                        }
                        Some(Change::Refused(refusal)) => (came, self.edit(head, &answer, Some(&refusal))?),
                        None => (came, self.edit(head, &answer, None)?),
                    }
                }
            };
            let latency = self.link.borrow().latency();
            tokio::time::sleep_until(came + latency).await;
            self.pass(answer.len()).await;
            write_frame(&mut client, &answer).await?;
        }
    }

    /// The answer as the client is to see it: brokers are where the proxy is.
    fn edit(&self, head: Head, answer: &[u8], refusal: Option<&Refusal>) -> io::Result<Vec<u8>> {
        let (correlation, body) = answer.split_at_checked(4).ok_or_else(unreadable)?;
        if correlation != head.correlation.to_be_bytes() {
            return Err(unreadable());
        }
        let version = head.version;
        let edited = match Api::of(head.api) {
            Some(Api::Metadata) => answers::metadata(version, body, &self.place, refusal),
            Some(Api::FindCoordinator) => answers::find_coordinator(version, body, &self.place, refusal),
            Some(Api::Fetch) if let Some(refusal) = refusal => answers::fetch(version, body, refusal),
            Some(Api::ListOffsets) if let Some(refusal) = refusal => {
                answers::list_offsets(version, body, refusal)
            }
            None if head.api == answers::API_VERSIONS => answers::api_versions(version, body),
            _ => return Ok(answer.to_vec()),
        };
        let edited = edited.ok_or_else(unreadable)?;
        Ok([correlation, &edited].concat())
    }

    /// Waits for as long as the link takes for so many bytes.
    async fn pass(&mut self, bytes: usize) {
        let time = self.link.borrow().time(bytes);
        tokio::time::sleep(time).await;
        // The sender outlives every connection.
        let _ = self.link.wait_for(|link| !matches!(link, Link::Stall)).await;
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut super::lock(&self.state))
    }
}

fn changes_something(api: i16) -> bool {
    !matches!(Api::of(api), Some(Api::Fetch | Api::ListOffsets | Api::Metadata | Api::FindCoordinator))
}

fn code_of(fault: Fault) -> i16 {
    if let Fault::Error(code) = fault { code } else { 0 }
}

fn unreadable() -> io::Error {
    io::Error::other("a message that the proxy cannot read")
}

async fn write_frame(to: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(frame).await?;
    to.flush().await
}

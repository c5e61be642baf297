//! A broker that goes wrong on command: a proxy in front of a real one.
//!
//! Clients that are given its address stay with it: it changes the answers that tell where brokers are. For that it
//! offers versions of requests only as far as it can read their answers. It stands in front of one broker, and leads
//! everything to that one. It may ask for TLS and for a login, which the broker behind it need not have.
//!
//! [`Rule`]s say what goes wrong with single requests, a [`Link`] what lies between the clients and the broker.
//!
//! ```no_run
//! # use forebay::testkit::faulty_broker::{Api, Fault, FaultyBroker, Link, Rule};
//! let broker = FaultyBroker::before("127.0.0.1:9092")?;
//! // What is produced next is in the log, but nobody is told.
//! broker.rule(Rule::new(Api::Produce, Fault::Drop).once_done());
//! broker.link(Link::Cut)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod answers;
mod connection;
mod login;
mod members;
mod refusals;
mod rule;
mod state;
mod wire;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as threads};
use std::thread::JoinHandle;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::testkit::port::Port;
use answers::Place;
use connection::Proxy;
pub use login::Login;
use login::Talk;
pub use rule::{Api, Fault, Rule};
pub use state::Link;
use state::State;

/// Connections at a time: beyond that the oldest waits in the listener's queue.
const CONNECTIONS_MAX: usize = 256;

/// How clients get in.
#[derive(Debug, Clone, Default)]
pub struct Door {
    /// They speak TLS as this says. Its certificate must be for 127.0.0.1.
    pub tls: Option<Arc<ServerConfig>>,
    /// They log in before anything else.
    pub login: Option<Login>,
}

/// The proxy. Ends, with its thread, when it is dropped.
#[derive(Debug)]
pub struct FaultyBroker {
    servers: String,
    state: Arc<Mutex<State>>,
    /// Each change is confirmed once it holds.
    switch: Option<mpsc::Sender<Switch>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

type Switch = (Link, threads::Sender<()>);

impl FaultyBroker {
    /// Starts one that lets everything through, in front of the broker at `host:port`.
    pub fn before(servers: &str) -> io::Result<Self> {
        Self::with(servers, Door::default(), 0)
    }

    /// The same in front of librdkafka's mock cluster of one broker. Members of groups are told apart there.
    pub fn before_mock(servers: &str) -> io::Result<Self> {
        Self::begin(servers, Door::default(), 0, true)
    }

    /// Starts one whose clients get in by this door, and whose random rules begin with this seed.
    pub fn with(servers: &str, door: Door, seed: u64) -> io::Result<Self> {
        Self::begin(servers, door, seed, false)
    }

    fn begin(servers: &str, door: Door, seed: u64, is_mock: bool) -> io::Result<Self> {
        let port = Port::take()?;
        let address = port.address();
        let place = Place { host: address.ip().to_string(), port: port.number() };
        let state = Arc::new(Mutex::new(State::new(seed)));
        let (switch, switches) = mpsc::channel(1);
        let (links, link) = watch::channel(Link::Open);
        let proxy = Proxy { place, state: Arc::clone(&state), link, is_mock };
        let server = Server { port, broker: servers.to_owned(), door, proxy, links, switches };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Listens before anybody is told of it.
        let listener = server.port.listen()?;
        let thread = std::thread::Builder::new()
            .name("faulty-broker".to_owned())
            .spawn(move || runtime.block_on(server.run(listener)))?;
        Ok(Self { servers: address.to_string(), state, switch: Some(switch), thread: Some(thread) })
    }

    /// Its bootstrap servers: one `host:port`.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Adds a rule. Of the rules that strike at a request, the first one added decides. Of more than a hundred that are
    /// not over, the oldest makes way.
    pub fn rule(&self, rule: Rule) {
        self.state().add(rule);
    }

    /// Forgets all rules.
    pub fn heal(&self) {
        self.state().heal();
    }

    /// Changes what lies between the clients and the broker; the change holds when this returns.
    ///
    /// # Errors
    /// The proxy has ended, because its port cannot be listened on.
    pub fn link(&self, link: Link) -> io::Result<()> {
        let (done, wait) = threads::channel();
        let gone = || io::Error::other("the proxy has ended");
        let switch = self.switch.as_ref().ok_or_else(gone)?;
        // Room for one, which is taken out at once.
        let mut command = (link, done);
        while let Err(error) = switch.try_send(command) {
            match error {
                mpsc::error::TrySendError::Full(back) => command = back,
                mpsc::error::TrySendError::Closed(_) => return Err(gone()),
            }
            std::thread::yield_now();
        }
        wait.recv().map_err(|_| gone())
    }

    /// How many requests of a kind the broker has been asked.
    pub fn asked(&self, api: Api) -> u64 {
        self.state().counted(api)
    }

    /// How often a rule has struck.
    pub fn struck(&self) -> u64 {
        self.state().struck()
    }

    /// What could not be dealt with: connections were closed for it. Tests expect none.
    pub fn problems(&self) -> Vec<String> {
        self.state().problems().to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for FaultyBroker {
    fn drop(&mut self) {
        self.switch = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed, and fails what waits for answers.
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Server {
    port: Port,
    broker: String,
    door: Door,
    proxy: Proxy,
    links: watch::Sender<Link>,
    switches: mpsc::Receiver<Switch>,
}

impl Server {
    /// Runs until nobody can throw a switch any more.
    async fn run(mut self, listener: std::net::TcpListener) -> io::Result<()> {
        let mut listener = Some(listener);
        loop {
            let (link, done) = match listener.take() {
                Some(listener) => match self.serve(listener).await? {
                    Some(switch) => switch,
                    None => return Ok(()),
                },
                None => match self.switches.recv().await {
                    Some(switch) => switch,
                    None => return Ok(()),
                },
            };
            self.links.send_replace(link);
            if link != Link::Cut {
                listener = Some(self.port.listen()?);
            }
            let _ = done.send(());
        }
    }

    /// Takes connections until the link is cut; returns that switch, or `None` at the end.
    async fn serve(&mut self, listener: std::net::TcpListener) -> io::Result<Option<Switch>> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        let last = loop {
            tokio::select! {
                switch = self.switches.recv() => match switch {
                    Some((link, done)) if link != Link::Cut => {
                        self.links.send_replace(link);
                        let _ = done.send(());
                    }
                    last => break last,
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    let Ok((client, _)) = accepted else { continue };
                    connections.spawn(connect(client, self.broker.clone(), self.door.clone(), self.proxy.clone()));
                }
            }
        };
        drop(listener);
        connections.shutdown().await;
        Ok(last)
    }
}

async fn connect(client: TcpStream, broker: String, door: Door, proxy: Proxy) {
    let state = Arc::clone(&proxy.state);
    let talk = door.login.map(Talk::new);
    let ended = async {
        client.set_nodelay(true)?;
        // Of a broker that is away, the connection is closed.
        let Ok(broker) = TcpStream::connect(&broker).await else { return Ok(()) };
        broker.set_nodelay(true)?;
        match door.tls {
            // A client that does not like the certificate goes away.
            Some(tls) => match TlsAcceptor::from(tls).accept(client).await {
                Ok(client) => proxy.run(client, broker, talk).await,
                Err(_) => Ok(()),
            },
            None => proxy.run(client, broker, talk).await,
        }
    };
    // Ends of connections are what it is for.
    if let Err(error) = ended.await
        && error.kind() == io::ErrorKind::Other
    {
        lock(&state).report(error.to_string());
    }
}

#[cfg(test)]
mod tests;

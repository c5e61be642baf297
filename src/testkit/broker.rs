//! A real broker that speaks the protocol of Kafka: the one that all tests share, or one that a test may stop.
//!
//! `tests/infra/kafka.sh` starts the one and tells where the binary for others is, by the variables below. What a broker
//! holds after it was killed without notice says nothing about Kafka: the one that is used here saves what it has when it
//! is asked to end, so [`Broker::stop`] asks, and nothing here kills one whose data are looked at later.
//!
//! What it saves are messages, offsets of groups and what idempotent producers have sent. **Transactions do not outlast
//! [`Broker::stop`]**: open ones are aborted, though their commit is answered as if it had worked, and who was fenced is
//! not any more. A row about transactions and outages therefore has the broker run, and cuts the link of a
//! [`super::faulty_broker`] in front of it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};

use crate::testkit::port::Port;
use crate::testkit::skip::skipped;

/// Bootstrap servers of the shared broker.
pub const SERVERS: &str = "FOREBAY_KAFKA";
/// The binary of a broker.
pub const PROGRAM: &str = "FOREBAY_KAFKA_PROGRAM";
/// Where data of brokers go.
pub const FOLDER: &str = "FOREBAY_KAFKA_FOLDER";

/// Longest wait for a broker to start, to end or to answer. It takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

/// A broker. One of its own ends, and its data are removed, when it is dropped.
#[derive(Debug)]
pub struct Broker {
    servers: String,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    program: PathBuf,
    port: Port,
    folder: Folder,
    running: Option<Child>,
}

/// Removed when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Broker {
    /// The one that all tests share, to be left as it is but for topics of one's own; `None`, and the test is reported as
    /// skipped, where there is none.
    pub fn shared() -> Option<Self> {
        let servers = variable(SERVERS)?;
        Some(Self { servers, own: None })
    }

    /// One that nobody else has, without topics; `None`, and the test is reported as skipped, where there is no binary.
    ///
    /// # Errors
    /// It does not start.
    pub fn own() -> io::Result<Option<Self>> {
        let Some(program) = variable(PROGRAM) else { return Ok(None) };
        let folder = Folder::create()?;
        let port = Port::take()?;
        let servers = port.address().to_string();
        let own = Own { program: program.into(), port, folder, running: None };
        let mut broker = Self { servers, own: Some(own) };
        broker.start()?;
        Ok(Some(broker))
    }

    /// Its bootstrap servers: one `host:port`.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Starts it again, on the same port with the same data.
    ///
    /// # Errors
    /// It is shared, runs already or does not come up.
    pub fn start(&mut self) -> io::Result<()> {
        self.own_mut()?.start()
    }

    /// Has it save everything and end: connections to its port are refused from then on.
    ///
    /// # Errors
    /// It is shared, does not run, or does not end as it should.
    pub fn stop(&mut self) -> io::Result<()> {
        self.own_mut()?.stop()
    }

    /// Makes a topic with a name of its own, which begins with `about`. `settings` are those of topics, such as
    /// `("cleanup.policy", "compact")`. Messages stay, however old their time stamps are (by default a broker removes
    /// those of more than a week ago), unless `retention.ms` is one of the settings.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn topic(&self, about: &str, partitions: i32, settings: &[(&str, &str)]) -> io::Result<String> {
        let name = fresh_name(about);
        self.make_topic(&name, partitions, settings)?;
        Ok(name)
    }

    /// The same with this name: one that was removed, to be made again.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn make_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> io::Result<()> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = topic.set("retention.ms", "-1");
        let topic = settings.iter().fold(topic, |topic, (setting, value)| topic.set(setting, value));
        let made = self.administer(async |admin, options| admin.create_topics([&topic], options).await)?;
        each(made)
    }

    /// Removes a topic.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn remove_topic(&self, name: &str) -> io::Result<()> {
        each(self.administer(async |admin, options| admin.delete_topics(&[name], options).await)?)
    }

    /// Gives a topic more partitions, so that it has `partitions`.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn widen_topic(&self, name: &str, partitions: usize) -> io::Result<()> {
        let wider = rdkafka::admin::NewPartitions::new(name, partitions);
        each(self.administer(async |admin, options| admin.create_partitions([&wider], options).await)?)
    }

    /// Removes the records of a partition before `offset`, as retention does. Returns the oldest offset then.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn remove_records(&self, topic: &str, partition: i32, offset: i64) -> io::Result<i64> {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(io::Error::other)?;
        let left = self.administer(async |admin, options| admin.delete_records(&before, options).await)?;
        let left = left.find_partition(topic, partition).ok_or_else(|| io::Error::other("no answer"))?;
        left.error().map_err(io::Error::other)?;
        left.offset().to_raw().ok_or_else(|| io::Error::other("no offset"))
    }

    /// Makes a topic that was removed once more, under its name.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn make_again(&self, name: &str, partitions: i32) -> io::Result<()> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
        each(self.administer(async |admin, options| admin.create_topics([&topic], options).await)?)
    }

    /// Waits for what an administrator asks for, whether the caller is a task or not.
    fn administer<T: Send>(
        &self,
        ask: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> rdkafka::error::KafkaResult<T>
        + Send,
    ) -> io::Result<T> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers).set("reconnect.backoff.max.ms", "100");
        let work = move || -> io::Result<T> {
            let admin: AdminClient<_> = config.create().map_err(io::Error::other)?;
            let options =
                AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ask(&admin, &options)).map_err(io::Error::other)
        };
        std::thread::scope(|scope| {
            let done = scope.spawn(work).join();
            done.unwrap_or_else(|_| Err(io::Error::other("the administrator's thread panicked")))
        })
    }

    fn own_mut(&mut self) -> io::Result<&mut Own> {
        self.own.as_mut().ok_or_else(|| io::Error::other("this broker is shared with other tests"))
    }
}

/// A name that no other test and no other run has: `about` and a random part.
pub fn fresh_name(about: &str) -> String {
    format!("{about}-{:016x}", fastrand::u64(..))
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        skipped(&format!(
            "{name} is not set (`make test` starts a broker with tests/infra/kafka.sh and sets it)"
        ));
    }
    value
}

fn each(results: Vec<rdkafka::admin::TopicResult>) -> io::Result<()> {
    for result in results {
        result.map_err(|(topic, code)| io::Error::other(format!("topic '{topic}': {code}")))?;
    }
    Ok(())
}

impl Own {
    fn start(&mut self) -> io::Result<()> {
        if self.running.is_some() {
            return Err(io::Error::other("the broker runs already"));
        }
        let log = std::fs::File::options().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(&self.program);
        command.arg("start").arg("--data-dir").arg(self.folder.0.join("data"));
        command.args(["--host", "127.0.0.1", "--only", "kafka", "--kafka-port"]);
        command.arg(self.port.number().to_string()).current_dir(&self.folder.0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = self.running.insert(command.spawn()?);
        let up = wait_until(|| Ok(listens(self.port.address()) || child.try_wait()?.is_some()))?;
        if up && child.try_wait()?.is_none() {
            return Ok(());
        }
        self.end();
        Err(self.problem("does not start"))
    }

    fn stop(&mut self) -> io::Result<()> {
        let child = self.running.as_mut().ok_or_else(|| io::Error::other("the broker does not run"))?;
        kill_process(Pid::from_child(child), Signal::TERM)?;
        if !wait_until(|| Ok(child.try_wait()?.is_some()))? {
            return Err(self.problem("does not end"));
        }
        let status = child.wait()?;
        self.running = None;
        if status.success() { Ok(()) } else { Err(self.problem(&format!("ended with {status}"))) }
    }

    fn end(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn problem(&self, what: &str) -> io::Error {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        io::Error::other(format!("the broker {what}; its log:\n{log}"))
    }

    fn log_path(&self) -> PathBuf {
        self.folder.0.join("log")
    }
}

impl Folder {
    fn create() -> io::Result<Self> {
        let parent = std::env::var_os(FOLDER).map_or_else(std::env::temp_dir, PathBuf::from);
        let path = parent.join(fresh_name("forebay-broker"));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed here goes with the run's folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.end();
    }
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, PATIENCE).is_ok()
}

/// Whether it became so before the patience was over.
fn wait_until(mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let began = Instant::now();
    loop {
        if is_so()? {
            return Ok(true);
        }
        if began.elapsed() > PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}

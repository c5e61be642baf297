//! `forebay-load calibrate`: how much CPU time the load generator itself takes for a request.
//!
//! The load goes to a responder of a few lines in the same process, which reads a request, looks at nothing but its
//! length, and says that it was taken. The CPU time of the responder's thread is taken off that of the process: what
//! is left is what making, sending, reading, counting and writing down cost, with the kernel's share.
//!
//! With a server beside it, the same load goes there as well, and both say what CPU time they took for it: what the
//! server takes for a request has to be several times what the generator does at full speed, or it is the generator
//! that is measured. What the generator takes beside the server is told as well; it is more, because a generator that
//! waits on an idle core is woken for each answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::Serialize;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::run::{self, Plan, Progress, RunError, Target};

/// Bytes that the responder reads at a time.
const READ_BYTES: usize = 64 << 10;

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Requests that were answered.
    pub requests: u64,
    /// For each second, with the responder beside the generator.
    pub requests_per_second: f64,
    /// CPU time of the generator for each request, in microseconds.
    pub cpu_micros_per_request: f64,
    /// Requests a second that one core of the generator could send if nothing else were on it.
    pub requests_per_second_and_core: f64,
    /// Of the responder, for comparison.
    pub responder_cpu_micros_per_request: f64,
    /// Of a real server, if one was named.
    pub server: Option<ServerCost>,
}

/// What a request costs a real server, and the generator that sends it there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerCost {
    /// Requests that were answered.
    pub requests: u64,
    /// For each second.
    pub requests_per_second: f64,
    /// CPU time of the server for each request, in microseconds.
    pub cpu_micros_per_request: f64,
    /// The same of the generator in the same run.
    pub generator_cpu_micros_per_request: f64,
    /// How many times as long the server takes as the generator in that run, in which it mostly waits for the server
    /// and is woken for each answer.
    pub ratio: f64,
    /// How many times as long the server takes as the generator without a server, at full speed: how much more the
    /// generator could send than the server takes.
    pub headroom: f64,
}

/// Why the cost is not known.
#[derive(Debug, Error)]
pub enum CalibrateError {
    /// The responder cannot be started.
    #[error("the responder of the load generator: {0}")]
    Responder(#[from] io::Error),
    /// The load cannot be sent.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Requests failed.
    #[error("{0} requests failed: what is left says nothing about the cost")]
    Failed(u64),
    /// The server's process is gone, or its number was not given.
    #[error("the CPU time of the server is not known: give its process id with --server-pid")]
    Server,
}

/// Sends the load of `plan`, whose target does not count, to the responder.
pub fn calibrate(
    plan: &Plan,
    stop: Arc<AtomicBool>,
    observer: &mut dyn FnMut(Progress),
) -> Result<Cost, CalibrateError> {
    let responder = Responder::start(plan.batch)?;
    let url = format!("http://{}", responder.address);
    let target = Target::parse(&url).map_err(RunError::from)?;
    let before = seconds(clock_gettime(ClockId::ProcessCPUTime));
    let outcome = run::run(&Plan { target, ..plan.clone() }, stop, observer)?;
    let of_process = seconds(clock_gettime(ClockId::ProcessCPUTime)) - before;
    let of_responder = responder.finish()?;
    let report = outcome.report;
    if report.requests.failed > 0 {
        return Err(CalibrateError::Failed(report.requests.failed));
    }
    let each = |seconds: f64| seconds * 1e6 / (report.requests.total as f64).max(1.0);
    let cpu_micros_per_request = each((of_process - of_responder).max(0.0));
    Ok(Cost {
        requests: report.requests.total,
        requests_per_second: report.requests.per_second,
        cpu_micros_per_request,
        requests_per_second_and_core: 1e6 / cpu_micros_per_request.max(1e-3),
        responder_cpu_micros_per_request: each(of_responder),
        server: None,
    })
}

/// Sends the load of `plan` to its target, whose process it has to name. `alone` is what [`calibrate`] has told of the
/// same load.
pub fn against(
    plan: &Plan,
    alone: &Cost,
    stop: Arc<AtomicBool>,
    observer: &mut dyn FnMut(Progress),
) -> Result<ServerCost, CalibrateError> {
    let before = seconds(clock_gettime(ClockId::ProcessCPUTime));
    let report = run::run(plan, stop, observer)?.report;
    let of_process = seconds(clock_gettime(ClockId::ProcessCPUTime)) - before;
    if report.requests.failed > 0 {
        return Err(CalibrateError::Failed(report.requests.failed));
    }
    let server = report.server.filter(|server| server.alive_at_end).ok_or(CalibrateError::Server)?;
    let each = |seconds: f64| seconds * 1e6 / (report.requests.total as f64).max(1.0);
    let (of_server, of_generator) = (each(server.cpu_seconds), each(of_process));
    Ok(ServerCost {
        requests: report.requests.total,
        requests_per_second: report.requests.per_second,
        cpu_micros_per_request: of_server,
        generator_cpu_micros_per_request: of_generator,
        ratio: of_server / of_generator.max(1e-3),
        headroom: of_server / alone.cpu_micros_per_request.max(1e-3),
    })
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "requests  {}, {:.0} a second", self.requests, self.requests_per_second)?;
        writeln!(
            f,
            "generator {:.2} us of CPU time a request: {:.0} requests a second and core",
            self.cpu_micros_per_request, self.requests_per_second_and_core
        )?;
        writeln!(f, "responder {:.2} us", self.responder_cpu_micros_per_request)?;
        let Some(server) = &self.server else { return Ok(()) };
        writeln!(
            f,
            "server    {:.2} us at {:.0} requests a second: {:.2} times the generator's {:.2} us at full speed",
            server.cpu_micros_per_request,
            server.requests_per_second,
            server.headroom,
            self.cpu_micros_per_request
        )?;
        writeln!(
            f,
            "beside it the generator took {:.2} us, waiting for the server and woken by it: {:.2} times as much",
            server.generator_cpu_micros_per_request, server.ratio
        )
    }
}

fn seconds(time: Timespec) -> f64 {
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Takes everything, until it is dropped.
struct Responder {
    address: SocketAddr,
    stop: Arc<Notify>,
    /// Nothing once it was joined.
    thread: Option<JoinHandle<io::Result<f64>>>,
}

impl Drop for Responder {
    fn drop(&mut self) {
        // Who wants to know how it ended has asked before.
        let _ = self.end();
    }
}

impl Responder {
    /// Says that `records` of each request were taken.
    fn start(records: u32) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let body =
            format!("{{\"accepted\":{records},\"rejected\":0,\"durability\":\"memory\",\"shards\":[]}}");
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                let reply: Arc<[u8]> = reply.into_bytes().into();
                loop {
                    let (stream, _) = tokio::select! {
                        () = stopped.notified() => break,
                        accepted = listener.accept() => accepted?,
                    };
                    tokio::spawn(answer(stream, Arc::clone(&reply)));
                }
                io::Result::Ok(())
            })?;
            Ok(seconds(clock_gettime(ClockId::ThreadCPUTime)))
        });
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// CPU seconds of its thread.
    fn finish(mut self) -> io::Result<f64> {
        self.end()
    }

    fn end(&mut self) -> io::Result<f64> {
        let Some(thread) = self.thread.take() else { return Ok(0.0) };
        self.stop.notify_one();
        thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    }
}

async fn answer(mut stream: TcpStream, reply: Arc<[u8]>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        while let Some(length) = whole(&buffer) {
            buffer.drain(..length);
            if stream.write_all(&reply).await.is_err() {
                return;
            }
        }
        buffer.reserve(READ_BYTES);
        if !matches!(stream.read_buf(&mut buffer).await, Ok(count) if count > 0) {
            return;
        }
    }
}

/// Length of the request at the start, if all of it is there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&buffer[..end]).ok()?;
    let (_, length) = head.split_once("content-length: ")?;
    let length: usize = length.split("\r\n").next()?.parse().ok()?;
    (buffer.len() >= end + length).then_some(end + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_answered_and_its_cost_is_told() {
        let plan = Plan { batch: 1, records: Some(2_000), ..Plan::default() };
        let cost = calibrate(&plan, Arc::default(), &mut |_| {}).unwrap();
        assert_eq!(cost.requests, 2_000);
        assert!(cost.cpu_micros_per_request > 0.0 && cost.responder_cpu_micros_per_request > 0.0);
        assert!(cost.to_string().contains("requests a second and core"));
    }

    #[test]
    fn a_server_is_compared_with_the_generator_in_the_same_run() {
        // A responder in this process: server and generator are one, and use the same CPU time.
        let responder = Responder::start(1).unwrap();
        let target = Target::parse(&format!("http://{}", responder.address)).unwrap();
        let plan = Plan {
            target,
            batch: 1,
            records: Some(20_000),
            pipeline: 4,
            producers: 32,
            server_pid: Some(std::process::id()),
            ..Plan::default()
        };
        let mut alone = Cost {
            requests: 1,
            requests_per_second: 1.0,
            cpu_micros_per_request: 0.5,
            requests_per_second_and_core: 2e6,
            responder_cpu_micros_per_request: 0.5,
            server: None,
        };
        let cost = against(&plan, &alone, Arc::default(), &mut |_| {}).unwrap();
        assert_eq!(cost.requests, 20_000);
        // The server is watched for a part of that time, by a clock of the kernel's that has ticks of 10 ms: user and
        // system time may each be told one too many.
        let tick = 2.0 * 10e3 / cost.requests as f64;
        let (of_server, of_both) = (cost.cpu_micros_per_request, cost.generator_cpu_micros_per_request);
        assert!(of_server > 0.0 && of_server <= of_both + tick, "{cost:?}");
        assert!(
            (cost.ratio * of_both - of_server).abs() < 1e-6 && cost.headroom == of_server / 0.5,
            "{cost:?}"
        );
        alone.server = Some(cost);
        let told = alone.to_string();
        assert!(
            told.contains("the generator's 0.50 us at full speed\nbeside it the generator took"),
            "{told}"
        );
        let nobody = Plan { server_pid: None, records: Some(10), run_name: "b".into(), ..plan };
        assert!(matches!(against(&nobody, &alone, Arc::default(), &mut |_| {}), Err(CalibrateError::Server)));
        responder.finish().unwrap();
    }

    #[test]
    fn a_request_is_whole_when_its_last_byte_is_there() {
        let request = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET";
        assert_eq!(whole(request), Some(request.len() - 3));
        assert!((0..request.len() - 3).all(|length| whole(&request[..length]).is_none()));
    }
}

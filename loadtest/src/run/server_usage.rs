//! What the server's process uses, as the kernel counts it (proc_pid_stat(5), proc_pid_status(5)).

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay::runtime::clock;
use serde::{Deserialize, Serialize};

use super::timeline::INTERVALS_MAX;
use crate::record::ServerSample;

/// Ticks a second in `/proc/PID/stat`: `USER_HZ`, which Linux fixes at 100 for programs, whatever the kernel's own.
const USER_HZ: f64 = 100.0;

/// How often memory is read.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);

/// One look at the process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usage {
    user_seconds: f64,
    system_seconds: f64,
    rss_bytes: u64,
    /// Highest ever, as the kernel kept it.
    peak_rss_bytes: u64,
}

/// What the process used during a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServerUsage {
    /// CPU seconds, user and system.
    pub cpu_seconds: f64,
    /// Of them in user mode.
    pub cpu_user_seconds: f64,
    /// Of them in the kernel.
    pub cpu_system_seconds: f64,
    /// CPU seconds for each 10⁹ bytes of acked payload; missing if there was none.
    pub cpu_seconds_per_gb: Option<f64>,
    /// CPU seconds for each 10⁶ acked records; missing if there were none.
    pub cpu_seconds_per_million_records: Option<f64>,
    /// Highest resident memory since the process began (`VmHWM`).
    pub peak_rss_bytes: u64,
    /// Highest resident memory that was seen during the run, read five times a second.
    pub run_rss_bytes_max: u64,
    /// Whether the process was still there at the end; if not, this is what was seen last.
    pub alive_at_end: bool,
}

fn read(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse(&stat, &status).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown form of /proc"))
}

fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The second field is the command in parentheses, which may hold anything; utime and stime are 14 and 15.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11);
    let mut seconds = || Some(ticks.next()?.parse::<f64>().ok()? / USER_HZ);
    let (user_seconds, system_seconds) = (seconds()?, seconds()?);
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    // A process that has ended, and was not waited for, has no memory any more.
    let (rss, peak) = (kib("VmRSS").unwrap_or(0), kib("VmHWM").unwrap_or(0));
    Some(Usage { user_seconds, system_seconds, rss_bytes: rss << 10, peak_rss_bytes: peak << 10 })
}

/// What the watching thread has seen.
#[derive(Debug)]
struct Watched {
    last: Usage,
    rss_bytes_max: u64,
    is_alive: bool,
    samples: Vec<(Instant, Usage)>,
}

/// Watches a process from a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    before: Usage,
    /// Nothing once it was joined.
    thread: Option<JoinHandle<Watched>>,
    ended: Arc<AtomicBool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

impl Watch {
    /// Fails if there is no such process, or it cannot be looked at.
    pub fn start(pid: u32) -> io::Result<Self> {
        Self::follow(pid, None)
    }

    /// Watches a process that may be gone and come back under another number, which `followed` tells.
    pub fn follow(mut pid: u32, followed: Option<Arc<AtomicU32>>) -> io::Result<Self> {
        let before = read(pid)?;
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let (mut last, mut rss_max, mut peak) = (before, before.rss_bytes, before.peak_rss_bytes);
            let (mut samples, mut interval) = (Vec::new(), SAMPLE_INTERVAL);
            // What processes have used that are gone.
            let (mut gone_user, mut gone_system) = (0.0, 0.0);
            loop {
                let is_last = seen.load(Ordering::Acquire);
                let now_pid = followed.as_ref().map_or(pid, |followed| followed.load(Ordering::Acquire));
                if now_pid != pid {
                    pid = now_pid;
                    (gone_user, gone_system) = (last.user_seconds, last.system_seconds);
                }
                let is_alive = match read(pid) {
                    Ok(usage) if usage.peak_rss_bytes > 0 => {
                        let user_seconds = usage.user_seconds + gone_user;
                        let system_seconds = usage.system_seconds + gone_system;
                        last = Usage { user_seconds, system_seconds, ..usage };
                        samples.push((clock::monotonic(), last));
                        true
                    }
                    _ => false,
                };
                rss_max = rss_max.max(last.rss_bytes);
                peak = peak.max(last.peak_rss_bytes);
                if is_last || (!is_alive && followed.is_none()) {
                    let last = Usage { peak_rss_bytes: peak, ..last };
                    return Watched { last, rss_bytes_max: rss_max, is_alive, samples };
                }
                if samples.len() >= INTERVALS_MAX {
                    let mut is_kept = false;
                    samples.retain(|_| {
                        is_kept = !is_kept;
                        is_kept
                    });
                    interval *= 2;
                }
                thread::park_timeout(interval);
            }
        });
        Ok(Self { before, thread: Some(thread), ended })
    }

    /// Waits for its last look, and gives what it has seen.
    fn end(&mut self) -> Option<Watched> {
        self.ended.store(true, Ordering::Release);
        let thread = self.thread.take()?;
        thread.thread().unpark();
        thread.join().ok()
    }

    /// Looks a last time. Times of samples are told from `start` on. `None` if the watching thread is gone.
    pub fn finish(
        mut self,
        payload_bytes: u64,
        records: u64,
        start: Instant,
    ) -> Option<(ServerUsage, Vec<ServerSample>)> {
        let Watched { last: after, rss_bytes_max: run_rss_bytes_max, is_alive: alive_at_end, samples } =
            self.end()?;
        let cpu_user_seconds = after.user_seconds - self.before.user_seconds;
        let cpu_system_seconds = after.system_seconds - self.before.system_seconds;
        let cpu_seconds = cpu_user_seconds + cpu_system_seconds;
        let per = |amount: u64, unit: f64| (amount > 0).then(|| cpu_seconds / (amount as f64 / unit));
        let sample = |(at, usage): (Instant, Usage)| ServerSample {
            at: (at.saturating_duration_since(start).as_secs_f64() * 1e3).round() / 1e3,
            cpu_seconds: usage.user_seconds + usage.system_seconds,
            rss_bytes: usage.rss_bytes,
        };
        let samples = samples.into_iter().map(sample).collect();
        let usage = ServerUsage {
            cpu_seconds,
            cpu_user_seconds,
            cpu_system_seconds,
            cpu_seconds_per_gb: per(payload_bytes, 1e9),
            cpu_seconds_per_million_records: per(records, 1e6),
            peak_rss_bytes: after.peak_rss_bytes,
            run_rss_bytes_max,
            alive_at_end,
        };
        Some((usage, samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_command_with_spaces_and_parentheses() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 125 0 0 20 0 1 0 5 1 2";
        let status = "Name:\ta\nVmPeak:\t 9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n";
        let usage = parse(stat, status).unwrap();
        assert_eq!((usage.user_seconds, usage.system_seconds), (2.5, 1.25));
        assert_eq!((usage.rss_bytes, usage.peak_rss_bytes), (1 << 20, 2 << 20));
    }

    #[test]
    fn this_process_can_be_watched() {
        let watch = Watch::start(std::process::id()).unwrap();
        let (usage, samples) = watch.finish(500_000_000, 0, clock::monotonic()).unwrap();
        assert!(!samples.is_empty() && samples.iter().all(|sample| sample.rss_bytes > 0));
        assert!(usage.alive_at_end && usage.peak_rss_bytes >= usage.run_rss_bytes_max);
        assert!(usage.run_rss_bytes_max > 0 && usage.cpu_seconds >= 0.0);
        assert_eq!(usage.cpu_seconds_per_gb, Some(usage.cpu_seconds * 2.0));
        assert_eq!(usage.cpu_seconds_per_million_records, None);
    }

    #[test]
    fn a_process_that_comes_back_under_another_number_is_followed() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Arc::new(AtomicU32::new(child.id()));
        let watch = Watch::follow(child.id(), Some(Arc::clone(&pid))).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        pid.store(std::process::id(), Ordering::Release);
        let (usage, samples) = watch.finish(0, 0, clock::monotonic()).unwrap();
        assert!(usage.alive_at_end && usage.cpu_seconds >= 0.0);
        assert!(samples.windows(2).all(|pair| pair[0].cpu_seconds <= pair[1].cpu_seconds));
    }

    #[test]
    fn a_process_that_does_not_exist_is_an_error() {
        assert!(Watch::start(u32::MAX).is_err());
    }
}

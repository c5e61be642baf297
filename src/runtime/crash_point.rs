//! Places at which a test can let the process die.
//!
//! `crash_point!("name")` marks a place where what has been done so far is on disk or on its way, and what comes next
//! is not. With debug assertions, a process that was started with `FOREBAY_CRASH_AT=name:N` kills itself with SIGKILL
//! when it passes that place for the N-th time: no destructor runs, no buffer is written, as when the machine's
//! out-of-memory killer strikes. With `name:N:stop` it stops itself there (SIGSTOP) and goes on when it is told to
//! (SIGCONT), as a process does that was not given the processor for a while and knows nothing of what happened meanwhile.
//! Without debug assertions the macro is nothing at all.

/// Every crash point, in the order in which a record meets them. A name that is not here does not compile.
pub const POINTS: &[&str] = &[
    "log.write.before",
    "log.write.after",
    "log.publish.before",
    "log.segment.rename",
    "log.index.rename",
    "stream.begun",
    "stream.part",
    "ledger.seal.before",
    "ledger.seal.after",
    "upload.before",
    "upload.multipart.created",
    "upload.multipart.begun",
    "upload.part",
    "stream.complete",
    "stream.rename",
    "upload.after",
    "ledger.commit.before",
    "ledger.commit.after",
    "ledger.cursor.after",
    "ledger.snapshot.rename",
    "catalog.rename",
    "reshard.noted",
    "fan_out.commit.before",
    "fan_out.commit.after",
    "deliveries.begun",
    "deliveries.noted",
    "function.noted",
    "function.appended",
    "node.rename",
    "drain.begin",
    "replay.send.before",
    "replay.send.after",
];

/// The environment variable that arms one of them: `name:N`, or `name:N:stop`, N from 1.
pub const VARIABLE: &str = "FOREBAY_CRASH_AT";

/// The place of a name in [`POINTS`].
pub const fn index_of(name: &str) -> Option<usize> {
    let mut at = 0;
    while at < POINTS.len() {
        if is_equal(POINTS[at].as_bytes(), name.as_bytes()) {
            return Some(at);
        }
        at += 1;
    }
    None
}

const fn is_equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Kills the process here if [`POINTS`] has this name, debug assertions are on, and the name is armed for this passing.
#[cfg(debug_assertions)]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {{
        const POINT: usize = match $crate::runtime::crash_point::index_of($name) {
            Some(point) => point,
            None => panic!("not in forebay::runtime::crash_point::POINTS"),
        };
        $crate::runtime::crash_point::armed::pass(POINT);
    }};
}

/// Nothing: there are no debug assertions.
#[cfg(not(debug_assertions))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {{
        const _: () = assert!(
            $crate::runtime::crash_point::index_of($name).is_some(),
            "not in forebay::runtime::crash_point::POINTS"
        );
    }};
}

/// What counts the passings and strikes.
#[cfg(debug_assertions)]
pub mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use thiserror::Error;

    use super::{POINTS, VARIABLE, index_of};

    static ARMED: OnceLock<Armed> = OnceLock::new();

    struct Armed {
        point: usize,
        /// The passing that is the last one, from 1.
        last: u64,
        /// Whether it only stops there, and goes on when it is told to.
        stops: bool,
        passed: AtomicU64,
    }

    /// Why nothing is armed.
    #[derive(Debug, Error, PartialEq, Eq)]
    pub enum ArmError {
        /// It is neither `name:N` nor `name:N:stop`.
        #[error("{VARIABLE}={0} is not name:N with N from 1, or name:N:stop")]
        Form(String),
        /// There is no such point.
        #[error("{VARIABLE} names '{0}', and there is no such crash point: use one of {list}", list = POINTS.join(", "))]
        Unknown(String),
        /// One is armed.
        #[error("a crash point is armed already: a process has one")]
        Twice,
    }

    /// Arms the point that `text` (`name:N`, or `name:N:stop`) names, for the rest of the process.
    pub fn arm(text: &str) -> Result<(), ArmError> {
        let form = || ArmError::Form(text.to_owned());
        let stops = text.strip_suffix(":stop");
        let (name, last) = stops.unwrap_or(text).rsplit_once(':').ok_or_else(form)?;
        let last = last.parse().ok().filter(|&last| last > 0).ok_or_else(form)?;
        let point = index_of(name).ok_or_else(|| ArmError::Unknown(name.to_owned()))?;
        let (stops, passed) = (stops.is_some(), AtomicU64::new(0));
        ARMED.set(Armed { point, last, stops, passed }).map_err(|_| ArmError::Twice)
    }

    #[cfg(test)]
    thread_local! {
        /// Point and passing, from 1, at which this thread panics.
        static PANICS: std::cell::Cell<Option<(usize, u64)>> = const { std::cell::Cell::new(None) };
    }

    /// Lets what this thread does panic, once, when it passes the point `name` for the `nth` time from now.
    #[cfg(test)]
    pub fn panic_at(name: &str, nth: u64) {
        let point = index_of(name).expect("a known crash point");
        PANICS.set(Some((point, nth)));
    }

    #[cfg(test)]
    fn panic_if_due(point: usize) {
        let Some((of, left)) = PANICS.get().filter(|(of, _)| *of == point) else { return };
        PANICS.set(Some((of, left - 1)).filter(|_| left > 1));
        assert!(left > 1, "as told, at {}", POINTS[point]);
    }

    /// What `crash_point!` calls with the index of its name.
    pub fn pass(point: usize) {
        #[cfg(test)]
        panic_if_due(point);
        let Some(armed) = ARMED.get().filter(|armed| armed.point == point) else { return };
        let passing = armed.passed.fetch_add(1, Ordering::Relaxed) + 1;
        if armed.stops && passing == armed.last {
            stop();
        } else if !armed.stops && passing >= armed.last {
            die();
        }
    }

    /// Returns when somebody has the process go on.
    fn stop() {
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::STOP);
    }

    fn die() -> ! {
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::KILL);
        // The kernel may let this thread go on for a moment; nothing may happen in it.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::armed::{ArmError, arm};
    use super::*;

    /// Makes this test binary the process that is to die.
    const CHILD: &str = "FOREBAY_CRASH_POINT_CHILD";

    #[test]
    fn a_process_dies_at_the_nth_passing_of_its_point_and_of_no_other() {
        if let Ok(text) = std::env::var(CHILD) {
            arm(&text).unwrap();
            for round in 1..=5 {
                crash_point!("log.write.after");
                println!("written {round}");
                crash_point!("upload.before");
                println!("uploaded {round}");
            }
            return;
        }
        for (at, signal, last) in [
            ("log.write.after:1", Some(9), None),
            ("log.write.after:3", Some(9), Some("uploaded 2")),
            ("upload.before:3", Some(9), Some("written 3")),
            ("upload.before:6", None, Some("uploaded 5")),
        ] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture"])
                .arg("runtime::crash_point::tests::a_process_dies_at_the_nth_passing_of_its_point_and_of_no_other")
                .env(CHILD, at)
                .output()
                .unwrap();
            assert_eq!(child.status.signal(), signal, "{at}");
            let text = String::from_utf8(child.stdout).unwrap();
            let said = text.lines().rfind(|line| line.starts_with("written") || line.starts_with("uploaded"));
            assert_eq!(said, last, "{at}");
        }
    }

    #[test]
    fn only_a_known_name_with_a_count_can_be_armed() {
        for text in [
            "",
            "stop",
            "upload.before:stop",
            "upload.before:0:stop",
            "upload.before",
            "upload.before:",
            "upload.before:0",
            "upload.before:-1",
            ":1x",
        ] {
            assert_eq!(arm(text), Err(ArmError::Form(text.into())));
        }
        let refused = arm("upload.befor:1").unwrap_err().to_string();
        assert!(refused.contains("'upload.befor'") && refused.contains("ledger.seal.before"), "{refused}");
    }

    #[test]
    fn every_name_is_there_once() {
        for (at, name) in POINTS.iter().enumerate() {
            assert_eq!(index_of(name), Some(at), "{name} is there twice");
        }
        assert_eq!(index_of("log.write"), None);
    }
}

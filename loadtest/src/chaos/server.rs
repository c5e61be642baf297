//! The server as a child process.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use forebay::runtime::clock;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long it may take to end in good order: what it has taken has to be delivered.
const END_MAX: Duration = Duration::from_secs(300);

/// What `forebay serve` says with its exit code: something of what it has taken is in its log and not delivered.
const NOT_DELIVERED: i32 = 3;

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    command: String,
    log: Option<PathBuf>,
    child: Child,
    pid: Arc<AtomicU32>,
    /// Its end was asked for, or told.
    is_down: bool,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts `command` by the shell, which makes room for it: the process is the server itself.
    pub(super) fn start(command: String, log: Option<PathBuf>) -> io::Result<Self> {
        let child = spawn(&command, log.as_ref())?;
        let pid = Arc::new(AtomicU32::new(child.id()));
        Ok(Self { command, log, child, pid, is_down: false })
    }

    pub(super) fn pid(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.pid)
    }

    /// Nothing is done to one that has ended.
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        match self.child.try_wait()? {
            Some(_) => Ok(()),
            None => Ok(kill_process(Pid::from_child(&self.child), signal)?),
        }
    }

    /// How it ended, if it did so although nobody has asked for it. That is told once.
    pub(super) fn own_end(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.is_down {
            return Ok(None);
        }
        let status = self.child.try_wait()?;
        self.is_down = status.is_some();
        Ok(status)
    }

    /// Ends it by `signal`, and says how it ended; nothing if it had ended before.
    pub(super) fn end(&mut self, signal: Signal) -> io::Result<Option<ExitStatus>> {
        if std::mem::replace(&mut self.is_down, true) {
            return Ok(None);
        }
        self.signal(signal)?;
        let give_up = clock::monotonic() + END_MAX;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if clock::monotonic() > give_up {
                return Err(io::Error::other(format!("it has not ended in {} s", END_MAX.as_secs())));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What ended before is made room for.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.child = spawn(&self.command, self.log.as_ref())?;
        self.pid.store(self.child.id(), Ordering::Release);
        self.is_down = false;
        Ok(())
    }
}

/// Whether a server that was told to end (SIGTERM) has ended well. In the middle of a load it may leave something to
/// the next one, at its end not.
pub(super) fn is_good(status: ExitStatus, is_last: bool) -> bool {
    match status.code() {
        Some(0) => true,
        Some(NOT_DELIVERED) => !is_last,
        _ => false,
    }
}

/// Kills a server, and what it has started, of which only the process id is known.
pub fn kill(pid: u32) {
    // It is the first of its group. One that has gone needs no killing.
    let group = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
}

fn spawn(command: &str, log: Option<&PathBuf>) -> io::Result<Child> {
    let output = || -> io::Result<Stdio> {
        Ok(match log {
            Some(path) => File::options().create(true).append(true).open(path)?.into(),
            None => Stdio::null(),
        })
    };
    let command = format!("exec {command}");
    Command::new("/bin/sh")
        .args(["-c", &command])
        // A terminal's Ctrl-C is for the load generator, which ends the server when the load has ended.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that ends with `code` when it is told to, and is ready for that.
    fn server(code: i32) -> (Server, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let body =
            format!("trap \"exit {code}\" TERM; : > {}; while :; do sleep 0.01; done", ready.display());
        let server = Server::start(format!("sh -c '{body}'"), None).unwrap();
        while !ready.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        (server, folder)
    }

    #[test]
    fn a_server_that_was_told_to_end_is_judged_by_its_exit_code() {
        for (code, at_end, meanwhile) in [(0, true, true), (3, false, true), (1, false, false)] {
            let (mut server, _folder) = server(code);
            let status = server.end(Signal::TERM).unwrap().unwrap();
            assert_eq!(status.code(), Some(code));
            assert_eq!((is_good(status, true), is_good(status, false)), (at_end, meanwhile), "{code}");
            // It is down: there is nothing more to say about it.
            assert_eq!((server.own_end().unwrap(), server.end(Signal::TERM).unwrap()), (None, None));
        }
    }

    #[test]
    fn a_server_that_ends_by_itself_is_noticed_once_and_can_be_started_again() {
        let mut server = Server::start("sh -c 'exit 101'".to_owned(), None).unwrap();
        let first = server.pid().load(Ordering::Acquire);
        let status = loop {
            match server.own_end().unwrap() {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        assert_eq!((status.code(), server.own_end().unwrap()), (Some(101), None));
        server.signal(Signal::STOP).unwrap();
        server.restart().unwrap();
        assert_ne!(server.pid().load(Ordering::Acquire), first);
        assert!(!server.is_down);
    }
}

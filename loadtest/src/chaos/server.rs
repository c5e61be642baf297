//! The server as a child process.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use forebay::runtime::clock;
use rustix::process::{Pid, Signal, kill_process};

/// How long it may take to end in good order: what it has taken has to be delivered.
const END_MAX: Duration = Duration::from_secs(300);

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    command: String,
    log: Option<PathBuf>,
    child: Child,
    pid: Arc<AtomicU32>,
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
        Ok(Self { command, log, child, pid })
    }

    pub(super) fn pid(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.pid)
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let give_up = clock::monotonic() + END_MAX;
        while self.child.try_wait()?.is_none() {
            if clock::monotonic() > give_up {
                return Err(io::Error::other(format!("it has not ended in {} s", END_MAX.as_secs())));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.child = spawn(&self.command, self.log.as_ref())?;
        self.pid.store(self.child.id(), Ordering::Release);
        Ok(())
    }
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
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        .spawn()
}

//! `--chaos 'kill@10s,restart@12s'`: what is done to the server and its store while the load goes on.
//!
//! - [`script`]: text → what happens when, and what about that makes no sense;
//! - [`server`]: the server as a child process;
//! - [`proxy`]: a way to the store that can stop giving bytes, or be cut.

pub mod proxy;
pub mod script;
pub mod server;

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

use crate::record::Mark;
use proxy::{Flow, Proxy};
use script::{Act, Event, ScriptError};
use server::Server;

/// Why chaos has an end.
#[derive(Debug, Error)]
pub enum ChaosError {
    /// The script makes no sense.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// Something is to be done that nothing is there for.
    #[error("--chaos {act}: nothing to do it to: give {option}")]
    Nobody {
        /// What.
        act: Act,
        /// What has to be given.
        option: &'static str,
    },
    /// The server cannot be started, or does not end.
    #[error("server command: {0}")]
    Server(io::Error),
    /// The proxy cannot listen.
    #[error("--stall-proxy: {0}")]
    Proxy(io::Error),
    /// A process cannot be signalled.
    #[error("{act} of process {pid}: {source}")]
    Signal {
        /// What.
        act: Act,
        /// Of whom.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
}

/// What makes a run with chaos wrong that nobody else would tell.
#[derive(Debug, Error)]
pub enum Fault {
    /// The server has crashed, or could not be started.
    #[error(
        "the server ended by itself after {seconds:.1} s of the load, with {status}: see its --server-log"
    )]
    OwnEnd {
        /// Since the load began; of a server that ended behind it, when the load ended.
        seconds: f64,
        /// How.
        status: ExitStatus,
    },
    /// The server does not say that all is well.
    #[error("the server was told to end and did so with {status}: see its --server-log")]
    BadEnd {
        /// How.
        status: ExitStatus,
    },
    /// The load was over too soon.
    #[error("{act} at {at:?} came behind the load, which lasted {lasted:?}: nobody saw it; send for longer")]
    Unseen {
        /// What.
        act: Act,
        /// When it was due.
        at: Duration,
        /// How long the load lasted.
        lasted: Duration,
    },
}

/// What can be done something to.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What happens when.
    pub script: String,
    /// The server's command, for a shell.
    pub server_command: Option<String>,
    /// Where its output goes.
    pub server_log: Option<std::path::PathBuf>,
    /// Where the proxy listens and where it leads: `127.0.0.1:9100=127.0.0.1:9000`.
    pub stall_proxy: Option<String>,
    /// The process that is frozen; the server if none is named.
    pub freeze_pid: Option<u32>,
}

/// Chaos under way.
#[derive(Debug)]
pub struct Chaos {
    events: std::vec::IntoIter<Event>,
    server: Option<Server>,
    proxy: Option<Proxy>,
    freeze_pid: Option<u32>,
    marks: Vec<Mark>,
    faults: Vec<Fault>,
    /// How long the load has lasted.
    elapsed: Duration,
}

impl Chaos {
    /// Checks the script for a load that ends after `end`, if that is known, and starts proxy and server.
    pub fn start(settings: &Settings, end: Option<Duration>) -> Result<Self, ChaosError> {
        let events = script::parse(&settings.script)?;
        end.map_or(Ok(()), |end| script::check_end(&events, end))?;
        for Event { act, .. } in &events {
            let missing = match act {
                Act::Kill | Act::Terminate | Act::Restart => {
                    settings.server_command.is_none().then_some("--server-command")
                }
                Act::Stall | Act::Cut | Act::Heal => {
                    settings.stall_proxy.is_none().then_some("--stall-proxy")
                }
                Act::Freeze | Act::Thaw => (settings.server_command.is_none()
                    && settings.freeze_pid.is_none())
                .then_some("--freeze-pid or --server-command"),
            };
            if let Some(option) = missing {
                return Err(ChaosError::Nobody { act: *act, option });
            }
        }
        let proxy =
            settings.stall_proxy.as_deref().map(Proxy::start).transpose().map_err(ChaosError::Proxy)?;
        let log = settings.server_log.clone();
        let server = settings.server_command.clone().map(|command| Server::start(command, log));
        let server = server.transpose().map_err(ChaosError::Server)?;
        let freeze_pid = settings.freeze_pid;
        let (marks, faults, elapsed) = (Vec::new(), Vec::new(), Duration::ZERO);
        Ok(Self { events: events.into_iter(), server, proxy, freeze_pid, marks, faults, elapsed })
    }

    /// The process id of the server, which changes when it is started again.
    pub fn server_pid(&self) -> Option<Arc<AtomicU32>> {
        self.server.as_ref().map(Server::pid)
    }

    /// Does what is due.
    pub fn act(&mut self, elapsed: Duration) -> Result<(), ChaosError> {
        self.elapsed = elapsed;
        self.look_at_server()?;
        while let Some(event) = self.events.as_slice().first().copied().filter(|event| event.at <= elapsed) {
            self.events.next();
            self.apply(event.act)?;
            let at = (elapsed.as_secs_f64() * 1e3).round() / 1e3;
            self.marks.push(Mark { at, text: event.act.to_string() });
        }
        Ok(())
    }

    fn look_at_server(&mut self) -> Result<(), ChaosError> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let seconds = self.elapsed.as_secs_f64();
        let ended = server.own_end().map_err(ChaosError::Server)?;
        self.faults.extend(ended.map(|status| Fault::OwnEnd { seconds, status }));
        Ok(())
    }

    /// Tells the server to end.
    fn end_server(&mut self, is_last: bool) -> Result<(), ChaosError> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let ended = server.end(Signal::TERM).map_err(ChaosError::Server)?;
        let bad = ended.filter(|status| !server::is_good(*status, is_last));
        self.faults.extend(bad.map(|status| Fault::BadEnd { status }));
        Ok(())
    }

    fn apply(&mut self, act: Act) -> Result<(), ChaosError> {
        if let Some(proxy) = &self.proxy {
            match act {
                Act::Stall => proxy.set(Flow::Stalled),
                Act::Cut => proxy.set(Flow::Cut),
                Act::Heal => proxy.set(Flow::Free),
                _ => {}
            }
        }
        if let Some(server) = &mut self.server {
            let done = match act {
                Act::Kill => server.end(Signal::KILL).map(|_| ()),
                Act::Restart => server.restart(),
                _ => Ok(()),
            };
            done.map_err(ChaosError::Server)?;
        }
        if act == Act::Terminate {
            self.end_server(false)?;
        }
        let signal = match act {
            Act::Freeze => Signal::STOP,
            Act::Thaw => Signal::CONT,
            _ => return Ok(()),
        };
        match (self.freeze_pid, &mut self.server) {
            (Some(pid), _) => {
                let of = i32::try_from(pid).ok().and_then(Pid::from_raw);
                let sent = of.ok_or(rustix::io::Errno::SRCH).and_then(|of| kill_process(of, signal));
                sent.map_err(|error| ChaosError::Signal { act, pid, source: error.into() })
            }
            (None, Some(server)) => server.signal(signal).map_err(ChaosError::Server),
            (None, None) => Ok(()),
        }
    }

    /// Does all that is left, so that everything is whole again, and ends the server in good order. Says what was done
    /// during the load, and what was wrong. `is_stopped`: somebody ended the load before its time.
    pub fn finish(mut self, is_stopped: bool) -> Result<(Vec<Mark>, Vec<Fault>), ChaosError> {
        self.look_at_server()?;
        for Event { act, at } in std::mem::take(&mut self.events) {
            // What was done behind the load has no place in its time.
            self.apply(act)?;
            if act.undone_by().is_some() && !is_stopped {
                self.faults.push(Fault::Unseen { act, at, lasted: self.elapsed });
            }
        }
        self.look_at_server()?;
        self.end_server(true)?;
        Ok((self.marks, self.faults))
    }
}

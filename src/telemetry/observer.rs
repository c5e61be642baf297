//! All that is put on record of requests: made once, shared by all edge threads.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http::HeaderMap;
use thiserror::Error;

use super::access_log::AccessLog;
use super::audit::Audit;
use super::lines::{Place, Writer};
use super::metrics::{ExportMetrics, Registry};
use super::trace::{Step, Tracer};
use crate::config::checked::{LogTo, Node};

/// Why something cannot be put on record.
#[derive(Debug, Error)]
pub enum ObserverError {
    /// The file of the access log, or its thread.
    #[error("[access_log] cannot be written: {0}")]
    AccessLog(io::Error),
    /// The file of the audit log, or its thread.
    #[error("[audit_log] cannot be written: {0}")]
    AuditLog(io::Error),
}

/// See the module.
#[derive(Debug)]
pub struct Observer {
    /// There once requests are logged; it may be switched off again.
    access: OnceLock<AccessLog>,
    /// Refusals and changes.
    pub audit: Audit,
    /// What traces wait in to be told to a collector; off if there is none.
    pub tracer: Arc<Tracer>,
    logs: Mutex<Logs>,
}

/// Where logs go at the moment.
#[derive(Debug, Default)]
struct Logs {
    access: Option<LogTo>,
    audit: Option<LogTo>,
    writers: Vec<Writer>,
}

/// What is ready for another configuration: nothing of it can fail any more.
#[derive(Debug, Default)]
pub struct Prepared {
    access: Option<Access>,
    audit: Option<Place>,
}

#[derive(Debug)]
enum Access {
    /// The log that there is goes elsewhere.
    Moved(Place),
    /// There was none yet.
    New(AccessLog, Writer),
}

impl Prepared {
    /// It is not wanted after all.
    pub fn give_up(self) {
        if let Some(Access::New(_, writer)) = self.access {
            writer.end();
        }
    }
}

impl Observer {
    /// As the configuration says. [`Observer::end`] ends it.
    ///
    /// # Errors
    /// If a log cannot be written.
    pub fn open(node: &Node, registry: &Registry) -> Result<Self, ObserverError> {
        let (audit, writer) = Audit::open(&node.audit_log, registry).map_err(ObserverError::AuditLog)?;
        let tracer = Arc::new(Tracer::off(registry.spans()));
        registry.trace_by(&tracer);
        let logs = Logs { access: None, audit: Some(node.audit_log.clone()), writers: vec![writer] };
        let observer = Self { access: OnceLock::new(), audit, tracer, logs: Mutex::new(logs) };
        match observer.prepare(node, registry) {
            Ok(prepared) => observer.change(node, prepared),
            Err(error) => {
                observer.end();
                return Err(error);
            }
        }
        Ok(observer)
    }

    /// One that puts nothing on record.
    pub fn off() -> Self {
        let tracer = Arc::new(Tracer::off(ExportMetrics::noop()));
        Self { access: OnceLock::new(), audit: Audit::off(), tracer, logs: Mutex::default() }
    }

    /// The access log, if requests are logged.
    pub fn access(&self) -> Option<&AccessLog> {
        self.access.get().filter(|log| log.is_on())
    }

    /// Opens what another configuration asks for. To be given to [`Observer::change`].
    ///
    /// # Errors
    /// If a log cannot be written there.
    pub fn prepare(&self, node: &Node, registry: &Registry) -> Result<Prepared, ObserverError> {
        let logs = self.lock();
        let audit = (logs.audit.as_ref() != Some(&node.audit_log)).then(|| Place::open(&node.audit_log));
        let audit = audit.transpose().map_err(ObserverError::AuditLog)?;
        let access = match &node.access_log {
            Some(config) if self.access.get().is_none() => {
                let opened = AccessLog::open(config, registry);
                Some(opened.map(|(log, writer)| Access::New(log, writer)))
            }
            Some(config) if logs.access.as_ref() != Some(&config.to) => {
                Some(Place::open(&config.to).map(Access::Moved))
            }
            _ => None,
        };
        Ok(Prepared { access: access.transpose().map_err(ObserverError::AccessLog)?, audit })
    }

    /// Has another configuration hold from now on. Each line is written once: those that are left already where they were
    /// meant for, those that come at the new place.
    pub fn change(&self, node: &Node, prepared: Prepared) {
        let mut logs = self.lock();
        if let Some(place) = prepared.audit {
            self.audit.move_to(place);
            logs.audit = Some(node.audit_log.clone());
        }
        match (prepared.access, self.access.get()) {
            (Some(Access::Moved(place)), Some(log)) => log.move_to(place),
            (Some(Access::New(log, writer)), None) => {
                self.access.get_or_init(|| log);
                logs.writers.push(writer);
            }
            _ => {}
        }
        if let Some(log) = self.access.get() {
            log.set(node.access_log.as_ref());
        }
        if let Some(config) = &node.access_log {
            logs.access = Some(config.to.clone());
        }
        self.tracer.set(node.otlp.as_ref().map(|otlp| otlp.traces_sample));
    }

    /// The step of a trace that a request with these headers is.
    pub fn step(&self, headers: &HeaderMap) -> Option<Step> {
        self.tracer.step(headers)
    }

    /// What is due from time to time. To be called every second or so.
    pub fn housekeeping(&self) {
        self.audit.tend();
    }

    /// Has the files of logs opened again, because somebody has moved them.
    pub fn reopen(&self) {
        self.access.get().into_iter().for_each(AccessLog::reopen);
        self.audit.reopen();
    }

    /// Has all lines written. Nothing comes any more. Blocks the thread for a while.
    pub fn end(&self) {
        self.audit.end();
        let writers = mem::take(&mut self.lock().writers);
        writers.into_iter().for_each(Writer::end);
    }

    fn lock(&self) -> MutexGuard<'_, Logs> {
        // Nothing panics under it.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

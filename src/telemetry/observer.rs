//! All that is put on record of requests: made once, shared by all edge threads.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use thiserror::Error;

use super::access_log::AccessLog;
use super::audit::Audit;
use super::lines::Writer;
use super::metrics::Registry;
use super::trace::{Step, Tracer};
use crate::config::checked::{Node, Otlp};

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
    /// There if requests are logged.
    pub access: Option<AccessLog>,
    /// Refusals and changes.
    pub audit: Audit,
    /// There if traces are told to a collector.
    pub tracer: Option<Arc<Tracer>>,
    writers: Mutex<Vec<Writer>>,
}

impl Observer {
    /// As the configuration says. [`Observer::end`] ends it.
    ///
    /// # Errors
    /// If a log cannot be written.
    pub fn open(node: &Node, registry: &Registry) -> Result<Self, ObserverError> {
        let (audit, writer) = Audit::open(&node.audit_log, registry).map_err(ObserverError::AuditLog)?;
        let mut writers = vec![writer];
        let access = match &node.access_log {
            Some(config) => {
                let opened = AccessLog::open(config, registry).map_err(ObserverError::AccessLog);
                let (access, writer) = opened.inspect_err(|_| writers.drain(..).for_each(Writer::end))?;
                writers.push(writer);
                Some(access)
            }
            None => None,
        };
        let tracer = |otlp: &Otlp| Arc::new(Tracer::new(otlp.traces_sample, registry.spans()));
        let tracer = node.otlp.as_ref().map(tracer).inspect(|tracer| registry.trace_by(tracer));
        Ok(Self { access, audit, tracer, writers: Mutex::new(writers) })
    }

    /// One that puts nothing on record.
    pub fn off() -> Self {
        Self { access: None, audit: Audit::off(), tracer: None, writers: Mutex::default() }
    }

    /// The step of a trace that a request with these headers is.
    pub fn step(&self, headers: &HeaderMap) -> Option<Step> {
        match &self.tracer {
            Some(tracer) => tracer.step(headers),
            None => Step::passing(headers),
        }
    }

    /// What is due from time to time. To be called every second or so.
    pub fn housekeeping(&self) {
        self.audit.tend();
    }

    /// Has the files of logs opened again, because somebody has moved them.
    pub fn reopen(&self) {
        self.access.iter().for_each(AccessLog::reopen);
        self.audit.reopen();
    }

    /// Has all lines written. Nothing comes any more. Blocks the thread for a while.
    pub fn end(&self) {
        self.audit.end();
        let writers = mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        writers.into_iter().for_each(Writer::end);
    }
}

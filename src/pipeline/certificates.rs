//! Certificates of all listeners, taken again while everything runs.

use std::sync::Arc;

use super::Pipelines;
use crate::edge::listen::Door;
use crate::edge::listen::tls::{Shown, Terminator, TlsError};

impl Pipelines {
    /// Knows the doors of the admin port, so that their certificates are read again with the others.
    pub fn watch_admin(&self, doors: Vec<Arc<Door>>) {
        self.admin_doors.get_or_init(|| doors);
    }

    /// Reads the certificates of all listeners again. Where that fails the old ones stay.
    pub fn reload_certificates(&self) {
        self.take_certificates(|terminator| Some(terminator.reload()));
    }

    /// The same of those whose files have changed since they were read. To be called every few seconds, and by no task.
    pub fn look_at_certificates(&self) {
        self.take_certificates(Terminator::look);
    }

    fn take_certificates(&self, take: impl Fn(&Terminator) -> Option<Result<Shown, TlsError>>) {
        for door in self.doors.iter().chain(self.admin_doors.get().into_iter().flatten()) {
            match door.tls.as_ref().and_then(&take) {
                Some(Ok(certificate)) => {
                    tracing::info!(
                        listen = %door.at, %certificate,
                        "new connections get the certificates as they are now"
                    );
                }
                Some(Err(error)) => {
                    tracing::error!(listen = %door.at, %error, "the certificates cannot be used: the old ones stay");
                }
                None => {}
            }
        }
    }
}

//! Changing streams while the node runs: making, deleting and resharding them, and what clients note of them.
//!
//! One change at a time. Each runs to its end on the runtime of the deliveries, whether or not the client who has asked
//! for it still waits: between the catalog and the shards in memory nothing may be left half-way.

mod declared;
mod error;
mod letters;
mod live;
mod made;
mod transformed;

pub use error::ControlError;
pub use live::Change as DeliveryChange;
pub use transformed::Transformation;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use self::declared::Left;
use super::build::{Builder, pipeline_of_client};
use super::logs::{Logs, NotNoted};
use super::running::Which;
use super::site::Site;
use crate::config::MADE_NAME_PREFIX;
use crate::config::checked::Durability;
use crate::config::limits::RESHARD_STEPS_MAX;
use crate::edge::Intake;
use crate::edge::identity::jwt::Jwt;
use crate::edge::problem::Problem;
use crate::node::{CatalogError, StreamMode, StreamOrigin, StreamProperties};
use crate::runtime::clock;
use crate::stream::reshard::{self, Change, Plan, Replacement};
use crate::stream::wal::shard::DurableLog;
use crate::stream::{Layout, ReshardError, Stream};

/// A stream that a client wants.
#[derive(Debug, Clone)]
pub struct NewStream {
    /// Its name.
    pub name: String,
    /// How many shards it begins with.
    pub shards: u32,
    /// How long it keeps its records.
    pub retention: Duration,
    /// How its capacity is said to be managed.
    pub mode: StreamMode,
    /// Its tags.
    pub tags: std::collections::BTreeMap<String, String>,
}

/// See the module.
#[derive(Debug)]
pub struct Control {
    site: Arc<Site>,
    runtime: Handle,
    /// The account of the ingest share for the streams that clients make.
    account: usize,
    changing: Arc<tokio::sync::Mutex<()>>,
    /// What was noted of streams in memory.
    noted: Mutex<HashMap<String, StreamProperties>>,
    /// Streams whose pipeline files are gone, by name, as they were. No more than the node keeps records of.
    left: Mutex<HashMap<String, Left>>,
}

impl Control {
    /// Changes what runs on `site`.
    pub(super) fn new(site: Arc<Site>, runtime: Handle, account: usize) -> Self {
        Self {
            site,
            runtime,
            account,
            changing: Arc::default(),
            noted: Mutex::default(),
            left: Mutex::default(),
        }
    }

    /// Keeps the keys of issuers that nobody keeps yet.
    pub(super) fn keep_keys(&self, jwt: &Jwt) {
        self.site.keep_keys(jwt, &self.runtime);
    }

    /// Runs a change to its end, one at a time.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl Future<Output = Result<T, ControlError>> + Send + 'static,
    ) -> Result<T, ControlError> {
        let control = Arc::clone(self);
        let task = self.runtime.spawn(async move {
            let _alone = control.changing.lock().await;
            change.await
        });
        // Only a panic or the end of the runtime ends it without a result.
        task.await.unwrap_or(Err(ControlError::Stopped))
    }

    /// The same for one that writes to the disk and waits for nothing else.
    async fn change_blocking<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&Self) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let control = Arc::clone(self);
        self.change(async move {
            let task = tokio::task::spawn_blocking(move || change(&control));
            task.await.unwrap_or(Err(ControlError::Stopped))
        })
        .await
    }

    fn intake(&self, stream: &str) -> Result<Arc<Intake>, ControlError> {
        let missing = |problem| match problem {
            Problem::Starting | Problem::Draining => ControlError::Stopped,
            _ => ControlError::NoStream { stream: stream.to_owned() },
        };
        self.site.edge.any_intake(stream).map_err(missing)
    }

    /// Makes a durable stream.
    ///
    /// # Errors
    /// If there is one of its name, or it cannot be written down.
    pub async fn create(self: &Arc<Self>, new: NewStream) -> Result<(), ControlError> {
        self.change_blocking(move |control| control.create_now(new)).await
    }

    fn create_now(&self, new: NewStream) -> Result<(), ControlError> {
        let NewStream { name, shards, retention, mode, tags } = new;
        if self.intake(&name).is_ok() {
            return Err(ControlError::Exists { stream: name });
        }
        if name.starts_with(MADE_NAME_PREFIX) {
            return Err(ControlError::Reserved { stream: name });
        }
        // First of all: what is in the catalog must be possible to serve after a restart, too.
        let pipeline = pipeline_of_client(&self.site.node, &name, shards, (retention, Durability::Fsync))?;
        let mut logs = self.site.logs();
        let is_first = logs.is_none();
        let logs = Logs::for_clients(&mut logs, &self.site.node, &self.site.registry)?;
        if is_first {
            self.site.keep_token_key(Some(&logs.folder))?;
        }
        logs.change_catalog(|catalog| {
            catalog.create(&pipeline.stream, clock::wall())?;
            let stream = catalog.stream_mut(&name)?;
            (stream.properties.mode, stream.properties.tags) = (mode, tags);
            Ok(())
        })?;
        // Of an earlier stream of that name.
        logs.folder.forget_ledgers(&name)?;
        let mut builder = Builder::later(&self.site, Some(logs));
        let intake = builder.build(self.account, pipeline)?;
        self.site.edge.add(intake);
        tracing::info!(stream = name, shards, "a client has made a stream");
        Ok(())
    }

    /// Deletes a stream that a client has made, with all of its records, and with its consumers if `with_consumers`. To be
    /// called alone, in [`Control::alone`]: who else needs it is to be looked at there as well. Blocks the thread.
    ///
    /// # Errors
    /// If there is none, a pipeline file names it, it has consumers that are not to go, or it cannot be written down.
    pub fn delete(&self, name: &str, with_consumers: bool) -> Result<(), ControlError> {
        let (intake, properties) = (self.intake(name)?, self.properties(name)?);
        if properties.origin != StreamOrigin::Client {
            return Err(ControlError::Declared { stream: name.to_owned(), what: "the existence" });
        }
        // One that is being registered just now is there by now, or finds no stream.
        if !with_consumers && !properties.consumers.is_empty() {
            return Err(ControlError::HasConsumers { stream: name.to_owned() });
        }
        self.end_now(name, &intake)
    }

    /// Stops the deliveries of a stream, and takes it away with all that they have noted.
    fn end_now(&self, name: &str, intake: &Intake) -> Result<(), ControlError> {
        let all = Which::all_of(name);
        self.runtime.block_on(self.site.stop_for_good(&all))?;
        self.runtime.block_on(self.site.leave_fan_outs(name))?;
        let mut logs = self.site.logs();
        if let Some(logs) = logs.as_mut() {
            logs.change_catalog(|catalog| {
                catalog.remove(name);
                Ok(())
            })?;
        }
        self.site.edge.remove(name);
        self.site.forget_deliveries(&all);
        if let Some(logs) = logs.as_mut() {
            logs.leave(&intake.stream);
            intake.stream.delete();
            intake.cursors.delete_all();
            logs.folder.forget_ledgers(name)?;
        }
        tracing::info!(stream = name, "a client has deleted a stream");
        Ok(())
    }

    /// Splits and merges shards of a stream, all at once.
    ///
    /// # Errors
    /// If it cannot be done so, or be written down: the shards are then what they were.
    pub async fn reshard(self: &Arc<Self>, name: &str, changes: Vec<Change>) -> Result<(), ControlError> {
        let (control, stream) = (Arc::clone(self), Arc::clone(&self.intake(name)?.stream));
        self.change(async move { control.reshard_now(&stream, |layout| Plan::new(layout, &changes)).await })
            .await
    }

    /// Gives a stream `count` shards of even ranges, in several steps where it needs them.
    ///
    /// # Errors
    /// As [`Control::reshard`]; steps that were made stay.
    pub async fn resize(self: &Arc<Self>, name: &str, count: u32) -> Result<(), ControlError> {
        let (control, stream) = (Arc::clone(self), Arc::clone(&self.intake(name)?.stream));
        self.change(async move { control.resize_now(&stream, count).await }).await
    }

    async fn resize_now(&self, stream: &Arc<Stream>, count: u32) -> Result<(), ControlError> {
        for _ in 0..RESHARD_STEPS_MAX {
            let changes = reshard::towards(&stream.layout(), count);
            if changes.is_empty() {
                break;
            }
            self.reshard_now(stream, |layout| Plan::new(layout, &changes)).await?;
        }
        Ok(())
    }

    async fn reshard_now(
        &self,
        stream: &Arc<Stream>,
        plan: impl FnOnce(&Layout) -> Result<Plan, ReshardError>,
    ) -> Result<(), ControlError> {
        let resharding = stream.reshard(plan).await?;
        let replacement = resharding.replacement(clock::wall());
        let (site, of) = (Arc::clone(&self.site), Arc::clone(stream));
        let saving = tokio::task::spawn_blocking(move || {
            let logs = site.note_reshard(&of, &replacement);
            (logs, replacement)
        });
        let Ok((logs, replacement)) = saving.await else {
            resharding.stay_shut("writing the catalog of the node has panicked: restart");
            return Err(ControlError::Stopped);
        };
        match logs {
            Ok(logs) => {
                crate::crash_point!("reshard.noted");
                resharding.install(&replacement, logs);
                let (closed, opened) = (replacement.closed.len(), replacement.children.len());
                tracing::info!(stream = %stream.name(), closed, opened, "the shards of a stream have changed");
                Ok(())
            }
            Err(NotNoted { error, is_undone }) => {
                if !is_undone {
                    // The catalog on the disk may have the new shards, and records that came now would lie behind
                    // the end of the old ones.
                    resharding
                        .stay_shut(&format!("the catalog of the node cannot be written ({error}): restart"));
                }
                Err((*error).into())
            }
        }
    }

    /// Brings streams to the number of shards that their pipeline files ask for, where that is another one than before.
    pub(super) async fn resize_declared(&self, intakes: &[Intake], wanted: Vec<(String, u32)>) {
        for (name, count) in wanted {
            let Some(intake) = intakes.iter().find(|intake| **intake.stream.name() == *name) else {
                continue;
            };
            let resized = match self.resize_now(&intake.stream, count).await {
                Ok(()) => self.note(&name, |catalog| {
                    catalog.stream_mut(&name)?.declared_shards = count;
                    Ok(())
                }),
                Err(error) => Err(error),
            };
            if let Err(error) = resized {
                tracing::warn!(stream = name, shards = count, %error, "the stream keeps the shards that it has for now");
            }
        }
    }

    fn note(
        &self,
        stream: &str,
        change: impl FnOnce(&mut crate::node::Catalog) -> Result<(), CatalogError>,
    ) -> Result<(), ControlError> {
        match self.site.logs().as_mut() {
            Some(logs) => Ok(logs.change_catalog(change)?),
            None => Err(ControlError::NoStream { stream: stream.to_owned() }),
        }
    }

    /// Keeps the records of a stream that a client has made for `age` from now on.
    ///
    /// # Errors
    /// If there is none, a pipeline file tells its retention, or it cannot be written down.
    pub async fn keep_for(self: &Arc<Self>, name: &str, age: Duration) -> Result<(), ControlError> {
        let name = name.to_owned();
        self.change_blocking(move |control| {
            let stream = Arc::clone(&control.intake(&name)?.stream);
            if control.properties(&name)?.origin != StreamOrigin::Client {
                return Err(ControlError::Declared { stream: name, what: "the retention" });
            }
            control.note(&name, |catalog| {
                catalog.stream_mut(&name)?.retention = age;
                Ok(())
            })?;
            stream.keep_for(age);
            Ok(())
        })
        .await
    }

    /// What is known of a stream beside its records.
    ///
    /// # Errors
    /// If there is no such stream.
    pub fn properties(&self, name: &str) -> Result<StreamProperties, ControlError> {
        let intake = self.intake(name)?;
        if intake.stream.is_on_disk() {
            let logs = self.site.logs();
            let stream = logs.as_ref().and_then(|logs| logs.catalog.stream(name));
            let missing = || ControlError::NoStream { stream: name.to_owned() };
            return stream.map(|stream| stream.properties.clone()).ok_or_else(missing);
        }
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let created = intake.stream.layout().shards().first().map_or(0, |shard| shard.facts.created);
        Ok(noted.get(name).cloned().unwrap_or_else(|| StreamProperties { created, ..Default::default() }))
    }

    /// Changes what is known of a stream, durably where the stream is.
    ///
    /// # Errors
    /// What `change` says, which then has changed nothing; or if it cannot be written down.
    pub async fn update<T, E>(
        self: &Arc<Self>,
        name: &str,
        change: impl FnOnce(&mut StreamProperties) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, ControlError>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let name = name.to_owned();
        self.change_blocking(move |control| {
            let mut properties = control.properties(&name)?;
            let before = properties.clone();
            let result = change(&mut properties);
            if result.is_err() || properties == before {
                return Ok(result);
            }
            let stream = Arc::clone(&control.intake(&name)?.stream);
            let is_encrypted = properties.encryption_key.is_some();
            if stream.is_on_disk() {
                control.note(&name, |catalog| {
                    catalog.stream_mut(&name)?.properties = properties;
                    Ok(())
                })?;
            } else {
                let mut noted = control.noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.insert(name, properties);
            }
            stream.label_encrypted(is_encrypted);
            Ok(result)
        })
        .await
    }
}

impl Site {
    /// Writes a reshard down. Returns the logs of the new shards of a durable stream.
    fn note_reshard(
        &self,
        stream: &Stream,
        replacement: &Replacement,
    ) -> Result<Vec<Arc<DurableLog>>, NotNoted> {
        let mut logs = self.logs();
        match logs.as_mut().filter(|_| stream.is_on_disk()) {
            None => Ok(Vec::new()),
            Some(logs) => logs.reshard(stream, replacement),
        }
    }
}

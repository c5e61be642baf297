//! The journals of a node, one a durability class, and what they hold together.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::JournalClass;
use super::frame::ShardNumber;
use super::journal::{Journal, JournalError, Options, Patience, Resume};
use super::recovery::{self, KeptReply, Recovered, RecoveryError, Source};
use super::shard::Part;
use crate::config::checked::LogWriter;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::runtime::progress::Progress;
use crate::telemetry::metrics::LogMetrics;

/// What journals are opened with.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Where the folder is.
    pub disk: Arc<dyn Disk>,
    /// `log` in the data folder.
    pub folder: PathBuf,
    /// The node's id.
    pub node: [u8; 8],
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// How segments are written.
    pub writer: LogWriter,
    /// Whether to go on behind damage.
    pub accept_damage: bool,
    /// Replies that arrived earlier are not looked for.
    pub replies_since: UnixMicros,
}

/// Why the journals cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder cannot be made or read.
    #[error("cannot use the log in {folder}: {source}", folder = folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is there cannot be recovered.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// Nothing can be added to it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A segment is not there any more.
    #[error(
        "segments {first:016x} to {last:016x} are missing in {folder}, and acknowledged records with them: restore them \
         from a copy, or start with --accept-damage to go on without them",
        folder = folder.display()
    )]
    Missing {
        /// The journal's folder.
        folder: PathBuf,
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
}

/// What the journals hold.
#[derive(Debug, Default)]
pub struct Content {
    /// Where the records of each shard are, oldest first.
    pub parts: HashMap<ShardNumber, Vec<Part>>,
    /// By number of the stream, oldest first.
    pub replies: HashMap<u32, Vec<KeptReply>>,
    /// Bytes that were verified.
    pub verified_bytes: u64,
    /// Bytes that are lost, if that was accepted.
    pub damaged_bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Journals {
    by_class: BTreeMap<JournalClass, Arc<Journal>>,
}

impl Journals {
    /// Recovers the journals that are there and starts them, and those of the classes `needed`.
    pub fn open(
        setting: &Setting,
        needed: &[JournalClass],
        metrics: &dyn Fn(JournalClass) -> LogMetrics,
        progress: &Progress,
    ) -> Result<(Self, Content), OpenError> {
        Self::open_some(setting, needed, metrics, progress, &|_| true)
    }

    fn open_some(
        setting: &Setting,
        needed: &[JournalClass],
        metrics: &dyn Fn(JournalClass) -> LogMetrics,
        progress: &Progress,
        wanted: &dyn Fn(JournalClass) -> bool,
    ) -> Result<(Self, Content), OpenError> {
        let mut content = Content::default();
        let mut by_class = BTreeMap::new();
        let classes = || [JournalClass::Fsync, JournalClass::Os].into_iter().filter(|class| wanted(*class));
        for class in classes() {
            let folder = setting.folder.join(class.as_str());
            // A folder that cannot be read is met again below.
            progress.add_total(recovery::bytes_to_verify(&*setting.disk, &folder).unwrap_or_default());
        }
        for class in classes() {
            let folder = setting.folder.join(class.as_str());
            if !needed.contains(&class) && setting.disk.list(&folder).is_err() {
                continue;
            }
            let unusable = |source| OpenError::Folder { folder: folder.clone(), source };
            setting.disk.create_folder(&folder).map_err(unusable)?;
            let resume = content.recover(setting, class, progress)?;
            let options = Options {
                disk: Arc::clone(&setting.disk),
                folder,
                class,
                segment_bytes: setting.segment_bytes,
                writer: setting.writer,
                node: setting.node,
                metrics: metrics(class),
                patience: Patience::default(),
            };
            by_class.insert(class, Arc::new(Journal::start(options, resume)?));
        }
        Ok((Self { by_class }, content))
    }

    /// The journal of a class, which is begun if there is none yet.
    pub fn ensure(
        &mut self,
        setting: &Setting,
        class: JournalClass,
        metrics: &dyn Fn(JournalClass) -> LogMetrics,
    ) -> Result<(), OpenError> {
        if self.by_class.contains_key(&class) {
            return Ok(());
        }
        let progress = Progress::default();
        let only = |of: JournalClass| of == class;
        let (opened, _) = Self::open_some(setting, &[class], metrics, &progress, &only)?;
        self.by_class.extend(opened.by_class);
        Ok(())
    }

    /// The journal of a class.
    pub fn get(&self, class: JournalClass) -> Option<&Arc<Journal>> {
        self.by_class.get(&class)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (JournalClass, &Arc<Journal>)> {
        self.by_class.iter().map(|(class, journal)| (*class, journal))
    }

    /// Ends them in order.
    pub fn stop(&self) {
        for journal in self.by_class.values() {
            journal.stop();
        }
    }
}

impl Content {
    /// What the journals that are there hold, for whoever writes nothing to them. The disk must take what recovery
    /// writes; it may forget it.
    pub fn read(setting: &Setting, progress: &Progress) -> Result<Self, OpenError> {
        let mut content = Self::default();
        for class in [JournalClass::Fsync, JournalClass::Os] {
            if setting.disk.list(&setting.folder.join(class.as_str())).is_ok() {
                content.recover(setting, class, progress)?;
            }
        }
        Ok(content)
    }

    /// Recovers a journal, adds what it holds, and tells where it goes on.
    fn recover(
        &mut self,
        setting: &Setting,
        class: JournalClass,
        progress: &Progress,
    ) -> Result<Resume, OpenError> {
        let folder = setting.folder.join(class.as_str());
        let source = Source {
            disk: &setting.disk,
            folder: &folder,
            class,
            node: setting.node,
            accept_damage: setting.accept_damage,
            replies_since: setting.replies_since,
        };
        let recovered = recovery::recover(source, progress)?;
        self.verified_bytes += recovered.scanned_bytes;
        self.damaged_bytes += recovered.damaged_bytes;
        if setting.accept_damage {
            let unusable = |source| OpenError::Folder { folder: folder.clone(), source };
            recovery::accept_missing(&*setting.disk, &folder, &recovered.missing).map_err(unusable)?;
        } else {
            check_complete(&folder, &recovered)?;
        }
        self.add(recovered.parts, recovered.replies);
        Ok(recovered.resume)
    }

    /// Adds what a journal holds. A stream whose durability was changed has records in both.
    fn add(&mut self, parts: HashMap<ShardNumber, Vec<Part>>, replies: Vec<KeptReply>) {
        for (shard, parts) in parts {
            let all = self.parts.entry(shard).or_default();
            all.extend(parts);
            all.sort_by_key(|part| part.first);
        }
        for reply in replies {
            self.replies.entry(reply.stream).or_default().push(reply);
        }
    }
}

/// Segments are numbered without gaps and go away oldest first: one that is not there was taken away by somebody, and
/// perhaps the last records of a shard with it.
pub(super) fn check_complete(folder: &Path, recovered: &Recovered) -> Result<(), OpenError> {
    match recovered.missing.first() {
        Some(&(first, last)) => Err(OpenError::Missing { folder: folder.to_owned(), first, last }),
        None => Ok(()),
    }
}

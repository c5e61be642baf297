//! The objects of one ledger, as the store has them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::time::Instant;

use crate::config::limits::{LEDGER_STORE_BYTES_PER_SECOND, LEDGER_STORE_PATIENCE, LEDGER_STORE_TRY};
use crate::delivery::ledger::LedgerError;
use crate::delivery::sink::{SinkError, SinkErrorClass};
use crate::record::ShardId;
use crate::runtime::backoff::Backoff;

/// Ending of an object's name.
const ENDING: &str = ".ledger";

/// A folder of a store that has one ledger.
#[derive(Debug, Clone)]
pub struct SharedPlace {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

/// What a create has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// The object is there, made by this call.
    Now,
    /// The object was there already, with the same bytes.
    Before,
    /// Something else has the number.
    Taken(Bytes),
}

/// An object in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub number: u64,
    pub bytes: u64,
}

/// How long something may take, tries and all.
struct Patience {
    until: Instant,
    backoff: Backoff,
}

impl Patience {
    fn for_bytes(bytes: usize) -> Self {
        Self { until: Instant::now() + LEDGER_STORE_PATIENCE + time_of(bytes), backoff: Backoff::default() }
    }

    /// Waits until it is time to try again; an error if that is never.
    async fn after(&mut self, error: LedgerError) -> Result<(), LedgerError> {
        let pause = self.backoff.next_pause();
        if error.needs_a_person() || Instant::now() + pause >= self.until {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// What so many bytes may take on their way.
fn time_of(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / LEDGER_STORE_BYTES_PER_SECOND)
}

impl SharedPlace {
    /// The folder `folder` of `store`, which no other ledger uses.
    pub fn new(store: Arc<dyn ObjectStore>, folder: Path) -> Self {
        Self { store, folder }
    }

    /// The ledger of a shard of a delivery, below the folder `root` of `store`, which many ledgers share:
    /// `{root}{stream}/{delivery}/{shard}/`. See [`open_store`](crate::delivery::sink::open_store).
    pub fn of(
        store: &Arc<dyn ObjectStore>,
        root: &Path,
        (stream, delivery, shard): (&str, &str, ShardId),
    ) -> Self {
        let shard = shard.to_string();
        let folder = root.clone().join(stream).join(delivery).join(shard);
        Self::new(Arc::clone(store), folder)
    }

    /// Where it is within the store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The key of an object.
    pub(super) fn key(&self, number: u64) -> Path {
        self.folder.clone().join(format!("{number:020}{ENDING}"))
    }

    /// Its objects, or those with a number above `after`, in order.
    pub(super) async fn list(&self, after: Option<u64>) -> Result<Vec<Listed>, LedgerError> {
        let mut patience = Patience::for_bytes(0);
        loop {
            let listing = async {
                let found = match after {
                    Some(number) => self.store.list_with_offset(Some(&self.folder), &self.key(number)),
                    None => self.store.list(Some(&self.folder)),
                };
                found.map_ok(|meta| (meta.location, meta.size)).try_collect::<Vec<_>>().await
            };
            match in_time(LEDGER_STORE_PATIENCE, listing).await {
                Ok(found) => {
                    let listed = found.iter().filter_map(|(path, bytes)| self.listed(path, *bytes));
                    let mut listed: Vec<Listed> =
                        listed.filter(|listed| after.is_none_or(|after| listed.number > after)).collect();
                    listed.sort_unstable();
                    return Ok(listed);
                }
                Err(error) => patience.after(self.failed("list", &self.folder, error)).await?,
            }
        }
    }

    /// Whether an object is one of the ledger, and which.
    fn listed(&self, path: &Path, bytes: u64) -> Option<Listed> {
        let name = path.as_ref().strip_prefix(self.folder.as_ref())?.strip_prefix('/')?;
        let digits = name.strip_suffix(ENDING).filter(|digits| digits.len() == 20)?;
        let number = digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())??;
        Some(Listed { number, bytes })
    }

    /// The content of an object; `None` if there is none.
    pub(super) async fn get(&self, number: u64) -> Result<Option<Bytes>, LedgerError> {
        let mut patience = Patience::for_bytes(0);
        loop {
            match self.try_get(number).await {
                Err(error) => patience.after(error).await?,
                found => return found,
            }
        }
    }

    async fn try_get(&self, number: u64) -> Result<Option<Bytes>, LedgerError> {
        let key = self.key(number);
        // What it has nobody knows before; the store's own time-out bounds it.
        let getting = async { self.store.get(&key).await?.bytes().await };
        match in_time(LEDGER_STORE_PATIENCE, getting).await {
            Ok(content) => Ok(Some(content)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", &key, error)),
        }
    }

    /// Makes an object unless there is one. Tried until the outcome is known; after an error it is not, and may become
    /// one or the other later on.
    pub(super) async fn create(&self, number: u64, content: &Bytes) -> Result<Created, LedgerError> {
        let mut patience = Patience::for_bytes(content.len());
        loop {
            match self.try_create(number, content).await {
                Ok(created) => return Ok(created),
                Err(error) => patience.after(error).await?,
            }
        }
    }

    async fn try_create(&self, number: u64, content: &Bytes) -> Result<Created, LedgerError> {
        let key = self.key(number);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let putting = self.store.put_opts(&key, PutPayload::from_bytes(content.clone()), options);
        match in_time(LEDGER_STORE_TRY + time_of(content.len()), putting).await {
            Ok(_) => Ok(Created::Now),
            // Also the answer to one of two that come at the same moment, of which the other may fail.
            Err(error @ Error::AlreadyExists { .. }) => match self.try_get(number).await? {
                Some(found) if found == *content => Ok(Created::Before),
                Some(found) => Ok(Created::Taken(found)),
                None => Err(self.failed("write", &key, error)),
            },
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                Err(LedgerError::NoConditions { key: key.to_string() })
            }
            Err(error) => Err(self.failed("write", &key, error)),
        }
    }

    /// Removes an object. One that is not there is no error.
    pub(super) async fn remove(&self, number: u64) -> Result<(), LedgerError> {
        let key = self.key(number);
        match in_time(LEDGER_STORE_TRY, self.store.delete(&key)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", &key, error)),
        }
    }

    fn failed(&self, action: &'static str, key: &Path, source: Error) -> LedgerError {
        LedgerError::Store { action, key: key.to_string(), source: Arc::new(SinkError::from(source)) }
    }
}

/// A call that is given up after some time.
async fn in_time<T>(time: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(time, call).await {
        Ok(result) => result,
        Err(_) => {
            let source = format!("no answer within {} s", time.as_secs()).into();
            Err(Error::Generic { store: "ledger", source })
        }
    }
}

impl LedgerError {
    /// Whether trying again soon is pointless.
    fn needs_a_person(&self) -> bool {
        match self {
            LedgerError::Store { source, .. } => source.class != SinkErrorClass::Transient,
            _ => true,
        }
    }
}

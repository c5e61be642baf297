//! The folders of the store that have the sheets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, future};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use thiserror::Error as ThisError;

use super::sheet::{FORMAT, Sheet};
use crate::config::limits::{CURSOR_SHEETS_KEPT, CURSOR_STORE_TRY};
use crate::edge::problem::Problem;

/// Ending of an object's name.
const ENDING: &str = ".cursor";

/// How often the newest is looked for, where it is removed before it can be read: [`CURSOR_SHEETS_KEPT`] are written in
/// between each time.
const TRIES_MAX: usize = 16;

/// Why the store does not tell, or takes nothing.
#[derive(Debug, ThisError)]
pub(in crate::tap::named) enum SheetError {
    /// It says why.
    #[error("cannot {action} {key}: {source}")]
    Store {
        /// What was to be done.
        action: &'static str,
        /// The object, or the folder.
        key: String,
        /// What it said.
        source: Error,
    },
    /// It does not answer.
    #[error("cannot {action} {key}: no answer within {} s", CURSOR_STORE_TRY.as_secs())]
    Silent {
        /// What was to be done.
        action: &'static str,
        /// The object, or the folder.
        key: String,
    },
    /// What is there was not written by this program, or by a newer one.
    #[error(
        "{key} is not what it should be ({why}): put back what was there, or remove the folder to begin anew"
    )]
    Damaged {
        /// The object.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Others were faster each time.
    #[error("{key} is written by others all the time: try again")]
    Busy {
        /// The folder.
        key: String,
    },
}

impl From<SheetError> for Problem {
    fn from(error: SheetError) -> Self {
        Problem::CursorNotKept(error.to_string())
    }
}

/// What a create has come to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tap::named) enum Created {
    /// The object is there, and is the newest.
    Now,
    /// There are others: this one may be among them, or not.
    Others,
}

/// The folder with all cursors of a stream.
#[derive(Debug, Clone)]
pub struct Shelves {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

impl Shelves {
    /// That of a stream whose log is `topic`, below the folder `root` of `store`.
    pub fn of(store: &Arc<dyn ObjectStore>, root: &Path, (stream, topic): (&str, &str)) -> Self {
        let folder = root.clone().join("cursors").join(stream).join(topic);
        Self { store: Arc::clone(store), folder }
    }

    /// The folder of a cursor.
    pub(in crate::tap::named) fn shelf(&self, cursor: &str) -> Shelf {
        Shelf { store: Arc::clone(&self.store), folder: self.folder.clone().join(cursor) }
    }

    /// Every cursor that there is or was, and the number of its newest sheet.
    pub(in crate::tap::named) async fn all(&self) -> Result<Vec<(Shelf, u64)>, SheetError> {
        let listing = self.store.list(Some(&self.folder)).try_collect::<Vec<_>>();
        let found = in_time("list", &self.folder, listing).await?;
        let mut newest: BTreeMap<Path, u64> = BTreeMap::new();
        for meta in found {
            let Some((folder, number)) = parse(&meta) else { continue };
            let known = newest.entry(folder).or_default();
            *known = number.max(*known);
        }
        let shelf = |(folder, number)| (Shelf { store: Arc::clone(&self.store), folder }, number);
        Ok(newest.into_iter().map(shelf).collect())
    }
}

/// The folder and the number of an object.
fn parse(meta: &ObjectMeta) -> Option<(Path, u64)> {
    let (folder, name) = meta.location.as_ref().rsplit_once('/')?;
    let digits = name.strip_suffix(ENDING).filter(|digits| digits.len() == 20)?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    Some((Path::parse(folder).ok()?, is_number.then(|| digits.parse().ok())??))
}

/// The folder of one cursor.
#[derive(Debug, Clone)]
pub(in crate::tap::named) struct Shelf {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

impl PartialEq for Shelf {
    /// Within one store.
    fn eq(&self, other: &Self) -> bool {
        self.folder == other.folder
    }
}

impl Shelf {
    fn key(&self, number: u64) -> Path {
        self.folder.clone().join(format!("{number:020}{ENDING}"))
    }

    /// Its objects with numbers above `after`.
    async fn numbers(&self, after: Option<u64>) -> Result<Vec<u64>, SheetError> {
        let found = match after {
            Some(number) => self.store.list_with_offset(Some(&self.folder), &self.key(number)),
            None => self.store.list(Some(&self.folder)),
        };
        let found = in_time("list", &self.folder, found.try_collect::<Vec<_>>()).await?;
        let mine = found.iter().filter_map(parse).filter(|(folder, _)| *folder == self.folder);
        let mut numbers: Vec<_> = mine.map(|(_, number)| number).collect();
        numbers.retain(|number| after.is_none_or(|after| *number > after));
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The newest with a number above `after`, if there is one.
    pub async fn newest(&self, after: Option<u64>) -> Result<Option<Sheet>, SheetError> {
        for _ in 0..TRIES_MAX {
            let Some(number) = self.numbers(after).await?.pop() else { return Ok(None) };
            if let Some(sheet) = self.get(number).await? {
                return Ok(Some(sheet));
            }
        }
        Err(SheetError::Busy { key: self.folder.to_string() })
    }

    async fn get(&self, number: u64) -> Result<Option<Sheet>, SheetError> {
        let key = self.key(number);
        let Some(content) = self.bytes(&key).await? else { return Ok(None) };
        let damaged = |why: String| SheetError::Damaged { key: key.to_string(), why };
        let sheet: Sheet = serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
        match (sheet.format, sheet.number) {
            (FORMAT, found) if found == number => Ok(Some(sheet)),
            (FORMAT, found) => Err(damaged(format!("it says that it is number {found}"))),
            (found, _) => Err(damaged(format!("it has format {found}, and this version reads {FORMAT}"))),
        }
    }

    async fn bytes(&self, key: &Path) -> Result<Option<Bytes>, SheetError> {
        let getting = async {
            match self.store.get(key).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        in_time("read", key, getting).await
    }

    /// Makes an object unless there is one of its number. After an error it may be there, or come to be.
    pub async fn create(&self, sheet: &Sheet) -> Result<Created, SheetError> {
        let key = self.key(sheet.number);
        let text = serde_json::to_vec(sheet);
        let text =
            text.map_err(|error| SheetError::Damaged { key: key.to_string(), why: error.to_string() })?;
        let text = Bytes::from(text);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let putting = async {
            match self.store.put_opts(&key, PutPayload::from_bytes(text.clone()), options).await {
                Ok(_) => Ok(true),
                Err(Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let is_made = in_time("write", &key, putting).await?;
        // The client may have tried twice, and the first answer was lost.
        let is_there = is_made || self.bytes(&key).await?.is_some_and(|found| found == text);
        // One that was there before, and is removed, could be made again.
        let is_newest = is_there && self.numbers(Some(sheet.number)).await?.is_empty();
        Ok(if is_newest { Created::Now } else { Created::Others })
    }

    /// Removes what is older than the last few up to `newest`.
    pub async fn tidy(&self, newest: u64) -> Result<(), SheetError> {
        let Some(last) = newest.checked_sub(CURSOR_SHEETS_KEPT) else { return Ok(()) };
        let old = self.numbers(None).await?.into_iter().filter(|number| *number <= last);
        // All at a time, as nobody waits for them to go in order.
        future::try_join_all(old.map(|number| self.remove(number))).await?;
        Ok(())
    }

    async fn remove(&self, number: u64) -> Result<(), SheetError> {
        let key = self.key(number);
        let removing = async {
            match self.store.delete(&key).await {
                Err(Error::NotFound { .. }) => Ok(()),
                removed => removed,
            }
        };
        in_time("remove", &key, removing).await
    }
}

async fn in_time<T>(
    action: &'static str,
    key: &Path,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, SheetError> {
    let time: Duration = CURSOR_STORE_TRY;
    match tokio::time::timeout(time, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(SheetError::Store { action, key: key.to_string(), source }),
        Err(_) => Err(SheetError::Silent { action, key: key.to_string() }),
    }
}

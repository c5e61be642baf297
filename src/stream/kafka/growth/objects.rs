//! The objects of [`switch`](super::switch) in a store that all nodes reach.
//!
//! `{folder}{number:010}.beginning` and `{folder}{number:010}.generation`, JSON, each created once on condition that it is
//! not there. Neither is ever changed or removed: the ends of [`CLOSED_SHARDS_MAX`] closed shards have 21 bytes each at
//! most, 344 KB together.
//!
//! A store must show an object to whoever reads after it was created, and refuse a second create, as S3, Google's, Azure's
//! and file systems do.
//!
//! [`CLOSED_SHARDS_MAX`]: crate::config::limits::CLOSED_SHARDS_MAX

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::generations::Generation;
use super::switch::{Answer, Beginning, Question};

/// How long one request may take. Three fit into a lease, of which one is enough.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the store does not tell, or takes nothing.
#[derive(Debug, Error)]
pub enum ObjectsError {
    /// It says why, or does not answer.
    #[error("cannot {action} {key}: {source}")]
    Store {
        /// What was to be done.
        action: &'static str,
        /// The object.
        key: String,
        /// What it said.
        source: Error,
    },
    /// It does not answer.
    #[error("cannot {action} {key}: no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Silent {
        /// What was to be done.
        action: &'static str,
        /// The object.
        key: String,
    },
    /// What is there was not written by this program, or by a newer one.
    #[error("{key} is not what it should be: {why}. Put back what was there before")]
    Damaged {
        /// The object.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

impl Objects {
    /// Those of a stream, in a folder that nothing else uses.
    pub fn new(store: Arc<dyn ObjectStore>, folder: Path) -> Self {
        Self { store, folder }
    }

    /// The same objects in memory, as they are now: what is added to the copy is in it alone.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn copy(&self) -> Result<Self, ObjectsError> {
        let copy = InMemory::new();
        let failed =
            |key: &Path, source| ObjectsError::Store { action: "copy", key: key.to_string(), source };
        let listed = self.store.list_with_delimiter(Some(&self.folder)).await;
        for object in listed.map_err(|source| failed(&self.folder, source))?.objects {
            let key = object.location;
            let found = self.get(&key).await?;
            let put = copy.put(&key, PutPayload::from(found.unwrap_or_default()));
            put.await.map_err(|source| failed(&key, source))?;
        }
        Ok(Self { store: Arc::new(copy), folder: self.folder.clone() })
    }

    fn key(&self, question: Question) -> Path {
        let name = match question {
            Question::Beginning(number) => format!("{number:010}.beginning"),
            Question::Generation(number) => format!("{number:010}.generation"),
        };
        self.folder.clone().join(name)
    }

    /// Whether it is there, and what it is. What this says was so after it was called.
    ///
    /// # Errors
    /// If that is not known.
    pub async fn ask(&self, question: Question) -> Result<Answer, ObjectsError> {
        let key = self.key(question);
        let found = self.get(&key).await?;
        Ok(match question {
            Question::Beginning(number) => {
                Answer::Beginning(decode(&key, found, number, |beginning: &Beginning| beginning.number)?)
            }
            Question::Generation(number) => {
                Answer::Generation(decode(&key, found, number, |generation: &Generation| generation.number)?)
            }
        })
    }

    /// Creates it, unless there is one with its number.
    ///
    /// # Errors
    /// If it is not known whether there is one now.
    pub async fn begin(&self, beginning: &Beginning) -> Result<(), ObjectsError> {
        self.create(Question::Beginning(beginning.number), serde_json::to_vec(beginning)).await
    }

    /// The same for a generation.
    ///
    /// # Errors
    /// See there.
    pub async fn add(&self, generation: &Generation) -> Result<(), ObjectsError> {
        self.create(Question::Generation(generation.number), serde_json::to_vec(generation)).await
    }

    async fn get(&self, key: &Path) -> Result<Option<bytes::Bytes>, ObjectsError> {
        let getting = async { self.store.get(key).await?.bytes().await };
        match in_time("read", key, getting).await? {
            Ok(content) => Ok(Some(content)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(ObjectsError::Store { action: "read", key: key.to_string(), source }),
        }
    }

    async fn create(
        &self,
        question: Question,
        content: Result<Vec<u8>, serde_json::Error>,
    ) -> Result<(), ObjectsError> {
        let key = self.key(question);
        let damaged =
            |error: serde_json::Error| ObjectsError::Damaged { key: key.to_string(), why: error.to_string() };
        let content = PutPayload::from(content.map_err(damaged)?);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match in_time("create", &key, self.store.put_opts(&key, content, options)).await? {
            Ok(_) | Err(Error::AlreadyExists { .. }) => Ok(()),
            Err(source) => Err(ObjectsError::Store { action: "create", key: key.to_string(), source }),
        }
    }
}

async fn in_time<T>(
    action: &'static str,
    key: &Path,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, Error>, ObjectsError> {
    let silent = |_| ObjectsError::Silent { action, key: key.to_string() };
    tokio::time::timeout(REQUEST_TIMEOUT, call).await.map_err(silent)
}

fn decode<T: DeserializeOwned>(
    key: &Path,
    found: Option<bytes::Bytes>,
    number: u32,
    number_of: impl Fn(&T) -> u32,
) -> Result<Option<T>, ObjectsError> {
    let Some(content) = found else { return Ok(None) };
    let damaged = |why: String| ObjectsError::Damaged { key: key.to_string(), why };
    let value: T = serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
    match number_of(&value) {
        found if found == number => Ok(Some(value)),
        found => Err(damaged(format!("it says that it is number {found}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    use super::super::switch::{Switch, Task, Times};
    use super::*;
    use crate::runtime::clock;

    fn objects(store: Arc<dyn ObjectStore>) -> Objects {
        Objects::new(store, Path::from("root/clicks/layout"))
    }

    /// Asks and does what comes of it until there is nothing more to do now.
    async fn settle(node: &mut Switch, objects: &Objects, now: Instant, ends: &[u64]) {
        loop {
            let answer = objects.ask(node.question()).await.unwrap();
            match node.told(now, answer, now).unwrap() {
                Task::AskOn => {}
                Task::Wait => return,
                Task::CreateFirst(first) => objects.add(&first).await.unwrap(),
                Task::Begin(beginning) => objects.begin(&beginning).await.unwrap(),
                Task::End => {
                    let next = node.end(ends.to_vec(), 1_000).unwrap().unwrap();
                    objects.add(&next).await.unwrap();
                }
            }
        }
    }

    async fn two_nodes_come_to_the_same(store: Arc<dyn ObjectStore>) {
        let objects = objects(store);
        let (mut a, mut b) = (Switch::new(Times::STANDARD), Switch::new(Times::STANDARD));
        let begun = clock::monotonic();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        a.has_partitions(2);
        settle(&mut a, &objects, at(0), &[]).await;
        // The topic has grown by the time at which the other one begins.
        b.has_partitions(5);
        settle(&mut b, &objects, at(0), &[]).await;
        assert_eq!(b.generations().known(), [Generation::first(2)]);
        assert_eq!(a.may_send(at(1)), Ok(()));
        settle(&mut a, &objects, at(3), &[]).await;
        assert!(a.may_send(at(4)).is_err() && b.may_send(at(4)).is_err());
        settle(&mut b, &objects, at(16), &[7, 9]).await;
        // Too late: the other one was first.
        objects.add(&a.end(vec![8, 10], 2_000).unwrap().unwrap()).await.unwrap();
        settle(&mut a, &objects, at(20), &[8, 10]).await;
        assert_eq!(a.generations(), b.generations());
        assert_eq!(a.generations().newest().unwrap().ends, [7, 9]);
        assert_eq!((a.generations().next_id().0, b.may_send(at(17))), (7, Ok(())));
        a.has_partitions(5);
        assert_eq!(a.may_send(at(21)), Ok(()));
    }

    #[tokio::test]
    async fn nodes_with_one_store_come_to_the_same_generations() {
        two_nodes_come_to_the_same(Arc::new(InMemory::new())).await;
        let folder = tempfile::tempdir().unwrap();
        two_nodes_come_to_the_same(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap())).await;
    }

    #[tokio::test]
    async fn what_was_not_written_by_a_node_is_damage() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let objects = objects(Arc::clone(&store));
        for content in ["", "{\"number\":3,\"partitions\":4}", "{\"number\":2}"] {
            let key = Path::from("root/clicks/layout/0000000002.beginning");
            store.put(&key, content.into()).await.unwrap();
            let damaged = objects.ask(Question::Beginning(2)).await.unwrap_err().to_string();
            assert!(damaged.starts_with("root/clicks/layout/0000000002.beginning is not"), "{damaged}");
        }
        assert_eq!(objects.ask(Question::Generation(2)).await.unwrap(), Answer::Generation(None));
    }
}

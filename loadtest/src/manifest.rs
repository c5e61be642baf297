//! What a run says about each record that it sent: taken, not known, or refused.
//!
//! The verifier reads it to know what has to be in the lake:
//!
//! | a record is | copies that are right |
//! | --- | --- |
//! | acked | exactly one |
//! | unknown: no final reply says what became of it | none or one |
//! | refused, or never sent | none |
//! | acked and uncertain: it was sent again without an idempotency key | one or more |
//! | uncertain alone | any |

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ranges::RangeSet;

/// The `version` that this program writes and reads.
pub const MANIFEST_VERSION: u32 = 2;

/// Ranges in the manifest of one run: 4 Mi × 16 bytes = 64 MiB while it runs, and about as much as text. A run that
/// is taken whole needs one range a producer.
pub const RANGES_MAX: usize = 4 << 20;

/// What became of the records of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The run's name, which is part of every producer's name.
    pub run: String,
    /// The stream that it posted to.
    pub stream: String,
    /// Profile, or `replay`.
    pub profile: String,
    /// Seed of the records.
    pub seed: u64,
    /// Whether requests carried an idempotency key.
    pub idempotent: bool,
    /// One for each producer.
    pub producers: Vec<Account>,
}

/// What became of the records of a producer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    pub producer: String,
    /// The server said that it has them.
    pub acked: RangeSet,
    /// They were sent and nobody said what became of them. They are there once or not at all.
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    pub unknown: RangeSet,
    /// They were sent, nobody said what became of them, and they were sent again without an idempotency key.
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    pub uncertain: RangeSet,
    /// The server said that it does not have them, by the code that it gave.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, RangeSet>,
}

impl Account {
    /// Ranges that it takes to write it down.
    pub fn fragments(&self) -> usize {
        let refused: usize = self.refused.values().map(RangeSet::fragments).sum();
        self.acked.fragments() + self.unknown.fragments() + self.uncertain.fragments() + refused
    }
}

/// The first producer, by its name, that `accounts` speak of more than once: two runs of one name, or one run twice.
pub(crate) fn known_twice<'a>(accounts: impl Iterator<Item = &'a Account>) -> Option<&'a str> {
    let mut names: Vec<_> = accounts.map(|account| account.producer.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Why a manifest cannot be read or written.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a manifest.
    #[error("{path} is no manifest of a run: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It was written by another version.
    #[error(
        "{path} has version {version}, and this program reads {MANIFEST_VERSION}: use the program that wrote it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl Manifest {
    /// Reads a file that [`Manifest::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read(path).map_err(|source| ManifestError::Io { path: path.into(), source })?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|source| ManifestError::Format { path: path.into(), source })?;
        if manifest.version != MANIFEST_VERSION {
            return Err(ManifestError::Version { path: path.into(), version: manifest.version });
        }
        Ok(manifest)
    }

    /// Writes it as JSON, replacing the file in one step: whoever reads it finds this one or the one before.
    pub fn write(&self, path: &Path) -> Result<(), ManifestError> {
        let text =
            serde_json::to_vec(self).map_err(|source| ManifestError::Format { path: path.into(), source })?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(".draft");
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, path))
            .map_err(|source| ManifestError::Io { path: path.into(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let mut account = Account { producer: "iot/r/0".into(), ..Account::default() };
        account.acked.insert(0, 99);
        account.acked.insert(200, 299);
        account.uncertain.insert(250, 299);
        account.unknown.insert(300, 309);
        account.refused.entry("schema".into()).or_default().insert(100, 199);
        let untouched = Account { producer: "iot/r/1".into(), ..Account::default() };
        Manifest {
            version: MANIFEST_VERSION,
            run: "r".into(),
            stream: "sensors".into(),
            profile: "iot".into(),
            seed: 7,
            idempotent: true,
            producers: vec![account, untouched],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        manifest().write(&path).unwrap();
        assert_eq!(Manifest::read(&path).unwrap(), manifest());
        let names: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["run.json"]);
    }

    #[test]
    fn a_file_that_is_none_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.json");
        assert!(matches!(Manifest::read(&path), Err(ManifestError::Io { .. })));
        std::fs::write(&path, "{\"version\":2}").unwrap();
        let refused = Manifest::read(&path).unwrap_err();
        assert!(refused.to_string().contains("other.json is no manifest"), "{refused}");
        Manifest { version: 9, ..manifest() }.write(&path).unwrap();
        assert!(matches!(Manifest::read(&path), Err(ManifestError::Version { version: 9, .. })));
    }
}

//! The versions of a stream's learned columns: one list a stream, shared by its deliveries and the edge.
//!
//! Version 0 has no columns; each later one has all that the one before has. A version is on the disk before anybody
//! uses it ([`Keeper`]), so that files of it can be told from files of another one for ever. Streams in memory have no
//! keeper: they begin anew with each run, as their records do.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::Gauge;
use serde::{Deserialize, Serialize};

use super::columns::{ColumnDeclaration, ColumnError, Columns};
use super::inference::{Change, Learner, Rules, difference};
use crate::config::limits::{SCHEMA_CHANGES_MAX, SCHEMA_VERSIONS_MAX};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;

/// One version.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// From 1 on.
    pub number: u32,
    /// When it was learned.
    pub learned_at: UnixMicros,
    /// The first record that did not fit the version before.
    pub first: Option<(ShardId, SequenceNumber)>,
    /// What is new, the first [`SCHEMA_CHANGES_MAX`] of it.
    pub changes: Vec<Change>,
    /// How much more is new.
    pub changes_left_out: usize,
    /// All columns.
    pub columns: Arc<Columns>,
}

/// A version as files have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionText {
    number: u32,
    learned_at: UnixMicros,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<ShardId>,
    /// A string, since it may be above 2⁵³.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
    changes: Vec<Change>,
    #[serde(default, skip_serializing_if = "is_zero")]
    changes_left_out: usize,
    /// Whether columns of strings take the text of every value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    any_text: bool,
    columns: Vec<ColumnText>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnText {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(rename = "type")]
    type_text: String,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Keeps versions where they outlive the process.
pub trait Keeper: Send + Sync + fmt::Debug {
    /// Replaces everything that is kept. Durable when it returns. Blocks the thread.
    ///
    /// # Errors
    /// What went wrong, for people. What was kept before is still there.
    fn keep(&self, versions: &[VersionText]) -> Result<(), String>;
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    rules: Rules,
    /// Newest last; never empty. Requests ask for the newest, so that nobody waits for a disk with this lock.
    versions: Mutex<VecDeque<Arc<Version>>>,
    /// Held by whoever makes the next one.
    turn: Mutex<()>,
    /// Number of the newest.
    latest: AtomicU32,
    keeper: Option<Box<dyn Keeper>>,
    /// The same number for whoever watches.
    gauge: Gauge,
}

/// What became of what was learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    /// The newest version.
    pub version: Arc<Version>,
    /// Whether it was made of this: otherwise somebody else has been faster, or there is nothing new. Of all who want a
    /// version, one has made it.
    pub is_new: bool,
}

impl Registry {
    /// With what was learned before; nothing if `versions` is empty.
    pub fn new(rules: Rules, versions: Vec<Version>, keeper: Option<Box<dyn Keeper>>) -> Self {
        let mut versions: VecDeque<_> = versions.into_iter().map(Arc::new).collect();
        if versions.is_empty() {
            versions.push_back(Arc::new(Version::none()));
        }
        let latest = AtomicU32::new(versions.back().map_or(0, |version| version.number));
        Self {
            rules,
            versions: Mutex::new(versions),
            turn: Mutex::new(()),
            latest,
            keeper,
            gauge: Gauge::noop(),
        }
    }

    /// Shows the number of the newest version in `gauge` from now on.
    #[must_use]
    pub fn shown_in(self, gauge: Gauge) -> Self {
        gauge.set(f64::from(self.latest_number()));
        Self { gauge, ..self }
    }

    /// How columns are learned.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// The newest version; the one without columns at the beginning.
    pub fn latest(&self) -> Arc<Version> {
        self.lock().back().map_or_else(|| Arc::new(Version::none()), Arc::clone)
    }

    /// Its number, without a lock.
    pub fn latest_number(&self) -> u32 {
        self.latest.load(Ordering::Acquire)
    }

    /// What goes on learning from a version.
    pub fn learner(&self, columns: &Columns) -> Learner {
        Learner::new(columns.as_slice(), self.rules)
    }

    /// Makes a version of the columns as `rules` have them read, if the newest one reads them otherwise because there
    /// were other rules then. Blocks the thread.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub fn bring_up_to_date(&self, now: UnixMicros) -> Result<Added, String> {
        let latest = self.latest();
        self.add(latest.number, &self.learner(&latest.columns), None, now)
    }

    /// Makes a version of what `learner` has learned beyond `base`; `first` is the record that began it. If somebody
    /// else has been faster, learning begins anew from the newest version. Blocks the thread.
    ///
    /// # Errors
    /// If it cannot be kept. Nothing has changed then.
    pub fn add(
        &self,
        base: u32,
        learner: &Learner,
        first: Option<(ShardId, SequenceNumber)>,
        now: UnixMicros,
    ) -> Result<Added, String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = self.latest();
        let columns = learner.columns();
        if latest.number != base || columns == latest.columns.as_slice() {
            return Ok(Added { version: latest, is_new: false });
        }
        let number = base + 1;
        let mut changes = difference(latest.columns.as_slice(), &columns);
        let changes_left_out = changes.len().saturating_sub(SCHEMA_CHANGES_MAX);
        changes.truncate(SCHEMA_CHANGES_MAX);
        let columns = Columns::learned(number, columns).map_err(|error| error.to_string())?;
        let version = Arc::new(Version {
            number,
            learned_at: now,
            first,
            changes,
            changes_left_out,
            columns: Arc::new(columns),
        });
        let mut next = self.lock().clone();
        next.push_back(Arc::clone(&version));
        while next.len() > SCHEMA_VERSIONS_MAX || next.front().is_some_and(|version| version.number == 0) {
            next.pop_front();
        }
        if let Some(keeper) = &self.keeper {
            let texts: Vec<_> = next.iter().map(|version| VersionText::of(version)).collect();
            keeper.keep(&texts)?;
        }
        *self.lock() = next;
        self.latest.store(number, Ordering::Release);
        self.gauge.set(f64::from(number));
        Ok(Added { version, is_new: true })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Version>>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    /// The one before the first record.
    pub fn none() -> Self {
        Self {
            number: 0,
            learned_at: UnixMicros(0),
            first: None,
            changes: Vec::new(),
            changes_left_out: 0,
            columns: Arc::new(Columns::unlearned()),
        }
    }
}

impl VersionText {
    fn of(version: &Version) -> Self {
        let columns = version.columns.as_slice();
        let text = |column: &super::columns::Column| ColumnText {
            name: column.name.clone(),
            key: column.other_key.clone(),
            type_text: column.column_type.to_string(),
        };
        let any_text = |column: &super::columns::Column| {
            column.reading.coercion == super::columns::Coercion::LearnedText
        };
        Self {
            number: version.number,
            learned_at: version.learned_at,
            shard: version.first.map(|(shard, _)| shard),
            sequence_number: version.first.map(|(_, number)| number.0.to_string()),
            changes: version.changes.clone(),
            changes_left_out: version.changes_left_out,
            any_text: columns.iter().any(any_text),
            columns: columns.iter().map(text).collect(),
        }
    }

    /// The version.
    ///
    /// # Errors
    /// If another version of the program has written it.
    pub fn version(self) -> Result<Version, ColumnError> {
        use super::columns::{Coercion, Reading};
        let coercion = if self.any_text { Coercion::LearnedText } else { Coercion::Learned };
        let declaration = |text: ColumnText| ColumnDeclaration {
            key: text.key,
            reading: Reading { coercion, ..Reading::default() },
            ..ColumnDeclaration::new(text.name, text.type_text, true)
        };
        let declared: Vec<_> = self.columns.into_iter().map(declaration).collect();
        let first = |errors: Vec<(usize, ColumnError)>| {
            errors.into_iter().next().map_or(ColumnError::Empty, |(_, error)| error)
        };
        let columns = Columns::declared(&declared).map_err(first)?;
        let number = self.sequence_number.and_then(|number| number.parse().ok()).map(SequenceNumber);
        Ok(Version {
            number: self.number,
            learned_at: self.learned_at,
            first: self.shard.zip(number),
            changes: self.changes,
            changes_left_out: self.changes_left_out,
            columns: Arc::new(Columns::learned(self.number, columns.as_slice().to_vec())?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::inference::OnConflict;

    const RULES: Rules = Rules { on_conflict: OnConflict::Suffix, columns_max: 100 };
    const FIRST: (ShardId, SequenceNumber) = (ShardId(1), SequenceNumber(u64::MAX));

    #[derive(Debug, Default)]
    struct Kept(Arc<Mutex<Vec<Vec<VersionText>>>>, bool);

    impl Keeper for Kept {
        fn keep(&self, versions: &[VersionText]) -> Result<(), String> {
            if self.1 {
                return Err("the disk is full".to_owned());
            }
            self.0.lock().unwrap().push(versions.to_vec());
            Ok(())
        }
    }

    fn learn(registry: &Registry, record: &str) -> Result<Arc<Version>, String> {
        let base = registry.latest();
        let mut learner = registry.learner(&base.columns);
        learner.take(record).unwrap();
        registry.add(base.number, &learner, Some(FIRST), UnixMicros(5)).map(|added| added.version)
    }

    #[test]
    fn a_version_is_kept_before_it_is_used_and_comes_back_as_it_was() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let registry = Registry::new(RULES, Vec::new(), Some(Box::new(Kept(Arc::clone(&kept), false))));
        assert_eq!(registry.latest().number, 0);
        for record in [r#"{"a b":1,"s":{"x.y":true}}"#, r#"{"a b":"x"}"#, r#"{"s":{"x.y":1}}"#] {
            learn(&registry, record).unwrap();
        }
        assert_eq!(registry.latest_number(), 3);
        let texts = serde_json::to_string(kept.lock().unwrap().last().unwrap()).unwrap();
        let texts: Vec<VersionText> = serde_json::from_str(&texts).unwrap();
        let versions: Vec<_> = texts.into_iter().map(|text| text.version().unwrap()).collect();
        assert_eq!(versions.len(), 3);
        let again = Registry::new(RULES, versions, None);
        assert_eq!(again.latest().first, Some(FIRST));
        assert_eq!(again.latest().columns, registry.latest().columns);
        assert_eq!(again.bring_up_to_date(UnixMicros(6)).unwrap().version.number, 3);
        let other_rules = Rules { on_conflict: OnConflict::String, ..RULES };
        let other = Registry::new(other_rules, vec![(*again.latest()).clone()], None);
        assert_eq!(
            other.bring_up_to_date(UnixMicros(6)).unwrap().version.number,
            4,
            "strings are read otherwise"
        );
        assert_eq!(again.latest().changes[0].to_string(), "+ s.x_y_int64: int64");
        assert_eq!(learn(&again, r#"{"a b":"y"}"#).unwrap().number, 3, "nothing new");
    }

    #[test]
    fn what_cannot_be_kept_is_not_used() {
        let registry = Registry::new(RULES, Vec::new(), Some(Box::new(Kept(Arc::default(), true))));
        assert_eq!(learn(&registry, r#"{"a":1}"#), Err("the disk is full".to_owned()));
        assert_eq!(registry.latest().number, 0);
    }

    /// A disk that answers when somebody has asked meanwhile.
    #[derive(Debug)]
    struct Slow(Mutex<std::sync::mpsc::Receiver<u32>>, std::sync::mpsc::Sender<()>);

    impl Keeper for Slow {
        fn keep(&self, _: &[VersionText]) -> Result<(), String> {
            self.1.send(()).unwrap();
            let asked = self.0.lock().unwrap().recv_timeout(std::time::Duration::from_secs(10));
            asked.map(|known| assert_eq!(known, 0)).map_err(|_| "nobody was answered".to_owned())
        }
    }

    #[test]
    fn whoever_asks_for_the_newest_version_does_not_wait_for_the_disk() {
        let ((ask, asked), (begin, begun)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let registry = Registry::new(RULES, Vec::new(), Some(Box::new(Slow(Mutex::new(asked), begin))));
        std::thread::scope(|scope| {
            let learned = scope.spawn(|| learn(&registry, r#"{"a":1}"#));
            begun.recv().unwrap();
            // The other end is gone if it was too late.
            let _ = ask.send(registry.latest().number);
            assert_eq!(learned.join().unwrap().map(|version| version.number), Ok(1));
        });
    }

    #[test]
    fn who_comes_second_begins_anew_from_what_the_first_has_learned() {
        let registry = Registry::new(RULES, Vec::new(), None);
        let mut learner = registry.learner(&registry.latest().columns);
        learner.take(r#"{"b":1}"#).unwrap();
        learn(&registry, r#"{"a":1}"#).unwrap();
        let Added { version, is_new } = registry.add(0, &learner, Some(FIRST), UnixMicros(5)).unwrap();
        assert!(!is_new, "whoever is first tells of it");
        assert_eq!((version.number, version.columns.as_slice()[0].name.as_str()), (1, "a"));
    }

    #[test]
    fn old_versions_are_forgotten() {
        let registry = Registry::new(RULES, Vec::new(), None);
        for index in 0..90 {
            learn(&registry, &format!("{{\"k{index}\":1}}")).unwrap();
        }
        assert_eq!(registry.lock().len(), SCHEMA_VERSIONS_MAX);
        assert_eq!(registry.latest_number(), 90);
    }
}

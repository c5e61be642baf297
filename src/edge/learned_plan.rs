//! What the edge refuses where `[schema] on_conflict = "reject"`: the columns that were learned so far, as a JSON
//! Schema.

use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

use crate::json::Pointer;
use crate::schema::inference::json_schema;
use crate::schema::registry::{Registry, Version};
use crate::schema::validation::{Plan, SchemaError};

/// The compiled form of the newest version.
#[derive(Debug)]
pub struct LearnedPlan {
    registry: Arc<Registry>,
    captures: Vec<Pointer>,
    /// With the number of its version.
    current: RwLock<(u32, Arc<Plan>)>,
    /// Held by the one request that compiles a version. The number of the last that could not be compiled.
    compiling: Mutex<u32>,
}

impl LearnedPlan {
    /// Compiles what is known now.
    ///
    /// # Errors
    /// If it cannot be compiled.
    pub fn new(registry: Arc<Registry>, captures: &[Pointer]) -> Result<Self, SchemaError> {
        let captures = captures.to_vec();
        let version = registry.latest();
        let current = RwLock::new((version.number, compile(&version, &captures)?));
        Ok(Self { registry, captures, current, compiling: Mutex::new(0) })
    }

    /// The newest version. Asked once a request: of those that meet a new version one compiles it, and the others go on
    /// with the one before, which refuses less. What they let through the deliveries refuse.
    pub fn current(&self) -> Arc<Plan> {
        self.current_by(|version| compile(version, &self.captures))
    }

    fn current_by(&self, compile: impl FnOnce(&Version) -> Result<Arc<Plan>, SchemaError>) -> Arc<Plan> {
        let (number, known) = self.known();
        if number == self.registry.latest_number() {
            return known;
        }
        let mut failed = match self.compiling.try_lock() {
            Ok(failed) => failed,
            Err(TryLockError::Poisoned(failed)) => failed.into_inner(),
            Err(TryLockError::WouldBlock) => return known,
        };
        let version = self.registry.latest();
        let (number, known) = self.known();
        // Another request may have been through with it before this one had its turn.
        if number == version.number || *failed == version.number {
            return known;
        }
        match compile(&version) {
            Ok(plan) => {
                let new = (version.number, Arc::clone(&plan));
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
                plan
            }
            Err(error) => {
                *failed = version.number;
                tracing::error!(
                    %error, version = version.number,
                    "learned columns cannot be checked at the edge: deliveries will refuse"
                );
                known
            }
        }
    }

    fn known(&self) -> (u32, Arc<Plan>) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn compile(version: &Version, captures: &[Pointer]) -> Result<Arc<Plan>, SchemaError> {
    let schema = json_schema(version.columns.as_slice());
    Ok(Arc::new(Plan::compile(Some(&schema), captures)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::UnixMicros;
    use crate::schema::inference::{OnConflict, Rules};

    /// Makes a version that has room for a record.
    fn learn(registry: &Registry, record: &str) {
        let base = registry.latest();
        let mut learner = registry.learner(&base.columns);
        learner.take(record).unwrap();
        assert!(registry.add(base.number, &learner, None, UnixMicros(0)).unwrap().is_new);
    }

    fn plan() -> (Arc<Registry>, LearnedPlan) {
        let rules = Rules { on_conflict: OnConflict::Reject, columns_max: 100 };
        let registry = Arc::new(Registry::new(rules, Vec::new(), None));
        let plan = LearnedPlan::new(Arc::clone(&registry), &[]).unwrap();
        (registry, plan)
    }

    #[test]
    fn one_request_compiles_a_version_while_the_others_go_on_with_the_one_before() {
        let (registry, plan) = plan();
        let before = plan.current();
        learn(&registry, r#"{"a":1}"#);
        let (begin, begun) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let asked = &plan;
        let new = std::thread::scope(|scope| {
            let compiling = scope.spawn(move || {
                asked.current_by(|version| {
                    begin.send(()).unwrap();
                    ended.recv().unwrap();
                    compile(version, &[])
                })
            });
            begun.recv().unwrap();
            for _ in 0..8 {
                let meanwhile = plan.current_by(|_| panic!("it is being compiled already"));
                assert!(Arc::ptr_eq(&meanwhile, &before));
            }
            end.send(()).unwrap();
            compiling.join().unwrap()
        });
        assert!(!Arc::ptr_eq(&new, &before));
        assert!(Arc::ptr_eq(&plan.current_by(|_| panic!("it is compiled")), &new));
    }

    #[test]
    fn a_version_that_cannot_be_compiled_is_tried_once_and_the_next_one_again() {
        let (registry, plan) = plan();
        let before = plan.current();
        learn(&registry, r#"{"a":1}"#);
        let broken = || Plan::compile(Some(&serde_json::json!({ "type": 5 })), &[]).map(Arc::new);
        assert!(Arc::ptr_eq(&plan.current_by(|_| Err(broken().unwrap_err())), &before));
        assert!(Arc::ptr_eq(&plan.current_by(|_| panic!("it is tried again")), &before));
        learn(&registry, r#"{"b":1}"#);
        assert!(!Arc::ptr_eq(&plan.current(), &before));
    }
}

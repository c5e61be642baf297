//! What the edge refuses where `[schema] on_conflict = "reject"`: the columns that were learned so far, as a JSON
//! Schema.

use std::sync::{Arc, PoisonError, RwLock};

use crate::json::Pointer;
use crate::schema::inference::json_schema;
use crate::schema::registry::Registry;
use crate::schema::validation::{Plan, SchemaError};

/// The compiled form of the newest version.
#[derive(Debug)]
pub struct LearnedPlan {
    registry: Arc<Registry>,
    captures: Vec<Pointer>,
    current: RwLock<(u32, Arc<Plan>)>,
}

impl LearnedPlan {
    /// Compiles what is known now.
    ///
    /// # Errors
    /// If it cannot be compiled.
    pub fn new(registry: Arc<Registry>, captures: &[Pointer]) -> Result<Self, SchemaError> {
        let captures = captures.to_vec();
        let current = RwLock::new(compile(&registry, &captures)?);
        Ok(Self { registry, captures, current })
    }

    /// The newest version. Compiles it if it is new; asked once a request.
    pub fn current(&self) -> Arc<Plan> {
        let known = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if current.0 == self.registry.latest_number() {
                return Arc::clone(&current.1);
            }
            Arc::clone(&current.1)
        };
        match compile(&self.registry, &self.captures) {
            Ok(new) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                // Another thread may have been faster, and with a later one.
                if new.0 > current.0 {
                    *current = new;
                }
                Arc::clone(&current.1)
            }
            Err(error) => {
                tracing::error!(%error, "learned columns cannot be checked at the edge: deliveries will refuse");
                known
            }
        }
    }
}

fn compile(registry: &Registry, captures: &[Pointer]) -> Result<(u32, Arc<Plan>), SchemaError> {
    let version = registry.latest();
    let schema = json_schema(version.columns.as_slice());
    Ok((version.number, Arc::new(Plan::compile(Some(&schema), captures)?)))
}

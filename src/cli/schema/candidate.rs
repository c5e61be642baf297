//! A schema that is tried out: the one of a pipeline file, or a JSON Schema.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use super::findings::Finding;
use crate::config;
use crate::config::checked::ColumnsSource;
use crate::config::limits::SCHEMA_FILE_BYTES_MAX;
use crate::delivery::encode::columns::RecordColumns;
use crate::json::Scanner;
use crate::schema::columns::Columns;
use crate::schema::inference::{Learner, Refusal, Rules};
use crate::schema::validation::{Plan, SchemaError, Scratch, Verdict};

/// Why a file is no candidate.
#[derive(Debug, Error)]
pub enum CandidateError {
    /// It cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is larger than any schema.
    #[error("{file}: more than {SCHEMA_FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// The file.
        file: String,
    },
    /// It is no JSON.
    #[error("{file}: not valid JSON: {source}")]
    Json {
        /// The file.
        file: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It is no JSON Schema.
    #[error("{file}: {source}")]
    Schema {
        /// The file.
        file: String,
        /// What is wrong.
        source: SchemaError,
    },
    /// The pipeline file has problems.
    #[error("{0}")]
    Config(config::Problems),
    /// It has neither columns nor a JSON Schema.
    #[error("{file} has nothing that a record could break: neither columns for a delivery nor a JSON Schema")]
    Nothing {
        /// The file.
        file: String,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Candidate {
    plan: Option<Plan>,
    scratch: Scratch,
    columns: Option<RecordColumns>,
    learner: Option<Learner>,
}

impl Candidate {
    /// Reads a JSON Schema (`*.json`) or a pipeline file.
    ///
    /// # Errors
    /// If it is neither.
    pub fn read(
        path: &Path,
        node: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, CandidateError> {
        let file = path.display().to_string();
        if path.extension().is_some_and(|extension| extension == "json") {
            let schema = read_json(path, &file)?;
            let columns = Columns::derive(&schema).ok().map(Arc::new);
            return Self::new(Some(&schema), columns, None, &file);
        }
        let config = config::load(&[path.to_owned()], node, env).map_err(CandidateError::Config)?;
        let Some(pipeline) = config.pipelines.into_iter().next() else {
            return Err(CandidateError::Nothing { file });
        };
        let rules = match pipeline.columns_source {
            Some(ColumnsSource::Inferred(rules)) => Some(rules),
            _ => None,
        };
        let columns = pipeline.deliveries.iter().find_map(|delivery| delivery.format.columns());
        let columns = columns.filter(|_| rules.is_none()).cloned();
        Self::new(pipeline.ingest.schema.as_deref(), columns, rules, &file)
    }

    fn new(
        schema: Option<&Value>,
        columns: Option<Arc<Columns>>,
        rules: Option<Rules>,
        file: &str,
    ) -> Result<Self, CandidateError> {
        let compile = |schema| Plan::compile(Some(schema), &[]);
        let plan = schema.map(compile).transpose();
        let plan = plan.map_err(|source| CandidateError::Schema { file: file.to_owned(), source })?;
        if plan.is_none() && columns.is_none() && rules.is_none() {
            return Err(CandidateError::Nothing { file: file.to_owned() });
        }
        Ok(Self {
            plan,
            scratch: Scratch::new(),
            columns: columns.map(|columns| RecordColumns::new(&columns)),
            learner: rules.map(|rules| Learner::new(&[], rules)),
        })
    }

    /// Why a record would not fit, if so.
    pub fn judge(&mut self, record: &str) -> Result<(), Finding> {
        if let Some(plan) = &self.plan {
            match plan.check(&mut Scanner::new(record), &mut self.scratch) {
                Ok(Verdict::Fits) => {}
                Ok(Verdict::Breaks) => {
                    let violation = self.scratch.violation();
                    let finding =
                        violation.map(|found| Finding::new(&found.pointer, &found.expected, &found.found));
                    return Err(
                        finding.unwrap_or_else(|| Finding::new("", "a record of the schema", "another"))
                    );
                }
                Err(error) => return Err(Finding::new("", "valid JSON", &error.to_string())),
            }
        }
        if let Some(columns) = &mut self.columns {
            columns
                .check(record)
                .map_err(|misfit| Finding::new(&misfit.pointer, &misfit.expected, &misfit.found))?;
        }
        if let Some(learner) = &mut self.learner {
            learner.take(record).map_err(|refusal| match refusal {
                Refusal::Conflict { pointer, expected, found } => Finding::new(&pointer, &expected, &found),
                other => Finding::new("", "a record whose columns can be learned", &other.to_string()),
            })?;
        }
        Ok(())
    }
}

fn read_json(path: &Path, file: &str) -> Result<Value, CandidateError> {
    let failed = |source| CandidateError::Read { file: file.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > SCHEMA_FILE_BYTES_MAX {
        return Err(CandidateError::TooLarge { file: file.to_owned() });
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|source| CandidateError::Json { file: file.to_owned(), source })
}

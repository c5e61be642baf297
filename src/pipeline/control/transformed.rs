//! Two streams with a function between them, made and ended together.

use std::sync::Arc;

use super::{Control, ControlError};
use crate::config::checked::Pipeline;
use crate::function::Spec;

impl Control {
    /// Makes the durable streams of two pipelines that are in no file, and has the records of the first go through a
    /// function into the second one, which nobody else can append to. Blocks the thread.
    ///
    /// # Errors
    /// If there are streams of their names, or they cannot be written down or served. Neither is there then.
    pub fn begin_transformed(
        &self,
        source: Pipeline,
        target: Pipeline,
        spec: &Spec,
    ) -> Result<(), ControlError> {
        let (from, into) = (source.stream.name.clone(), target.stream.name.clone());
        if self.serves(&from) {
            return Err(ControlError::Exists { stream: from });
        }
        self.begin_as(target, true)?;
        let begun = self.begin_as(source, true).and_then(|()| {
            let built = self.site.build_function(spec, &*self.intake(&from)?, &*self.intake(&into)?)?;
            self.site.start_functions(vec![built], &self.runtime);
            Ok(())
        });
        if begun.is_err() {
            self.end_transformed(&from, &into)?;
        }
        begun
    }

    /// Stops what runs between two streams, and deletes both with all of their records. Blocks the thread.
    ///
    /// # Errors
    /// If it does not stop in time, or it cannot be written down. It may be asked for again.
    pub fn end_transformed(&self, source: &str, target: &str) -> Result<(), ControlError> {
        self.runtime.block_on(self.site.stop_function(source))?;
        self.end(source)?;
        self.end(target)?;
        Ok(self.site.forget_function(source)?)
    }

    /// Whether records of a stream have still to go through its function, now or after the next start.
    pub fn is_transforming(&self, source: &str) -> bool {
        self.site.is_function_pending(source)
    }
}

/// What goes from one stream into another.
#[derive(Debug, Clone)]
pub struct Transformation {
    /// The name of the source.
    pub source: Arc<str>,
    /// The name of the target.
    pub target: Arc<str>,
    /// How.
    pub spec: Spec,
}

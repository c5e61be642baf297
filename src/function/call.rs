//! One call of a function over HTTP.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use thiserror::Error;

use super::contract::{AnswerError, shown};
use crate::config::checked::Function;
use crate::config::limits::FUNCTION_ANSWER_BYTES_MAX;
use crate::runtime::budget::{Budget, Permit};
use crate::telemetry::trace::TraceContext;
use crate::telemetry::trace::context::{TRACE_PARENT, TRACE_STATE};

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The header by which Lambda tells that a function has failed although the call was answered.
const FUNCTION_ERROR: &str = "x-amz-function-error";
/// Bytes of an answer that is none which are shown.
const SHOWN_BYTES: usize = 400;

/// Why a call has failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// Nobody answers, not in time, or not to the end.
    #[error("{0}")]
    Broken(String),
    /// It is refused.
    #[error("it answers {status}: {said}")]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of what it said.
        said: String,
    },
    /// The answer is larger than any that Lambda gives.
    #[error("its answer has more than {} MiB", FUNCTION_ANSWER_BYTES_MAX >> 20)]
    TooLarge,
    /// The function has failed, as a header says.
    #[error("the function has failed ({kind}): {said}")]
    Failed {
        /// What the header says.
        kind: String,
        /// The beginning of what it said.
        said: String,
    },
    /// What it says is no answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

/// An answer, paid for.
#[derive(Debug)]
pub struct Answer {
    /// Its body.
    pub body: Vec<u8>,
    /// Pays for it.
    pub permit: Permit,
}

/// Calls one function.
#[derive(Debug)]
pub struct Caller {
    http: reqwest::Client,
    function: Function,
}

impl Caller {
    /// Of `function`.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(function: Function) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_TIMEOUT);
        Ok(Self { http: http.build()?, function })
    }

    /// What the function is called.
    pub fn name(&self) -> &str {
        &self.function.name
    }

    /// Sends a request, as a step of `trace`, and waits for all of the answer, for which `payer` pays.
    ///
    /// # Errors
    /// Why there is none. The function may have done its work nevertheless.
    pub async fn call(
        &self,
        request: Bytes,
        trace: Option<&TraceContext>,
        payer: &Arc<Budget>,
    ) -> Result<Answer, CallError> {
        let mut call = self.http.post(self.function.url.clone()).timeout(self.function.timeout);
        call = call.header(CONTENT_TYPE, "application/json");
        for (name, value) in &self.function.headers {
            call = call.header(name, value);
        }
        if let Some(trace) = trace {
            call = call.header(TRACE_PARENT, trace.header());
            if let Some(state) = &trace.state {
                call = call.header(TRACE_STATE, state);
            }
        }
        let mut response = call.body(request).send().await.map_err(broken)?;
        let (status, failed) = (response.status(), response.headers().get(FUNCTION_ERROR).cloned());
        let (mut body, mut permit) = (Vec::new(), payer.take_anyway(0));
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if body.len() + part.len() > FUNCTION_ANSWER_BYTES_MAX {
                return Err(CallError::TooLarge);
            }
            body.extend_from_slice(&part);
            permit.set(body.capacity() as u64);
        }
        let said = || {
            let beginning = body.get(..SHOWN_BYTES).unwrap_or(&body);
            shown(&String::from_utf8_lossy(beginning))
        };
        if !status.is_success() {
            return Err(CallError::Status { status, said: said() });
        }
        if let Some(kind) = failed {
            let kind = shown(&String::from_utf8_lossy(kind.as_bytes()));
            return Err(CallError::Failed { kind, said: said() });
        }
        Ok(Answer { body, permit })
    }
}

/// All of what has gone wrong, but not where: an address may have a password in it.
fn broken(error: reqwest::Error) -> CallError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    CallError::Broken(shown(&text))
}

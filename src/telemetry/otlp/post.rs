//! One request to a collector, tried again for a while where that helps.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use serde::Deserialize;
use url::Url;

use crate::config::checked::Otlp;
use crate::config::limits::{LOG_LINE_TEXT_BYTES, OTLP_ANSWER_BYTES_MAX, OTLP_PATIENCE};
use crate::runtime::backoff::Backoff;
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::telemetry::text;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The collector has it, but for so many items.
    Taken {
        /// Items that it does not want.
        refused: u64,
    },
    /// It does not want it, now or later.
    Refused,
    /// It could not be reached for a while, or had no room.
    Failed,
}

/// Why a try has failed.
enum Trouble {
    /// It may go well later; after that time, if it says so.
    Later(Option<Duration>, String),
    /// It will never.
    Never(String),
}

/// `ExportTracePartialSuccess` and `ExportMetricsPartialSuccess`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    rejected_spans: Number,
    rejected_data_points: Number,
    error_message: String,
}

/// A 64-bit number in JSON.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Digits(String),
    Plain(u64),
}

impl Default for Number {
    fn default() -> Self {
        Number::Plain(0)
    }
}

impl Number {
    fn get(&self) -> u64 {
        match self {
            Number::Digits(digits) => digits.parse().unwrap_or(0),
            Number::Plain(number) => *number,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Partial,
}

/// Where requests go.
pub(super) struct Collector {
    http: reqwest::Client,
    headers: http::HeaderMap,
    is_failing: bool,
}

impl Collector {
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(config: &Otlp) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().redirect(Policy::none()).timeout(config.timeout).build()?;
        Ok(Self { http, headers: config.headers.iter().cloned().collect(), is_failing: false })
    }

    /// Posts a body until it is taken, refused, or a while has passed. Once everything else has stopped there is one try.
    pub async fn send(&mut self, url: &Url, body: Vec<u8>, phases: &Phases) -> Outcome {
        let (body, started, mut backoff) = (Bytes::from(body), clock::monotonic(), Backoff::default());
        loop {
            let is_last = phases.current() == Phase::Stopped;
            let (pause, why) = match self.post(url, body.clone()).await {
                Ok(refused) => {
                    self.tell(None);
                    return Outcome::Taken { refused };
                }
                Err(Trouble::Never(why)) => {
                    self.tell(Some(&why));
                    return Outcome::Refused;
                }
                Err(Trouble::Later(after, why)) => (after.unwrap_or_else(|| backoff.next_pause()), why),
            };
            self.tell(Some(&why));
            if is_last || started.elapsed() + pause > OTLP_PATIENCE {
                return Outcome::Failed;
            }
            tokio::select! {
                () = phases.reached(Phase::Stopped) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One try. Returns how many items the collector does not want.
    async fn post(&self, url: &Url, body: Bytes) -> Result<u64, Trouble> {
        let request = self.http.post(url.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        // Without the address, which may have a password in it.
        let broken = |error: reqwest::Error| Trouble::Later(None, error.without_url().to_string());
        let mut response = request.send().await.map_err(broken)?;
        let (status, after) = (response.status(), response.headers().get(RETRY_AFTER).cloned());
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if answer.len() + part.len() > OTLP_ANSWER_BYTES_MAX {
                break;
            }
            answer.extend_from_slice(&part);
        }
        let said = || format!("it answers {status}: {}", text::shown(&answer, LOG_LINE_TEXT_BYTES));
        match status {
            status if status.is_success() => Ok(refused_of(&answer)),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after = after.and_then(|after| after.to_str().ok()?.trim().parse().ok());
                Err(Trouble::Later(after.map(Duration::from_secs), said()))
            }
            _ => Err(Trouble::Never(said())),
        }
    }

    /// Logs a change of how it goes.
    fn tell(&mut self, why: Option<&str>) {
        match (why, self.is_failing) {
            (Some(why), false) => {
                tracing::warn!(
                    why,
                    "the collector of traces and metrics takes nothing: it is tried again, then dropped"
                );
            }
            (None, true) => tracing::info!("the collector of traces and metrics takes them again"),
            _ => {}
        }
        self.is_failing = why.is_some();
    }
}

/// How many items of a request that was taken are not wanted.
fn refused_of(answer: &[u8]) -> u64 {
    // One that is in another form, such as protobuf, says nothing that is read.
    let Answer { partial_success: partial } = serde_json::from_slice(answer).unwrap_or_default();
    let refused = partial.rejected_spans.get().saturating_add(partial.rejected_data_points.get());
    if !partial.error_message.is_empty() {
        let said = text::shortened(&partial.error_message, LOG_LINE_TEXT_BYTES);
        tracing::warn!(refused, said, "the collector of traces and metrics complains");
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_what_is_not_wanted_in_either_form_of_numbers() {
        for (answer, refused) in [
            (&b""[..], 0),
            (b"{}", 0),
            (b"\x0a\x00", 0),
            (br#"{"partialSuccess":{}}"#, 0),
            (br#"{"partialSuccess":{"rejectedSpans":"7","errorMessage":"no"}}"#, 7),
            (br#"{"partialSuccess":{"rejectedDataPoints":3}}"#, 3),
        ] {
            assert_eq!(refused_of(answer), refused, "{}", String::from_utf8_lossy(answer));
        }
    }
}

//! Tokens for `OAUTHBEARER`, by client credentials (RFC 6749, section 4.4).

use std::time::Duration;

use rdkafka::client::OAuthToken;
use reqwest::redirect::Policy;
use serde::Deserialize;

use crate::config::checked::OAuth;
use crate::runtime::clock;

/// How long an issuer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// How long a token holds where the issuer does not say so.
const LIFETIME_SECONDS_DEFAULT: u64 = 300;
/// The longest time: the client adds to it, and takes one that overflows for one that is over.
const LIFETIME_SECONDS_MAX: u64 = 366 * 24 * 3600;

#[derive(Debug, Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

/// Gets a token. Blocks the thread, for [`TIMEOUT`] at most; meant for the threads of librdkafka's callbacks.
pub(super) fn fetch_token(oauth: &OAuth) -> Result<OAuthToken, String> {
    // The thread that asks may be one of a runtime, which cannot run another one.
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(ask(oauth))
        });
        asking.join().unwrap_or_else(|_| Err("the thread that asks for a token has panicked".to_owned()))
    })
}

async fn ask(oauth: &OAuth) -> Result<OAuthToken, String> {
    let told = |error: reqwest::Error| format!("the token endpoint does not answer: {}", error.without_url());
    let client =
        reqwest::Client::builder().redirect(Policy::none()).timeout(TIMEOUT).build().map_err(told)?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &oauth.scope {
        form.append_pair("scope", scope);
    }
    let request = client
        .post(oauth.endpoint.clone())
        .basic_auth(&oauth.client_id, Some(oauth.client_secret.reveal()))
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(http::header::ACCEPT, "application/json")
        .body(form.finish());
    let mut response = request.send().await.map_err(told)?;
    let status = response.status();
    let mut answer = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(told)? {
        if answer.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(format!("the token endpoint has answered with more than {ANSWER_BYTES_MAX} bytes"));
        }
        answer.extend_from_slice(&piece);
    }
    if !status.is_success() {
        // Its body may quote what was sent.
        return Err(format!("the token endpoint has answered with status {status}"));
    }
    let Answer { access_token, expires_in } = serde_json::from_slice(&answer)
        .map_err(|_| "the token endpoint has not answered with a token".to_owned())?;
    let seconds = expires_in.unwrap_or(LIFETIME_SECONDS_DEFAULT).min(LIFETIME_SECONDS_MAX);
    let now_ms = clock::wall().0 / 1000;
    let lifetime_ms = now_ms.saturating_add(i64::try_from(seconds * 1000).unwrap_or_default());
    Ok(OAuthToken { token: access_token, principal_name: oauth.client_id.clone(), lifetime_ms })
}

//! Asks an issuer for its keys: one request, or two where it is asked first where they are.

use std::error::Error;
use std::future::Future;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use thiserror::Error;
use url::{Host, Url};

use super::key_set::{KeySet, KeySetError, Skipped};
use crate::config::checked::KeysPlace;
use crate::config::limits::{JWT_FETCH_CONNECT_TIMEOUT, JWT_FETCH_TIMEOUT, JWT_KEY_SET_BYTES_MAX};
use crate::json;

/// Characters of what others have said that are shown.
const SHOWN_MAX: usize = 300;

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Nobody answers, not in time, or not to the end.
    #[error("{0}")]
    Broken(String),
    /// It is refused.
    #[error("{place} answers {status}")]
    Status {
        /// What was asked for.
        place: &'static str,
        /// The status.
        status: StatusCode,
    },
    /// The answer is larger than any set of keys.
    #[error("{place} answers more than {} KiB", JWT_KEY_SET_BYTES_MAX >> 10)]
    TooLarge {
        /// What was asked for.
        place: &'static str,
    },
    /// The answer is no set of keys.
    #[error("the answer is none: {0}")]
    KeySet(#[from] KeySetError),
    /// The answer does not tell where the keys are, or is another issuer's.
    #[error("the answer of /.well-known/openid-configuration is not valid: {0}")]
    Discovery(&'static str),
}

impl FetchError {
    /// The label of the metric.
    pub fn outcome(&self) -> &'static str {
        match self {
            FetchError::Broken(_) => "unreachable",
            FetchError::Status { .. } => "status",
            FetchError::TooLarge { .. } => "too_large",
            FetchError::KeySet(_) | FetchError::Discovery(_) => "invalid",
        }
    }
}

/// Where keys come from.
pub(super) trait Source: Send + Sync + 'static {
    /// Fetches them.
    fn fetch(&self) -> impl Future<Output = Result<(KeySet, Option<Skipped>), FetchError>> + Send;
}

/// An issuer that is asked over HTTP.
#[derive(Debug)]
pub(super) struct HttpSource {
    http: Client,
    issuer: String,
    place: KeysPlace,
    allows_http: bool,
}

impl HttpSource {
    /// No redirect is followed: keys come from where the configuration says, or from nowhere.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(issuer: &str, place: KeysPlace, allows_http: bool) -> Result<Self, reqwest::Error> {
        let http = Client::builder().redirect(Policy::none());
        let http = http.connect_timeout(JWT_FETCH_CONNECT_TIMEOUT).timeout(JWT_FETCH_TIMEOUT).build()?;
        Ok(Self { http, issuer: issuer.to_owned(), place, allows_http })
    }

    async fn get(&self, url: Url, place: &'static str) -> Result<Vec<u8>, FetchError> {
        let request = self.http.get(url).header(http::header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(FetchError::Status { place, status });
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if body.len() + part.len() > JWT_KEY_SET_BYTES_MAX {
                return Err(FetchError::TooLarge { place });
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// Asks where the keys are (OpenID Connect Discovery 1.0, section 4).
    async fn discover(&self, url: Url) -> Result<Url, FetchError> {
        let body = self.get(url, "/.well-known/openid-configuration").await?;
        key_set_url(&body, &self.issuer, self.allows_http).map_err(FetchError::Discovery)
    }
}

impl Source for HttpSource {
    async fn fetch(&self) -> Result<(KeySet, Option<Skipped>), FetchError> {
        let url = match &self.place {
            KeysPlace::KeySet(url) => url.clone(),
            KeysPlace::Discovery(url) => self.discover(url.clone()).await?,
        };
        Ok(KeySet::read(&self.get(url, "the address of the keys").await?)?)
    }
}

/// What the document says, if it is that of the issuer: otherwise one issuer could bring its keys in for another.
fn key_set_url(body: &[u8], issuer: &str, allows_http: bool) -> Result<Url, &'static str> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        jwks_uri: String,
    }
    let text = json::document(body).map_err(|_| "it is not JSON")?;
    let found: Document =
        serde_json::from_str(text).map_err(|_| "\"issuer\" or \"jwks_uri\" is missing or no text")?;
    if found.issuer != issuer {
        return Err("\"issuer\" is another one than the configuration has");
    }
    let url = Url::parse(&found.jwks_uri).map_err(|_| "\"jwks_uri\" is no address")?;
    match is_safe_to_ask(&url, allows_http) {
        true => Ok(url),
        false => Err("\"jwks_uri\" is no https:// address"),
    }
}

/// Whether what this address answers is the issuer's: it proves itself by its certificate, or is on this machine.
pub fn is_safe_to_ask(url: &Url, allows_http: bool) -> bool {
    let is_here = || match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => allows_http || is_here(),
        _ => false,
    }
}

/// All of what has gone wrong, but not where: an address may have a password in it.
fn broken(error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    FetchError::Broken(text.chars().take(SHOWN_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_certificate_only_this_machine_is_asked() {
        let is_safe = |url: &str, allows_http| is_safe_to_ask(&Url::parse(url).unwrap(), allows_http);
        for url in ["https://i.example/", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost/"] {
            assert!(is_safe(url, false), "{url}");
        }
        for url in ["http://i.example/", "http://127.0.0.1.i.example/", "http://localhost.i.example/"] {
            assert!(!is_safe(url, false) && is_safe(url, true), "{url}");
        }
        for url in ["ftp://127.0.0.1/", "file:///keys", "data:,x"] {
            assert!(!is_safe(url, true), "{url}");
        }
    }

    #[test]
    fn an_issuer_tells_only_where_its_own_keys_are() {
        let url = |document: &str| key_set_url(document.as_bytes(), "https://i.example", false);
        let found = url(r#"{"issuer":"https://i.example","jwks_uri":"https://k.example/keys","x":[]}"#);
        assert_eq!(found.unwrap().as_str(), "https://k.example/keys");
        for document in [
            "",
            "[]",
            r#"{"issuer":"https://i.example"}"#,
            r#"{"issuer":"https://i.example","jwks_uri":7}"#,
            r#"{"issuer":"https://i.example/","jwks_uri":"https://k.example/keys"}"#,
            r#"{"issuer":"https://i.example","jwks_uri":"http://k.example/keys"}"#,
            r#"{"issuer":"https://i.example","jwks_uri":"file:///etc/passwd"}"#,
            r#"{"issuer":"https://i.example","issuer":"https://i.example","jwks_uri":"https://k.example/keys"}"#,
        ] {
            assert!(url(document).is_err(), "{document}");
        }
    }
}

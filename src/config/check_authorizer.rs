//! `[authorizer]` of `forebay.toml`: raw → checked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::check_function::{check_headers, check_url};
use super::check_limit::{Allowance, LimitTable, QuotaTable, check_allowance};
use super::checker::Checker;
use super::limits::{
    AUTHORIZER_CACHE_MAX, AUTHORIZER_HEADERS_MAX, AUTHORIZER_SOURCES_MAX, AUTHORIZER_TIMEOUT_MAX,
    AUTHORIZER_TTL_MAX, WEIGHT_MAX,
};
use super::secret::Secret;

/// `[authorizer]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthorizerTable {
    /// Where it is asked, by `POST`. `http://` or `https://`; redirects are not followed.
    #[schemars(required, example = &"http://127.0.0.1:9400/authorize")]
    pub url: Option<Secret>,
    /// How long it may take, at most `30s`. Default: `2s`.
    #[schemars(example = &"2s")]
    pub timeout: Option<String>,
    /// Headers of each call. Their values are secrets.
    #[schemars(extend("examples" = [{ "Authorization": "${AUTHORIZER_TOKEN}" }]))]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// What requests show of their sender, `header:NAME` or `query:NAME`: all of it is sent, and one that does not have
    /// all of it is not asked about. Default: `["header:Authorization"]`.
    #[schemars(extend("examples" = [["header:Authorization"]]))]
    pub identity: Option<Vec<String>>,
    /// How long a decision holds, at most `1h`; an answer may say less. Default: `60s`.
    #[schemars(example = &"60s")]
    pub cache_ttl: Option<String>,
    /// Decisions that are kept. Default: 10000.
    #[schemars(range(min = 1, max = AUTHORIZER_CACHE_MAX), example = 10_000)]
    pub cache_size: Option<i64>,
    /// How much each principal that it names may send and, by `tap`, read at a time. Default: any amount.
    pub limit: Option<LimitTable>,
    /// How much is kept of each principal that it names in a day or a month. Default: any amount.
    pub quota: Option<QuotaTable>,
    /// How much of a busy server is the part of each principal that it names, in proportion to those of others, which have 1. Default: 1.
    #[schemars(range(min = 1, max = WEIGHT_MAX), example = 2)]
    pub weight: Option<i64>,
}

/// A service that says who requests are from.
#[derive(Clone, PartialEq)]
pub struct Authorizer {
    /// Where it is asked.
    pub url: Url,
    /// How long it may take.
    pub timeout: Duration,
    /// Headers of each call.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What requests show of their sender; at least one.
    pub identity: Vec<IdentitySource>,
    /// How long a decision holds at most.
    pub cache_ttl: Duration,
    /// Decisions that are kept.
    pub cache_size: usize,
    /// How much each principal that it names may take.
    pub allowance: Allowance,
}

impl Authorizer {
    /// Its name, of which there is one; and that of a principal whom it does not name.
    pub const NAME: &str = "authorizer";
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Where a request shows something of its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// In a header.
    Header(HeaderName),
    /// In the query.
    Query(String),
}

impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentitySource::Header(name) => write!(f, "header:{name}"),
            IdentitySource::Query(name) => write!(f, "query:{name}"),
        }
    }
}

/// The table; `None` where a problem was added.
pub(super) fn check_authorizer(table: AuthorizerTable, checker: &mut Checker<'_>) -> Option<Authorizer> {
    let help = "write url = \"http://HOST:PORT/…\"";
    let url = checker.required("authorizer.url", table.url, help);
    let url = url.and_then(|url| check_url(&url, "authorizer.url", help, checker));
    let (path, default) = ("authorizer.timeout", Duration::from_secs(2));
    let timeout = checker.duration_up_to(path, table.timeout.as_deref(), default, AUTHORIZER_TIMEOUT_MAX);
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        checker.problem(path, "timeout must be longer than zero");
    }
    let headers = table.headers.unwrap_or_default();
    let headers = check_headers(headers, "authorizer.headers", AUTHORIZER_HEADERS_MAX, checker);
    let identity = table.identity.unwrap_or_else(|| vec!["header:Authorization".to_owned()]);
    let identity = check_sources(&identity, checker);
    let (path, default) = ("authorizer.cache_ttl", Duration::from_secs(60));
    let cache_ttl = checker.duration_up_to(path, table.cache_ttl.as_deref(), default, AUTHORIZER_TTL_MAX);
    let cache_size = checker.count("authorizer.cache_size", table.cache_size, 10_000, AUTHORIZER_CACHE_MAX);
    let allowance = check_allowance((table.limit, table.quota, table.weight), "authorizer", checker);
    Some(Authorizer {
        url: url?,
        timeout: timeout?,
        headers: headers?,
        identity: identity?,
        cache_ttl: cache_ttl?,
        cache_size: cache_size?,
        allowance: allowance?,
    })
}

fn check_sources(texts: &[String], checker: &mut Checker<'_>) -> Option<Vec<IdentitySource>> {
    let path = "authorizer.identity";
    if !(1..=AUTHORIZER_SOURCES_MAX).contains(&texts.len()) {
        checker.problem(path, format!("identity has 1 to {AUTHORIZER_SOURCES_MAX} entries"));
        return None;
    }
    let sources = texts.iter().enumerate().map(|(index, text)| {
        let source = match text.split_once(':') {
            Some(("header", name)) => {
                HeaderName::from_bytes(name.as_bytes()).ok().map(IdentitySource::Header)
            }
            Some(("query", name)) if !name.is_empty() => Some(IdentitySource::Query(name.to_owned())),
            _ => None,
        };
        if source.is_none() {
            let path = format!("{path}[{index}]");
            let quoted = checker.quote(&path, text);
            checker.problem(&path, format!("{quoted} is none: write \"header:NAME\" or \"query:NAME\""));
        }
        source
    });
    let sources: Vec<_> = sources.collect();
    sources.into_iter().collect()
}

//! `[[function]]` of `forebay.toml`: raw → checked.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::checker::Checker;
use super::limits::{
    FUNCTION_HEADERS_MAX, FUNCTION_NAME_BYTES_MAX, FUNCTION_TIMEOUT_DEFAULT, FUNCTION_TIMEOUT_MAX,
    FUNCTIONS_MAX,
};
use super::secret::Secret;
use super::shape::last_key;

/// One of `[[function]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FunctionTable {
    /// What the ARN of a Lambda processor names: 1 to 64 of `a-z A-Z 0-9 _ -`. Unique.
    #[schemars(required, example = &"enrich")]
    pub name: Option<String>,
    /// Where records are posted to: `http://` or `https://`.
    #[schemars(
        required,
        example = &"http://127.0.0.1:9001/2015-03-31/functions/enrich/invocations"
    )]
    pub url: Option<Secret>,
    /// How long a call may take, at most `5m`. Default: `60s`.
    #[schemars(example = &"60s")]
    pub timeout: Option<String>,
    /// Headers of each call, such as one that lets it in.
    #[schemars(extend("examples" = [{ "Authorization": "${FUNCTION_TOKEN}" }]))]
    pub headers: Option<BTreeMap<String, Secret>>,
}

/// One of `[[function]]`: a service that records of delivery streams go through.
#[derive(Clone, PartialEq)]
pub struct Function {
    /// What it is called. Unique.
    pub name: String,
    /// Where it is. May hold a secret: only its host is printed.
    pub url: Url,
    /// How long a call may take.
    pub timeout: Duration,
    /// Headers of each call. May hold secrets: never printed.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("host", &self.url.host_str())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

const URL_HELP: &str = "write url = \"http://HOST:PORT/…\" or one with https";

/// Every table; `None` where a problem was added.
pub(super) fn check_functions(
    tables: Vec<FunctionTable>,
    checker: &mut Checker<'_>,
) -> Option<Vec<Function>> {
    if tables.len() > FUNCTIONS_MAX {
        let message = format!("{} functions are too many: there may be {FUNCTIONS_MAX}", tables.len());
        checker.problem(&format!("function[{FUNCTIONS_MAX}]"), message);
        return None;
    }
    let mut seen = HashSet::new();
    let mut functions = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("function[{index}]");
        if let Some(name) = table.name.as_ref().filter(|name| !seen.insert((*name).clone())) {
            let path = format!("{path}.name");
            let quoted = checker.quote(&path, name);
            checker.problem(&path, format!("name = {quoted} is also that of another function"));
        }
        functions.push(check_function(table, &path, checker));
    }
    functions.into_iter().collect()
}

fn check_function(table: FunctionTable, path: &str, checker: &mut Checker<'_>) -> Option<Function> {
    let name = check_name(table.name, &format!("{path}.name"), checker);
    let url_path = format!("{path}.url");
    let url = checker.required(&url_path, table.url, URL_HELP);
    let url = url.and_then(|url| check_url(&url, &url_path, URL_HELP, checker));
    let timeout_path = format!("{path}.timeout");
    let timeout = checker.duration_up_to(
        &timeout_path,
        table.timeout.as_deref(),
        FUNCTION_TIMEOUT_DEFAULT,
        FUNCTION_TIMEOUT_MAX,
    );
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        checker.problem(&timeout_path, "timeout must be longer than zero");
    }
    let headers = table.headers.unwrap_or_default();
    let headers = check_headers(headers, &format!("{path}.headers"), FUNCTION_HEADERS_MAX, checker);
    Some(Function { name: name?, url: url?, timeout: timeout?, headers: headers? })
}

fn check_name(name: Option<String>, path: &str, checker: &mut Checker<'_>) -> Option<String> {
    let name = checker.required(path, name, "write name = \"enrich\" or another name")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=FUNCTION_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Some(name);
    }
    // Most of an endless name is noise.
    let shown: String = checker.quote(path, &name).chars().take(200).collect();
    let message = format!(
        "name = {shown}: the name of a function is 1 to {FUNCTION_NAME_BYTES_MAX} of a-z, A-Z, 0-9, '_' and '-'"
    );
    checker.problem(path, message);
    None
}

/// Says what is wrong without showing any of it: it may have a password in it.
pub(super) fn check_url(url: &Secret, path: &str, help: &str, checker: &mut Checker<'_>) -> Option<Url> {
    let url = Url::parse(url.reveal()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if url.is_none() {
        let message = format!("{} is no http:// or https:// address", last_key(path));
        checker.problem_with_help(path, message, help);
    }
    url
}

/// Headers of requests that are made. Says what is wrong without showing any of their values.
pub(super) fn check_headers(
    table: BTreeMap<String, Secret>,
    path: &str,
    max: usize,
    checker: &mut Checker<'_>,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    if table.len() > max {
        let message = format!("{} headers are too many: write at most {max}", table.len());
        checker.problem(path, message);
        return None;
    }
    let mut headers = Some(Vec::with_capacity(table.len()));
    for (name, value) in table {
        let path = format!("{path}.{name}");
        let parsed_name = HeaderName::from_bytes(name.as_bytes()).ok();
        let value = HeaderValue::from_str(value.reveal()).ok();
        let (Some(name), Some(mut value)) = (parsed_name, value) else {
            checker.problem(&path, "this is no header: its name or its value has characters that none has");
            headers = None;
            continue;
        };
        value.set_sensitive(true);
        headers.iter_mut().for_each(|headers| headers.push((name.clone(), value.clone())));
    }
    headers
}

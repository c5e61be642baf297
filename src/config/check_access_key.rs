//! `[[access_key]]` of `forebay.toml`: raw → checked.

use std::collections::HashMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_auth::check_grant;
use super::check_limit::{Allowance, LimitTable, QuotaTable, check_allowance};
use super::checker::Checker;
use super::limits::{
    ACCESS_KEY_ID_BYTES_MAX, ACCESS_KEY_PATTERNS_MAX, ACCESS_KEYS_MAX, SECRET_BYTES_MAX,
    SESSION_TOKEN_BYTES_MAX, WEIGHT_MAX,
};
use super::secret::Secret;
use super::shape::last_key;
use super::suggest::nearest;
use crate::edge::identity::pattern::Pattern;
use crate::edge::identity::policy::{Action, Grant, Policy, action_pattern, actions, stream_pattern};

/// One of `[[access_key]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessKeyTable {
    /// What clients call their access key id: 1 to 128 of `a-z A-Z 0-9 _ -`. Unique.
    #[schemars(required, example = &"AKIDEXAMPLE")]
    pub id: Option<String>,
    /// Its secret, which clients sign with.
    #[schemars(required, example = &"${FOREBAY_SECRET}")]
    pub secret: Option<Secret>,
    /// A session token that requests must carry. Default: none, and requests that carry one are refused.
    #[schemars(example = &"${FOREBAY_SESSION_TOKEN}")]
    pub session_token: Option<Secret>,
    /// What is allowed: actions such as `kinesis:PutRecord`, with `*` for any characters, and on our own routes
    /// `ingest:STREAM`, `tap:STREAM`, `admin:STREAM` and `dead_letters:STREAM`.
    #[schemars(required, extend("examples" = [["kinesis:*", "firehose:PutRecord*"]]))]
    pub allow: Option<Vec<String>>,
    /// Streams that those of the AWS services are allowed for: names with `*` for any characters. Default: all.
    #[schemars(extend("examples" = [["click*"]]))]
    pub streams: Option<Vec<String>>,
    /// How much it may put and, by `tap`, ask and read at a time. Default: any amount.
    pub limit: Option<LimitTable>,
    /// How much is kept of it in a day or a month. Default: any amount.
    pub quota: Option<QuotaTable>,
    /// How much of a busy server is its part, in proportion to those of others, which have 1. Default: 1.
    #[schemars(range(min = 1, max = WEIGHT_MAX), example = 2)]
    pub weight: Option<i64>,
}

/// Who may use the Kinesis and Firehose APIs.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// Whether requests must be signed.
    pub signature: SignatureRule,
    /// How far the clock of a client may be from ours.
    pub clock_skew: Duration,
    /// `[[access_key]]`, in the order of the file. Ids are unique.
    pub keys: Vec<AccessKey>,
}

/// Whether requests of AWS clients must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureRule {
    /// Each with an access key that there is.
    Required,
    /// Everybody may do everything. The edge is reached from this machine only.
    Off,
}

/// One of `[[access_key]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessKey {
    /// Its name, which every request tells.
    pub id: String,
    /// What requests are signed with; not empty.
    pub secret: Secret,
    /// What requests must carry beside, if anything.
    pub session_token: Option<Secret>,
    /// What it may do.
    pub policy: Policy,
    /// How much of it.
    pub allowance: Allowance,
}

const ID_HELP: &str = "write id = \"AKIDEXAMPLE\" or another name";
const SECRET_HELP: &str = "write secret = \"${NAME}\" and put it into the environment";
const ALLOW_HELP: &str = "write allow = [\"kinesis:*\"], or the actions that the key is for";

/// Every table; `None` where a problem was added.
pub(super) fn check_access_keys(
    tables: Vec<AccessKeyTable>,
    checker: &mut Checker<'_>,
) -> Option<Vec<AccessKey>> {
    if tables.len() > ACCESS_KEYS_MAX {
        let found = tables.len();
        checker.problem(
            &format!("access_key[{ACCESS_KEYS_MAX}]"),
            format!("{found} access keys are too many: there may be {ACCESS_KEYS_MAX}"),
        );
        return None;
    }
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(tables.len());
    let mut keys = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("access_key[{index}]");
        if let Some(id) = &table.id
            && let Some(first) = seen.insert(id.clone(), index)
        {
            seen.insert(id.clone(), first);
            let (path, ordinal) = (format!("{path}.id"), first + 1);
            let quoted = checker.quote(&path, id);
            checker.problem(
                &path,
                format!("id = {quoted} is also that of access key {ordinal}: each needs its own"),
            );
        }
        keys.push(check_access_key(table, &path, checker));
    }
    keys.into_iter().collect()
}

fn check_access_key(table: AccessKeyTable, path: &str, checker: &mut Checker<'_>) -> Option<AccessKey> {
    let id = check_id(table.id, &format!("{path}.id"), checker);
    let secret_path = format!("{path}.secret");
    let secret = checker.required(&secret_path, table.secret, SECRET_HELP);
    let secret = secret.and_then(|secret| check_secret(secret, &secret_path, SECRET_BYTES_MAX, checker));
    let token_path = format!("{path}.session_token");
    let session_token = match table.session_token {
        None => Some(None),
        Some(token) => check_secret(token, &token_path, SESSION_TOKEN_BYTES_MAX, checker).map(Some),
    };
    let allow_path = format!("{path}.allow");
    let allow = checker.required(&allow_path, table.allow, ALLOW_HELP);
    let allowed = allow.and_then(|texts| check_patterns(&texts, &allow_path, check_allowed, checker));
    let streams_path = format!("{path}.streams");
    let streams = table.streams.unwrap_or_else(|| vec!["*".to_owned()]);
    let streams = check_stream_patterns(&streams, &streams_path, checker);
    let allowance = check_allowance((table.limit, table.quota, table.weight), path, checker);
    let (mut grants, mut actions) = (Vec::new(), Vec::new());
    for allowed in allowed? {
        match allowed {
            Allowed::Action(pattern) => actions.push(pattern),
            Allowed::Grant(grant) => grants.push(grant),
        }
    }
    grants.push(Grant::new(actions, streams?));
    let (policy, allowance) = (Policy::new(grants), allowance?);
    Some(AccessKey { id: id?, secret: secret?, session_token: session_token?, policy, allowance })
}

fn check_id(id: Option<String>, path: &str, checker: &mut Checker<'_>) -> Option<String> {
    let id = checker.required(path, id, ID_HELP)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let wrong = if id.is_empty() {
        "an id must not be empty".to_owned()
    } else if id.len() > ACCESS_KEY_ID_BYTES_MAX {
        format!("an id has at most {ACCESS_KEY_ID_BYTES_MAX} characters")
    } else if !id.bytes().all(allowed) {
        "an id consists of a-z, A-Z, 0-9, '_' and '-'".to_owned()
    } else {
        return Some(id);
    };
    // Most of an endless id is noise.
    let shown: String = checker.quote(path, &id).chars().take(200).collect();
    checker.problem(path, format!("id = {shown}: {wrong}"));
    None
}

/// Says what is wrong with a secret without showing any of it.
pub(super) fn check_secret(
    secret: Secret,
    path: &str,
    bytes_max: usize,
    checker: &mut Checker<'_>,
) -> Option<Secret> {
    let (key, text) = (last_key(path), secret.reveal());
    let wrong = if text.is_empty() {
        format!("{key} must not be empty")
    } else if text.len() > bytes_max {
        format!("{key} has {} bytes: it may have {bytes_max}", text.len())
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        format!("{key} has white space or other characters that are not printable ASCII in it")
    } else {
        return Some(secret);
    };
    checker.problem(path, wrong);
    None
}

pub(super) fn check_patterns<T>(
    texts: &[String],
    path: &str,
    check: fn(&str, &str, &mut Checker<'_>) -> Option<T>,
    checker: &mut Checker<'_>,
) -> Option<Vec<T>> {
    let key = last_key(path);
    let found = texts.len();
    if found == 0 {
        checker.problem(path, format!("{key} must not be empty"));
        return None;
    }
    if found > ACCESS_KEY_PATTERNS_MAX {
        let message =
            format!("{key} has {found} entries: write at most {ACCESS_KEY_PATTERNS_MAX}, with * for several");
        checker.problem(path, message);
        return None;
    }
    let checked: Vec<Option<T>> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| check(text, &format!("{path}[{index}]"), checker))
        .collect();
    checked.into_iter().collect()
}

/// Names of streams with `*` in them; `None` where a problem was added.
pub(super) fn check_stream_patterns(
    texts: &[String],
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Vec<Pattern>> {
    check_patterns(texts, path, check_stream, checker)
}

/// One of `allow`.
enum Allowed {
    /// Actions of the AWS services.
    Action(Pattern),
    /// What is allowed on our own routes.
    Grant(Grant),
}

fn check_allowed(text: &str, path: &str, checker: &mut Checker<'_>) -> Option<Allowed> {
    let is_own = Action::ALL.iter().any(|action| text.split(':').next() == Some(action.as_str()));
    match is_own {
        true => check_grant(text, path, checker).map(Allowed::Grant),
        false => check_action(text, path, checker).map(Allowed::Action),
    }
}

/// A pattern that stands for no action there is was meant to be another one.
fn check_action(text: &str, path: &str, checker: &mut Checker<'_>) -> Option<Pattern> {
    let quoted = checker.quote(path, text);
    let pattern = action_pattern(text).ok();
    let stands_for_some =
        |pattern: &Pattern| actions().any(|action| pattern.matches(&action.to_ascii_lowercase()));
    if pattern.as_ref().is_some_and(stands_for_some) {
        return pattern;
    }
    // Near another one: as it is, without its stars, or with the service that is missing.
    let bare = text.replace('*', "");
    let known: Vec<String> = actions().chain(["kinesis:*".to_owned(), "firehose:*".to_owned()]).collect();
    let near = [text.to_owned(), bare.clone(), format!("kinesis:{bare}"), format!("firehose:{bare}")]
        .iter()
        .find_map(|word| nearest(word, known.iter().map(String::as_str)))
        .filter(|_| checker.document.written(path).is_none());
    let message = match near {
        Some(near) => format!("{quoted} stands for no action: did you mean {near:?}?"),
        None => format!(
            "{quoted} stands for no action: write one such as \"kinesis:PutRecord\", \"kinesis:*\" or \"firehose:PutRecord*\""
        ),
    };
    checker.problem(path, message);
    None
}

fn check_stream(text: &str, path: &str, checker: &mut Checker<'_>) -> Option<Pattern> {
    let quoted = checker.quote(path, text);
    match stream_pattern(text) {
        Ok(pattern) if !text.is_empty() => Some(pattern),
        _ => {
            checker.problem(
                path,
                format!("{quoted} is no name of a stream: it consists of a-z, A-Z, 0-9, '_', '.', '-', and * for any characters"),
            );
            None
        }
    }
}

//! `[[api_key]]` of `forebay.toml`: raw → checked.

use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_access_key::check_patterns;
use super::check_auth::{NAME_HELP, check_grant};
use super::check_limit::{Allowance, LimitTable, QuotaTable, check_allowance};
use super::checker::Checker;
use super::limits::{API_KEY_BYTES_MAX, API_KEY_BYTES_MIN, API_KEYS_MAX, WEIGHT_MAX};
use super::secret::Secret;
use crate::edge::identity::credentials::{Digest, sha256};
use crate::edge::identity::policy::Policy;

/// One of `[[api_key]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKeyTable {
    /// The name in logs and metrics. Same alphabet as a stream's name. Unique.
    #[schemars(required, example = &"mobile")]
    pub name: Option<String>,
    /// The secret, which clients send as `X-Api-Key` or as `Authorization: Bearer`: 16 to 256 printable ASCII
    /// characters.
    #[schemars(example = &"${MOBILE_KEY}")]
    pub key: Option<Secret>,
    /// In its place its SHA-256, as 64 hexadecimal digits, so that the file holds no secret.
    #[schemars(example = &"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")]
    pub key_sha256: Option<String>,
    /// What clients may do, as `ACTION:STREAM`: `ingest`, `tap`, `admin` or `dead_letters`, or `*` for all of them, and
    /// the name of a stream, with `*` for any characters.
    #[schemars(required, extend("examples" = [["ingest:web", "tap:web-*"]]))]
    pub allow: Option<Vec<String>>,
    /// How much it may send and, by `tap`, read at a time. Default: any amount.
    pub limit: Option<LimitTable>,
    /// How much is kept of it in a day or a month. Default: any amount.
    pub quota: Option<QuotaTable>,
    /// How much of a busy server is its part, in proportion to those of others, which have 1. Default: 1.
    #[schemars(range(min = 1, max = WEIGHT_MAX), example = 2)]
    pub weight: Option<i64>,
}

/// One of `[[api_key]]`.
#[derive(Clone, PartialEq)]
pub struct ApiKey {
    /// The name.
    pub name: String,
    /// SHA-256 of the secret.
    pub digest: Digest,
    /// What it may do.
    pub policy: Policy,
    /// How much of it.
    pub allowance: Allowance,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

const KEY_HELP: &str = "write key = \"${NAME}\" and put it into the environment, or key_sha256 = \"…\"";
const ALLOW_HELP: &str = "write allow = [\"ingest:web\"], or what the key is for";

/// `[[api_key]]`: names and secrets are unique; `None` where a problem was added.
pub(super) fn check_api_keys(tables: Vec<ApiKeyTable>, checker: &mut Checker<'_>) -> Option<Vec<ApiKey>> {
    if tables.len() > API_KEYS_MAX {
        let found = tables.len();
        checker.problem(
            &format!("api_key[{API_KEYS_MAX}]"),
            format!("{found} API keys are too many: there may be {API_KEYS_MAX}"),
        );
        return None;
    }
    let mut seen = Seen::default();
    let keys: Vec<_> = tables
        .into_iter()
        .enumerate()
        .map(|(index, table)| check_api_key(table, index, &mut seen, checker))
        .collect();
    keys.into_iter().collect()
}

/// Where names and secrets stood first.
#[derive(Default)]
struct Seen {
    names: HashMap<String, usize>,
    digests: HashMap<Digest, usize>,
}

fn check_api_key(
    table: ApiKeyTable,
    index: usize,
    seen: &mut Seen,
    checker: &mut Checker<'_>,
) -> Option<ApiKey> {
    let path = format!("api_key[{index}]");
    let names = (&mut seen.names, index);
    let name = checker.unique_name(&format!("{path}.name"), table.name, NAME_HELP, names);
    let digest = check_key(table.key, table.key_sha256, &path, checker);
    if let Some(digest) = digest {
        let first = *seen.digests.entry(digest).or_insert(index);
        if first != index {
            let message = format!("its secret is also that of api_key {}: each needs its own", first + 1);
            checker.problem(&path, message);
            return None;
        }
    }
    let allow_path = format!("{path}.allow");
    let allow = checker.required(&allow_path, table.allow, ALLOW_HELP);
    let grants = allow.and_then(|texts| check_patterns(&texts, &allow_path, check_grant, checker));
    let allowance = check_allowance((table.limit, table.quota, table.weight), &path, checker);
    Some(ApiKey { name: name?, digest: digest?, policy: Policy::new(grants?), allowance: allowance? })
}

/// The digest of the secret, however it is given.
fn check_key(
    key: Option<Secret>,
    key_sha256: Option<String>,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Digest> {
    let digest_path = format!("{path}.key_sha256");
    if let (Some(_), Some(_)) = (&key, &key_sha256) {
        checker.problem(&digest_path, "key_sha256 stands in the place of key: write one of them");
        return None;
    }
    if let Some(text) = key_sha256 {
        let digest = unhex(&text);
        if digest.is_none() {
            let help = "printf %s \"$KEY\" | sha256sum prints it";
            checker.problem_with_help(&digest_path, "key_sha256 has 64 hexadecimal digits", help);
        }
        return digest;
    }
    let key_path = format!("{path}.key");
    let key = checker.required(&key_path, key, KEY_HELP)?;
    let text = key.reveal().as_bytes();
    if text.iter().all(u8::is_ascii_graphic) && (API_KEY_BYTES_MIN..=API_KEY_BYTES_MAX).contains(&text.len())
    {
        return Some(sha256(text));
    }
    checker.problem_with_help(
        &key_path,
        format!("key has {API_KEY_BYTES_MIN} to {API_KEY_BYTES_MAX} printable ASCII characters, and no white space"),
        "openssl rand -hex 24 makes one that nobody guesses",
    );
    None
}

fn unhex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}

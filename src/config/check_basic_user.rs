//! `[[basic_user]]` of `forebay.toml`: raw → checked.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_access_key::check_patterns;
use super::check_auth::{NAME_HELP, check_grant};
use super::check_limit::{Allowance, LimitTable, QuotaTable, check_allowance};
use super::checker::Checker;
use super::limits::{BASIC_USERS_MAX, PASSWORD_BYTES_MAX, WEIGHT_MAX};
use super::secret::Secret;
use crate::edge::identity::password::PasswordHash;
use crate::edge::identity::policy::Policy;

/// One of `[[basic_user]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BasicUserTable {
    /// The name that clients show, also in logs and metrics. Same alphabet as a stream's name. Unique.
    #[schemars(required, example = &"partner")]
    pub name: Option<String>,
    /// The password, 1 to 1,024 bytes.
    #[schemars(example = &"${PARTNER_PASSWORD}")]
    pub password: Option<Secret>,
    /// In its place its hash, as `forebay hash-password` prints it.
    #[schemars(example = &"$pbkdf2-sha256$i=600000$c2FsdHNhbHRzYWx0$47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")]
    pub password_hash: Option<Secret>,
    /// What clients may do, as `ACTION:STREAM`.
    #[schemars(required, extend("examples" = [["ingest:partner"]]))]
    pub allow: Option<Vec<String>>,
    /// How much they may send and, by `tap`, read at a time. Default: any amount.
    pub limit: Option<LimitTable>,
    /// How much is kept of them in a day or a month. Default: any amount.
    pub quota: Option<QuotaTable>,
    /// How much of a busy server is their part, in proportion to those of others, which have 1. Default: 1.
    #[schemars(range(min = 1, max = WEIGHT_MAX), example = 2)]
    pub weight: Option<i64>,
}

/// One of `[[basic_user]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct BasicUser {
    /// The name that clients show.
    pub name: String,
    /// The password.
    pub password: Password,
    /// What it may do.
    pub policy: Policy,
    /// How much of it.
    pub allowance: Allowance,
}

/// A password, or what there is of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Password {
    /// Itself.
    Plain(Secret),
    /// Its hash.
    Hash(PasswordHash),
}

/// Every table; `None` where a problem was added.
pub(super) fn check_basic_users(
    tables: Vec<BasicUserTable>,
    checker: &mut Checker<'_>,
) -> Option<Vec<BasicUser>> {
    if tables.len() > BASIC_USERS_MAX {
        let found = tables.len();
        let message = format!("{found} users are too many: there may be {BASIC_USERS_MAX}");
        checker.problem(&format!("basic_user[{BASIC_USERS_MAX}]"), message);
        return None;
    }
    let mut names = HashMap::new();
    let mut users = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("basic_user[{index}]");
        let name = checker.unique_name(&format!("{path}.name"), table.name, NAME_HELP, (&mut names, index));
        let password = check_password((table.password, table.password_hash), &path, checker);
        let allow_path = format!("{path}.allow");
        let allow = checker.required(&allow_path, table.allow, "write allow = [\"ingest:web\"]");
        let grants = allow.and_then(|texts| check_patterns(&texts, &allow_path, check_grant, checker));
        let allowance = check_allowance((table.limit, table.quota, table.weight), &path, checker);
        let user = || {
            let policy = Policy::new(grants?);
            Some(BasicUser { name: name?, password: password?, policy, allowance: allowance? })
        };
        users.push(user());
    }
    users.into_iter().collect()
}

fn check_password(
    given: (Option<Secret>, Option<Secret>),
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Password> {
    match given {
        (Some(password), None) => {
            let bytes = password.reveal().len();
            if (1..=PASSWORD_BYTES_MAX).contains(&bytes) {
                return Some(Password::Plain(password));
            }
            let message = format!("password has {bytes} bytes: it may have 1 to {PASSWORD_BYTES_MAX}");
            checker.problem(&format!("{path}.password"), message);
        }
        (None, Some(hash)) => match PasswordHash::parse(hash.reveal()) {
            Ok(hash) => return Some(Password::Hash(hash)),
            Err(error) => {
                let help = "forebay hash-password prints it";
                checker.problem_with_help(&format!("{path}.password_hash"), error.to_string(), help);
            }
        },
        (None, None) => {
            let help =
                "write password = \"${NAME}\" and put it into the environment, or password_hash = \"…\"";
            checker.required(&format!("{path}.password"), None::<Secret>, help);
        }
        (Some(_), Some(_)) => {
            let message = "password_hash stands in the place of password: write one of them";
            checker.problem(&format!("{path}.password_hash"), message);
        }
    }
    None
}

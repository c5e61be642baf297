//! `[[client_certificate]]` of `forebay.toml`: raw → checked.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_access_key::check_patterns;
use super::check_auth::{NAME_HELP, check_grant};
use super::check_limit::{Allowance, LimitTable, QuotaTable, check_allowance};
use super::checker::Checker;
use super::limits::{
    CERTIFICATE_NAME_BYTES_MAX, CERTIFICATE_PATTERNS_MAX, CLIENT_CERTIFICATES_MAX, WEIGHT_MAX,
};
use crate::edge::identity::pattern::Pattern;
use crate::edge::identity::policy::Policy;

/// One of `[[client_certificate]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertificateTable {
    /// The name in logs and metrics. Same alphabet as a stream's name. Unique.
    #[schemars(required, example = &"sensors")]
    pub name: Option<String>,
    /// The common name of the certificate's subject, with `*` for any characters.
    #[schemars(example = &"sensor-*")]
    pub common_name: Option<String>,
    /// In its place one of its alternative names: a DNS name, a URI or a mail address, with `*` for any characters.
    #[schemars(example = &"spiffe://example/sensor/*")]
    pub alternative_name: Option<String>,
    /// What clients may do, as `ACTION:STREAM`.
    #[schemars(required, extend("examples" = [["ingest:sensors"]]))]
    pub allow: Option<Vec<String>>,
    /// How much all of them together may send and, by `tap`, read at a time. Default: any amount.
    pub limit: Option<LimitTable>,
    /// How much is kept of them in a day or a month. Default: any amount.
    pub quota: Option<QuotaTable>,
    /// How much of a busy server is their part, in proportion to those of others, which have 1. Default: 1.
    #[schemars(range(min = 1, max = WEIGHT_MAX), example = 2)]
    pub weight: Option<i64>,
}

/// Certificates of clients that are somebody's. That they are genuine is what their listener has checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateHolder {
    /// The name in logs and metrics.
    pub name: String,
    /// Which certificates.
    pub shown: CertificateName,
    /// What their holders may do.
    pub policy: Policy,
    /// How much of it, all of them together.
    pub allowance: Allowance,
}

/// The part of a certificate that tells whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// The common name of the subject is this text.
    Common(String),
    /// One of the alternative names is.
    Alternative(String),
    /// The common name of the subject is like this.
    CommonLike(Pattern),
    /// One of the alternative names is.
    AlternativeLike(Pattern),
}

/// Every table; `None` where a problem was added.
pub(super) fn check_client_certificates(
    tables: Vec<ClientCertificateTable>,
    checker: &mut Checker<'_>,
) -> Option<Vec<CertificateHolder>> {
    if tables.len() > CLIENT_CERTIFICATES_MAX {
        let found = tables.len();
        checker.problem(
            &format!("client_certificate[{CLIENT_CERTIFICATES_MAX}]"),
            format!("{found} are too many: there may be {CLIENT_CERTIFICATES_MAX}, and * stands for any characters"),
        );
        return None;
    }
    let mut names = HashMap::new();
    let mut patterns = 0;
    let mut holders = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("client_certificate[{index}]");
        let name = checker.unique_name(&format!("{path}.name"), table.name, NAME_HELP, (&mut names, index));
        let shown = check_shown((table.common_name, table.alternative_name), &path, checker);
        if matches!(shown, Some(CertificateName::CommonLike(_) | CertificateName::AlternativeLike(_))) {
            patterns += 1;
            if patterns == CERTIFICATE_PATTERNS_MAX + 1 {
                let message = format!("there may be {CERTIFICATE_PATTERNS_MAX} names with * in them");
                checker.problem(&path, message);
            }
        }
        let allow_path = format!("{path}.allow");
        let allow = checker.required(&allow_path, table.allow, "write allow = [\"ingest:sensors\"]");
        let grants = allow.and_then(|texts| check_patterns(&texts, &allow_path, check_grant, checker));
        let allowance = check_allowance((table.limit, table.quota, table.weight), &path, checker);
        let holder = || {
            let policy = Policy::new(grants?);
            Some(CertificateHolder { name: name?, shown: shown?, policy, allowance: allowance? })
        };
        holders.push(holder());
    }
    holders.into_iter().collect()
}

fn check_shown(
    names: (Option<String>, Option<String>),
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<CertificateName> {
    let (key, text, is_common) = match names {
        (Some(text), None) => ("common_name", text, true),
        (None, Some(text)) => ("alternative_name", text, false),
        _ => {
            let message = "write common_name or alternative_name, one of them";
            checker.problem_with_help(path, message, "common_name = \"sensor-*\"");
            return None;
        }
    };
    let path = format!("{path}.{key}");
    let pattern = Pattern::parse(&text, |letter| !letter.is_control());
    match pattern {
        Ok(pattern) if !text.is_empty() && text.len() <= CERTIFICATE_NAME_BYTES_MAX => {
            Some(match (is_common, text.contains('*')) {
                (true, false) => CertificateName::Common(text),
                (false, false) => CertificateName::Alternative(text),
                (true, true) => CertificateName::CommonLike(pattern),
                (false, true) => CertificateName::AlternativeLike(pattern),
            })
        }
        _ => {
            let message = format!(
                "{key} has 1 to {CERTIFICATE_NAME_BYTES_MAX} characters, none of them a control character"
            );
            checker.problem(&path, message);
            None
        }
    }
}

//! `[[webhook]]` of `forebay.toml`: raw → checked.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::check_access_key::check_patterns;
use super::check_auth::{NAME_HELP, check_grant};
use super::check_limit::{Allowance, LimitTable, QuotaTable, check_allowance};
use super::checker::Checker;
use super::limits::{
    WEBHOOK_SECRET_BYTES_RANGE, WEBHOOK_SECRETS_MAX, WEBHOOK_TOLERANCE_MAX, WEBHOOKS_MAX, WEIGHT_MAX,
};
use super::secret::Secret;
use crate::edge::identity::policy::Policy;

/// One of `[[webhook]]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookTable {
    /// The name in logs and metrics. Same alphabet as a stream's name. Unique.
    #[schemars(required, example = &"github")]
    pub name: Option<String>,
    /// Who signs: `github` (`X-Hub-Signature-256`), `stripe` (`Stripe-Signature`), or `any` other as the keys below say.
    /// Default: `any`.
    #[schemars(extend("enum" = ["any", "github", "stripe"]), example = &"github")]
    pub form: Option<String>,
    /// What both share, at least 8 bytes.
    #[schemars(example = &"${GITHUB_SECRET}")]
    pub secret: Option<Secret>,
    /// In its place several, up to 4, while one takes the place of another.
    #[schemars(extend("examples" = [["${NEW_SECRET}", "${OLD_SECRET}"]]))]
    pub secrets: Option<Vec<Secret>>,
    /// The header with the signature.
    #[schemars(example = &"X-Signature")]
    pub header: Option<String>,
    /// The hash of the HMAC: `sha256`, `sha512`, or `sha1` for senders that have nothing better. Default: `sha256`.
    #[schemars(extend("enum" = ["sha256", "sha512", "sha1"]), example = &"sha512")]
    pub algorithm: Option<String>,
    /// How the signature is written: `hex` or `base64`. Default: `hex`.
    #[schemars(extend("enum" = ["hex", "base64"]), example = &"base64")]
    pub encoding: Option<String>,
    /// What stands before the signature. Default: nothing.
    #[schemars(example = &"v0=")]
    pub prefix: Option<String>,
    /// The header with the time of the signature, in seconds since 1970. Default: no time is signed.
    #[schemars(example = &"X-Slack-Request-Timestamp")]
    pub timestamp_header: Option<String>,
    /// What is signed where a time is: a text with `{timestamp}` in it that ends with `{body}`. Default:
    /// `{timestamp}.{body}`.
    #[schemars(example = &"v0:{timestamp}:{body}")]
    pub signed: Option<String>,
    /// How far that time may be from ours, from `1s` to `1h`. Default: `5m`.
    #[schemars(example = &"5m")]
    pub tolerance: Option<String>,
    /// The header by which the sender tells one delivery from another: it is the `Idempotency-Key` of requests that have
    /// none. Default: none.
    #[schemars(example = &"X-GitHub-Delivery")]
    pub idempotency_header: Option<String>,
    /// Streams that records may be put into, as `ingest:STREAM`.
    #[schemars(required, extend("examples" = [["ingest:github"]]))]
    pub allow: Option<Vec<String>>,
    /// How much it may send at a time. Default: any amount.
    pub limit: Option<LimitTable>,
    /// How much is kept of it in a day or a month. Default: any amount.
    pub quota: Option<QuotaTable>,
    /// How much of a busy server is its part, in proportion to those of others, which have 1. Default: 1.
    #[schemars(range(min = 1, max = WEIGHT_MAX), example = 2)]
    pub weight: Option<i64>,
}

/// One of `[[webhook]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// The name in logs and metrics.
    pub name: String,
    /// The header with the signature.
    pub header: HeaderName,
    /// The hash of the HMAC.
    pub algorithm: HmacAlgorithm,
    /// How the signature is written.
    pub encoding: SignatureEncoding,
    /// What stands before it.
    pub prefix: String,
    /// The time that is signed with the body, if one is.
    pub time: Option<SignedTime>,
    /// What both share; at least one.
    pub secrets: Vec<Secret>,
    /// The header by which deliveries are told apart.
    pub idempotency_header: Option<HeaderName>,
    /// What it may do.
    pub policy: Policy,
    /// How much of it.
    pub allowance: Allowance,
}

/// The hash of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacAlgorithm {
    /// Long since not recommended, and as an HMAC not broken.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureEncoding {
    /// Hexadecimal digits.
    Hex,
    /// Base64, padded or not.
    Base64,
}

/// A time that is signed with the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTime {
    /// Where it stands.
    pub at: TimestampAt,
    /// What is signed before it.
    pub before: String,
    /// What is signed between it and the body.
    pub behind: String,
    /// How far it may be from now.
    pub tolerance: Duration,
}

/// Where the time of a signature stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampAt {
    /// In a header of its own.
    Header(HeaderName),
    /// Beside the signatures: `t=…,v1=…`.
    Signature,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Any,
    Github,
    Stripe,
}

/// Every table; `None` where a problem was added.
pub(super) fn check_webhooks(tables: Vec<WebhookTable>, checker: &mut Checker<'_>) -> Option<Vec<Webhook>> {
    if tables.len() > WEBHOOKS_MAX {
        let message = format!("{} webhooks are too many: there may be {WEBHOOKS_MAX}", tables.len());
        checker.problem(&format!("webhook[{WEBHOOKS_MAX}]"), message);
        return None;
    }
    let mut names = HashMap::new();
    let webhooks: Vec<_> = tables
        .into_iter()
        .enumerate()
        .map(|(index, table)| check_webhook(table, (&mut names, index), checker))
        .collect();
    webhooks.into_iter().collect()
}

fn check_webhook(
    table: WebhookTable,
    (names, index): (&mut HashMap<String, usize>, usize),
    checker: &mut Checker<'_>,
) -> Option<Webhook> {
    let path = format!("webhook[{index}]");
    let at = |key: &str| format!("{path}.{key}");
    let name = checker.unique_name(&at("name"), table.name.clone(), NAME_HELP, (names, index));
    let forms = [("any", Form::Any), ("github", Form::Github), ("stripe", Form::Stripe)];
    let form = checker.word(&at("form"), table.form.as_deref(), Form::Any, &forms);
    let secrets = check_secrets((table.secret.clone(), table.secrets.clone()), &path, checker);
    let allow = checker.required(&at("allow"), table.allow.clone(), "write allow = [\"ingest:github\"]");
    let grants = allow.and_then(|texts| check_patterns(&texts, &at("allow"), check_grant, checker));
    let given = (table.limit.clone(), table.quota.clone(), table.weight);
    let allowance = check_allowance(given, &path, checker);
    let idempotency_header = match &table.idempotency_header {
        None => Some(None),
        Some(text) => check_header(text, &at("idempotency_header"), checker).map(Some),
    };
    let form = form?;
    if form != Form::Any {
        check_nothing_more(&table, form, &path, checker)?;
    }
    let header = match form {
        Form::Any => {
            let text =
                checker.required(&at("header"), table.header.clone(), "write header = \"X-Signature\"");
            text.and_then(|text| check_header(&text, &at("header"), checker))
        }
        Form::Github => Some(HeaderName::from_static("x-hub-signature-256")),
        Form::Stripe => Some(HeaderName::from_static("stripe-signature")),
    };
    let algorithms =
        [("sha256", HmacAlgorithm::Sha256), ("sha512", HmacAlgorithm::Sha512), ("sha1", HmacAlgorithm::Sha1)];
    let algorithm =
        checker.word(&at("algorithm"), table.algorithm.as_deref(), HmacAlgorithm::Sha256, &algorithms);
    let encodings = [("hex", SignatureEncoding::Hex), ("base64", SignatureEncoding::Base64)];
    let encoding =
        checker.word(&at("encoding"), table.encoding.as_deref(), SignatureEncoding::Hex, &encodings);
    let time = check_time(&table, form, &path, checker);
    let prefix = if form == Form::Github { "sha256=".to_owned() } else { table.prefix.unwrap_or_default() };
    Some(Webhook {
        name: name?,
        header: header?,
        algorithm: algorithm?,
        encoding: encoding?,
        prefix,
        time: time?,
        secrets: secrets?,
        idempotency_header: idempotency_header?,
        policy: Policy::new(grants?),
        allowance: allowance?,
    })
}

/// What is known of a form is not said again.
fn check_nothing_more(table: &WebhookTable, form: Form, path: &str, checker: &mut Checker<'_>) -> Option<()> {
    let given = [
        ("header", table.header.is_some()),
        ("algorithm", table.algorithm.is_some()),
        ("encoding", table.encoding.is_some()),
        ("prefix", table.prefix.is_some()),
        ("timestamp_header", table.timestamp_header.is_some()),
        ("signed", table.signed.is_some()),
        ("tolerance", form == Form::Github && table.tolerance.is_some()),
    ];
    let mut is_right = true;
    for (key, _) in given.iter().filter(|(_, is_given)| *is_given) {
        is_right = false;
        let message = format!("{key} is what the form says: leave it out, or write form = \"any\"");
        checker.problem(&format!("{path}.{key}"), message);
    }
    is_right.then_some(())
}

fn check_secrets(
    given: (Option<Secret>, Option<Vec<Secret>>),
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Vec<Secret>> {
    let (secrets, key) = match given {
        (Some(secret), None) => (vec![secret], "secret"),
        (None, Some(secrets)) => (secrets, "secrets"),
        (Some(_), Some(_)) => {
            let message = "secrets stands in the place of secret: write one of them";
            checker.problem(&format!("{path}.secrets"), message);
            return None;
        }
        (None, None) => {
            let help = "write secret = \"${NAME}\" and put it into the environment";
            checker.required(&format!("{path}.secret"), None::<Secret>, help);
            return None;
        }
    };
    let path = format!("{path}.{key}");
    if !(1..=WEBHOOK_SECRETS_MAX).contains(&secrets.len()) {
        checker.problem(&path, format!("there may be 1 to {WEBHOOK_SECRETS_MAX} secrets"));
        return None;
    }
    let (least, most) = (WEBHOOK_SECRET_BYTES_RANGE.start(), WEBHOOK_SECRET_BYTES_RANGE.end());
    if secrets.iter().any(|secret| !WEBHOOK_SECRET_BYTES_RANGE.contains(&secret.reveal().len())) {
        checker.problem(&path, format!("a secret has {least} to {most} bytes"));
        return None;
    }
    Some(secrets)
}

fn check_header(text: &str, path: &str, checker: &mut Checker<'_>) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        let quoted = checker.quote(path, text);
        checker.problem(path, format!("{quoted} is no name of a header"));
    }
    name
}

fn check_time(
    table: &WebhookTable,
    form: Form,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Option<SignedTime>> {
    let at = match (&table.timestamp_header, form) {
        (_, Form::Stripe) => TimestampAt::Signature,
        (Some(text), _) => {
            TimestampAt::Header(check_header(text, &format!("{path}.timestamp_header"), checker)?)
        }
        (None, _) => {
            let mut is_right = true;
            for (key, is_given) in
                [("signed", table.signed.is_some()), ("tolerance", table.tolerance.is_some())]
            {
                if is_given {
                    is_right = false;
                    let message =
                        format!("{key} is about the time of a signature: write timestamp_header, too");
                    checker.problem(&format!("{path}.{key}"), message);
                }
            }
            return is_right.then_some(None);
        }
    };
    let tolerance_path = format!("{path}.tolerance");
    let default = Duration::from_secs(5 * 60);
    let tolerance = checker.duration_up_to(
        &tolerance_path,
        table.tolerance.as_deref(),
        default,
        WEBHOOK_TOLERANCE_MAX,
    )?;
    if tolerance.as_secs() == 0 {
        checker.problem(&tolerance_path, "tolerance must be at least 1s");
        return None;
    }
    let signed = table.signed.as_deref().unwrap_or("{timestamp}.{body}");
    let parts = signed.strip_suffix("{body}").and_then(|text| text.split_once("{timestamp}"));
    let parts = parts.filter(|(before, behind)| !before.contains(['{', '}']) && !behind.contains(['{', '}']));
    let Some((before, behind)) = parts else {
        let message = "signed is a text with {timestamp} in it that ends with {body}, without other braces";
        checker.problem(&format!("{path}.signed"), message);
        return None;
    };
    Some(Some(SignedTime { at, before: before.to_owned(), behind: behind.to_owned(), tolerance }))
}

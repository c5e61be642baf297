//! `cors` of `[server]`: raw → checked.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::checker::Checker;

/// `cors` of `[server]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorsTable {
    /// Allowed origins, such as `https://shop.example`; `*` allows every one.
    #[schemars(required, extend("examples" = [["https://shop.example"]]))]
    pub origins: Option<Vec<String>>,
    /// Whether browsers may send cookies, certificates and the passwords that they have of their own accord, as they do
    /// with every beacon; not with `*`. Default: false.
    #[schemars(example = true)]
    pub credentials: Option<bool>,
    /// How long a browser may keep the answer to a preflight. Default: `10m`.
    #[schemars(example = &"10m")]
    pub max_age: Option<String>,
}

/// `[server.cors]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cors {
    /// Allowed origins, such as `https://shop.example`; `*` alone allows every one.
    pub origins: Vec<String>,
    /// Whether browsers may send credentials of their own accord. Not with `*`.
    pub takes_credentials: bool,
    /// How long a browser may keep the answer to a preflight.
    pub max_age: Duration,
}

/// `cors` of `[server]`; `None` where a problem was added.
pub(super) fn check_cors(raw: CorsTable, checker: &mut Checker<'_>) -> Option<Cors> {
    let help = "write origins = [\"https://shop.example\"]";
    let origins = checker.required("server.cors.origins", raw.origins, help);
    let max_age =
        checker.duration("server.cors.max_age", raw.max_age.as_deref(), Duration::from_secs(10 * 60));
    let origins = origins?;
    if origins.is_empty() {
        checker.problem_with_help("server.cors.origins", "origins must not be empty", help);
    }
    let mut right = !origins.is_empty();
    for (index, origin) in origins.iter().enumerate() {
        let path = format!("server.cors.origins[{index}]");
        if origin != "*" && !is_origin(origin) {
            right = false;
            let quoted = checker.quote(&path, origin);
            checker.problem(
                &path,
                format!("{quoted} is no origin: write scheme and host, such as \"https://shop.example\", without a path, or \"*\""),
            );
        }
    }
    let takes_credentials = raw.credentials.unwrap_or(false);
    if takes_credentials && origins.iter().any(|origin| origin == "*") {
        checker.problem_with_help(
            "server.cors.credentials",
            "credentials are taken from named origins only: with \"*\" every page could send those of its reader",
            "name the origins, or leave credentials out",
        );
        return None;
    }
    right.then_some(Cors { origins, takes_credentials, max_age: max_age? })
}

/// Browsers send an origin in exactly this form.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.origin().is_tuple() && url.origin().ascii_serialization() == text)
}

//! What tokens of a `[[jwt_issuer]]` are checked with: raw → checked.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use url::Url;

use super::check_jwt::JwtIssuerTable;
use super::check_listener::beside;
use super::checker::Checker;
use super::duration::print_duration;
use super::limits::{
    JWT_KEYS_MAX, JWT_OUTAGE_GRACE_DEFAULT, JWT_OUTAGE_GRACE_MAX, JWT_PUBLIC_KEY_FILE_BYTES_MAX,
    JWT_REFRESH_DEFAULT, JWT_REFRESH_RANGE,
};
use super::secret::Secret;
use super::shape::last_key;
use super::suggest::{listed, nearest};
use crate::edge::identity::jwt::algorithm::Algorithm;
use crate::edge::identity::jwt::fetch::is_safe_to_ask;
use crate::edge::identity::jwt::key::PublicKey;

/// What tokens of an issuer are checked with.
#[derive(Debug, Clone, PartialEq)]
pub enum JwtKeys {
    /// Keys that it publishes.
    Fetched(FetchedJwtKeys),
    /// Keys from a file; not empty.
    Public(Vec<PublicKey>),
    /// A secret that it shares with us.
    Secret(Secret),
}

/// Keys that an issuer publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedJwtKeys {
    /// Where they are.
    pub place: KeysPlace,
    /// How often they are fetched.
    pub refresh: Duration,
    /// For how long they are used after the time when they should have been fetched again.
    pub outage_grace: Duration,
    /// Whether others may change them on their way.
    pub allows_http: bool,
}

/// Where keys are.
#[derive(Clone, PartialEq, Eq)]
pub enum KeysPlace {
    /// A JSON Web Key Set. May hold a secret: only its host is printed.
    KeySet(Url),
    /// An OpenID Connect Discovery document, which tells it.
    Discovery(Url),
}

impl fmt::Debug for KeysPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (KeysPlace::KeySet(url) | KeysPlace::Discovery(url)) = self;
        f.debug_tuple("KeysPlace").field(&url.host_str()).finish_non_exhaustive()
    }
}

const KEYS_HELP: &str =
    "write jwks_url = \"https://…\", discovery = true, public_key = \"issuer.pem\" or secret = \"${NAME}\"";

/// The one place that its keys come from; `None` where a problem was added.
pub(super) fn check_keys(
    table: &JwtIssuerTable,
    issuer: Option<&str>,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<JwtKeys> {
    let asks = table.discovery.unwrap_or(false);
    match (&table.jwks_url, asks, &table.public_key, &table.secret) {
        (Some(url), false, None, None) => {
            let path = format!("{path}.jwks_url");
            let url = Url::parse(url.reveal()).ok();
            let place = KeysPlace::KeySet(check_url(url, table, &path, checker)?);
            check_fetched(table, place, &path, checker).map(JwtKeys::Fetched)
        }
        (None, true, None, None) => {
            // Without a second slash where the issuer ends with one (OpenID Connect Discovery 1.0, section 4).
            let base = issuer?.trim_end_matches('/');
            let url = Url::parse(&format!("{base}/.well-known/openid-configuration")).ok();
            let place = KeysPlace::Discovery(check_url(url, table, &format!("{path}.issuer"), checker)?);
            check_fetched(table, place, &format!("{path}.discovery"), checker).map(JwtKeys::Fetched)
        }
        (None, false, Some(file), None) => {
            check_public_keys(file, &format!("{path}.public_key"), checker).map(JwtKeys::Public)
        }
        (None, false, None, Some(secret)) => Some(JwtKeys::Secret(secret.clone())),
        (None, false, None, None) => {
            checker.problem_with_help(path, "the issuer has no keys", KEYS_HELP);
            None
        }
        _ => {
            let message =
                "the keys of an issuer come from one place: jwks_url, discovery, public_key or secret";
            checker.problem(path, message);
            None
        }
    }
}

/// Says what is wrong without showing any of it: it may have a password in it.
fn check_url(url: Option<Url>, table: &JwtIssuerTable, path: &str, checker: &mut Checker<'_>) -> Option<Url> {
    let url = url.filter(|url| is_safe_to_ask(url, table.allow_http.unwrap_or(false)));
    if url.is_none() {
        let message = format!("{} is no https:// address", last_key(path));
        let help = "http:// is for this machine, or with allow_http = true: whoever is on the way can then sign tokens";
        checker.problem_with_help(path, message, help);
    }
    url
}

fn check_fetched(
    table: &JwtIssuerTable,
    place: KeysPlace,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<FetchedJwtKeys> {
    let (path, _) = path.rsplit_once('.')?;
    let refresh_path = format!("{path}.refresh");
    let refresh = checker.duration_up_to(
        &refresh_path,
        table.refresh.as_deref(),
        JWT_REFRESH_DEFAULT,
        *JWT_REFRESH_RANGE.end(),
    );
    if refresh.is_some_and(|refresh| refresh < *JWT_REFRESH_RANGE.start()) {
        let least = print_duration(*JWT_REFRESH_RANGE.start());
        checker.problem(&refresh_path, format!("refresh must be at least {least}"));
    }
    let outage_grace = checker.duration_up_to(
        &format!("{path}.outage_grace"),
        table.outage_grace.as_deref(),
        JWT_OUTAGE_GRACE_DEFAULT,
        JWT_OUTAGE_GRACE_MAX,
    );
    let allows_http = table.allow_http.unwrap_or(false);
    Some(FetchedJwtKeys { place, refresh: refresh?, outage_grace: outage_grace?, allows_http })
}

fn check_public_keys(file: &str, path: &str, checker: &mut Checker<'_>) -> Option<Vec<PublicKey>> {
    match read_public_keys(&beside(file, checker)) {
        Ok(keys) => Some(keys),
        Err(why) => {
            checker.problem(path, format!("the public key cannot be used: {why}"));
            None
        }
    }
}

fn read_public_keys(file: &Path) -> Result<Vec<PublicKey>, String> {
    let name = file.display();
    let bytes = std::fs::metadata(file).map_err(|error| format!("{name}: {error}"))?.len();
    if bytes > JWT_PUBLIC_KEY_FILE_BYTES_MAX {
        return Err(format!(
            "{name} has {bytes} bytes, and {JWT_PUBLIC_KEY_FILE_BYTES_MAX} are the most that are read"
        ));
    }
    let blocks = SubjectPublicKeyInfoDer::pem_file_iter(file).map_err(|error| format!("{name}: {error}"))?;
    let mut keys = Vec::new();
    for block in blocks {
        let block = block.map_err(|error| format!("{name}: {error}"))?;
        keys.push(PublicKey::of_der(&block).map_err(|error| format!("{name}: {error}"))?);
    }
    match keys.len() {
        0 => Err(format!("{name}: there is no block PUBLIC KEY in it")),
        1..=JWT_KEYS_MAX => Ok(keys),
        found => Err(format!("{name} has {found} keys, and {JWT_KEYS_MAX} are the most")),
    }
}

/// What the keys can, or the part of it that the table names; `None` where a problem was added.
pub(super) fn check_algorithms(
    names: Option<Vec<String>>,
    keys: &JwtKeys,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Vec<Algorithm>> {
    let is_possible = |algorithm: &Algorithm| match keys {
        JwtKeys::Fetched(_) => !algorithm.needs_secret(),
        JwtKeys::Public(keys) => keys.iter().any(|key| key.fits(*algorithm)),
        JwtKeys::Secret(_) => algorithm.needs_secret(),
    };
    let all = || Algorithm::PUBLIC.into_iter().chain(Algorithm::SECRET);
    let Some(names) = names else {
        return match keys {
            JwtKeys::Secret(secret) => check_secret(secret, &[Algorithm::Hs256], path, checker),
            _ => Some(all().filter(is_possible).collect()),
        };
    };
    if names.is_empty() {
        checker.problem(path, "algorithms must not be empty: leave it away for the default");
        return None;
    }
    let mut found = Some(Vec::new());
    for (index, name) in names.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let algorithm = Algorithm::named(name);
        if let Some(algorithm) = algorithm.filter(is_possible) {
            found.iter_mut().for_each(|found| found.push(algorithm));
            continue;
        }
        let quoted = checker.quote(&path, name);
        let possible: Vec<&str> = all().filter(is_possible).map(Algorithm::name).collect();
        let near = nearest(name, possible.iter().copied());
        let near = near.filter(|_| checker.document.written(&path).is_none() && algorithm.is_none());
        checker.problem(
            &path,
            match near {
                Some(near) => format!("{quoted} is no algorithm that is known: did you mean {near:?}?"),
                None => format!(
                    "{quoted} does not go with these keys: write {}",
                    listed(possible.iter().copied())
                ),
            },
        );
        found = None;
    }
    match keys {
        JwtKeys::Secret(secret) => check_secret(secret, &found?, path, checker),
        _ => found,
    }
}

/// Says what is wrong with a secret without showing any of it; gives the algorithms back.
fn check_secret(
    secret: &Secret,
    algorithms: &[Algorithm],
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Vec<Algorithm>> {
    let (table, _) = path.rsplit_once('.')?;
    let bytes = secret.reveal().len();
    let longest = algorithms.iter().max_by_key(|algorithm| algorithm.secret_bytes_min())?;
    if bytes >= longest.secret_bytes_min() {
        return Some(algorithms.to_vec());
    }
    let message = format!("secret has {bytes} bytes, and {longest} needs {}", longest.secret_bytes_min());
    let help = "make one with: openssl rand -base64 48";
    checker.problem_with_help(&format!("{table}.secret"), message, help);
    None
}

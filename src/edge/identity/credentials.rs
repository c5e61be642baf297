//! What a request shows of its sender.

use std::borrow::Cow;
use std::sync::OnceLock;

use http::request::Parts;
use http::{HeaderMap, header};
use ring::digest::{SHA256, digest};

use super::signature_v4;

/// The header of API keys.
pub const API_KEY: &str = "x-api-key";
/// The query parameter of API keys, where the query may have credentials.
pub const API_KEY_PARAMETER: &str = "api_key";
/// The query parameter of bearer tokens (RFC 6750, section 2.3), where the query may have credentials.
pub const TOKEN_PARAMETER: &str = "access_token";
/// The scheme of RFC 6750.
const BEARER: &[u8] = b"Bearer ";
/// The scheme of RFC 7617.
const BASIC: &[u8] = b"Basic ";

/// Whether a parameter of a query may be a secret of whoever has sent it, or a part of one: with the signature of a
/// presigned request it may be sent again.
pub fn is_secret_parameter(name: &str) -> bool {
    matches!(name, API_KEY_PARAMETER | TOKEN_PARAMETER) || signature_v4::is_parameter(name)
}

/// SHA-256 of a secret that a request shows: what it is looked for by, so that how long the search takes says nothing
/// about secrets that are known.
pub type Digest = [u8; 32];

/// The secrets of one request; each is looked for once.
#[derive(Debug)]
pub struct Credentials<'a> {
    api_key: Option<Shown<'a>>,
    bearer: Option<Shown<'a>>,
    basic: Option<Shown<'a>>,
}

/// A secret that a request shows.
pub struct Shown<'a> {
    text: Cow<'a, [u8]>,
    digest: OnceLock<Digest>,
}

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<hidden>")
    }
}

impl<'a> Shown<'a> {
    fn new(text: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { text: text.into(), digest: OnceLock::new() }
    }

    /// As it was shown.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Its digest, made once.
    pub fn digest(&self) -> &Digest {
        self.digest.get_or_init(|| sha256(&self.text))
    }
}

impl<'a> Credentials<'a> {
    /// Those of a request: its headers', and where `in_query` its query's.
    pub fn of(head: &'a Parts, in_query: bool) -> Self {
        let authorization = only(&head.headers, header::AUTHORIZATION.as_str());
        let of_scheme = |scheme| authorization.and_then(|value| behind(value, scheme)).map(Shown::new);
        let mut found = Self {
            api_key: only(&head.headers, API_KEY).map(Shown::new),
            bearer: of_scheme(BEARER),
            basic: of_scheme(BASIC),
        };
        if in_query && let Some(query) = head.uri.query() {
            for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
                let slot = match &*name {
                    API_KEY_PARAMETER => &mut found.api_key,
                    TOKEN_PARAMETER => &mut found.bearer,
                    _ => continue,
                };
                // What stands in a header counts, and of several in the query the first.
                if slot.is_none() {
                    *slot = Some(Shown::new(value.into_owned().into_bytes()));
                }
            }
        }
        found
    }

    /// The API key that is shown as one.
    pub fn api_key(&self) -> Option<&Shown<'a>> {
        self.api_key.as_ref()
    }

    /// The bearer token.
    pub fn bearer(&self) -> Option<&Shown<'a>> {
        self.bearer.as_ref()
    }

    /// Name and password, as RFC 7617 encodes them.
    pub fn basic(&self) -> Option<&Shown<'a>> {
        self.basic.as_ref()
    }

    /// Whether there is any.
    pub fn are_there(&self) -> bool {
        self.api_key.is_some() || self.bearer.is_some() || self.basic.is_some()
    }
}

/// SHA-256 of a secret.
pub fn sha256(secret: &[u8]) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest(&SHA256, secret).as_ref());
    bytes
}

/// The value of a header that is there once. One that comes twice may be read as another one by a proxy in front: it
/// proves nothing.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// What stands behind the scheme, whose letters are equal in both cases.
fn behind<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (found, token) = value.split_at_checked(scheme.len())?;
    found.eq_ignore_ascii_case(scheme).then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn shown(headers: &[(&str, &str)], query: &str, in_query: bool) -> (Option<String>, Option<String>) {
        let mut request = Request::get(format!("/v1/streams/s/records{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let found = Credentials::of(&head, in_query);
        let text = |shown: Option<&Shown<'_>>| shown.map(|it| String::from_utf8(it.text().to_vec()).unwrap());
        (text(found.api_key()), text(found.bearer()))
    }

    #[test]
    fn secrets_are_found_in_their_headers() {
        let key = Some("k".to_owned());
        assert_eq!(shown(&[("X-Api-Key", "k")], "", false), (key.clone(), None));
        assert_eq!(shown(&[("Authorization", "Bearer k")], "", false), (None, key.clone()));
        assert_eq!(shown(&[("Authorization", "bEARER  k ")], "", false), (None, key));
        assert_eq!(shown(&[("Authorization", "Basic k")], "", false), (None, None));
        assert_eq!(shown(&[("Authorization", "Bearer")], "", false), (None, None));
    }

    #[test]
    fn a_header_that_comes_twice_proves_nothing() {
        assert_eq!(shown(&[("X-Api-Key", "k"), ("X-Api-Key", "l")], "", false), (None, None));
    }

    #[test]
    fn the_query_counts_only_where_it_may_and_behind_the_headers() {
        let query = "?api_key=a%2Bb&access_token=t&api_key=c";
        assert_eq!(shown(&[], query, false), (None, None));
        assert_eq!(shown(&[], query, true), (Some("a+b".to_owned()), Some("t".to_owned())));
        assert_eq!(shown(&[("X-Api-Key", "k")], query, true), (Some("k".to_owned()), Some("t".to_owned())));
    }

    #[test]
    fn a_secret_is_hidden_from_debug() {
        let (head, ()) = Request::get("/").header("x-api-key", "hunter2").body(()).unwrap().into_parts();
        assert!(!format!("{:?}", Credentials::of(&head, false)).contains("hunter2"));
    }
}

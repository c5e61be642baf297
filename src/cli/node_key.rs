//! What a command shows of itself to a node that asks.

use reqwest::ClientBuilder;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use thiserror::Error;

/// The variable of the environment with an API key, or another bearer token. A command line is read by everybody on the
/// machine.
pub const VARIABLE: &str = "FOREBAY_API_KEY";

/// The variable holds what no header can.
#[derive(Debug, Error)]
#[error("{VARIABLE}: a key has printable ASCII characters only")]
pub struct WrongKey;

/// A client that shows the key of the environment with each request, but not to another host that it is sent on to.
///
/// # Errors
/// If the variable holds no key.
pub fn client_builder(env: &dyn Fn(&str) -> Option<String>) -> Result<ClientBuilder, WrongKey> {
    let builder = reqwest::Client::builder();
    Ok(match authorization(env)? {
        Some(value) => builder.default_headers(HeaderMap::from_iter([(AUTHORIZATION, value)])),
        None => builder,
    })
}

/// The value of `Authorization` that shows the key of the environment, if there is one. It is marked as a secret.
///
/// # Errors
/// If the variable holds no key.
pub fn authorization(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<HeaderValue>, WrongKey> {
    let Some(key) = env(VARIABLE).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()) else {
        return Ok(None);
    };
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(WrongKey);
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| WrongKey)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// What to do about a refusal, to stand behind what the node says.
pub fn advice(status: u16) -> &'static str {
    match status {
        401 => ": put a key that the node knows into the environment, as FOREBAY_API_KEY",
        403 => ": the key in FOREBAY_API_KEY is not for this",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_header_holds_is_told_without_its_text() {
        for (key, is_right) in
            [(None, true), (Some(""), true), (Some("key\n"), true), (Some("a b"), false), (Some("ä"), false)]
        {
            let built = client_builder(&|name| key.filter(|_| name == VARIABLE).map(str::to_owned));
            assert_eq!(built.is_ok(), is_right, "{key:?}");
        }
    }

    #[test]
    fn the_advice_names_the_variable() {
        assert!([401, 403].iter().all(|status| advice(*status).contains(VARIABLE)));
        assert_eq!(advice(404), "");
    }
}

//! Where a running node is, as `--url` tells it.

use thiserror::Error;
use url::Url;

/// `--url` tells nothing of the kind.
#[derive(Debug, Error)]
#[error("--url: {0} is no address of a node: write http://HOST:PORT")]
pub struct WrongUrl(String);

/// The address of a route below that of the node, which may be behind a proxy and have a path.
///
/// # Errors
/// If `base` is no address.
pub fn node_url(base: &str, segments: &[&str]) -> Result<Url, WrongUrl> {
    let wrong = || WrongUrl(base.to_owned());
    let mut url = Url::parse(base).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong());
    }
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(segments);
    Ok(url)
}

/// What is behind an error that a request has ended with: the innermost cause, such as a refused connection or a
/// certificate that nobody vouches for, without what reqwest says around it.
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

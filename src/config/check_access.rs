//! `[access]` of `forebay.toml` and of pipeline files: raw → checked.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use thiserror::Error;

use super::check_listener::{beside, check_networks};
use super::checker::Checker;
use super::limits::{NETWORKS_FILE_BYTES_MAX, NETWORKS_MAX};
use super::load::{ReadError, read_bounded};
use crate::edge::gate::addresses::Addresses;
use crate::edge::gate::networks::Networks;

/// `[access]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessTable {
    /// Addresses and networks that clients may come from. Default: all.
    #[schemars(extend("examples" = [["10.0.0.0/8", "2001:db8::/32"]]))]
    pub allow_addresses: Option<Vec<String>>,
    /// Addresses and networks that they may not come from, also where they are allowed. Default: none.
    #[schemars(extend("examples" = [["192.0.2.7"]]))]
    pub deny_addresses: Option<Vec<String>>,
    /// File with more that are allowed, relative to this file: one a line, and comments behind `#`.
    #[schemars(example = &"allowed.txt")]
    pub allow_file: Option<String>,
    /// File with more that are denied.
    #[schemars(example = &"blocked.txt")]
    pub deny_file: Option<String>,
}

/// Why a file of addresses was not taken.
#[derive(Debug, Error)]
enum AddressesError {
    /// It cannot be read.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A line of it is no network.
    #[error("{}:{line}: {text:?} is no network: write one such as 10.0.0.0/8 or 2001:db8::1", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What stands there, as far as it is short.
        text: String,
    },
    /// It has too many.
    #[error("{}: there may be {NETWORKS_MAX} networks", file.display())]
    TooMany {
        /// The file.
        file: PathBuf,
    },
}

/// A network, or an address, which is a network of one.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn read_networks(file: &Path) -> Result<Vec<IpNet>, AddressesError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| AddressesError::File {
        file: file.to_owned(),
        source,
    };
    let bytes =
        read_bounded(file, NETWORKS_FILE_BYTES_MAX).map_err(|error: ReadError| failed(error.into()))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| failed(error.into()))?;
    let mut networks = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let text = line.split_once('#').map_or(line, |(text, _)| text).trim();
        if text.is_empty() {
            continue;
        }
        let network = parse_network(text).ok_or_else(|| AddressesError::Line {
            file: file.to_owned(),
            line: index + 1,
            text: text.chars().take(60).collect(),
        })?;
        if networks.len() == NETWORKS_MAX {
            return Err(AddressesError::TooMany { file: file.to_owned() });
        }
        networks.push(network);
    }
    Ok(networks)
}

/// `[access]`; `None` where a problem was added.
pub(super) fn check_access(raw: Option<AccessTable>, checker: &mut Checker<'_>) -> Option<Addresses> {
    let Some(raw) = raw else { return Some(Addresses::default()) };
    let allow = check_list(raw.allow_addresses, raw.allow_file, "allow", checker);
    let deny = check_list(raw.deny_addresses, raw.deny_file, "deny", checker);
    Some(Addresses { allow: allow?, deny: deny?.unwrap_or_default() })
}

/// A list with what its file has; none where neither is given.
fn check_list(
    texts: Option<Vec<String>>,
    file: Option<String>,
    word: &str,
    checker: &mut Checker<'_>,
) -> Option<Option<Arc<Networks>>> {
    if texts.is_none() && file.is_none() {
        return Some(None);
    }
    let path = format!("access.{word}_addresses");
    let networks = check_networks(texts.unwrap_or_default(), &path, NETWORKS_MAX, checker);
    let read = file.map_or(Ok(Vec::new()), |file| read_networks(&beside(&file, checker)));
    let read = read.map_err(|error| checker.problem(&format!("access.{word}_file"), error.to_string()));
    let all = networks?.into_iter().chain(read.ok()?);
    Some(Some(Arc::new(Networks::new(all))))
}

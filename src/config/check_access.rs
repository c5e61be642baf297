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
    /// File with more that are allowed, relative to this file: one a line, and comments behind `#`. Read again on SIGHUP.
    #[schemars(example = &"allowed.txt")]
    pub allow_file: Option<String>,
    /// File with more that are denied.
    #[schemars(example = &"blocked.txt")]
    pub deny_file: Option<String>,
}

/// Which addresses clients may come from, as far as the configuration says it: files may change.
#[derive(Debug, Clone, Default)]
pub struct AddressRules {
    allow: List,
    deny: List,
    /// What lists and files came to when they were checked.
    pub addresses: Addresses,
}

#[derive(Debug, Clone, Default)]
struct List {
    networks: Vec<IpNet>,
    file: Option<PathBuf>,
    /// Whether there is one, even of nothing.
    is_given: bool,
}

/// Why a file of addresses was not taken.
#[derive(Debug, Error)]
pub enum AddressesError {
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

impl AddressRules {
    /// The addresses with the files as they are now.
    ///
    /// # Errors
    /// [`AddressesError`].
    pub fn read(&self) -> Result<Addresses, AddressesError> {
        let allow = if self.allow.is_given { Some(Arc::new(self.allow.read()?)) } else { None };
        Ok(Addresses { allow, deny: Arc::new(self.deny.read()?) })
    }

    /// Whether it says anything.
    pub fn is_given(&self) -> bool {
        self.allow.is_given || self.deny.is_given
    }

    /// Whether a file has a part in it.
    pub fn has_files(&self) -> bool {
        self.allow.file.is_some() || self.deny.file.is_some()
    }
}

impl List {
    fn read(&self) -> Result<Networks, AddressesError> {
        let mut networks = self.networks.clone();
        if let Some(file) = &self.file {
            networks.extend(read_networks(file)?);
        }
        Ok(Networks::new(networks))
    }
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
pub(super) fn check_access(raw: Option<AccessTable>, checker: &mut Checker<'_>) -> Option<AddressRules> {
    let Some(raw) = raw else { return Some(AddressRules::default()) };
    let allow = check_list(raw.allow_addresses, raw.allow_file, "allow", checker);
    let deny = check_list(raw.deny_addresses, raw.deny_file, "deny", checker);
    let (allow, deny) = (allow?, deny?);
    let mut access = AddressRules { allow, deny, addresses: Addresses::default() };
    match access.read() {
        Ok(addresses) => access.addresses = addresses,
        Err(error) => {
            let is_allow = access.allow.file.as_deref().is_some_and(|file| error.file() == file);
            let path = if is_allow { "access.allow_file" } else { "access.deny_file" };
            checker.problem(path, error.to_string());
            return None;
        }
    }
    Some(access)
}

impl AddressesError {
    fn file(&self) -> &Path {
        match self {
            Self::File { file, .. } | Self::Line { file, .. } | Self::TooMany { file } => file,
        }
    }
}

fn check_list(
    texts: Option<Vec<String>>,
    file: Option<String>,
    word: &str,
    checker: &mut Checker<'_>,
) -> Option<List> {
    let is_given = texts.is_some() || file.is_some();
    let path = format!("access.{word}_addresses");
    let networks = check_networks(texts.unwrap_or_default(), &path, NETWORKS_MAX, checker)?;
    Some(List { networks, file: file.map(|file| beside(&file, checker)), is_given })
}

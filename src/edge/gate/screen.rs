//! What is asked of a request before anybody asks who has sent it: where it comes from, and the rules.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::addresses::Addresses;
use super::facts::Facts;
use super::rules::{Rules, TooLarge};
use crate::config::checked::{AddressRules, AddressesError, Config};
use crate::edge::problem::Problem;
use crate::telemetry::metrics::Registry;

/// Lists of addresses, and rules. Without any of them everything passes.
#[derive(Debug, Default)]
pub struct Screen {
    /// What the lists are read from.
    access: AddressRules,
    stream_access: HashMap<Arc<str>, AddressRules>,
    addresses: Addresses,
    stream_addresses: HashMap<Arc<str>, Addresses>,
    rules: Arc<Rules>,
}

impl Screen {
    /// As node and pipelines say.
    ///
    /// # Errors
    /// [`TooLarge`], which a configuration that was checked does not bring about.
    pub fn new(config: &Config, registry: &Registry) -> Result<Self, TooLarge> {
        let access = config.node.access.clone();
        let given = config.pipelines.iter().filter(|pipeline| pipeline.access.is_given());
        let stream_access: HashMap<Arc<str>, AddressRules> =
            given.map(|pipeline| (pipeline.stream.name.as_str().into(), pipeline.access.clone())).collect();
        let of = |(name, access): (&Arc<str>, &AddressRules)| (Arc::clone(name), access.addresses.clone());
        Ok(Self {
            addresses: access.addresses.clone(),
            stream_addresses: stream_access.iter().map(of).collect(),
            access,
            stream_access,
            rules: Arc::new(Rules::new(&config.node.rules, registry)?),
        })
    }

    /// Whether files have a part in it.
    pub fn has_files(&self) -> bool {
        self.access.has_files() || self.stream_access.values().any(AddressRules::has_files)
    }

    /// The same with its files as they are now.
    ///
    /// # Errors
    /// [`AddressesError`].
    pub fn read_again(&self) -> Result<Self, AddressesError> {
        let read = |(name, access): (&Arc<str>, &AddressRules)| {
            access.read().map(|addresses| (Arc::clone(name), addresses))
        };
        Ok(Self {
            addresses: self.access.read()?,
            stream_addresses: self.stream_access.iter().map(read).collect::<Result<_, AddressesError>>()?,
            access: self.access.clone(),
            stream_access: self.stream_access.clone(),
            rules: Arc::clone(&self.rules),
        })
    }

    /// Lets a request pass, or says why not.
    ///
    /// # Errors
    /// [`Problem::AddressNotAllowed`] and [`Problem::Blocked`].
    pub fn judge(&self, facts: &Facts<'_>) -> Result<(), Problem> {
        if !self.addresses.permit(facts.client) {
            return Err(Problem::AddressNotAllowed);
        }
        self.rules.judge(facts).map_err(|status| Problem::Blocked { status })?;
        self.reach(facts.client, facts.stream)
    }

    /// Whether a client may come to a stream from where it is.
    ///
    /// # Errors
    /// [`Problem::AddressNotAllowed`].
    pub fn reach(&self, client: Option<IpAddr>, stream: Option<&str>) -> Result<(), Problem> {
        let addresses = stream.and_then(|stream| self.stream_addresses.get(stream));
        match addresses.is_none_or(|addresses| addresses.permit(client)) {
            true => Ok(()),
            false => Err(Problem::AddressNotAllowed),
        }
    }
}

//! What is asked of a request before anybody asks who has sent it: where it comes from, and the rules.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::addresses::Addresses;
use super::facts::Facts;
use super::rules::{Rules, TooLarge};
use crate::config::checked::Config;
use crate::edge::problem::Problem;
use crate::telemetry::metrics::Registry;

/// Lists of addresses, and rules. Without any of them everything passes.
#[derive(Debug, Default)]
pub struct Screen {
    addresses: Addresses,
    stream_addresses: HashMap<Arc<str>, Addresses>,
    rules: Rules,
}

impl Screen {
    /// As node and pipelines say.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn new(config: &Config, registry: &Registry) -> Result<Self, TooLarge> {
        let given = config.pipelines.iter().filter(|pipeline| pipeline.access.is_given());
        let streams = given.map(|pipeline| (pipeline.stream.name.as_str().into(), pipeline.access.clone()));
        Ok(Self {
            addresses: config.node.access.clone(),
            stream_addresses: streams.collect(),
            rules: Rules::new(&config.node.rules, registry)?,
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

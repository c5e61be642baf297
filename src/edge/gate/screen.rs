//! What is asked of a request before anybody asks who has sent it: where it comes from, and the rules.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::addresses::Addresses;
use super::facts::Facts;
use super::rules::{Rules, TooLarge};
use crate::config::checked::{Config, Pipeline};
use crate::edge::problem::Problem;
use crate::telemetry::metrics::Registry;

/// Lists of addresses, and rules. Without any of them everything passes.
#[derive(Debug, Default)]
pub struct Screen {
    addresses: Addresses,
    stream_addresses: Lists,
    /// Those of streams that are about to come.
    coming: RwLock<Lists>,
    /// Whether there are any: so that nobody asks for a lock otherwise.
    is_coming: AtomicBool,
    rules: Rules,
}

/// By stream.
type Lists = HashMap<Arc<str>, Addresses>;

fn lists<'a>(pipelines: impl IntoIterator<Item = &'a Pipeline>) -> Lists {
    let given = pipelines.into_iter().filter(|pipeline| pipeline.access.is_given());
    given.map(|pipeline| (pipeline.stream.name.as_str().into(), pipeline.access.clone())).collect()
}

fn permits(lists: &Lists, client: Option<IpAddr>, stream: &str) -> bool {
    lists.get(stream).is_none_or(|addresses| addresses.permit(client))
}

impl Screen {
    /// As node and pipelines say.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn new(config: &Config, registry: &Registry) -> Result<Self, TooLarge> {
        Ok(Self {
            addresses: config.node.access.clone(),
            stream_addresses: lists(&config.pipelines),
            rules: Rules::new(&config.node.rules, registry)?,
            ..Self::default()
        })
    }

    /// Has the lists of streams that are about to come hold beside its own, in the place of those that it was told before:
    /// a stream is there before the screen that knows it.
    pub fn expect<'a>(&self, pipelines: impl IntoIterator<Item = &'a Pipeline>) {
        // Nothing panics while it is replaced.
        let mut coming = self.coming.write().unwrap_or_else(PoisonError::into_inner);
        *coming = lists(pipelines);
        self.is_coming.store(!coming.is_empty(), Ordering::Release);
    }

    /// Lets a request pass, or says why not.
    ///
    /// # Errors
    /// [`Problem::AddressNotAllowed`] and [`Problem::Blocked`].
    pub fn judge(&self, facts: &Facts<'_>) -> Result<(), Problem> {
        if !self.lets_in(facts.client) {
            return Err(Problem::AddressNotAllowed);
        }
        self.rules.judge(facts).map_err(|status| Problem::Blocked { status })?;
        self.reach(facts.client, facts.stream)
    }

    /// Whether a client may come to the node from where it is.
    pub fn lets_in(&self, client: Option<IpAddr>) -> bool {
        self.addresses.permit(client)
    }

    /// Whether a client may come to a stream from where it is.
    ///
    /// # Errors
    /// [`Problem::AddressNotAllowed`].
    pub fn reach(&self, client: Option<IpAddr>, stream: Option<&str>) -> Result<(), Problem> {
        let Some(stream) = stream else { return Ok(()) };
        let may_to_one_that_comes = || {
            !self.is_coming.load(Ordering::Acquire)
                || permits(&self.coming.read().unwrap_or_else(PoisonError::into_inner), client, stream)
        };
        match permits(&self.stream_addresses, client, stream) && may_to_one_that_comes() {
            true => Ok(()),
            false => Err(Problem::AddressNotAllowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{node_for_tests, pipeline_of_text};

    #[test]
    fn the_list_of_a_stream_holds_before_the_stream_is_there() {
        let node = node_for_tests("");
        let pipeline = |name: &str, allow: &str| {
            let text = format!("[stream]\nname = \"{name}\"\n[access]\nallow_addresses = [\"{allow}\"]\n");
            pipeline_of_text(&text, &node).unwrap_or_else(|problems| panic!("{problems}"))
        };
        let pipelines = vec![pipeline("old", "10.0.0.0/8")];
        let screen =
            Screen::new(&Config { node: node.clone(), pipelines }, &Registry::new().unwrap()).unwrap();
        let may = |client: &str, stream| screen.reach(Some(client.parse().unwrap()), Some(stream)).is_ok();
        assert!(may("192.0.2.1", "new") && !may("192.0.2.1", "old"));
        screen.expect(&[pipeline("new", "192.0.2.2")]);
        assert!(!may("192.0.2.1", "new") && may("192.0.2.2", "new"));
        assert!(may("10.0.0.1", "old") && !may("192.0.2.2", "old"));
        screen.expect([]);
        assert!(may("192.0.2.1", "new"));
    }
}

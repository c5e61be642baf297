//! Other ways in to a stream (`[[stage]]`), with settings of their own, and which requests take them.
//!
//! A request to `/STAGE/streams/…` takes that stage. Of those to `/v1` each stage takes the percentage that is its
//! `canary`, the stages one behind the other in the order of the file: the request's partition key where it gives one, else
//! the address of its client, else the name of whoever has sent it, is hashed (XXH3-64 of its bytes, seeded with that of
//! the stream's name), and the remainder by 100 is its place among the percents. So the same sender takes the same stage
//! for as long as the configuration is the same, on every node.

use std::sync::{Arc, OnceLock};

use metrics::Counter;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::mapping::Sender;
use super::problem::Problem;
use super::{Edge, Intake, ingest};

/// What the way in without a stage is called in metrics.
const MAIN: &str = "v1";

/// One of the other ways in.
#[derive(Debug)]
pub struct Stage {
    /// Percent of the requests to `/v1` that it takes.
    canary: u8,
    /// What is behind it: the same stream.
    intake: Arc<Intake>,
}

/// The ways in to a stream, as one of them knows them.
#[derive(Debug)]
pub struct Stages {
    /// Its own name.
    name: Arc<str>,
    /// The others; known to the main one only.
    others: Vec<Stage>,
    /// Counters of records that were accepted and refused, made when they are first needed.
    verdicts: OnceLock<[Counter; 2]>,
}

impl Stages {
    /// The way in without a stage.
    pub fn main(others: Vec<Stage>) -> Self {
        Self { name: MAIN.into(), others, verdicts: OnceLock::new() }
    }

    /// One of the other ways.
    fn other(name: &str) -> Self {
        Self { name: name.into(), ..Self::main(Vec::new()) }
    }

    /// Whether there is more than one way in.
    fn are_there(&self) -> bool {
        !self.others.is_empty() || &*self.name != MAIN
    }
}

impl Stage {
    /// What takes `canary` percent, and is behind that name.
    pub fn new(name: &str, canary: u8, mut intake: Intake) -> Self {
        intake.stages = Stages::other(name);
        Self { canary, intake: Arc::new(intake) }
    }
}

impl Intake {
    /// The way in that a request asks for: the stage of that name, or where it names none, whichever takes it.
    ///
    /// # Errors
    /// [`Problem::NotFound`] if there is no such stage.
    pub fn way(self: Arc<Self>, stage: Option<&str>, sender: &Sender<'_>) -> Result<Arc<Self>, Problem> {
        let others = &self.stages.others;
        if let Some(name) = stage {
            let found = others.iter().find(|other| &*other.intake.stages.name == name);
            return found.map(|found| Arc::clone(&found.intake)).ok_or(Problem::NotFound);
        }
        if others.iter().all(|other| other.canary == 0) {
            return Ok(self);
        }
        let key = ingest::request_key(&self, sender.head)?;
        let percent = percent(self.stream.name(), key.as_deref(), sender);
        let mut upto = 0;
        for other in others {
            upto += other.canary;
            if percent < upto {
                return Ok(Arc::clone(&other.intake));
            }
        }
        Ok(self)
    }

    /// Counts what became of records by the way in, where there are several.
    pub fn count_verdicts(&self, edge: &Edge, accepted: u64, rejected: u64) {
        if self.stages.are_there() {
            let (stream, stage) = (self.stream.name(), &self.stages.name);
            let [taken, refused] =
                self.stages.verdicts.get_or_init(|| edge.route_metrics.stage_records(stream, stage));
            taken.increment(accepted);
            refused.increment(rejected);
        }
    }
}

/// Where a request stands among the hundred percents.
fn percent(stream: &str, key: Option<&str>, sender: &Sender<'_>) -> u8 {
    let seed = xxh3_64(stream.as_bytes());
    let hash = match (key, sender.client, sender.principal) {
        (Some(key), ..) => xxh3_64_with_seed(key.as_bytes(), seed),
        (None, Some(client), _) => xxh3_64_with_seed(client.to_string().as_bytes(), seed),
        (None, None, principal) => xxh3_64_with_seed(principal.unwrap_or_default().as_bytes(), seed),
    };
    // Below 100.
    (hash % 100) as u8
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn senders_are_spread_evenly_and_each_stays_where_it_is() {
        let (head, ()) = Request::post("/").body(()).unwrap().into_parts();
        let of = |client: [u8; 4], stream: &str| {
            let sender = Sender {
                head: &head,
                client: Some(client.into()),
                principal: Some("app"),
                attributes: None,
                request_id: None,
                trace: None,
            };
            percent(stream, None, &sender)
        };
        let all: Vec<_> = (0..=255).flat_map(|a| (0..40).map(move |b| [10, 0, a, b])).collect();
        let taken = all.iter().filter(|client| of(**client, "web") < 10).count();
        let share = taken as f64 / all.len() as f64;
        assert!((0.09..0.11).contains(&share), "{share}");
        assert!(
            all.iter().all(|client| of(*client, "web") == of(*client, "web") && of(*client, "web") < 100)
        );
        // Another stream has other senders in its canary.
        assert!(all.iter().any(|client| of(*client, "web") < 10 && of(*client, "app") >= 10));
    }

    #[test]
    fn a_key_counts_before_the_address_and_the_address_before_the_name() {
        let (head, ()) = Request::post("/").body(()).unwrap().into_parts();
        let sender = |client: Option<[u8; 4]>, principal| Sender {
            head: &head,
            client: client.map(Into::into),
            principal,
            attributes: None,
            request_id: None,
            trace: None,
        };
        let (here, there) = (Some([192, 0, 2, 1]), Some([192, 0, 2, 2]));
        let of = |key, client, principal| percent("s", key, &sender(client, principal));
        assert_eq!(of(Some("k"), here, Some("a")), of(Some("k"), there, None));
        assert_eq!(of(None, here, Some("a")), of(None, here, None));
        let names: std::collections::BTreeSet<_> =
            ["a", "b", "c", "d"].map(|name| of(None, None, Some(name))).into();
        assert!(names.len() > 1);
    }
}

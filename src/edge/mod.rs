//! Edge: from a socket to an appended batch and its reply.
//!
//! ```text
//! listen ─▶ connection ─▶ route ─▶ gate ─▶ admit ─▶ body ─▶ decode (validate, capture) ─▶ partition ─▶ append ─▶ reply
//! ```
//!
//! One current-thread runtime a core does all of it for the connections that the kernel gave to its listener
//! (`SO_REUSEPORT`), so a request never changes cores.

pub mod admit;
pub mod answer_cache;
mod answers;
pub mod append;
pub mod aws;
pub mod body;
pub mod clicks;
pub(crate) mod connection;
pub mod cors;
pub mod cursors;
pub mod dead_letters;
pub mod decode;
pub mod desk;
pub mod gate;
pub mod identity;
pub mod ingest;
mod intake;
pub mod judge;
mod learned_plan;
pub mod listen;
pub mod mapping;
pub mod partition;
pub mod problem;
pub mod reply;
mod reshard;
mod route;
pub mod stages;
mod streams;
pub mod strict;
mod tagged;
pub mod upgrade;
pub mod visit;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Semaphore, watch};

use crate::config::checked;
use crate::config::limits::DEAD_LETTER_READERS_MAX;
use crate::pipeline::control::Control;
use crate::runtime::budget::{Budget, Share};
use crate::runtime::phases::{Phase, Phases};
use crate::tap::taps::Taps;
use crate::telemetry::metrics::{AuthorizerMetrics, ConnectionMetrics, Registry};
use crate::telemetry::observer::Observer;

use answer_cache::AnswerCache;
use gate::Gate;
use gate::screen::Screen;
use gate::throttle::Throttle;
use identity::jwt::Jwt;
use identity::principal::IdentityKind;
use identity::signature_v4::Identities;
pub use intake::Intake;
use listen::crowd::Crowd;
use problem::Problem;
pub use route::{RouteMetrics, check_size, names as route_names};

type Intakes = HashMap<Arc<str>, Arc<Intake>, foldhash::fast::RandomState>;

/// Everything that a request may need. Shared by all edge threads.
#[derive(Debug)]
pub struct Edge {
    /// `[server]`.
    pub server: checked::Server,
    /// By stream name; not there before [`Edge::open`]. Another map takes its place when a stream comes or goes.
    intakes: RwLock<Option<Arc<Intakes>>>,
    /// Changes streams; not there before [`Edge::obey`].
    control: OnceLock<Arc<Control>>,
    /// The ingest share of the byte budget: an account a stream, one for bodies whose stream is not known yet, and the
    /// last one for the pages of taps.
    pub budget: Share,
    /// The account of taps.
    pub taps_budget: Arc<Budget>,
    /// Live readers.
    pub taps: Arc<Taps>,
    /// Told to stop by it.
    pub phases: Phases,
    /// Open connections of all threads.
    pub connections: AtomicUsize,
    /// The same by where they come from.
    pub crowd: Arc<Crowd>,
    /// Connection metrics.
    pub connection_metrics: ConnectionMetrics,
    /// Request metrics.
    pub route_metrics: RouteMetrics,
    /// Calls of the HTTP authorizer, whichever there is.
    authorizer_metrics: AuthorizerMetrics,
    /// Whether this node is an edge.
    takes_requests: bool,
    /// What is put on record of requests.
    pub observer: Arc<Observer>,
    /// Who may come in.
    gate: watch::Sender<Arc<Gate>>,
    /// How much may come in and go out, and what has.
    pub throttle: Throttle,
    /// What is there for clients of AWS services.
    pub aws: aws::Gateway,
    /// Answers that are given again, where that is wished.
    pub answer_cache: Option<AnswerCache>,
    /// A place for each request that may read dead letters at a time.
    letter_readers: Arc<Semaphore>,
    /// One reclaim at a time.
    pub reclaiming: admit::Reclaiming,
}

impl Edge {
    /// Puts the edge together. Until [`Edge::open`] it refuses what is about a stream.
    pub fn new(
        server: checked::Server,
        (auth, limits, settings): (&checked::Auth, &checked::Limits, &checked::Aws),
        budget: Share,
        phases: Phases,
        registry: &Registry,
    ) -> Self {
        let throttle = Throttle::new(limits, registry);
        let taps_budget = budget.account(usize::MAX);
        let crowd = Crowd::new(server.address_connections_max, &server.trusted_proxies);
        let metrics = ["events", "websocket", "subscription"].map(|kind| registry.taps(kind));
        let taps = Taps::new(Arc::clone(&taps_budget), server.idle_timeout, phases.clone(), metrics);
        let authorizer_metrics = registry.authorizer();
        let aws = aws::Gateway::new(budget.account_before_last(), settings);
        let jwt = Arc::new(Jwt::new(&auth.jwt_issuers, (registry, &throttle)));
        let signatures = Arc::new(Identities::new(&settings.access, &settings.account, &throttle));
        let gate = Gate::new(auth, (signatures, jwt), &throttle, &authorizer_metrics);
        Self {
            server,
            intakes: RwLock::new(None),
            control: OnceLock::new(),
            authorizer_metrics,
            gate: watch::Sender::new(Arc::new(gate)),
            throttle,
            aws,
            taps_budget,
            taps,
            budget,
            phases,
            connections: AtomicUsize::new(0),
            crowd: Arc::new(crowd),
            connection_metrics: registry.connections(),
            route_metrics: RouteMetrics::new(registry.clone()),
            takes_requests: true,
            observer: Arc::new(Observer::off()),
            answer_cache: None,
            letter_readers: Arc::new(Semaphore::new(DEAD_LETTER_READERS_MAX)),
            reclaiming: admit::Reclaiming::default(),
        }
    }

    /// Takes requests about streams only if the node has the role of an edge. To be called before the first of them.
    #[must_use]
    pub fn for_requests(self, takes_requests: bool) -> Self {
        Self { takes_requests, ..self }
    }

    /// Has requests put on record by `observer`. To be called before the first of them.
    #[must_use]
    pub fn observed_by(self, observer: Arc<Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Keeps answers as `settings` say. To be called before the first request.
    #[must_use]
    pub fn caching(self, settings: Option<&checked::Cache>, registry: &Registry) -> Self {
        Self { answer_cache: settings.map(|settings| AnswerCache::new(settings, registry)), ..self }
    }

    /// Forgets the answers that are kept. Returns how many there were, and their bytes.
    pub fn forget_answers(&self) -> answer_cache::Forgotten {
        self.answer_cache.as_ref().map(AnswerCache::forget).unwrap_or_default()
    }

    /// Brings gauges up to date.
    pub fn refresh_gauges(&self) {
        self.throttle.standings.refresh_gauges();
        self.gate().jwt().refresh_gauges();
        if let Some(cache) = &self.answer_cache {
            cache.refresh_gauges();
        }
    }

    /// Who may come in now. A request is judged by one and the same all its way.
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate.borrow())
    }

    /// Tells when others may come in, to whatever stays open.
    pub fn gates(&self) -> watch::Receiver<Arc<Gate>> {
        self.gate.subscribe()
    }

    /// Has others come in from now on. What stays open is asked again: see [`Renewal`](gate::renewal::Renewal).
    pub fn replace_gate(
        &self,
        (auth, limits, access): (&checked::Auth, &checked::Limits, &checked::Access),
        jwt: Arc<Jwt>,
        screen: Arc<Screen>,
    ) {
        let before = self.gate();
        // With the keys that were derived of their secrets.
        let signatures = match before.signatures().is_of(access) {
            true => Arc::clone(before.signatures()),
            false => Arc::new(Identities::new(access, &self.aws.account, &self.throttle)),
        };
        let levels = Arc::new(self.throttle.relimited(limits, before.levels()));
        let gate = Gate::new(auth, (signatures, jwt), &self.throttle, &self.authorizer_metrics);
        let gate = gate.behind(screen).limited(levels);
        let of_keys = access.keys.iter().map(|key| (IdentityKind::SignatureV4, key.id.as_str()));
        let names: HashSet<_> =
            auth.named().chain(of_keys).map(|(kind, name)| (kind.as_str(), name)).collect();
        self.throttle.standings.forget_others(|kind, name| names.contains(&(kind, name)));
        let sources: HashSet<_> = auth.sources().map(|(kind, name)| (kind.as_str(), name)).collect();
        self.throttle.standings.subjects.forget_others(|kind, name| sources.contains(&(kind, name)));
        self.gate.send_replace(Arc::new(gate));
        self.forget_answers();
    }

    /// Has streams changed by `control`. To be called before [`Edge::open`].
    pub fn obey(&self, control: Arc<Control>) {
        self.control.get_or_init(|| control);
    }

    /// Lets records in.
    pub fn open(&self, intakes: Vec<Intake>) {
        let named = |intake| {
            let intake = self.limited(intake);
            (Arc::clone(intake.stream.name()), Arc::new(intake))
        };
        *self.write_intakes() = Some(Arc::new(intakes.into_iter().map(named).collect()));
    }

    /// Lets records of one more stream in.
    pub fn add(&self, intake: Intake) {
        let intake = self.limited(intake);
        self.change_intakes(|intakes| {
            intakes.insert(Arc::clone(intake.stream.name()), Arc::new(intake));
        });
    }

    /// Lets records of a stream in again, as it was when it was removed.
    pub fn restore(&self, intake: Arc<Intake>) {
        self.change_intakes(|intakes| {
            intakes.insert(Arc::clone(intake.stream.name()), intake);
        });
    }

    /// With its account. That of a stream whose limit is the same goes on.
    fn limited(&self, intake: Intake) -> Intake {
        let (name, limit) = (intake.stream.name(), intake.ingest.limit);
        let before = self.any_intake(name).ok().filter(|before| before.ingest.limit == limit);
        let account = match before {
            Some(before) => before.account.clone(),
            None => self.throttle.stream(name, limit),
        };
        Intake { account, ..intake }
    }

    /// Knows a stream no more.
    pub fn remove(&self, name: &str) {
        self.change_intakes(|intakes| drop(intakes.remove(name)));
    }

    fn change_intakes(&self, change: impl FnOnce(&mut Intakes)) {
        {
            let mut current = self.write_intakes();
            let mut next = current.as_deref().cloned().unwrap_or_default();
            change(&mut next);
            *current = Some(Arc::new(next));
        }
        // The list of streams is another one.
        self.forget_answers();
    }

    fn write_intakes(&self) -> RwLockWriteGuard<'_, Option<Arc<Intakes>>> {
        // Nothing panics while it is changed.
        self.intakes.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_intakes(&self) -> RwLockReadGuard<'_, Option<Arc<Intakes>>> {
        self.intakes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream of that name that clients see.
    pub fn intake(&self, name: &str) -> Result<Arc<Intake>, Problem> {
        self.check_role()?;
        let intake = self.any_intake(name)?;
        if intake.is_internal { Err(Problem::UnknownStream(name.to_owned())) } else { Ok(intake) }
    }

    /// The stream of that name, whoever sees it.
    pub fn any_intake(&self, name: &str) -> Result<Arc<Intake>, Problem> {
        match &*self.read_intakes() {
            Some(intakes) => {
                intakes.get(name).cloned().ok_or_else(|| Problem::UnknownStream(name.to_owned()))
            }
            None => Err(self.closed()),
        }
    }

    /// All streams, whoever sees them; none before [`Edge::open`].
    pub fn intakes(&self) -> Vec<Arc<Intake>> {
        self.read_intakes().as_ref().map(|intakes| intakes.values().cloned().collect()).unwrap_or_default()
    }

    /// All streams that clients see, or why there are none yet.
    pub fn open_intakes(&self) -> Result<Vec<Arc<Intake>>, Problem> {
        self.check_role()?;
        match &*self.read_intakes() {
            Some(intakes) => Ok(intakes.values().filter(|intake| !intake.is_internal).cloned().collect()),
            None => Err(self.closed()),
        }
    }

    /// What changes streams while the node runs.
    pub fn control(&self) -> Result<&Arc<Control>, Problem> {
        self.control.get().ok_or_else(|| self.closed())
    }

    fn check_role(&self) -> Result<(), Problem> {
        if self.takes_requests { Ok(()) } else { Err(Problem::NotAnEdge) }
    }

    fn closed(&self) -> Problem {
        match self.phases.current() {
            Phase::Starting | Phase::Recovering | Phase::Serving => Problem::Starting,
            Phase::StoppingEdge | Phase::Draining | Phase::Stopped => Problem::Draining,
        }
    }
}

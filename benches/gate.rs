//! What it costs to let a request in: who has sent it, what they may do, and how much.
//!
//! The same request of a single event, against gates that know 1 and 10,000 principals and 1 and 1,000 routes or
//! streams with limits; and what the same costs without a gate that asks anything.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use forebay::config::checked::{
    Access, Allowance, ApiKey, Auth, Demand, Limit, Limits, Period, Quota, Rate, Rates, SignatureRule,
};
use forebay::edge::gate::Gate;
use forebay::edge::gate::facts::Facts;
use forebay::edge::gate::throttle::account::Account;
use forebay::edge::gate::throttle::measure::{Cost, Flow};
use forebay::edge::gate::throttle::{Asks, Throttle};
use forebay::edge::identity::credentials::sha256;
use forebay::edge::identity::policy::{Action, Grant, Policy};
use forebay::edge::identity::principal::IdentityKind;
use forebay::edge::identity::signature_v4::Identities;
use forebay::edge::listen::socket::Peer;
use forebay::telemetry::metrics::Registry;
use futures_util::FutureExt;
use http::request::Parts;
use mimalloc::MiMalloc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Never short of anything.
const RATE: Rate = Rate { a_second: 1 << 40, burst: 1 << 40 };
const RATES: Rates = Rates { requests: None, records: Some(RATE), bytes: Some(RATE) };
const LIMIT: Limit = Limit { ingest: RATES, tap: RATES };
const EVENT_BYTES: usize = 500;

/// A gate and what it asks about.
struct Scene {
    gate: Arc<Gate>,
    throttle: Throttle,
    streams: Vec<Arc<Account>>,
    heads: Vec<Parts>,
}

impl Scene {
    fn new(principals: usize, streams: usize, limits: &Limits, is_limited: bool) -> Self {
        let Ok(registry) = Registry::new() else { unreachable!("its buckets are right") };
        let throttle = Throttle::new(limits, &registry);
        let quota = Quota { records: Some(1 << 60), bytes: None, period: Period::Month };
        let allowance = match is_limited {
            true => Allowance { limit: LIMIT, quota: Some(quota), weight: 1 },
            false => Allowance::default(),
        };
        let secret = |index: usize| format!("secret-of-number-{index:08}");
        let keys = (0..principals).map(|index| ApiKey {
            name: format!("key-{index}"),
            digest: sha256(secret(index).as_bytes()),
            policy: Policy::new(Grant::parse("ingest:*").into_iter().collect()),
            allowance,
        });
        let demands = Action::ALL.map(|_| Demand::AnyOf(vec![IdentityKind::ApiKey]));
        let auth = Auth::new(demands, keys.collect());
        let access = Access { signature: SignatureRule::Off, clock_skew: Duration::ZERO, keys: Vec::new() };
        let signatures = Arc::new(Identities::new(&access, "000000000000", &throttle));
        let gate =
            Arc::new(Gate::new(&auth, (signatures, Arc::default()), &throttle, &registry.authorizer()));
        let account = |index: usize| throttle.stream(&Arc::from(format!("s-{index}")), LIMIT);
        let streams = (0..streams).filter_map(account).collect();
        let head = |index: usize| {
            let request = http::Request::post("/v1/streams/s/records").header("x-api-key", secret(index));
            match request.header("content-type", "application/json").body(()) {
                Ok(request) => request.into_parts().0,
                Err(_) => unreachable!("all of it is known to be right"),
            }
        };
        // Each of some clients in turn, so that not everything is in the processor's cache.
        let heads = (0..principals.min(1_000)).map(|index| head(index * principals / principals.min(1_000)));
        let heads = heads.collect();
        Self { gate, throttle, streams, heads }
    }

    fn enter(&self, index: usize, is_charged: bool) {
        let client = IpAddr::from([10, 0, (index >> 8) as u8, index as u8]);
        let Some(head) = self.heads.get(index % self.heads.len()) else { return };
        let facts = Facts {
            head: black_box(head),
            peer: &Peer::default(),
            client: Some(client),
            route: "records",
            action: Some(Action::Ingest),
            stream: Some("s"),
            visit: None,
        };
        let Some(Ok(entry)) = self.gate.enter(&facts).now_or_never() else { unreachable!("it is known") };
        if !is_charged {
            return;
        }
        let principal = entry.principal.as_ref().and_then(|principal| principal.standing.account.as_ref());
        let stream = self.streams.get(index % self.streams.len().max(1));
        let asks = Asks { principal, stream, client: Some(client), route: "records", flow: Flow::Ingest };
        let charge = self.throttle.levels.enter(&asks, Cost::announced(Some(EVENT_BYTES as u64)));
        let Ok(mut charge) = charge else { unreachable!("nothing is short") };
        assert!(charge.settle_records(1, 1, EVENT_BYTES).is_ok());
    }
}

fn gate(criterion: &mut Criterion) {
    let all = Limits { global: LIMIT, client_address: LIMIT, routes: vec![("records", LIMIT)] };
    let mut group = criterion.benchmark_group("gate");
    let mut run = |name: &str, scene: &Scene, is_charged: bool| {
        let mut index = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                index += 1;
                scene.enter(index, is_charged);
            });
        });
    };
    let none = Limits::default();
    run("identity_and_policy/1_principal", &Scene::new(1, 0, &none, false), false);
    run("identity_and_policy/10000_principals", &Scene::new(10_000, 0, &none, false), false);
    run("and_no_limit/1_principal", &Scene::new(1, 0, &none, false), true);
    run("and_its_limit_and_quota/1_principal", &Scene::new(1, 0, &none, true), true);
    run("and_its_limit_and_quota/10000_principals", &Scene::new(10_000, 0, &none, true), true);
    run("and_all_levels/1_principal_1_stream", &Scene::new(1, 1, &all, true), true);
    run("and_all_levels/10000_principals_1000_streams", &Scene::new(10_000, 1_000, &all, true), true);
    group.finish();
}

criterion_group!(benches, gate);
criterion_main!(benches);

//! Our edge beside a bare hyper server, with the same client, the same requests and answers of the same size.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use forebay::config::checked::Durability;
use forebay::testkit::web_events;

use crate::bare_server::BareServer;
use crate::harness::client::{Connection, Seen, closed_loop_awake, post};
use crate::harness::cores::Cores;
use crate::harness::forebay::{Judging, Server, StreamSpec};
use crate::harness::history::{Better, Figures};
use crate::harness::{Call, median, raise_file_limit};

const CONNECTIONS: usize = 32;
/// Enough that one commit is written while the requests of the next one come in, where the disk is fast.
const CONNECTIONS_MANY: usize = 256;
/// Enough for disks that take milliseconds.
const CONNECTIONS_CROWD: usize = 2_048;
const BATCH_EVENTS: u64 = 100;
const ROUNDS: usize = 9;
const ROUND_DURATION: Duration = Duration::from_secs(1);

/// One who takes the requests, and what he has shown in each round.
struct Contestant {
    name: &'static str,
    address: SocketAddr,
    request: Bytes,
    rounds: Vec<Seen>,
}

impl Contestant {
    fn new(name: &'static str, address: SocketAddr, request: &Bytes) -> Self {
        Self { name, address, request: request.clone(), rounds: Vec::new() }
    }

    fn median(&self, of: impl Fn(&Seen) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    /// The median over the rounds of how this one compares with `other` in the same round.
    fn ratio(&self, other: &Contestant, of: impl Fn(&Seen) -> f64) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(own, other)| of(own) / of(other)))
    }
}

/// Runs both sizes of body, single events also over many connections.
pub fn run(call: &Call, cores: &Cores, figures: &mut Figures) {
    println!(
        "\nHTTP: POST over keep-alive connections, closed loop; {}; medians of {} rounds, taking turns",
        cores.describe(),
        call.rounds(ROUNDS)
    );
    println!(
        "  (a server far from 100 % busy was not the bottleneck, or had to share its core: then compare CPU, not rates)"
    );
    raise_file_limit();
    let single = web_events::typical_event();
    let batch = web_events::lines(0..BATCH_EVENTS);
    let body = Body { text: &single, content_type: "application/json", events: 1 };
    compare(call, cores, &body, CONNECTIONS, figures);
    compare(call, cores, &body, CONNECTIONS_MANY, figures);
    compare(call, cores, &body, CONNECTIONS_CROWD, figures);
    let body = Body { text: &batch, content_type: "application/x-ndjson", events: BATCH_EVENTS };
    compare(call, cores, &body, CONNECTIONS, figures);
}

struct Body<'a> {
    text: &'a str,
    content_type: &'static str,
    events: u64,
}

fn compare(call: &Call, cores: &Cores, body: &Body<'_>, connections: usize, figures: &mut Figures) {
    // A server each, so that what one stream holds in memory is not the other's burden.
    let serve = |name, judging, durability| {
        let stream = StreamSpec { durability, ..StreamSpec::new(name, 1, judging) };
        cores.on_server(|| Server::start(&[stream]))
    };
    let syntax = serve("syntax", Judging::Syntax, Durability::Memory);
    let durable = serve("syntax", Judging::Syntax, Durability::Fsync);
    let schema = serve("schema", Judging::SchemaAndKey, Durability::Memory);
    let syntax_request = post("syntax", body.content_type, body.text);
    let schema_request = post("schema", body.content_type, body.text);
    let mut connection = Connection::open(syntax.address()).unwrap();
    let answer = Bytes::copy_from_slice(connection.exchange(&syntax_request).unwrap());
    drop(connection);
    let bare = cores.on_server(|| BareServer::start(answer));
    let mut contestants = [
        Contestant::new("bare hyper", bare.address, &syntax_request),
        Contestant::new("forebay", syntax.address(), &syntax_request),
        Contestant::new("forebay, fsync", durable.address(), &syntax_request),
        Contestant::new("forebay, schema and key", schema.address(), &schema_request),
    ];
    for _ in 0..call.rounds(ROUNDS) {
        for contestant in &mut contestants {
            let duration = call.duration(ROUND_DURATION);
            contestant.rounds.push(closed_loop_awake(
                contestant.address,
                &contestant.request,
                connections,
                duration,
            ));
        }
    }
    print(body, connections, &contestants);
    keep(body, connections, &contestants, figures);
}

fn keep(body: &Body<'_>, connections: usize, contestants: &[Contestant], figures: &mut Figures) {
    let [bare, ours @ ..] = contestants else { return };
    let over =
        if connections == CONNECTIONS { String::new() } else { format!(", {connections} connections") };
    let name = |contestant: &Contestant| format!("{}, {} a request{over}", contestant.name, body.events);
    let rate = |contestant: &Contestant| (contestant.median(Seen::rate), "requests/s");
    figures.add("http", &name(bare), rate(bare), Better::Higher);
    for contestant in ours {
        let limit = ("bare hyper", contestant.ratio(bare, Seen::rate));
        figures.add_beside("http", &name(contestant), rate(contestant), Better::Higher, limit);
    }
}

fn print(body: &Body<'_>, connections: usize, contestants: &[Contestant]) {
    println!(
        "\n  bodies of {} event{}, {} bytes, {connections} connections",
        body.events,
        if body.events == 1 { "" } else { "s" },
        body.text.len()
    );
    println!(
        "  {:<24} {:>10} {:>8} {:>12} {:>12} {:>14} {:>14}",
        "", "requests/s", "MB/s", "server busy", "CPU us/req", "rate / bare's", "CPU / bare's"
    );
    let [bare, ..] = contestants else { return };
    for contestant in contestants {
        let rate = contestant.median(Seen::rate);
        println!(
            "  {:<24} {:>10.0} {:>8.0} {:>11.0}% {:>12.2} {:>14.2} {:>14.2}",
            contestant.name,
            rate,
            rate * body.text.len() as f64 / 1e6,
            contestant.median(Seen::busy) * 100.0,
            contestant.median(Seen::cpu_us),
            contestant.ratio(bare, Seen::rate),
            contestant.ratio(bare, Seen::cpu_us),
        );
    }
}

//! Nodes, a store and a broker with whatever can go wrong, in simulated time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::super::*;
use super::chance::Random;
use crate::runtime::clock;
use crate::stream::hash::{HashKey, HashRange};

/// Simulated milliseconds.
pub type Millis = u64;

const NODES: usize = 3;
pub const KEYS: usize = 6;
/// Nothing goes wrong any more from then on.
const CALM: Millis = 300_000;
pub const END: Millis = 500_000;

pub struct Node {
    pub switch: Switch,
    /// Counts its lives: what was on its way to one before is dropped.
    life: u32,
    is_alive: bool,
    /// Its clock: runs so many thousandths faster or slower, from another beginning.
    rate: u64,
    origin: Instant,
}

impl Node {
    pub fn clock(&self, now: Millis) -> Instant {
        self.origin + Duration::from_micros(now * self.rate)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Sent {
    node: usize,
    life: u32,
    pub key: usize,
    pub generation: u32,
    pub partition: u32,
    pub at: Millis,
}

/// A record that a client was told of.
#[derive(Debug, Clone, Copy)]
pub struct Confirmed {
    pub sent: Sent,
    pub offset: u64,
    pub at: Millis,
}

#[derive(Debug, Clone)]
enum Write {
    Generation(Generation),
    Beginning(Beginning),
}

#[derive(Debug, Clone)]
enum Event {
    /// A node asks its next question.
    Ask(usize, u32),
    /// The question is with the store.
    Look(usize, u32, Instant, Question),
    /// The answer is with the node.
    Told(usize, u32, Instant, Answer),
    /// The store is told to create something.
    Create(usize, u32, Write),
    /// The broker is asked for ends.
    Ends(usize, u32),
    /// Ends are with the node.
    Ended(usize, u32, Vec<u64>),
    /// A client puts a record.
    Put(usize),
    /// A record is in the topic.
    Land(Sent),
    /// The node is told of it.
    Ack(Sent, u64),
    /// The topic gets more partitions.
    Grow(u32),
    /// A node hears how many there are.
    Hear(usize),
    /// A node looks where the partitions end, for its readers.
    Read(usize),
    Crash(usize),
    Start(usize),
}

pub struct World {
    random: Random,
    now: Millis,
    events: BinaryHeap<Reverse<(Millis, u64)>>,
    queued: BTreeMap<u64, Event>,
    count: u64,
    pub nodes: Vec<Node>,
    pub generations: BTreeMap<u32, Generation>,
    beginnings: BTreeMap<u32, Beginning>,
    pub partitions: Vec<u64>,
    /// When the last record of a node on its way to a partition comes there.
    landing: BTreeMap<(usize, u32), Millis>,
    pub confirmed: Vec<Confirmed>,
    late: usize,
    /// How far a partition was shown as one of a generation.
    pub shown: BTreeMap<(u32, u32), u64>,
    /// How far it would have been by a node that never waits.
    pub seen: BTreeMap<(u32, u32), u64>,
    /// What each node has for the protocol's times.
    times: Times,
    /// And those by which it asks for ends.
    until_ends: Times,
}

impl World {
    pub fn new(seed: u64, times: Times, until_ends: Times) -> Self {
        let mut random = Random(seed);
        let base = clock::monotonic();
        let nodes = (0..NODES).map(|_| Node {
            switch: Switch::new(times),
            life: 0,
            is_alive: false,
            // 2.5 % fast or slow: 5 % of 15 s are within the margin of one.
            rate: 975 + random.below(51),
            origin: base + Duration::from_millis(random.below(1_000_000)),
        });
        let nodes = nodes.collect();
        let (events, queued, landing) = (BinaryHeap::new(), BTreeMap::new(), BTreeMap::new());
        let partitions = vec![0; 1 + random.below(3) as usize];
        let mut world = Self {
            random,
            now: 0,
            events,
            queued,
            count: 0,
            nodes,
            generations: BTreeMap::new(),
            beginnings: BTreeMap::new(),
            partitions,
            landing,
            confirmed: Vec::new(),
            late: 0,
            shown: BTreeMap::new(),
            seen: BTreeMap::new(),
            times,
            until_ends,
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        for node in 0..NODES {
            let start = self.random.below(20_000);
            self.at(start, Event::Start(node));
            for _ in 0..self.random.below(4) {
                let crash = self.random.below(CALM - 50_000);
                let back = crash + 1 + self.random.below(40_000);
                self.at(crash, Event::Crash(node));
                self.at(back, Event::Start(node));
            }
            // All are there in the end.
            self.at(CALM, Event::Start(node));
        }
        for key in 0..KEYS {
            self.at(0, Event::Put(key));
        }
        for _ in 0..1 + self.random.below(3) {
            let (at, more) = (self.random.below(CALM - 20_000), 1 + self.random.below(4));
            self.at(at, Event::Grow(more as u32));
        }
    }

    fn at(&mut self, time: Millis, event: Event) {
        self.count += 1;
        self.events.push(Reverse((time, self.count)));
        self.queued.insert(self.count, event);
    }

    fn after(&mut self, time: Millis, event: Event) {
        self.at(self.now + time, event);
    }

    fn is_calm(&self) -> bool {
        self.now >= CALM
    }

    fn delay(&mut self) -> Millis {
        let is_calm = self.is_calm();
        self.random.delay(is_calm)
    }

    /// Whether something on its way is lost.
    fn is_lost(&mut self) -> bool {
        !self.is_calm() && self.random.percent(3)
    }

    fn is(&self, node: usize, life: u32) -> bool {
        self.nodes[node].is_alive && self.nodes[node].life == life
    }

    pub fn run(&mut self) {
        while let Some(Reverse((time, id))) = self.events.pop() {
            if time > END {
                break;
            }
            self.now = time;
            let event = self.queued.remove(&id).unwrap();
            self.happens(event);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Start(node) => self.start(node),
            Event::Crash(node) => self.nodes[node].is_alive = false,
            Event::Hear(node) => {
                let partitions = self.partitions.len() as u32;
                self.nodes[node].switch.has_partitions(partitions);
                let next = 1_000 + self.random.below(15_000);
                self.after(next, Event::Hear(node));
            }
            Event::Read(node) => self.read(node),
            Event::Grow(more) => self.partitions.resize(self.partitions.len() + more as usize, 0),
            Event::Ask(node, life) if self.is(node, life) => {
                let (asked, question) =
                    (self.nodes[node].clock(self.now), self.nodes[node].switch.question());
                let delay = self.delay();
                self.after(delay, Event::Look(node, life, asked, question));
            }
            Event::Look(node, life, asked, question) => self.look(node, life, asked, question),
            Event::Told(node, life, asked, answer) if self.is(node, life) => {
                self.told(node, life, asked, answer)
            }
            Event::Create(node, life, write) => self.create(node, life, write),
            Event::Ends(node, life) if self.is(node, life) => {
                let known = self.nodes[node].switch.generations().newest();
                let count = known.map_or(0, |newest| newest.partitions) as usize;
                let ends = self.partitions.iter().take(count).copied().collect();
                let delay = self.delay();
                self.after(delay, Event::Ended(node, life, ends));
            }
            Event::Ended(node, life, ends) if self.is(node, life) => {
                let made = self.nodes[node].switch.end(ends, self.now / 1_000).unwrap().unwrap();
                let delay = self.delay();
                self.after(delay, Event::Create(node, life, Write::Generation(made)));
            }
            Event::Put(key) => self.put(key),
            Event::Land(sent) => self.land(sent),
            Event::Ack(sent, offset) if self.is(sent.node, sent.life) => self.ack(sent, offset),
            _ => {}
        }
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].is_alive {
            return;
        }
        let times = self.times;
        let this = &mut self.nodes[node];
        (this.switch, this.life, this.is_alive) = (Switch::new(times), this.life + 1, true);
        let life = this.life;
        self.after(0, Event::Ask(node, life));
        if life == 1 {
            self.after(0, Event::Hear(node));
            self.after(0, Event::Read(node));
        }
    }

    fn read(&mut self, node: usize) {
        let next = 1 + self.random.below(500);
        self.after(next, Event::Read(node));
        let this = &self.nodes[node];
        let Some(newest) = this.switch.generations().newest().filter(|_| this.is_alive) else { return };
        let may_show = this.switch.may_show(this.clock(self.now));
        for (partition, &end) in (0..newest.partitions).zip(&self.partitions) {
            let place = (newest.number, partition);
            let (seen, shown) = (self.seen.entry(place).or_default(), self.shown.entry(place).or_default());
            *seen = end.max(*seen);
            if may_show {
                *shown = end.max(*shown);
            }
        }
    }

    fn ask_in(&mut self, time: Millis, node: usize, life: u32) {
        self.after(time, Event::Ask(node, life));
    }

    fn look(&mut self, node: usize, life: u32, asked: Instant, question: Question) {
        let answer = match question {
            Question::Beginning(number) => Answer::Beginning(self.beginnings.get(&number).copied()),
            Question::Generation(number) => Answer::Generation(self.generations.get(&number).cloned()),
        };
        if self.is_lost() {
            return self.ask_in(2_000, node, life);
        }
        let delay = self.delay();
        self.after(delay, Event::Told(node, life, asked, answer));
    }

    fn told(&mut self, node: usize, life: u32, asked: Instant, answer: Answer) {
        let now = self.nodes[node].clock(self.now);
        let is_due = self.is_due(node, now);
        let switch = &mut self.nodes[node].switch;
        let is_about_generation = matches!(answer, Answer::Generation(None));
        let task = switch.told(asked, answer, now).unwrap();
        let task = if is_due && is_about_generation { Task::End } else { task };
        let (delay, pause) = (self.delay(), self.nodes[node].switch.pause().as_millis() as Millis);
        match task {
            Task::AskOn => self.ask_in(0, node, life),
            Task::Wait => self.ask_in(pause, node, life),
            Task::CreateFirst(first) => {
                self.after(delay, Event::Create(node, life, Write::Generation(first)))
            }
            Task::Begin(beginning) => {
                self.after(delay, Event::Create(node, life, Write::Beginning(beginning)))
            }
            Task::End if self.is_lost() => self.ask_in(pause, node, life),
            Task::End => self.after(delay, Event::Ends(node, life)),
        }
    }

    /// By the times that this world uses for the ends, which a test makes too short.
    fn is_due(&self, node: usize, now: Instant) -> bool {
        let begun = self.nodes[node].switch.begun;
        begun.is_some_and(|(_, known)| now.saturating_duration_since(known) >= self.until_ends.until_ends())
    }

    fn create(&mut self, node: usize, life: u32, write: Write) {
        match write {
            Write::Generation(generation) => {
                self.generations.entry(generation.number).or_insert(generation);
            }
            Write::Beginning(beginning) => {
                self.beginnings.entry(beginning.number).or_insert(beginning);
            }
        }
        let delay = self.delay();
        self.ask_in(delay, node, life);
    }

    fn put(&mut self, key: usize) {
        let node = self.random.below(NODES as u64) as usize;
        let pause = 50 + self.random.below(3_000);
        let this = &self.nodes[node];
        if !this.is_alive || this.switch.may_send(this.clock(self.now)).is_err() {
            return self.after(pause, Event::Put(key));
        }
        let newest = this.switch.generations().newest().unwrap();
        let hash = HashKey(u128::MAX / KEYS as u128 * key as u128 + 7);
        let partition =
            HashRange::even(newest.partitions).position(|range| range.contains(hash)).unwrap() as u32;
        let sent = Sent { node, life: this.life, key, generation: newest.number, partition, at: self.now };
        // A client does not wait for ever.
        self.after(pause, Event::Put(key));
        let arrival = self.now + self.delay();
        let last = self.landing.entry((node, partition)).or_default();
        *last = arrival.max(*last + 1);
        let arrival = *last;
        if !self.is_lost() {
            self.at(arrival, Event::Land(sent));
        }
    }

    fn land(&mut self, sent: Sent) {
        let next = &mut self.partitions[sent.partition as usize];
        let offset = *next;
        *next += 1;
        if !self.is_lost() {
            let delay = self.delay();
            self.after(delay, Event::Ack(sent, offset));
        }
    }

    fn ack(&mut self, sent: Sent, offset: u64) {
        let this = &self.nodes[sent.node];
        match this.switch.verdict(sent.generation, (sent.partition, offset), this.clock(self.now)) {
            Verdict::Good => self.confirmed.push(Confirmed { sent, offset, at: self.now }),
            Verdict::Late => self.late += 1,
            Verdict::NotYet => self.after(500, Event::Ack(sent, offset)),
        }
    }
}

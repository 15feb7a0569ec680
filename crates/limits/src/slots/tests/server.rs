//! A provider with so many workers, of which each works on one call at a time, in simulated time; and callers who want more.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use crate::charge::{Charge, Decision, Health, Permit, Report, Told};
use crate::limiter::Limiter;
use crate::rate::Rate;

const START_MS: i64 = 1_800_000_000_000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    pub(super) workers: usize,
    pub(super) service_ms: u64,
    /// There and back.
    pub(super) way_ms: u64,
    /// How far service times scatter: log-normal, the sigma.
    pub(super) scatter: f64,
}

impl Server {
    fn mean_ms(&self) -> f64 {
        self.service_ms as f64 * (self.scatter * self.scatter / 2.0).exp()
    }
}

/// Answers: when they came, by second, how many and how long they took together; and how many slots there were then.
pub(super) struct Ran {
    seconds: Vec<(f64, f64, u64)>,
}

pub(super) struct Seen {
    answers_per_s: f64,
    mean_ms: f64,
}

impl Ran {
    pub(super) fn between(&self, from_s: usize, until_s: usize) -> Seen {
        let seconds = &self.seconds[from_s..until_s];
        let (answers, took_ms) =
            seconds.iter().fold((0.0, 0.0), |(all, took), second| (all + second.0, took + second.1));
        Seen { answers_per_s: answers / seconds.len() as f64, mean_ms: took_ms / answers }
    }

    /// The fewest and the most slots.
    pub(super) fn slots_between(&self, from_s: usize, until_s: usize) -> (u64, u64) {
        let slots = || self.seconds[from_s..until_s].iter().map(|second| second.2).filter(|&slots| slots > 0);
        (slots().min().unwrap_or(0), slots().max().unwrap_or(0))
    }
}

impl Seen {
    /// The share of what the server could do.
    pub(super) fn used(&self, server: Server) -> f64 {
        self.answers_per_s * server.mean_ms() / 1_000.0 / server.workers as f64
    }

    /// How many times as long calls took as they take alone.
    pub(super) fn times(&self, server: Server) -> f64 {
        self.mean_ms / (server.mean_ms() + server.way_ms as f64)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(u64),
    Served(u64),
    Answered(u64),
    Changes(usize),
}

/// The server, and who asks it.
struct Provider {
    server: Server,
    busy: usize,
    waiting: VecDeque<u64>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    events_made: u64,
    seed: u64,
}

impl Provider {
    fn at(&mut self, us: u64, event: Event) {
        self.events_made += 1;
        self.events.push(Reverse((us, self.events_made, event)));
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn service_us(&mut self) -> u64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        (self.server.service_ms as f64 * 1_000.0 * (self.server.scatter * normal).exp()) as u64
    }

    fn serve(&mut self, now_us: u64) {
        while self.busy < self.server.workers
            && let Some(call) = self.waiting.pop_front()
        {
            self.busy += 1;
            let took_us = self.service_us();
            self.at(now_us + took_us, Event::Served(call));
        }
    }
}

/// Callers who have so many calls out if they may, of servers that follow one another at these seconds.
pub(super) fn run(rate: &Rate, servers: &[(u64, Server)], until_s: usize, wanted: usize) -> Ran {
    let mut provider = Provider {
        server: servers[0].1,
        busy: 0,
        waiting: VecDeque::new(),
        events: BinaryHeap::new(),
        events_made: 0,
        seed: 7,
    };
    for (number, (at_s, _)) in servers.iter().enumerate() {
        provider.at(at_s * 1_000_000, Event::Changes(number));
    }
    let charges = [Charge { limit: "slots".into(), key: "slots".into(), rate: rate.clone(), cost: 1, headroom: None }];
    let mut limiter = Limiter::default();
    let mut out: HashMap<u64, (u64, Permit)> = HashMap::new();
    let mut ran = Ran { seconds: vec![(0.0, 0.0, 0); until_s] };
    while let Some(Reverse((now_us, _, event))) = provider.events.pop() {
        let (now_ms, second) = (START_MS + (now_us / 1_000) as i64, (now_us / 1_000_000) as usize);
        if second >= until_s {
            break;
        }
        let way_us = provider.server.way_ms * 500;
        match event {
            Event::Arrives(call) => provider.waiting.push_back(call),
            Event::Served(call) => {
                provider.busy -= 1;
                provider.at(now_us + way_us, Event::Answered(call));
            }
            Event::Answered(call) => {
                let (sent_us, permit) = out.remove(&call).expect("it is out");
                let took_us = now_us - sent_us;
                ran.seconds[second].0 += 1.0;
                ran.seconds[second].1 += took_us as f64 / 1_000.0;
                let (answer, health) = (Some(Told::default()), Some(Health::Well));
                limiter.report(now_ms, &Report { permit, sent: true, answer, health, took_us: Some(took_us) });
                ran.seconds[second].2 = limiter.usage(now_ms)[0].size.unwrap_or(0);
            }
            Event::Changes(number) => provider.server = servers[number].1,
        }
        provider.serve(now_us);
        while out.len() < wanted
            && let Decision::Granted(permit) = limiter.ask(now_ms, &charges)
        {
            let call = permit.id;
            out.insert(call, (now_us, permit));
            provider.at(now_us + way_us, Event::Arrives(call));
        }
    }
    ran
}

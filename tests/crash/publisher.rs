//! A channel in confirm mode that publishes until the server is gone, and what it was told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use haremq::amqp::Method;

use crate::body::{BYTES_MAX, BYTES_MIN, Id};
use crate::client::{CHANNEL, Client, Heard, Style, publication};
use crate::dice::Dice;
use crate::plan::{ROUTES, URGENT};

/// All that one channel sent, by number.
#[derive(Clone, Default)]
pub struct Log {
    pub sent: Vec<Sent>,
    /// The longest that one waited for its answer, answered or not.
    pub slowest: Duration,
    pub faults: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub route: u8,
    pub style: Style,
    pub fate: Fate,
    pub at: Instant,
    /// When its fate was heard.
    pub heard: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Nobody said.
    Unknown,
    Confirmed,
    /// By a basic.nack: a queue had no room.
    Refused,
    /// Its transaction was not committed.
    Dropped,
}

pub struct Publisher {
    client: Client,
    number: u16,
    dice: Dice,
    /// How many may be unanswered.
    window: usize,
    burst_max: usize,
    messages_max: usize,
    unanswered: BTreeSet<u64>,
    log: Log,
}

/// Of one publisher, if nobody wants more.
const MESSAGES_MAX: usize = 1_500;

impl Publisher {
    /// `number` is that of the client.
    pub fn new(server: SocketAddr, number: u16, mut dice: Dice) -> Publisher {
        let mut client = Client::open(server);
        client.wire().call(CHANNEL, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
        let window = [1, 20, 200, 1_000][dice.roll(4)];
        let burst_max = [1, 8, 40][dice.roll(3)];
        Publisher {
            client,
            number,
            dice,
            window,
            burst_max,
            messages_max: MESSAGES_MAX,
            unanswered: BTreeSet::new(),
            log: Log::default(),
        }
    }

    pub fn publish_up_to(&mut self, messages_max: usize) {
        self.messages_max = messages_max;
    }

    pub fn run(mut self) -> Log {
        while self.go_on().is_some() {}
        let unanswered = self.unanswered.iter().map(|seqno| self.log.sent[*seqno as usize - 1].at.elapsed());
        self.log.slowest = unanswered.chain([self.log.slowest]).max().unwrap_or_default();
        self.log
    }

    /// Publishes so many, and waits for their answers.
    pub fn publish(mut self, count: usize) -> Log {
        while self.log.sent.len() < count {
            self.burst();
        }
        while !self.unanswered.is_empty() {
            self.hear().expect("the server stays");
        }
        self.client.close();
        self.log
    }

    /// A burst, and the answers that it takes to have room for the next.
    fn go_on(&mut self) -> Option<()> {
        if self.log.sent.len() < self.messages_max {
            self.burst();
        } else if self.unanswered.is_empty() {
            // Nothing more is to come but the end.
            self.hear()?;
        }
        while self.unanswered.len() > self.window || self.log.sent.len() >= self.messages_max {
            self.hear()?;
        }
        Some(())
    }

    fn burst(&mut self) {
        let mut frames = Vec::new();
        for _ in 0..self.dice.between(1, self.burst_max) {
            let weights: Vec<u32> = ROUTES.iter().map(|route| route.weight).collect();
            let route = self.dice.weighted(&weights) as u8;
            let sent = Sent::new(route, style(&mut self.dice, route));
            frames.extend(self.log.publication(self.number, sent));
            self.unanswered.insert(self.log.sent.len() as u64);
        }
        self.client.bytes(&frames);
        if self.dice.chance(30) {
            thread::sleep(Duration::from_micros(self.dice.roll(4_000) as u64));
        }
    }

    fn hear(&mut self) -> Option<()> {
        let Heard::Answer(answer) = self.client.hear()? else { panic!("a delivery to nobody") };
        match answer.method() {
            Method::BasicAck { delivery_tag, multiple } => {
                self.answered(delivery_tag, multiple, Fate::Confirmed)
            }
            Method::BasicNack { delivery_tag, multiple, .. } => {
                self.answered(delivery_tag, multiple, Fate::Refused);
            }
            Method::ConnectionBlocked { .. } | Method::ConnectionUnblocked { .. } => {}
            other => panic!("not an answer: {other:?}"),
        }
        Some(())
    }

    fn answered(&mut self, tag: u64, multiple: bool, fate: Fate) {
        let from = if multiple { 0 } else { tag };
        let tags: Vec<u64> = self.unanswered.range(from..=tag).copied().collect();
        if tags.last() != Some(&tag) {
            self.log.faults.push(format!("client {}: {tag} was answered twice", self.number));
        }
        for tag in tags {
            self.unanswered.remove(&tag);
            let sent = &mut self.log.sent[tag as usize - 1];
            sent.hear(fate);
            self.log.slowest = self.log.slowest.max(sent.at.elapsed());
        }
    }
}

impl Sent {
    pub fn new(route: u8, style: Style) -> Sent {
        Sent { route, style, fate: Fate::Unknown, at: Instant::now(), heard: None }
    }

    pub fn hear(&mut self, fate: Fate) {
        (self.fate, self.heard) = (fate, Some(Instant::now()));
    }
}

impl Log {
    /// Notes it as the next; answers its frames.
    pub fn publication(&mut self, client: u16, sent: Sent) -> Vec<u8> {
        let id = Id { client, number: self.sent.len() as u32 };
        self.sent.push(sent);
        publication(id, sent.route, &ROUTES[sent.route as usize], sent.style)
    }
}

/// Of a message that takes that route.
pub fn style(dice: &mut Dice, route: u8) -> Style {
    let queues = ROUTES[route as usize].queues;
    // What pushes others out of a short queue must outlive the server as they do.
    let persistent = queues.iter().any(|queue| crate::plan::QUEUES[*queue].rule.counts()) || dice.chance(90);
    let priority = queues.contains(&URGENT).then(|| dice.roll(6) as u8);
    Style { bytes: bytes(dice), persistent, priority }
}

/// Mostly small, a few large.
fn bytes(dice: &mut Dice) -> usize {
    match dice.roll(100) {
        0 => dice.between(20_000, BYTES_MAX),
        1..10 => dice.between(1_000, 20_000),
        _ => dice.between(BYTES_MIN, 1_000),
    }
}

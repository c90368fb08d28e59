//! A channel in tx mode: takes messages out of some queues and brings others to several, in one commit, again and again.

use std::net::SocketAddr;
use std::time::Instant;

use haremq::amqp::Method;

use crate::body::{self, Id};
use crate::client::{CHANNEL, Client, Heard, Style};
use crate::common::wire::short;
use crate::dice::Dice;
use crate::plan::{BANK, QUEUES, QueueIndex, ROUTES};
use crate::publisher::{self, Fate, Log, Sent, style};

/// The log of what was sent, and what was committed of it.
#[derive(Clone)]
pub struct TxLog {
    pub log: Log,
    /// The last may have no answer, if the server ended meanwhile.
    pub commits: Vec<Transaction>,
}

/// What counts whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Numbers of what it published.
    pub published: std::ops::Range<usize>,
    pub acked: Vec<(QueueIndex, Id)>,
    /// When the answer to its commit came.
    pub heard: Option<Instant>,
}

pub struct Transactor {
    client: Client,
    number: u16,
    dice: Dice,
    log: Log,
    /// Tags that no commit has settled, with what the running transaction does with them.
    held: Vec<Held>,
    /// Where the running transaction begins.
    from: usize,
    commits: Vec<Transaction>,
}

struct Held {
    tag: u64,
    of: (QueueIndex, Id),
    acked: bool,
}

const LARGE_PERCENT: usize = 7;
const HELD_MAX: usize = 12;

impl Transactor {
    pub fn new(server: SocketAddr, number: u16, dice: Dice) -> Transactor {
        let mut client = Client::open(server);
        client.wire().call(CHANNEL, Method::TxSelect, "tx.select-ok");
        Transactor {
            client,
            number,
            dice,
            log: Log::default(),
            held: Vec::new(),
            from: 0,
            commits: Vec::new(),
        }
    }

    pub fn run(mut self) -> TxLog {
        while self.transact().is_some() {}
        // What was not committed is not published.
        let from = self.commits.last().map_or(0, |last| last.published.end).max(self.from);
        self.log.sent[from..].iter_mut().for_each(|sent| sent.fate = Fate::Dropped);
        TxLog { log: self.log, commits: self.commits }
    }

    fn transact(&mut self) -> Option<()> {
        for _ in 0..self.dice.roll(4) {
            let queue = BANK[self.dice.roll(BANK.len())];
            if self.held.len() < HELD_MAX {
                self.take(queue)?;
            }
        }
        self.ack_some();
        self.publish_some();
        if self.dice.chance(85) { self.commit() } else { self.roll_back() }
    }

    fn take(&mut self, queue: QueueIndex) -> Option<()> {
        self.client.send(Method::BasicGet { queue: short(QUEUES[queue].name), no_ack: false });
        if let Heard::Message(head, body) = self.client.hear()? {
            let Method::BasicGetOk { delivery_tag: tag, .. } = head.method() else { panic!("not a get-ok") };
            match body::read(&body) {
                Some((id, _)) => self.held.push(Held { tag, of: (queue, id), acked: false }),
                None => self
                    .log
                    .faults
                    .push(format!("a message from {} is not as it was sent", QUEUES[queue].name)),
            }
        }
        Some(())
    }

    fn ack_some(&mut self) {
        for held in &mut self.held {
            if self.dice.chance(70) {
                held.acked = true;
                self.client.send(Method::BasicAck { delivery_tag: held.tag, multiple: false });
            }
        }
    }

    fn publish_some(&mut self) {
        let routes: Vec<u8> = (0..ROUTES.len() as u8).filter(|route| ROUTES[*route as usize].in_tx).collect();
        let mut frames = Vec::new();
        // A large one is brought to its queues in pieces, and written in several groups.
        let is_large = self.dice.chance(LARGE_PERCENT);
        for _ in 0..if is_large { self.dice.between(8, 30) } else { self.dice.between(1, 6) } {
            let route = routes[self.dice.roll(routes.len())];
            let mut style = Style { persistent: true, ..style(&mut self.dice, route) };
            if is_large {
                style.bytes = self.dice.between(20_000, 100_000);
            }
            frames.extend(self.log.publication(self.number, Sent::new(route, style)));
        }
        self.client.bytes(&frames);
    }

    fn commit(&mut self) -> Option<()> {
        let acked: Vec<_> = self.held.iter().filter(|held| held.acked).map(|held| held.of).collect();
        let published = self.from..self.log.sent.len();
        self.commits.push(Transaction { published: published.clone(), acked, heard: None });
        let began = Instant::now();
        self.client.send(Method::TxCommit);
        self.expect("tx.commit-ok")?;
        self.log.slowest = self.log.slowest.max(began.elapsed());
        self.log.sent[published].iter_mut().for_each(|sent| sent.hear(Fate::Confirmed));
        self.commits.last_mut().expect("it was added just now").heard = Some(Instant::now());
        self.held.retain(|held| !held.acked);
        self.from = self.log.sent.len();
        Some(())
    }

    fn roll_back(&mut self) -> Option<()> {
        self.client.send(Method::TxRollback);
        self.expect("tx.rollback-ok")?;
        self.log.sent[self.from..].iter_mut().for_each(|sent| sent.fate = Fate::Dropped);
        self.held.iter_mut().for_each(|held| held.acked = false);
        self.from = self.log.sent.len();
        Some(())
    }

    fn expect(&mut self, name: &str) -> Option<()> {
        let Heard::Answer(answer) = self.client.hear()? else { panic!("a message instead of {name}") };
        assert_eq!(answer.name(), name);
        Some(())
    }
}

impl From<publisher::Log> for TxLog {
    fn from(log: publisher::Log) -> TxLog {
        TxLog { log, commits: Vec::new() }
    }
}

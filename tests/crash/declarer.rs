//! A channel that declares, binds and deletes what is durable, several at a time, until the server is gone.

use std::net::SocketAddr;
use std::time::Instant;

use haremq::amqp::Method;

use crate::body::Id;
use crate::client::{CHANNEL, Client, Heard, Style, publication};
use crate::dice::Dice;
use crate::names::{Names, NamesLog, Placed, QUEUES};
use crate::plan::Route;
use crate::publisher::Fate;

pub struct Declarer {
    client: Client,
    number: u16,
    dice: Dice,
    /// As it is once all that was asked is done.
    names: Names,
    published: u64,
    log: NamesLog,
}

impl Declarer {
    /// `first` is the number of its first operation.
    pub fn new(server: SocketAddr, number: u16, names: Names, first: u32, dice: Dice) -> Declarer {
        let mut client = Client::open(server);
        client.wire().call(CHANNEL, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
        Declarer { client, number, dice, names, published: 0, log: NamesLog { first, ..NamesLog::default() } }
    }

    pub fn run(mut self) -> NamesLog {
        while self.go_on().is_some() {}
        self.log
    }

    fn go_on(&mut self) -> Option<()> {
        self.change()?;
        if self.dice.chance(50) { self.place() } else { Some(()) }
    }

    fn change(&mut self) -> Option<()> {
        let (mut frames, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..self.dice.between(1, 5) {
            let op = self.names.draw(&mut self.dice);
            let (bytes, answer) = op.encode(CHANNEL);
            self.names.apply(&op, self.log.first + self.log.ops.len() as u32);
            self.log.ops.push(op);
            frames.extend(bytes);
            answers.push(answer);
        }
        self.client.bytes(&frames);
        for name in answers {
            self.expect(name)?;
            self.log.oks.push(Instant::now());
        }
        Some(())
    }

    /// Nothing is open meanwhile, so it is known which queue gets it.
    fn place(&mut self) -> Option<()> {
        let queue = self.dice.roll(QUEUES.len());
        let Some(which) = self.names.queues[queue] else { return Some(()) };
        let id = Id { client: self.number, number: self.published as u32 };
        self.log.placed.push(Placed { id, queue, which, fate: Fate::Unknown, heard: None });
        let style = Style { bytes: self.dice.between(16, 600), persistent: true, priority: None };
        let route = Route { exchange: "", key: QUEUES[queue], queues: &[], weight: 0, in_tx: false };
        self.client.bytes(&publication(id, OWN_ROUTE, &route, style));
        self.published += 1;
        self.expect("basic.ack")?;
        let placed = self.log.placed.last_mut().expect("it was placed just now");
        (placed.fate, placed.heard) = (Fate::Confirmed, Some(Instant::now()));
        Some(())
    }

    fn expect(&mut self, name: &str) -> Option<()> {
        let Heard::Answer(answer) = self.client.hear()? else { panic!("a message instead of {name}") };
        assert_eq!(answer.name(), name);
        Some(())
    }
}

/// In the bodies of its messages.
const OWN_ROUTE: u8 = u8::MAX;

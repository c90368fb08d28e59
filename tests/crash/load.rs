//! Everybody who uses a server at once: publishers, transactional channels, consumers and one that declares and deletes.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::book::{Ending, Round};
use crate::client::Client;
use crate::consumer::Consumer;
use crate::declarer::Declarer;
use crate::dice::Dice;
use crate::names::Names;
use crate::plan::{LEGAL, PLAIN, WORK, declare_all};
use crate::publisher::Publisher;
use crate::transactor::{Transactor, TxLog};

pub struct Load {
    /// What is exclusive ends with it.
    _standing: Client,
    publishers: Vec<(u16, Publisher)>,
    transactors: Vec<(u16, Transactor)>,
    consumers: [Consumer; 2],
    declarer: Declarer,
}

impl Load {
    /// `clients` is the number of the last one before; `names` are there, made by so many operations.
    pub fn new(server: SocketAddr, clients: &mut u16, names: Names, ops: u32, dice: &mut Dice) -> Load {
        let mut standing = Client::open(server);
        declare_all(&mut standing);
        let mut client = |dice: &mut Dice| {
            *clients += 1;
            (*clients, Dice::new(dice.next()))
        };
        let them: Vec<_> = (0..4).map(|_| client(dice)).collect();
        let publishers =
            them.into_iter().map(|(number, dice)| (number, Publisher::new(server, number, dice))).collect();
        let them: Vec<_> = (0..2).map(|_| client(dice)).collect();
        let transactors =
            them.into_iter().map(|(number, dice)| (number, Transactor::new(server, number, dice))).collect();
        let consumers = [&[PLAIN, LEGAL][..], &[WORK][..]];
        let consumers = consumers.map(|queues| Consumer::new(server, queues, Dice::new(dice.next())));
        let (number, dice) = client(dice);
        let declarer = Declarer::new(server, number, names, ops, dice);
        Load { _standing: standing, publishers, transactors, consumers, declarer }
    }

    /// For a long life.
    pub fn publish_up_to(&mut self, messages_max: usize) {
        self.publishers.iter_mut().for_each(|(_, it)| it.publish_up_to(messages_max));
    }

    /// Everybody does what they do until the server is no more: `end` sees to that.
    pub fn run(self, life: Duration, shards: u16, end: impl FnOnce() -> Ending) -> Round {
        thread::scope(|scope| {
            let publishers: Vec<_> =
                self.publishers.into_iter().map(|(number, it)| (number, scope.spawn(|| it.run()))).collect();
            let transactors: Vec<_> =
                self.transactors.into_iter().map(|(number, it)| (number, scope.spawn(|| it.run()))).collect();
            let consumers = self.consumers.map(|it| scope.spawn(|| it.run()));
            let declarer = scope.spawn(|| self.declarer.run());
            thread::sleep(life);
            // What was said later may not be heard.
            let ended = Instant::now();
            let ending = end();
            let published = publishers.into_iter().map(|(number, it)| (number, TxLog::from(join(it))));
            let committed = transactors.into_iter().map(|(number, it)| (number, join(it)));
            Round {
                logs: published.chain(committed).collect(),
                consumed: consumers.map(join).into(),
                names: join(declarer),
                ended,
                ending,
                shards,
            }
        })
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

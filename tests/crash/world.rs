//! One seed: a folder, and servers on it one after the other, each of which is killed.
//!
//! ```text
//! start -> look at everything, compare -> acknowledge some -> load -> kill -9 (-> kill again while it starts) -> start ..
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::book::{Book, Ending, Round};
use crate::client::Client;
use crate::common::{Broker, haremq, is_own_trouble};
use crate::dice::Dice;
use crate::inspector::{Found, Inspector};
use crate::load::Load;
use crate::names::{Names, NamesLog, Placed, explain};
use crate::plan::{DEAD, declare_all};
use crate::publisher::{Fate, Publisher};
use crate::transactor::TxLog;

pub struct World {
    seed: u64,
    dice: Dice,
    folder: PathBuf,
    pub shards: u16,
    /// Of the journals' segments: small ones turn often.
    segment_bytes: usize,
    clients: u16,
    book: Book,
    /// As the names may be.
    names: Vec<Names>,
    /// How many operations there were.
    ops: u32,
    names_log: NamesLog,
    placed: Vec<Placed>,
    /// How long the last start took.
    start: Duration,
    pub tally: Tally,
}

/// What it came to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    pub kills: usize,
    /// Of these, while it started.
    pub kills_at_start: usize,
    pub published: usize,
    pub confirmed: usize,
    pub commits: usize,
    pub open_commits: usize,
    pub settled: usize,
    pub changes: usize,
    pub open_changes: usize,
    pub letters: usize,
    /// Messages that were looked at after a start.
    pub found: usize,
    /// The longest start, ms.
    pub start_ms: u128,
    /// The longest that a publish or a commit waited for its answer, ms.
    pub answer_ms: u128,
}

/// Kills under load per seed; one more follows at the end.
const ROUNDS: usize = 5;
pub const KILLS_PER_SEED: usize = ROUNDS + 1;
/// Of what is wrong.
const TOLD_MAX: usize = 15;
const TIME_TO_STOP: Duration = Duration::from_secs(10);

impl World {
    pub fn new(seed: u64, folder: &Path) -> World {
        let mut dice = Dice::new(seed);
        let segment_bytes = [64 << 10, 256 << 10, 1 << 20, 64 << 20][dice.roll(4)];
        World {
            seed,
            dice,
            folder: folder.to_owned(),
            shards: 2,
            segment_bytes,
            clients: 0,
            book: Book::new(),
            names: vec![Names::default()],
            ops: 0,
            names_log: NamesLog::default(),
            placed: Vec::new(),
            start: Duration::ZERO,
            tally: Tally::default(),
        }
    }

    pub fn run(mut self) -> Tally {
        for round in 0..ROUNDS {
            let broker = self.start();
            self.inspect(broker.amqp, round);
            self.load_and_end(broker);
            self.die_at_start();
        }
        self.stop_in_order();
        self.die_at_rest();
        let broker = self.start();
        self.inspect(broker.amqp, ROUNDS + 2);
        let worries = self.worries(broker);
        assert!(worries.is_empty(), "seed {}: {worries:#?}", self.seed);
        self.tally
    }

    /// The first server, and a load that is about to begin. Queues that do not say are of class fsync.
    pub fn begin(&mut self) -> (Broker, Load) {
        self.shards = self.dice.between(1, 3) as u16;
        let broker = Broker::start_on(&self.folder, &self.arguments_with("fsync"));
        let load = self.load(broker.amqp);
        (broker, load)
    }

    /// A server on what a power cut left after that; what is wrong there.
    pub fn after(&mut self, round: Round, shards: u16) -> Vec<String> {
        self.end(round);
        self.shards = shards;
        let broker = self.start();
        let (inspector, found, mut faults) = self.look(broker.amqp);
        self.settle_some(inspector, &found);
        faults.extend(self.worries(broker));
        faults
    }

    /// Nothing that a kill leaves behind is damage. It may leave a file in which nothing is yet.
    fn worries(&self, broker: Broker) -> Vec<String> {
        let log = broker.log();
        let is_worry = |line: &&str| {
            (line.contains(" ERROR ") && is_own_trouble(line))
                || line.contains("records of what is not there")
        };
        let mut worries: Vec<String> = log.lines().filter(is_worry).map(str::to_owned).collect();
        drop(broker);
        let verify =
            haremq(["store", "verify"]).arg(self.folder.join("data")).output().expect("the binary is built");
        if !verify.status.success() {
            let told = [verify.stdout, verify.stderr].concat();
            worries.push(format!("store verify: {}, {}", verify.status, String::from_utf8_lossy(&told)));
        }
        worries
    }

    /// Fresh messages, then a stop in order: all is there, and what was not delivered is not marked.
    fn stop_in_order(&mut self) {
        let mut broker = self.start();
        self.inspect(broker.amqp, ROUNDS);
        let round = self.add_some(broker.amqp);
        stop(&mut broker);
        self.book.ended(Round { ended: Instant::now(), ending: Ending::Stopped, ..round });
        // One that nobody uses changes nothing.
        while self.dice.chance(50) {
            self.shards = self.dice.between(1, 3) as u16;
            stop(&mut self.start());
            self.book.started();
        }
    }

    /// More of them, and a kill while nothing is under way.
    fn die_at_rest(&mut self) {
        let mut broker = self.start();
        self.inspect(broker.amqp, ROUNDS + 1);
        let round = self.add_some(broker.amqp);
        broker.kill();
        self.tally.kills += 1;
        self.book.ended(round);
    }

    fn start(&mut self) -> Broker {
        let began = Instant::now();
        let arguments = self.arguments();
        let broker = Broker::start_on(&self.folder, &arguments);
        self.start = began.elapsed();
        self.tally.start_ms = self.tally.start_ms.max(self.start.as_millis());
        broker
    }

    fn arguments(&mut self) -> [String; 4] {
        // Queues keep the class that they were declared with, and either survives a kill.
        let durability = if self.dice.chance(25) { "os" } else { "fsync" };
        self.arguments_with(durability)
    }

    fn arguments_with(&self, durability: &str) -> [String; 4] {
        [
            format!("--shards={}", self.shards),
            format!("--segment-bytes={}", self.segment_bytes),
            format!("--durability={durability}"),
            // That of a power cut is small.
            "--disk-free-min=16MB".to_owned(),
        ]
    }

    /// Sometimes the next server does not come far, or not even that.
    fn die_at_start(&mut self) {
        if self.book.ending == Some(Ending::Stopped) {
            return;
        }
        while self.dice.chance(30) {
            if self.dice.chance(50) {
                self.shards = self.dice.between(1, 3) as u16;
            }
            let arguments = self.arguments();
            if self.dice.chance(60) {
                let life = self.start.mul_f64(self.dice.roll(120) as f64 / 100.0);
                Broker::killed_while_starting(&self.folder, &arguments, life);
            } else {
                let mut broker = Broker::start_on(&self.folder, &arguments);
                thread::sleep(Duration::from_millis(self.dice.roll(100) as u64));
                broker.kill();
            }
            self.book.started();
            self.tally.kills += 1;
            self.tally.kills_at_start += 1;
        }
    }

    /// Looks at everything, and acknowledges some of it.
    fn inspect(&mut self, server: SocketAddr, round: usize) {
        if self.book.ending.is_none() {
            declare_all(&mut Client::open(server));
        }
        let (inspector, found, faults) = self.look(server);
        if !faults.is_empty() {
            panic!("seed {}, round {round}: {}", self.seed, tell(&faults));
        }
        self.settle_some(inspector, &found);
    }

    /// Everything that is there, and what is wrong with it.
    fn look(&mut self, server: SocketAddr) -> (Inspector, Vec<Vec<Found>>, Vec<String>) {
        let mut inspector = Inspector::open(server);
        if self.book.ending.is_some() {
            inspector.look_for_the_transient();
        }
        let mut found = inspector.look_at_queues();
        inspector.look_at_names();
        found[DEAD] = inspector.look_at_letters(|letters| self.book.has_all_letters(&found, letters));

        let mut faults = std::mem::take(&mut inspector.faults);
        faults.extend(self.book.judge(&found));
        faults.extend(self.judge_names(&inspector));
        self.tally.found += found.iter().map(Vec::len).sum::<usize>();
        self.tally.letters += found[DEAD].len();
        (inspector, found, faults)
    }

    fn settle_some(&mut self, inspector: Inspector, found: &[Vec<Found>]) {
        // Dice of their own: how many messages there are depends on time.
        let mut dice = Dice::new(self.dice.next());
        let mut acks = Vec::new();
        for (queue, found) in found.iter().enumerate() {
            let percent = [0, 50, 100, 100][dice.roll(4)];
            acks.extend(found.iter().filter(|_| dice.chance(percent)).map(|it| (queue, *it)));
        }
        inspector.settle(acks.iter().copied());
        acks.iter().for_each(|(queue, found)| self.book.acknowledged(*queue, found.id));
    }

    fn judge_names(&mut self, inspector: &Inspector) -> Vec<String> {
        let log = std::mem::take(&mut self.names_log);
        self.placed.extend(&log.placed);
        let shown = &inspector.shown;
        match explain(&self.names, &log, &self.placed, shown) {
            Ok(names) => {
                let is_there = |it: &Placed| shown.messages[it.queue].contains(&it.id);
                self.placed.retain(is_there);
                self.placed.iter_mut().for_each(|it| it.fate = Fate::Confirmed);
                self.names = names;
            }
            Err(wrong) => return wrong,
        }
        if inspector.unmarked > 0 && self.book.ending != Some(Ending::Stopped) {
            return vec![format!("{} messages of names that come and go are not marked", inspector.unmarked)];
        }
        Vec::new()
    }

    /// Everybody does what they do until the server is no more.
    fn load_and_end(&mut self, mut broker: Broker) {
        let load = self.load(broker.amqp);
        let life = Duration::from_millis(self.dice.between(50, 1_500) as u64);
        let ending = if self.dice.chance(12) { Ending::Stopped } else { Ending::Killed };
        let round = load.run(life, self.shards, || {
            if ending == Ending::Stopped {
                broker.terminate(TIME_TO_STOP).expect("a server stops whatever is done to it");
            } else {
                broker.kill();
            }
            ending
        });
        self.tally.kills += usize::from(ending == Ending::Killed);
        self.end(round);
        if self.dice.chance(40) {
            self.shards = self.dice.between(1, 3) as u16;
        }
    }

    fn load(&mut self, server: SocketAddr) -> Load {
        Load::new(server, &mut self.clients, self.names[0].clone(), self.ops, &mut self.dice)
    }

    fn end(&mut self, mut round: Round) {
        let faults = round.logs.iter().flat_map(|(_, log)| &log.log.faults);
        let faults: Vec<&String> = faults.chain(round.consumed.iter().flat_map(|log| &log.faults)).collect();
        assert!(faults.is_empty(), "seed {}, under load:\n{faults:#?}\n", self.seed);
        let sent = || round.logs.iter().flat_map(|(_, log)| &log.log.sent);
        let tally = &mut self.tally;
        let slowest = round.logs.iter().map(|(_, log)| log.log.slowest).max().unwrap_or_default();
        tally.answer_ms = tally.answer_ms.max(slowest.as_millis());
        tally.published += sent().count();
        tally.confirmed += sent().filter(|sent| sent.fate == Fate::Confirmed).count();
        let (done, open): (Vec<_>, Vec<_>) =
            round.logs.iter().flat_map(|(_, log)| &log.commits).partition(|commit| commit.heard.is_some());
        tally.commits += done.len();
        tally.open_commits += open.len();
        tally.settled += round.consumed.iter().map(|log| log.settled.len()).sum::<usize>();
        self.names_log = std::mem::take(&mut round.names);
        tally.changes += self.names_log.oks.len();
        tally.open_changes += self.names_log.ops.len() - self.names_log.oks.len();
        self.ops += self.names_log.ops.len() as u32;
        self.book.ended(round);
    }

    /// Messages that nobody but us will see, all of them confirmed.
    fn add_some(&mut self, server: SocketAddr) -> Round {
        declare_all(&mut Client::open(server));
        self.clients += 1;
        let log = Publisher::new(server, self.clients, Dice::new(self.dice.next())).publish(120);
        Round {
            logs: vec![(self.clients, TxLog::from(log))],
            consumed: Vec::new(),
            names: NamesLog::default(),
            ended: Instant::now(),
            ending: Ending::Killed,
            shards: self.shards,
        }
    }
}

/// The first of them.
pub fn tell(faults: &[String]) -> String {
    let first = faults.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("\n");
    format!("{} things are wrong:\n{first}\n", faults.len())
}

fn stop(broker: &mut Broker) {
    let ended = broker.terminate(TIME_TO_STOP).expect("a server that nobody uses stops");
    assert!(ended.success(), "{ended}");
}

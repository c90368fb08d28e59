//! What outlives a server: its disk, who writes to it, and how the next one starts from it.
//!
//! Each journal's flusher is one of those whose turn comes by chance, so what is written is on disk late, and at any time.

use std::io;
use std::sync::Arc;

use haremq::budget::{Budget, DiskFloor};
use haremq::ids::ShardId;
use haremq::journal::record::{Place, Record};
use haremq::journal::{Failure, Flusher, Link, read_journal};
use haremq::pages::Pages;
use haremq::queue_args::Durability;
use haremq::shard::restart::{self, JournalConfig, ShardStart, Start};
use haremq::topology;

use crate::dice::Dice;
use crate::disk::SimDisk;
use crate::faults::Fault;

pub struct Store {
    pub disk: SimDisk,
    pub weather: Weather,
    writers: Vec<Writer>,
    config: JournalConfig,
    /// Numbers journals.
    dice: Dice,
    log: bool,
    faulty: bool,
}

/// How often what happens to a server with a disk.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Turns of flushers of a hundred turns of anybody.
    pub writes: usize,
    pub segment_bytes: u32,
    /// In percent: a phase ends early, or at its end, with the server.
    pub ends: usize,
    pub ends_at_rest: usize,
    /// In percent: the machine goes while the next server starts.
    pub ends_again: usize,
    /// In percent: a phase has a call of the disk that fails, or too little room.
    pub errors: usize,
    pub full: usize,
    /// In percent: all queues are looked through when the server is up again.
    pub surveys: usize,
    /// Queues that are durable, and messages that are persistent, in percent.
    pub durable: usize,
    pub persistent: usize,
    /// A server may have another number of shards than the one before.
    pub reshards: bool,
    /// Clients commit often.
    pub commits: bool,
}

/// How a server ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// In order.
    Stop,
    /// The process ends, and the machine goes on.
    Kill,
    /// The machine goes.
    Power,
}

struct Writer {
    shard: ShardId,
    flusher: Flusher<SimDisk>,
    link: Arc<Link>,
}

impl Weather {
    pub fn draw(dice: &mut Dice) -> Weather {
        let weather = Weather {
            writes: [1, 3, 10, 40][dice.roll(4)],
            segment_bytes: [64, 64, 128, 256][dice.roll(4)] * 1_024,
            ends: [0, 50, 80][dice.roll(3)],
            ends_at_rest: [20, 50, 80][dice.roll(3)],
            ends_again: [0, 30, 60][dice.roll(3)],
            errors: [0, 0, 40][dice.roll(3)],
            full: [0, 0, 0, 30][dice.roll(4)],
            surveys: [60, 90][dice.roll(2)],
            durable: [60, 90][dice.roll(2)],
            persistent: [50, 90][dice.roll(2)],
            reshards: dice.chance(50),
            commits: dice.chance(35),
        };
        if !weather.commits {
            return weather;
        }
        // So that commits are under way when a server ends, and it is seen what became of them.
        Weather { writes: [3, 10][dice.roll(2)], ends: 80, surveys: 90, ..weather }
    }
}

impl Store {
    pub fn new(seed: u64, weather: Weather, fault: Option<Fault>) -> Store {
        let config = JournalConfig {
            segment_bytes: weather.segment_bytes,
            topology_segment_bytes: 64 * 1_024,
            disk_free_min: DiskFloor::default(),
            durability: Durability::Fsync,
        };
        Store {
            disk: SimDisk::new(seed ^ DISK, fault),
            weather,
            writers: Vec::new(),
            config,
            dice: Dice::new(seed ^ JOURNALS),
            faulty: fault.is_some(),
            log: std::env::var_os("HAREMQ_SIM_LOG").is_some(),
        }
    }

    /// Reads what the last server left. `Ok(Err)`: it was read, and is not as it should be.
    pub fn start(
        &mut self,
        shards: u16,
        budget: &Arc<Budget>,
    ) -> io::Result<Result<Vec<ShardStart>, String>> {
        self.disk.set_reading(true);
        if self.log {
            self.describe();
        }
        let journals = restart::journals(&self.disk)?;
        let read =
            |shard| restart::read_shard(&self.disk, &journals, shard, shards, || Pages::new(budget.clone()));
        let logs = (0..shards).map(ShardId).map(read).collect::<io::Result<Vec<_>>>()?;
        let dice = &mut self.dice;
        let started =
            restart::start(&self.disk, self.config.clone(), haremq::access::Access::guest(), logs, || {
                dice.next()
            });
        let Start { shards, flushers, reports, restored } = started.map_err(io::Error::other)?;
        self.disk.set_reading(false);
        for report in &reports {
            if self.log {
                let scan = &report.scan;
                let segments = scan.segments.iter().map(|it| (it.number, it.groups, it.records));
                println!("{} ends at {}: {:?}", report.dir, scan.end, segments.collect::<Vec<_>>());
            }
            // Further places of messages whose segments are gone make no sense, and need none: they are settled.
            // A planted fault is to be seen by what clients see.
            if !report.damage().is_empty() && !self.faulty {
                return Ok(Err(format!("{} is damaged: {:?}", report.dir, report.damage())));
            }
        }
        if let Some(kept_out) = restored.kept_out.first().filter(|_| !self.faulty) {
            return Ok(Err(format!("{kept_out:?} is kept out")));
        }
        let writers = flushers.into_iter();
        self.writers = writers.map(|(shard, flusher, link)| Writer { shard, flusher, link }).collect();
        Ok(Ok(shards))
    }

    /// What is in the logs, for people to read.
    fn describe(&self) {
        let numbered = (0..9).map(|number| format!("journal-{number}"));
        for dir in numbered.chain(["topology".to_owned()]) {
            let describe = if dir == "topology" { topology_record } else { message_record };
            let mut visit = |at, kind, body: &[u8]| println!("  {dir} {at} {}", describe(kind, body));
            let _ = read_journal(&self.disk.copy(), &dir, &mut visit);
        }
    }

    /// The server is no more.
    pub fn end(&mut self, end: End) {
        self.writers.clear();
        match end {
            End::Power => self.disk.crash(),
            End::Stop | End::Kill => self.calm(),
        }
    }

    /// No trouble from the disk from now on.
    pub fn calm(&self) {
        self.disk.go_in(None);
        self.disk.fail_in(None);
        self.disk.set_room(None);
    }

    pub fn writers(&self) -> usize {
        self.writers.len()
    }

    /// The turn of a flusher. Whether it did something; and whose bell it rings.
    pub fn step(&mut self, writer: usize, now: u64) -> Result<(bool, Option<ShardId>), Failure> {
        let Writer { shard, flusher, link } = &mut self.writers[writer];
        let state = |link: &Link| (link.written(), link.synced(), link.low_on_disk());
        let before = state(link);
        let did = flusher.step(now)?;
        Ok((did, (state(link) != before).then_some(*shard)))
    }

    /// What was handed on is written and synced.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.writers.iter_mut().try_for_each(|writer| writer.flusher.finish())
    }
}

fn topology_record(kind: u8, body: &[u8]) -> String {
    format!("{:?}", topology::Record::decode(kind, body))
}

fn message_record(kind: u8, body: &[u8]) -> String {
    let place = |place: Place| {
        let Place { queue, sequence, returns, letter, redelivered } = place;
        format!("{}/{sequence} returns {returns} {letter} {redelivered}", queue.0)
    };
    match Record::decode(kind, body) {
        Some(Record::Message { tx, message, places, .. }) => {
            let places: Vec<String> = places.iter().map(place).collect();
            format!("message tx {tx}, {} bytes, {places:?}", message.len())
        }
        Some(Record::Place { tx, of, place: at }) => format!("place tx {tx} of {of} {}", place(at)),
        Some(Record::Settled(settled)) => {
            format!("settled {:?}", settled.iter().map(|(queue, at)| (queue.0, at)).collect::<Vec<_>>())
        }
        Some(Record::Returned(places)) => {
            format!("returned {:?}", places.iter().map(place).collect::<Vec<String>>())
        }
        Some(Record::Committed { tx, settled }) => {
            let settled: Vec<_> = settled.iter().map(|(queue, at)| (queue.0, at)).collect();
            format!("committed {tx}, settled {settled:?}")
        }
        other => format!("{other:?}"),
    }
}

const DISK: u64 = 0xD15C;
const JOURNALS: u64 = 0x0010_7A15;

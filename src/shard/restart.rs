//! From what the last process left on disk to shards that go on with it.
//!
//! ```text
//! topology/   -> Catalogue ----------------------+-> Topology, queues, routes
//! journal-0/  -> ShardLog (one per shard, at once)+-> messages in their queues
//! journal-7/  -> taken over by a shard, if there are fewer shards now
//! ```
//! A queue lives where its messages are; one without messages may live anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::Shard;
use crate::access::Access;
use crate::budget::DiskFloor;
use crate::ids::{QueueUid, ShardId};
use crate::journal::disk::Disk;
use crate::journal::layout::{ASIDE, segment_of};
use crate::journal::record::kind;
use crate::journal::{
    Damage, Failure, Flusher, FlusherConfig, Journal, Link, Recovered, Recovery, Scan, Urgency, read_journal,
    set_aside,
};
use crate::pages::Pages;
use crate::queue_args::Durability;
pub use crate::topology::Restored;
use crate::topology::{Catalogue, KeptOut, Vhosts};

/// What is set for all journals.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    pub segment_bytes: u32,
    /// The same of the journal of the topology.
    pub topology_segment_bytes: u32,
    /// Free bytes of the disk below which publishers wait.
    pub disk_free_min: DiskFloor,
    /// What confirms of queues mean that do not say so themselves.
    pub durability: Durability,
}

/// A log that was read, and what is to be said of it.
pub struct Report {
    pub dir: String,
    pub scan: Scan,
    /// Records that made no sense.
    pub senseless: u64,
    /// Copies of what is damaged.
    pub set_aside: Vec<String>,
}

/// The logs that one shard goes on with, read.
pub struct ShardLog {
    own: (Recovery, Scan),
    /// Of shards that are there no more, with their folders.
    others: Vec<(String, Recovery, Scan)>,
}

impl ShardLog {
    /// By folder.
    fn journals(&mut self, shard: ShardId) -> impl Iterator<Item = (String, &mut Recovery, &mut Scan)> {
        let (own, scan) = &mut self.own;
        let others = self.others.iter_mut().map(|(dir, other, scan)| (dir.clone(), other, scan));
        std::iter::once((journal_dir(shard), own, scan)).chain(others)
    }

    fn uids(&self) -> impl Iterator<Item = QueueUid> {
        self.own.0.uids().chain(self.others.iter().flat_map(|(_, other, _)| other.uids()))
    }
}

/// What one shard starts with.
pub struct ShardStart {
    restored: Arc<Restored>,
    control: Option<(Vhosts, Journal)>,
    recovered: Recovered,
    journal: Journal,
}

/// What all shards start with, and who writes for them.
pub struct Start<D: Disk> {
    /// By shard.
    pub shards: Vec<ShardStart>,
    /// Each with the shard whose bell it rings.
    pub flushers: Vec<(ShardId, Flusher<D>, Arc<Link>)>,
    pub reports: Vec<Report>,
    pub restored: Arc<Restored>,
}

/// Folders of journals of messages, by number.
pub fn journals<D: Disk>(disk: &D) -> io::Result<BTreeMap<u16, String>> {
    let names = disk.list("")?.into_iter();
    Ok(names.filter_map(|name| Some((name.strip_prefix(JOURNAL)?.parse().ok()?, name))).collect())
}

/// Reads the logs that a shard goes on with: its own, and those of shards that are there no more, dealt out in turn.
/// `pages` makes the memory for the messages of one log.
pub fn read_shard<D: Disk>(
    disk: &D,
    journals: &BTreeMap<u16, String>,
    shard: ShardId,
    shards: u16,
    pages: impl Fn() -> Pages,
) -> io::Result<ShardLog> {
    let mut own = Recovery::new(pages());
    let scan = read_journal(disk, &journal_dir(shard), &mut |at, kind, body| own.record(at, kind, body))?;
    let mut others = Vec::new();
    let left = journals.iter().filter(|(number, _)| **number >= shards && **number % shards == shard.0);
    for (_, dir) in left {
        let mut other = Recovery::new(pages());
        let scan = read_journal(disk, dir, &mut |at, kind, body| other.record(at, kind, body))?;
        others.push((dir.clone(), other, scan));
    }
    Ok(ShardLog { own: (own, scan), others })
}

/// Puts together what was read, and takes over what nobody else goes on with. `access` is of a server that was never told of
/// users. `logs` are by shard; `random` numbers new
/// journals.
pub fn start<D: Disk + Clone>(
    disk: &D,
    config: JournalConfig,
    access: Access,
    mut logs: Vec<ShardLog>,
    mut random: impl FnMut() -> u64,
) -> Result<Start<D>, Failure> {
    let shards = logs.len() as u16;
    let mut catalogue = Catalogue::default();
    let scan = read_journal(disk, TOPOLOGY, &mut |_, kind, body| catalogue.apply(kind, body))
        .map_err(|error| Failure::new("read", TOPOLOGY, error))?;
    let mut makers = Makers { disk, config, random: &mut random, reports: Vec::new(), flushers: Vec::new() };
    let segment_bytes = makers.config.topology_segment_bytes;
    let topology_journal = makers.journal(ShardId::CONTROL, TOPOLOGY, segment_bytes, &scan);
    // Queues that are not known may have been forgotten by damage: their messages stay.
    let damaged = !scan.damage.is_empty();
    let log_bytes = scan.segments.iter().map(|segment| segment.bytes).sum();
    makers.report(TOPOLOGY, scan, catalogue.ignored())?;

    forget_adopted(disk, &mut logs)?;
    let mut parts = Vec::new();
    for (shard, log) in (0..shards).map(ShardId).zip(logs) {
        log.uids().for_each(|uid| catalogue.saw(uid));
        parts.push(makers.shard(shard, log, |uid| damaged || catalogue.has_queue(uid))?);
    }
    let mut homes = BTreeMap::new();
    for (shard, (recovered, _)) in (0..shards).map(ShardId).zip(&parts) {
        homes.extend(recovered.occupied().map(|uid| (uid, shard)));
    }
    let home = |uid| homes.get(&uid).copied();
    let (vhosts, mut restored) = Vhosts::restore(catalogue, home, shards, makers.config.durability, access);
    if damaged {
        let (what, why) = ("some exchange, queue or binding".to_owned(), "damage in the journal".to_owned());
        restored.kept_out.push(KeptOut { uid: None, what, why });
    }
    restored.log_bytes = log_bytes;
    let restored = Arc::new(restored);
    let mut control = Some((vhosts, topology_journal));
    let shards = parts.into_iter().map(|(recovered, journal)| ShardStart {
        restored: restored.clone(),
        control: control.take(),
        recovered,
        journal,
    });
    let shards = shards.collect();
    Ok(Start { shards, flushers: makers.flushers, reports: makers.reports, restored })
}

/// A server may have ended between taking journals over and removing them. That is done before others are taken over.
fn forget_adopted<D: Disk>(disk: &D, logs: &mut [ShardLog]) -> Result<(), Failure> {
    let mut adopted = BTreeSet::new();
    for (shard, log) in (0..).map(ShardId).zip(&mut *logs) {
        log.journals(shard).for_each(|(_, recovery, _)| adopted.extend(recovery.adopted().iter().copied()));
    }
    for (shard, log) in (0..).map(ShardId).zip(logs) {
        for (dir, recovery, scan) in log.journals(shard) {
            if scan.journal.is_some_and(|number| adopted.contains(&number)) {
                recovery.forget();
                // Whoever writes there from now on is another journal.
                scan.journal = None;
                remove_all(disk, &dir, &scan.foreign)?;
            }
        }
    }
    Ok(())
}

/// Removes the files of a journal that was taken over, in their order: what settles a message lies behind it, and must not
/// go before it. What is `foreign` stays, under names that the next start does not read as segments.
fn remove_all<D: Disk>(disk: &D, dir: &str, foreign: &[String]) -> Result<(), Failure> {
    let mut names = disk.list(dir).map_err(|error| Failure::new("list", dir, error))?;
    names.sort();
    for name in names {
        let path = format!("{dir}/{name}");
        if foreign.contains(&name) && segment_of(&name).is_some() {
            let done = disk.rename(&path, &format!("{path}{ASIDE}"));
            done.map_err(|error| Failure::new("rename", &path, error))?;
        } else if !foreign.contains(&name) && !name.ends_with(ASIDE) {
            match disk.remove(&path) {
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
                done => done.map_err(|error| Failure::new("remove", &path, error))?,
            }
        }
    }
    disk.sync_dir(dir).map_err(|error| Failure::new("sync", dir, error))
}

struct Makers<'a, D: Disk> {
    disk: &'a D,
    config: JournalConfig,
    random: &'a mut dyn FnMut() -> u64,
    reports: Vec<Report>,
    flushers: Vec<(ShardId, Flusher<D>, Arc<Link>)>,
}

impl<D: Disk + Clone> Makers<'_, D> {
    fn journal(&mut self, shard: ShardId, dir: &str, segment_bytes: u32, scan: &Scan) -> Journal {
        let link = Arc::new(Link::new(scan.end));
        let config = FlusherConfig {
            dir: dir.to_owned(),
            journal: scan.journal.unwrap_or_else(|| (self.random)()),
            segment_bytes,
            disk_free_min: self.config.disk_free_min.clone(),
        };
        let flusher = Flusher::new(self.disk.clone(), config, scan.next_segment, link.clone());
        self.flushers.push((shard, flusher, link.clone()));
        Journal::new(link, scan.next_segment, segment_bytes)
    }

    /// Messages of queues that are gone are let go.
    fn shard(
        &mut self,
        shard: ShardId,
        log: ShardLog,
        exists: impl Fn(QueueUid) -> bool,
    ) -> Result<(Recovered, Journal), Failure> {
        let dir = journal_dir(shard);
        let (recovery, scan) = log.own;
        let mut recovered = recovery.finish(&exists);
        let mut journal = self.journal(shard, &dir, self.config.segment_bytes, &scan);
        journal.record(kind::START, Urgency::Aside, |_| ());
        if recovered.stopped && !recovered.keeps.is_empty() {
            // Nothing of it is delivered before the log says that it may have been.
            self.write_out(&mut journal)?;
        }
        self.report(&dir, scan, recovered.senseless)?;
        for (dir, other, scan) in log.others {
            let other = other.finish(&exists);
            if let Some(number) = scan.journal {
                let mut failed = None;
                recovered.adopt(number, &other, &mut journal, |journal| {
                    if journal.is_behind() {
                        failed = self.write_out(journal).err();
                    }
                });
                failed.map_or_else(|| self.write_out(&mut journal), Err)?;
            }
            let foreign = scan.foreign.clone();
            self.report(&dir, scan, other.senseless)?;
            remove_all(self.disk, &dir, &foreign)?;
        }
        Ok((recovered, journal))
    }

    /// Writes what has gathered, here and now: nobody is served yet.
    fn write_out(&mut self, journal: &mut Journal) -> Result<(), Failure> {
        journal.flush_all();
        let Some((_, flusher, _)) = self.flushers.last_mut() else { return Ok(()) };
        while !journal.is_done() {
            flusher.step(0)?;
            journal.flush();
        }
        Ok(())
    }

    fn report(&mut self, dir: &str, scan: Scan, senseless: u64) -> Result<(), Failure> {
        let set_aside = set_aside(self.disk, dir, &scan.damage)
            .map_err(|error| Failure::new("copy what is damaged of", dir, error))?;
        self.reports.push(Report { dir: dir.to_owned(), scan, senseless, set_aside });
        Ok(())
    }
}

impl Report {
    pub fn damage(&self) -> &[Damage] {
        &self.scan.damage
    }
}

impl Shard {
    /// Takes its part of what the last process left. `wall_ns`: the wall clock, ns since 1970.
    pub fn start_with(&mut self, start: ShardStart, wall_ns: u64) {
        let ShardStart { restored, control, recovered, journal } = start;
        self.restore(&restored, control);
        // It is told what the queues' rules make of what they held.
        self.rooms.journal = Some(journal);
        self.rooms.recover(recovered, wall_ns);
    }

    /// The server stops in order: nothing is done after this but to write what is recorded.
    pub fn close_journal(&mut self) {
        self.closed = self.rooms.close_journal();
    }

    /// Whether all that was recorded is on disk; hands on what is not under way yet.
    pub fn is_journal_done(&mut self) -> bool {
        let closed = self.closed.as_mut().is_none_or(|journal| {
            journal.flush();
            journal.is_done()
        });
        closed && self.is_topology_durable()
    }
}

fn journal_dir(shard: ShardId) -> String {
    format!("{JOURNAL}{}", shard.0)
}

/// The folder of the topology's journal.
pub const TOPOLOGY: &str = "topology";
const JOURNAL: &str = "journal-";

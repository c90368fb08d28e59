//! The end of a server, and the start of the next one on the same disk.
//!
//! ```text
//! server ---- killed, or the machine gone, or stopped in order ----> start ---> survey: what is there now
//!                        ^                                             |
//!                        +----------- gone again ----------------------+
//! ```
//! All connections end with a server. What is found behind it must be what was promised, and what was not promised is from
//! then on as it was found.

use crate::acts::Actor;
use crate::client::Phase;
use crate::disk::Call;
use crate::faults::Fault;
use crate::oracle::{QueueIx, Verdict, violation};
use crate::store::End;
use crate::tamper;
use crate::world::World;

/// How often servers ended, and what is to come.
#[derive(Clone, Copy, Default, Debug)]
pub struct Endings {
    pub stops: u64,
    pub kills: u64,
    pub powers: u64,
    /// The disk failed.
    pub failures: u64,
    /// While a server started.
    pub again: u64,
    pub reshards: u64,
    pub surveys: u64,
    due: Option<(usize, End)>,
}

impl Endings {
    pub fn add(&mut self, other: &Endings) {
        self.stops += other.stops;
        self.kills += other.kills;
        self.powers += other.powers;
        self.failures += other.failures;
        self.again += other.again;
        self.reshards += other.reshards;
        self.surveys += other.surveys;
    }
}

impl World {
    /// For people to read.
    pub fn describe(&self) {
        if let Some(store) = self.store.as_ref().filter(|_| self.log) {
            println!("{} shards, {:?}", self.plan.shards, store.weather);
        }
    }

    /// What this phase brings, besides what clients do.
    pub fn expect_trouble(&mut self) {
        let Some(store) = &self.store else { return };
        let weather = store.weather.clone();
        self.endings.due = None;
        if self.dice.chance(weather.ends) {
            let end =
                [End::Stop, End::Kill, End::Kill, End::Power, End::Power, End::Power][self.dice.roll(6)];
            self.endings.due = Some((self.dice.roll(self.plan.steps), end));
        }
        let Some(store) = &self.store else { return };
        if self.dice.chance(weather.errors) || matches!(self.faults.fault(), Some(Fault::SyncErrorIgnored)) {
            let call = [Call::Write, Call::Sync, Call::Sync][self.dice.roll(3)];
            store.disk.fail_in(Some((call, self.dice.roll(20) as u64)));
        } else if self.dice.chance(weather.ends / 2) {
            store.disk.go_in(Some(self.dice.roll(400) as u64));
        }
        if self.dice.chance(weather.full) {
            let room = self.dice.roll(3 * weather.segment_bytes as usize) as u64;
            store.disk.set_room(Some(store.disk.used_bytes() + room));
        }
    }

    /// No trouble from the disk any more: what waited for room has it, once a flusher looks again.
    pub fn calm_down(&mut self) {
        let Some(store) = &self.store else { return };
        store.calm();
        self.endings.due = None;
        if store.weather.full > 0 {
            self.pass(LOOK_NS);
        }
    }

    /// The turn of a flusher: false if there was nothing for it to do.
    pub fn write_some(&mut self, writer: usize) -> Verdict<bool> {
        let now = self.clock();
        let Some(store) = &mut self.store else { return Ok(false) };
        if self.is_down {
            return Ok(false);
        }
        self.trace.note(writer as u64);
        match store.step(writer, now) {
            Ok((did, bell)) => {
                if let Some(shard) = bell {
                    self.hosts[shard.index()].shard.bell().ring();
                }
                Ok(did)
            }
            Err(failure) if !store.disk.is_gone() && !store.disk.has_failed() => {
                violation(format!("a flusher failed of itself: {failure}"))
            }
            Err(_) => {
                self.is_down = true;
                Ok(false)
            }
        }
    }

    /// The server ends here, if it is to, or if its disk has failed.
    pub fn end_if_due(&mut self, step: usize) -> Verdict {
        let Some(store) = &self.store else { return Ok(()) };
        if self.is_down {
            let end = if store.disk.is_gone() { End::Power } else { End::Kill };
            self.endings.failures += u64::from(end == End::Kill);
            self.oracle.disk_failed = end == End::Kill;
            return self.end_server(end);
        }
        // Where clients commit, a server ends while it does so.
        let waits = store.weather.commits && !(self.oracle.commits_now() && self.dice.chance(10));
        match self.endings.due {
            Some((at, end)) if at <= step && (!waits || step + 1 == self.plan.steps) => self.end_server(end),
            _ => Ok(()),
        }
    }

    pub fn end_at_rest(&mut self) -> Verdict {
        let Some(store) = &self.store else { return Ok(()) };
        if !self.dice.chance(store.weather.ends_at_rest) {
            return Ok(());
        }
        if self.dice.chance(50) {
            // Long enough for what nobody waits for.
            self.pass(LAZY_NS);
            self.rest()?;
            self.pass(LAZY_NS);
            self.rest()?;
        }
        let end = [End::Stop, End::Kill, End::Power][self.dice.roll(3)];
        self.end_server(end)
    }

    fn end_server(&mut self, end: End) -> Verdict {
        if self.log {
            println!("{} {end:?}", self.oracle.time);
        }
        if end == End::Stop {
            self.calm_down();
            self.stop_server()?;
        }
        match end {
            End::Stop => self.endings.stops += 1,
            End::Kill => self.endings.kills += 1,
            End::Power => self.endings.powers += 1,
        }
        self.forget_server(end);
        self.oracle.server_ended(end);
        self.start_server()?;
        self.connect_looker()?;
        if self.log {
            println!("{} up again", self.oracle.time);
        }
        self.survey()
    }

    /// In order: connections are closed, and all is written.
    fn stop_server(&mut self) -> Verdict {
        let now = self.clock();
        self.is_stopping = true;
        self.oracle.connections.iter_mut().for_each(|connection| connection.provoked = true);
        let mut events = Vec::new();
        for host in &mut self.hosts {
            host.shut_down(now, &mut events)?;
        }
        self.see(events)?;
        self.rest()?;
        self.hosts.iter_mut().for_each(|host| host.shard.close_journal());
        for _ in 0..ROUNDS_TO_STOP {
            let mut done = true;
            for host in &mut self.hosts {
                done &= host.shard.is_journal_done();
            }
            if done {
                let Some(store) = &mut self.store else { return Ok(()) };
                return match store.finish() {
                    Ok(()) => Ok(()),
                    Err(failure) => violation(format!("a flusher fails at the end: {failure}")),
                };
            }
            for writer in 0..self.store.as_ref().map_or(0, |store| store.writers()) {
                self.write_some(writer)?;
            }
        }
        violation("what was recorded at the stop does not come to the disk")
    }

    /// All queues are deleted, and the power goes.
    pub fn nothing_comes_back(&mut self) -> Verdict {
        if self.store.is_none() {
            return Ok(());
        }
        self.forget_server(End::Power);
        self.oracle.server_ended(End::Power);
        self.start_server()?;
        let doubtful = self.oracle.queues_in_doubt();
        let queues: u64 = self.hosts.iter_mut().map(|host| host.shard.counters().queues).sum();
        if queues as usize > doubtful {
            return violation(format!("{queues} queues are there behind the end, and {doubtful} may be"));
        }
        Ok(())
    }

    fn forget_server(&mut self, end: End) {
        (self.is_down, self.is_stopping) = (false, false);
        self.endings.due = None;
        self.hosts.clear();
        if let Some(store) = &mut self.store {
            store.end(end);
            store.calm();
        }
        for client in &mut self.clients {
            client.phase = Phase::Gone;
            client.channels.clear();
            client.inbox.clear();
            (client.host, client.slot) = (0, u32::MAX);
        }
        self.faults.server_ended(self.oracle.publications.len() as u64);
    }

    /// Until one is up.
    fn start_server(&mut self) -> Verdict {
        if self.store.as_ref().is_some_and(|store| store.weather.reshards) {
            let shards = self.dice.between(1, 4) as u16;
            self.endings.reshards += u64::from(shards != self.plan.shards);
            self.plan.shards = shards;
        }
        if let (Some(store), Some(fault)) = (&self.store, self.faults.fault()) {
            tamper::tamper(&store.disk, fault, &mut self.dice);
        }
        for tries in 0.. {
            let Some(store) = &self.store else { return Ok(()) };
            let (ends_again, errors) = (store.weather.ends_again, store.weather.errors);
            if tries < TRIES_TO_START && self.dice.chance(ends_again) {
                let calls = [10, 60, 200][self.dice.roll(3)];
                store.disk.go_in(Some(self.dice.roll(calls) as u64));
            } else if tries < TRIES_TO_START && self.dice.chance(errors / 3) {
                store.disk.fail_in(Some((Call::Read, self.dice.roll(20) as u64)));
            }
            let booted = self.boot();
            let Some(store) = &mut self.store else { return Ok(()) };
            let error = match booted {
                Ok(done) => {
                    store.calm();
                    return done;
                }
                Err(error) => error,
            };
            let end = if store.disk.is_gone() && self.dice.chance(70) { End::Power } else { End::Kill };
            if !store.disk.is_gone() && !store.disk.has_failed() {
                return violation(format!("a server does not start: {error}"));
            }
            self.endings.again += 1;
            store.end(end);
            self.oracle.server_ended_again(end);
        }
        Ok(())
    }

    fn connect_looker(&mut self) -> Verdict {
        self.looker = self.connect()?;
        self.rest()?;
        self.actor(self.looker, 1);
        self.rest()
    }

    /// Which of the durable queues are there; sometimes also what is in them.
    fn survey(&mut self) -> Verdict {
        let pipeline = self.plan.pipeline;
        let done = self.look_through();
        self.plan.pipeline = pipeline;
        done
    }

    fn look_through(&mut self) -> Verdict {
        for queue in self.oracle.queues_to_look_for() {
            let Some(prober) = self.patient_prober() else { return violation("no channel to look by") };
            self.oracle.looked_for = None;
            self.look_at(prober, queue);
            self.rest()?;
            match self.oracle.looked_for {
                Some((of, is_there)) if of == queue => self.oracle.found(queue, is_there)?,
                _ => return violation("a passive declare was not answered"),
            }
            self.patient_prober();
            self.rest()?;
        }
        let weather = self.store.as_ref().map(|store| store.weather.surveys);
        if !self.dice.chance(weather.unwrap_or(0)) {
            return Ok(());
        }
        self.endings.surveys += 1;
        self.oracle.connections[self.looker].drains = true;
        self.oracle.surveyed.clear();
        let queues: Vec<QueueIx> = self
            .oracle
            .sure_queues()
            .into_iter()
            .filter(|&at| self.oracle.queue(at).exclusive.is_none())
            .collect();
        for &queue in &queues {
            self.get_all(queue)?;
        }
        self.oracle.survey(&queues)?;
        self.close_connection(self.looker);
        self.rest()?;
        self.oracle.surveyed.clear();
        self.connect_looker()
    }

    fn get_all(&mut self, queue: QueueIx) -> Verdict {
        let empty = |world: &World| world.clients[world.looker].channels.get(&1).map(|channel| channel.empty);
        let before = empty(self);
        while before.is_some() && empty(self) == before {
            for _ in 0..=self.oracle.may_be_in(queue).min(GETS_AT_ONCE) {
                let Some(prober): Option<Actor> = self.patient_prober() else {
                    return violation("no channel to survey by");
                };
                self.get(prober, queue, false);
            }
            self.rest()?;
        }
        Ok(())
    }
}

/// Far more rounds than a stop needs.
const ROUNDS_TO_STOP: usize = 1_000;
/// From then on nothing happens to a server that starts.
const TRIES_TO_START: usize = 3;
const GETS_AT_ONCE: usize = 50;
/// A flusher that found no room tries again.
const LOOK_NS: u64 = 1_100_000_000;
/// More than settlements wait for.
const LAZY_NS: u64 = 60_000_000;

//! One run: some clients make trouble, everything comes to rest and is looked at, several times; in the end every queue
//! is emptied and every shard must be as new.

use haremq::amqp::{Method, Table};

use crate::acts::Actor;
use crate::client::{Awaited, Phase};
use crate::crash::Endings;
use crate::dice::Dice;
use crate::disk::DiskTally;
use crate::faults::Fault;
use crate::oracle::{Style, Tally, Verdict, violation};
use crate::store::{Store, Weather};
use crate::world::World;

/// What a run has seen.
#[derive(Clone, Copy, Default, Debug)]
pub struct Report {
    pub runs: u64,
    pub trace: u64,
    pub events: u64,
    pub steps: u64,
    pub connections: u64,
    pub spills: u64,
    pub parks: u64,
    pub holds: u64,
    pub commands: u64,
    pub planted: u64,
    pub endings: Endings,
    pub disk: DiskTally,
    pub tally: Tally,
}

/// Runs one seed to its end. The error names what was broken first.
pub fn run(seed: u64, fault: Option<Fault>) -> Verdict<Report> {
    run_with(seed, fault, has_disk(seed))
}

/// Whether the run of that seed is one with a disk. It is not from the dice of the run: the seeds stay what they are.
fn has_disk(seed: u64) -> bool {
    Dice::new(seed ^ WITH_DISK).chance(RUNS_WITH_DISK)
}

pub fn run_with(seed: u64, fault: Option<Fault>, disk: bool) -> Verdict<Report> {
    let weather = Weather::draw(&mut Dice::new(seed ^ WEATHER));
    let store = disk.then(|| Store::new(seed, weather, fault));
    let mut world = World::new(seed, fault, store)?;
    world.describe();
    let mut steps = 0;
    let verdict = world.live(&mut steps);
    let report = world.report(steps);
    verdict.map(|()| report)
}

impl World {
    fn live(&mut self, steps: &mut u64) -> Verdict {
        self.begin()?;
        for _ in 0..self.plan.phases {
            self.expect_trouble();
            for step in 0..self.plan.steps {
                self.step()?;
                *steps += 1;
                self.end_if_due(step)?;
            }
            self.calm_down();
            self.rest()?;
            for _ in 0..self.dice.roll(3) {
                let ns = self.dice.roll(60_000_000) as u64;
                self.pass(ns);
                self.rest()?;
            }
            self.settle_a_little()?;
            self.probe()?;
            self.probe_preferences()?;
            self.end_at_rest()?;
        }
        self.all_leave()?;
        self.empty_queues()?;
        self.oracle.audit()?;
        self.end()
    }

    /// The first client is there to look: it declares what stays, and does nothing while the others do.
    fn begin(&mut self) -> Verdict {
        self.connect()?;
        self.rest()?;
        for (exchange, type_) in [("x.direct", "direct"), ("x.fanout", "fanout")] {
            let Some(prober) = self.prober() else { return violation("the first client cannot act") };
            let declare = Method::ExchangeDeclare {
                exchange: exchange.into(),
                type_: type_.into(),
                passive: false,
                durable: true,
                auto_delete: false,
                internal: false,
                nowait: false,
                arguments: Table::EMPTY,
            };
            self.oracle.about_exchange(prober.channel, declare.ids(), false, false);
            self.say(prober.client, prober.number, &declare);
            self.await_reply(prober, false, Awaited::Other);
            self.rest()?;
        }
        Ok(())
    }

    pub fn prober(&mut self) -> Option<Actor> {
        if self.clients[self.looker].channels.is_empty() {
            self.plan.pipeline = self.plan.pipeline.max(2);
        }
        self.actor(self.looker, 1)
    }

    /// At rest, each channel settles something and nothing else happens: whoever has room thereby must be served.
    fn settle_a_little(&mut self) -> Verdict {
        for _ in 0..SETTLED_AT_REST {
            for client in 0..self.clients.len() {
                if self.clients[client].phase != Phase::Open || client == self.looker {
                    continue;
                }
                let channels = self.clients[client].channels.iter();
                let holding = channels.filter(|(_, channel)| !channel.closing && !channel.tags.is_empty());
                let actors: Vec<Actor> =
                    holding.map(|(&number, channel)| Actor { client, number, channel: channel.at }).collect();
                actors.into_iter().for_each(|actor| self.settle(actor));
            }
            self.rest()?;
        }
        Ok(())
    }

    /// At rest, the counts of every queue are known well.
    fn probe(&mut self) -> Verdict {
        for queue in self.oracle.sure_queues() {
            if self.oracle.queue(queue).exclusive.is_none() {
                let Some(prober) = self.prober() else {
                    return violation("the first client waits for an answer");
                };
                self.look_at(prober, queue);
                self.rest()?;
            }
        }
        Ok(())
    }

    /// At rest, one message goes to a queue with several consumers, and nothing else happens.
    fn probe_preferences(&mut self) -> Verdict {
        for queue in self.oracle.contested_queues() {
            let Some(prober) = self.prober() else { return Ok(()) };
            self.oracle.probe = Some(self.oracle.publications.len());
            let name = self.oracle.queue(queue).name.clone();
            self.publish(prober, ("", &name), false, PROBE_BYTES, Style::default());
            self.rest()?;
            self.oracle.probe = None;
        }
        Ok(())
    }

    fn all_leave(&mut self) -> Verdict {
        for client in (0..self.clients.len()).filter(|&client| client != self.looker).collect::<Vec<_>>() {
            match self.clients[client].phase {
                Phase::Gone | Phase::Closing => {}
                Phase::Open if self.dice.chance(60) => self.close_connection(client),
                Phase::Open | Phase::Greeting => self.drop_connection(client),
            }
            if self.dice.chance(30) {
                self.rest()?;
            }
        }
        self.rest()
    }

    /// What is in the queues now is all that is left, and in order.
    fn empty_queues(&mut self) -> Verdict {
        self.oracle.connections[self.looker].drains = true;
        for queue in self.oracle.sure_queues() {
            self.oracle.tally.proved += self.oracle.must_be_in(queue) as u64;
            let empty = self.clients[self.looker].channels.get(&1).map_or(0, |channel| channel.empty);
            while self.clients[self.looker].channels.get(&1).is_some_and(|channel| channel.empty == empty) {
                for _ in 0..=self.oracle.must_be_in(queue) {
                    let Some(prober) = self.patient_prober() else {
                        return violation("no channel to drain by");
                    };
                    self.get(prober, queue, true);
                }
                self.rest()?;
            }
        }
        Ok(())
    }

    /// With as many requests under way as it likes.
    pub fn patient_prober(&mut self) -> Option<Actor> {
        self.plan.pipeline = usize::MAX;
        self.actor(self.looker, 1)
    }

    fn end(&mut self) -> Verdict {
        for queue in 0..self.oracle.queues.len() {
            let record = self.oracle.queue(queue);
            if record.fact.gone.is_none() && !record.name.is_empty() {
                let Some(prober) = self.patient_prober() else { return violation("no channel to delete by") };
                self.delete_queue(prober, queue, (false, false, false));
                self.rest()?;
            }
        }
        self.close_connection(self.looker);
        self.rest()?;
        for host in &mut self.hosts {
            let id = host.shard.id();
            let (connections, queues) = (host.shard.connections(), host.shard.counters().queues);
            if connections + queues as usize > 0 {
                return violation(format!("{id:?} still has {connections} connections and {queues} queues"));
            }
        }
        self.nothing_comes_back()
    }

    fn report(&mut self, steps: u64) -> Report {
        let mut report = Report {
            runs: 1,
            trace: self.trace.hash(),
            events: self.trace.events,
            steps,
            connections: self.clients.len() as u64,
            planted: u64::from(self.faults.planted),
            endings: self.endings,
            tally: self.oracle.tally,
            ..Report::default()
        };
        if let Some(store) = &self.store {
            report.planted += u64::from(store.disk.planted());
            report.disk = store.disk.tally();
        }
        for host in &mut self.hosts {
            let counters = host.shard.counters();
            report.spills += counters.spills;
            report.parks += counters.parks;
            report.holds += counters.holds;
            report.commands += counters.commands_sent;
        }
        report
    }
}

/// Rounds in which clients settle while nothing else happens.
const SETTLED_AT_REST: usize = 3;
const PROBE_BYTES: usize = 8;
/// In percent.
const RUNS_WITH_DISK: usize = 60;
const WITH_DISK: u64 = 0x0D15_C0D1;
const WEATHER: u64 = 0x03EA_7E12;

impl Report {
    pub fn add(&mut self, other: &Report) {
        self.runs += other.runs;
        self.trace ^= other.trace;
        self.events += other.events;
        self.steps += other.steps;
        self.connections += other.connections;
        self.spills += other.spills;
        self.parks += other.parks;
        self.holds += other.holds;
        self.commands += other.commands;
        self.planted += other.planted;
        self.endings.add(&other.endings);
        self.disk.add(&other.disk);
        self.tally.add(&other.tally);
    }
}

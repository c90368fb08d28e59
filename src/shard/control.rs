//! Commands come in: one match over all of them; and on the control shard the topology's effects go out.

use std::sync::Arc;

use super::Shard;
use super::command::Command;
use super::confirm::Answer;
use super::rooms::Arrival;
use crate::exchange::{Change, QueueSpec};
use crate::ids::{QueueId, Requester, ShardId};
use crate::journal::Due;
use crate::limits::UNLINKS;
use crate::mesh::parcel::{Parcel, Record};
use crate::queue::Queue;
use crate::queue_args::Durability;
use crate::topology::{Effect, Outcome, Topology};

/// What control told this shard and is not taken yet: it was told behind a change that takes several pieces.
pub(super) enum Told {
    Change(u64, Arc<Change>),
    Outcome(Box<(Requester, Outcome)>),
}

impl Shard {
    /// Commands to itself run until none is left: to a single shard every request is answered at once.
    pub(super) fn run_local(&mut self) {
        while let Some(command) = self.local.pop_front() {
            self.execute(self.id, command);
        }
    }

    pub(super) fn execute(&mut self, from: ShardId, command: Command) {
        match command {
            Command::Parcel(parcel) => self.parcel(from, parcel),
            Command::Ask(ask) => self.on_ask(*ask),
            Command::Answer(answer) => self.on_answer(*answer),
            Command::Barrier(requester) => self.send(from, Command::BarrierPassed(requester)),
            Command::Commit(commit) => {
                let (requester, tx) = *commit;
                let due = self.rooms.commit(tx);
                self.answer_shard(from, due, Answer::Committed(requester));
            }
            Command::BarrierPassed(requester) => self.barrier_passed(requester),
            Command::FindReplyTo(sought) => self.find_reply_to(sought.0, &sought.1),
            Command::ConsumerGone(at) => self.consumer_gone(at),
            Command::Overdue(overdue) => self.overdue(*overdue),
            Command::Request(request) => self.control(|topology, out| topology.request(*request, out)),
            Command::QueueCreated { name, id } => {
                self.control(|topology, out| topology.queue_created(&name, id, out));
            }
            Command::QueueDying { name, id } => {
                self.control(|topology, out| {
                    topology.queue_dying(id, &name, out);
                    topology.work(UNLINKS, out);
                });
            }
            Command::Applied { version } => {
                self.control(|topology, out| topology.applied(from, version, out));
            }
            Command::CreateQueue(spec) => self.create_queue(&spec),
            Command::Change { version, change } => {
                self.told.push_back(Told::Change(version, change));
                self.take_told();
            }
            Command::Outcome(outcome) => {
                self.told.push_back(Told::Outcome(outcome));
                self.take_told();
            }
            Command::QueueGone(id) => self.queue_gone(id),
        }
    }

    fn parcel(&mut self, from: ShardId, parcel: Box<Parcel>) {
        let mut last = Arrival::default();
        for record in &parcel.records {
            match *record {
                Record::Accepted { count } => self.accepted(from, count),
                Record::Refused => self.refused(from),
                _ => match self.rooms.record(&parcel, record, &mut last) {
                    Some(Some(due)) => self.answer_shard(from, due, Answer::Accepted(1)),
                    Some(None) => self.answer_shard(from, Due::NOW, Answer::Refused),
                    None => {}
                },
            }
        }
        self.rooms.outward.mesh.give_back(from, parcel);
    }

    /// Applies changes, and takes replies that speak of them, in their order. A change that removes much is applied in
    /// pieces, and what is behind it waits.
    pub(super) fn take_told(&mut self) {
        while !self.router.is_applying()
            && let Some(told) = self.told.pop_front()
        {
            match told {
                Told::Change(version, change) => {
                    self.router.apply(&change);
                    self.applying = Some(version);
                    self.work_on_routes();
                }
                Told::Outcome(outcome) => self.on_outcome(outcome.0, outcome.1),
            }
        }
    }

    /// A piece of what the router, and on the control shard the topology, have left to do.
    pub(super) fn work_on_routes(&mut self) {
        if self.router.has_work() {
            self.router.work(UNLINKS);
        }
        if !self.router.is_applying()
            && let Some(version) = self.applying.take()
        {
            self.applied = Some(version);
            if self.id == ShardId::CONTROL {
                self.tell_applied();
            }
        }
    }

    /// Tells control how far the router has come: once for all the changes of a batch.
    pub(super) fn tell_applied(&mut self) {
        if let Some(version) = self.applied.take() {
            self.send(ShardId::CONTROL, Command::Applied { version });
        }
    }

    pub(super) fn work_on_topology(&mut self) {
        if self.topology.as_ref().is_some_and(|topology| topology.has_work()) {
            self.control(|topology, out| topology.work(UNLINKS, out));
        }
        if let (Some(ledger), Some(topology)) = (&mut self.ledger, &self.topology) {
            ledger.work(topology);
        }
    }

    fn create_queue(&mut self, spec: &Arc<QueueSpec>) {
        let id = self.make_queue(spec);
        self.send(ShardId::CONTROL, Command::QueueCreated { name: spec.name.clone(), id });
    }

    pub(super) fn make_queue(&mut self, spec: &QueueSpec) -> QueueId {
        let shard = self.id;
        let slot = self.rooms.queues.insert_with(|slot, generation| {
            let id = QueueId { shard, slot, generation };
            Queue::new(id, spec.name.clone(), spec.auto_delete, &spec.rules)
        });
        let queue = self.rooms.queues.get_mut(slot).expect("it was put there");
        queue.journaled =
            spec.uid.filter(|_| spec.durability != Durability::None).map(|uid| (uid, spec.durability));
        queue.used(&mut self.rooms.timers);
        queue.id
    }

    /// Lets the topology act and carries out what it wants done, what must wait for the disk later.
    fn control(&mut self, act: impl FnOnce(&mut Topology, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        let topology = self.topology.as_deref_mut().expect("topology commands go to the control shard");
        act(topology, &mut effects);
        for effect in effects {
            let now = match &mut self.ledger {
                Some(ledger) => ledger.take(effect),
                None => Some(effect),
            };
            if let Some(effect) = now {
                self.carry_out(effect);
            }
        }
    }

    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::CreateQueue { on, spec } => self.send(on, Command::CreateQueue(spec)),
            // Nothing outlives a server without a journal.
            Effect::Record(_) => {}
            Effect::Broadcast { version, change } => self.broadcast(version, change),
            Effect::Reply { to, outcome } => {
                self.send(to.connection.shard, Command::Outcome(Box::new((to, outcome))));
            }
            Effect::QueueGone { id } => self.send(id.shard, Command::QueueGone(id)),
        }
    }

    fn broadcast(&mut self, version: u64, change: Arc<Change>) {
        for shard in (0..self.rooms.outward.mesh.shards()).map(ShardId) {
            self.send(shard, Command::Change { version, change: change.clone() });
        }
    }
}

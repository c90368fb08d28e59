//! Commands come in: one match over all of them; and on the control shard the topology's effects go out.

use std::sync::Arc;

use super::Shard;
use super::command::{Command, QueueAt};
use super::confirm::Answer;
use super::rooms::Arrival;
use super::routers::{News, Told};
use crate::access::Access;
use crate::exchange::QueueSpec;
use crate::ids::{QueueId, Requester, ShardId};
use crate::journal::Due;
use crate::limits::UNLINKS;
use crate::mesh::parcel::{Parcel, Record};
use crate::parameters::Parameters;
use crate::queue::Queue;
use crate::queue_args::Durability;
use crate::topology::{Effect, Topology};

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
            Command::Request(request) => {
                let (vhost, request) = *request;
                self.control(&vhost, |topology, out| topology.request(request, out));
            }
            Command::QueueCreated(queue) => {
                let QueueAt { vhost, name, id } = *queue;
                self.control(&vhost, |topology, out| topology.queue_created(&name, id, out));
            }
            Command::QueueDying(queue) => {
                let QueueAt { vhost, name, id } = *queue;
                self.control(&vhost, |topology, out| {
                    topology.queue_dying(id, &name, out);
                    topology.work(UNLINKS, out);
                });
            }
            Command::Applied(applied) => {
                let (vhost, version) = *applied;
                self.control(&vhost, |topology, out| topology.applied(from, version, out));
                if let Some(vhosts) = &mut self.vhosts {
                    vhosts.forget_if_gone(&vhost);
                }
            }
            Command::CreateQueue(spec) => self.create_queue(&spec),
            Command::News(news) => self.told(Told::News(news)),
            Command::Outcome(outcome) => self.told(Told::Outcome(outcome)),
            Command::QueueGone(id) => self.queue_gone(id),
            Command::EndQueue(id) => self.end_if_live(id),
            Command::Access(access) => self.admit_by(*access),
            Command::Parameters(parameters) => self.told(Told::Parameters(parameters)),
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

    pub(super) fn work_on_topology(&mut self) {
        let Some(vhosts) = &mut self.vhosts else { return };
        if vhosts.has_work() {
            let mut effects = Vec::new();
            vhosts.work(UNLINKS, &mut effects);
            self.record_and_carry_out(effects);
        }
        if let (Some(ledger), Some(vhosts)) = (&mut self.ledger, &self.vhosts) {
            ledger.work(vhosts);
        }
    }

    fn create_queue(&mut self, spec: &Arc<QueueSpec>) {
        let (vhost, name, id) = (spec.vhost.clone(), spec.name.clone(), self.make_queue(spec));
        self.rooms.outward.counters.queues_created += 1;
        self.send(ShardId::CONTROL, Command::QueueCreated(Box::new(QueueAt { vhost, name, id })));
    }

    pub(super) fn make_queue(&mut self, spec: &QueueSpec) -> QueueId {
        let shard = self.id;
        let policies = self.parameters.policies(&spec.vhost);
        let applied = policies.map(|policies| policies.of_queue(&spec.name, spec.rules.kind));
        let slot = self.rooms.queues.insert_with(|slot, generation| {
            let id = QueueId { shard, slot, generation };
            Queue::new(id, spec.vhost.clone(), spec.name.clone(), spec.auto_delete, &spec.rules)
        });
        let queue = self.rooms.queues.get_mut(slot).expect("it was put there");
        queue.journaled =
            spec.uid.filter(|_| spec.durability != Durability::None).map(|uid| (uid, spec.durability));
        queue.used(&mut self.rooms.timers);
        let timeout_ms = self.config.consumer_timeout_ms;
        queue.go_by(applied.unwrap_or_default(), timeout_ms, &mut self.rooms.timers);
        queue.id
    }

    /// Lets the topology of a vhost act and carries out what it wants done, what must wait for the disk later.
    fn control(&mut self, vhost: &[u8], act: impl FnOnce(&mut Topology, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        let vhosts = self.vhosts.as_deref_mut().expect("topology commands go to the control shard");
        let topology = vhosts.get_mut(vhost).expect("what is asked of a vhost comes before its end");
        act(topology, &mut effects);
        self.record_and_carry_out(effects);
    }

    pub(super) fn record_and_carry_out(&mut self, effects: Vec<Effect>) {
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
            Effect::Record { .. } => {}
            Effect::Broadcast { vhost, version, change } => {
                self.broadcast(&Arc::new(News { vhost, version, change }));
            }
            Effect::Reply { to, outcome } => {
                self.send(to.connection.shard, Command::Outcome(Box::new((to, outcome))));
            }
            Effect::QueueGone { id } => self.send(id.shard, Command::QueueGone(id)),
            Effect::EndQueue { id } => self.send(id.shard, Command::EndQueue(id)),
            Effect::Access { access, to } => self.tell_access(&access, to),
            Effect::Parameters { parameters, to } => self.tell_parameters(&parameters, to),
        }
    }

    /// Behind it a barrier goes to each shard, so that who is answered finds it true everywhere.
    fn tell_access(&mut self, access: &Access, to: Requester) {
        for shard in (0..self.rooms.outward.mesh.shards()).map(ShardId) {
            self.send(shard, Command::Access(Box::new(access.clone())));
            self.send(shard, Command::Barrier(to));
        }
    }

    /// Each shard says that it goes by them as if a barrier had passed.
    fn tell_parameters(&mut self, parameters: &Parameters, to: Requester) {
        for shard in (0..self.rooms.outward.mesh.shards()).map(ShardId) {
            self.send(shard, Command::Parameters(Box::new((parameters.clone(), to))));
        }
    }

    fn broadcast(&mut self, news: &Arc<News>) {
        for shard in (0..self.rooms.outward.mesh.shards()).map(ShardId) {
            self.send(shard, Command::News(news.clone()));
        }
    }
}

//! For tests: a topology and shards with routers and queue slots. What they send each other is carried by hand, in any
//! order that keeps each shard's two streams in theirs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Change, Effect, Outcome, QueueSpec, Record, Request, Restored, Vhosts};
use crate::access::Access;
use crate::exchange::Router;
use crate::exchange::model::Dice;
use crate::ids::{ChannelNumber, ConnectionId, QueueId, Requester, ShardId, root};
use crate::parameters;

pub(super) const SHARDS: u16 = 3;
/// The slot of the connection that deletes the vhost.
pub(super) const DELETES_VHOST: u32 = 99;

pub(super) struct World {
    pub vhosts: Vhosts,
    pub shards: Vec<Shard>,
    /// Every change ever broadcast; version 1 is the first.
    pub log: Vec<Arc<Change>>,
    /// Every record, with how many changes were broadcast before it.
    pub records: Vec<(usize, Record)>,
    /// The requests that were not answered yet, by who asked.
    pub outstanding: BTreeMap<ConnectionId, (Request, usize)>,
    /// The answers, in the order in which the topology gave them.
    pub replies: Vec<Answer>,
    /// The same to who deletes the vhost.
    pub vhost_replies: Vec<Outcome>,
    /// The queues whose names were freed.
    pub gone: Vec<QueueId>,
    /// How many changes had been broadcast whenever the shards were told of parameters.
    pub told: Vec<usize>,
}

/// A request, its answer, and how many changes had been broadcast when it was asked.
#[derive(Clone)]
pub(super) struct Answer {
    pub request: Request,
    pub outcome: Outcome,
    pub since: usize,
}

/// A shard, as far as the topology knows it.
pub(super) struct Shard {
    pub router: Router,
    pub applied: u64,
    pub slots: Vec<Slot>,
    from_control: VecDeque<Effect>,
    to_control: VecDeque<Report>,
}

/// A place for queues, one after the other.
#[derive(Default)]
pub(super) struct Slot {
    pub generation: u32,
    pub queue: Option<Arc<QueueSpec>>,
    pub dying: bool,
}

enum Report {
    Asked(Request),
    Created(Arc<QueueSpec>, QueueId),
    Dying(Arc<QueueSpec>, QueueId),
    Applied(u64),
}

impl World {
    pub fn new(seed: u64) -> World {
        let shard = |_| Shard {
            router: Router::new(root(), seed),
            applied: 0,
            slots: Vec::new(),
            from_control: VecDeque::new(),
            to_control: VecDeque::new(),
        };
        World {
            vhosts: Vhosts::new(SHARDS, Access::guest()),
            shards: (0..SHARDS).map(shard).collect(),
            log: Vec::new(),
            records: Vec::new(),
            outstanding: BTreeMap::new(),
            replies: Vec::new(),
            vhost_replies: Vec::new(),
            gone: Vec::new(),
            told: Vec::new(),
        }
    }

    /// The world after a restart.
    pub fn restored(seed: u64, vhosts: Vhosts, restored: &Restored) -> World {
        let mut world = World { vhosts, ..World::new(seed) };
        for (shard, queues) in world.shards.iter_mut().zip(&restored.queues) {
            for (id, spec) in queues {
                assert_eq!(id.slot as usize, shard.slots.len());
                let (generation, queue) = (id.generation, Some(spec.clone()));
                shard.slots.push(Slot { generation, queue, dying: false });
            }
            restored.changes.iter().for_each(|(_, change)| shard.router.apply(change));
        }
        world
    }

    /// A connection asks; its request sets out for the control shard.
    pub fn send(&mut self, request: Request) {
        let connection = request.requester().connection;
        let before = self.outstanding.insert(connection, (request.clone(), self.log.len()));
        assert!(before.is_none(), "a connection of these tests waits for its answer");
        self.shards[connection.shard.index()].to_control.push_back(Report::Asked(request));
    }

    /// The queue's shard ends a queue.
    pub fn kill(&mut self, id: QueueId) {
        let shard = &mut self.shards[id.shard.index()];
        let slot = &mut shard.slots[id.slot as usize];
        assert!(slot.generation == id.generation && !slot.dying);
        slot.dying = true;
        let spec = slot.queue.clone().expect("a queue that is killed lives");
        shard.to_control.push_back(Report::Dying(spec, id));
    }

    /// Somebody deletes the vhost.
    pub fn delete_vhost(&mut self, to: Requester) {
        let mut out = Vec::new();
        assert!(self.vhosts.delete(b"/", to, &mut out));
        out.into_iter().for_each(|effect| self.take(effect));
    }

    pub fn change_parameters(&mut self, changes: Vec<parameters::Change>) {
        let mut out = Vec::new();
        self.vhosts.change_parameters(changes, requester(0, 0), &mut out);
        out.into_iter().for_each(|effect| self.take(effect));
    }

    /// The queues in all slots, dying ones too.
    pub fn queues(&self) -> impl Iterator<Item = (QueueId, &Arc<QueueSpec>)> {
        self.shards.iter().enumerate().flat_map(|(at, shard)| shard.queues(ShardId(at as u16)))
    }

    pub fn living(&self) -> Vec<QueueId> {
        let is_dying = |id: &QueueId| self.shards[id.shard.index()].slots[id.slot as usize].dying;
        self.queues().map(|(id, _)| id).filter(|id| !is_dying(id)).collect()
    }

    /// One message of one shard's stream arrives; false if that stream is empty.
    pub fn step_to_control(&mut self, shard: usize) -> bool {
        let Some(report) = self.shards[shard].to_control.pop_front() else { return false };
        let mut out = Vec::new();
        let topology = self.vhosts.get_mut(b"/").expect("the root is there from the start");
        match report {
            Report::Asked(request) => topology.request(request, &mut out),
            Report::Created(spec, id) => topology.queue_created(&spec.name, id, &mut out),
            Report::Dying(spec, id) => topology.queue_dying(id, &spec.name, &mut out),
            Report::Applied(version) => topology.applied(ShardId(shard as u16), version, &mut out),
        }
        out.into_iter().for_each(|effect| self.take(effect));
        true
    }

    /// The control shard's stream to one shard moves by one message; false if it is empty.
    pub fn step_to_shard(&mut self, shard: usize) -> bool {
        let id = ShardId(shard as u16);
        let Some(effect) = self.shards[shard].from_control.pop_front() else { return false };
        let shard = &mut self.shards[shard];
        match effect {
            Effect::CreateQueue { spec, .. } => shard.create(id, spec),
            Effect::Broadcast { version, change, .. } => shard.apply(version, &change),
            Effect::QueueGone { id } => shard.free(id),
            Effect::EndQueue { id } => shard.kill_if_live(id),
            Effect::Reply { to, outcome } => self.answered(to, outcome),
            Effect::Record { .. } | Effect::Access { .. } | Effect::Parameters { .. } => {
                unreachable!("they go to no shard here")
            }
        }
        true
    }

    /// Everything arrives, shard by shard.
    pub fn settle(&mut self) {
        while self.work()
            || (0..SHARDS.into()).any(|shard| self.step_to_shard(shard) || self.step_to_control(shard))
        {
        }
    }

    /// One piece of what the topology does in pieces; false if there is none.
    fn work(&mut self) -> bool {
        let (is_work, mut out) = (self.vhosts.has_work(), Vec::new());
        self.vhosts.work(1, &mut out);
        out.into_iter().for_each(|effect| self.take(effect));
        is_work
    }

    /// Something arrives somewhere, or nothing.
    pub fn step(&mut self, dice: &mut Dice) {
        let shard = dice.roll(SHARDS.into());
        if dice.roll(4) == 0 {
            self.work();
        }
        if dice.roll(2) == 0 {
            self.step_to_shard(shard)
        } else {
            self.step_to_control(shard)
        };
    }

    /// Asks, lets everything arrive, and tells the answer.
    pub fn ask(&mut self, request: Request) -> Outcome {
        self.send(request);
        self.settle();
        self.replies.last().expect("a settled world has answered").outcome.clone()
    }

    fn take(&mut self, effect: Effect) {
        match effect {
            // A vhost that ends takes its permissions along.
            Effect::Access { .. } => {}
            Effect::Parameters { .. } => self.told.push(self.log.len()),
            Effect::Record { record, .. } => self.records.push((self.log.len(), record)),
            Effect::CreateQueue { on, .. } => self.shards[on.index()].from_control.push_back(effect),
            Effect::EndQueue { id } => self.shards[id.shard.index()].from_control.push_back(effect),
            Effect::QueueGone { id } => {
                self.gone.push(id);
                self.shards[id.shard.index()].from_control.push_back(effect);
            }
            Effect::Broadcast { version, ref change, .. } => {
                self.log.push(change.clone());
                assert_eq!(version, self.log.len() as u64, "versions count the changes");
                self.shards.iter_mut().for_each(|shard| shard.from_control.push_back(effect.clone()));
            }
            Effect::Reply { to, .. } => {
                self.shards[to.connection.shard.index()].from_control.push_back(effect);
            }
        }
    }

    fn answered(&mut self, to: Requester, outcome: Outcome) {
        if to.connection.slot == DELETES_VHOST {
            return self.vhost_replies.push(outcome);
        }
        let asked = self.outstanding.remove(&to.connection);
        let (request, since) = asked.expect("an answer to who waits for it");
        assert_eq!(request.requester(), to);
        self.replies.push(Answer { request, outcome, since });
    }
}

impl Shard {
    fn queues(&self, shard: ShardId) -> impl Iterator<Item = (QueueId, &Arc<QueueSpec>)> {
        self.slots.iter().enumerate().filter_map(move |(index, slot)| {
            let id = QueueId { shard, slot: index as u32, generation: slot.generation };
            slot.queue.as_ref().map(|spec| (id, spec))
        })
    }

    fn create(&mut self, shard: ShardId, spec: Arc<QueueSpec>) {
        let free = self.slots.iter().position(|slot| slot.queue.is_none());
        let index = free.unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.generation += 1;
        slot.queue = Some(spec.clone());
        let id = QueueId { shard, slot: index as u32, generation: slot.generation };
        self.to_control.push_back(Report::Created(spec, id));
    }

    fn kill_if_live(&mut self, id: QueueId) {
        let slot = &mut self.slots[id.slot as usize];
        if slot.generation == id.generation
            && !slot.dying
            && let Some(spec) = slot.queue.clone()
        {
            slot.dying = true;
            self.to_control.push_back(Report::Dying(spec, id));
        }
    }

    fn apply(&mut self, version: u64, change: &Change) {
        self.router.apply(change);
        while self.router.has_work() {
            self.router.work(1);
        }
        self.applied = version;
        self.to_control.push_back(Report::Applied(version));
    }

    fn free(&mut self, id: QueueId) {
        let slot = &mut self.slots[id.slot as usize];
        assert!(slot.generation == id.generation && slot.dying, "what died is freed, once");
        *slot = Slot { generation: slot.generation, ..Slot::default() };
    }
}

/// A connection's only channel, on that shard.
pub(super) fn requester(shard: u16, slot: u32) -> Requester {
    let connection = ConnectionId { shard: ShardId(shard), slot, generation: 1 };
    Requester { connection, channel: ChannelNumber(1), channel_generation: 1 }
}

pub(super) fn declare_queue(requester: Requester, name: &str) -> Request {
    Request::DeclareQueue {
        requester,
        name: name.as_bytes().into(),
        server_named: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: Box::default(),
    }
}

pub(super) fn declare_exchange(requester: Requester, name: &str, kind: &str) -> Request {
    Request::DeclareExchange {
        requester,
        name: name.as_bytes().into(),
        kind: kind.as_bytes().into(),
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: Box::default(),
    }
}

pub(super) fn bind(requester: Requester, exchange: &str, queue: &str, key: &str) -> Request {
    Request::Bind {
        requester,
        queue: queue.as_bytes().into(),
        exchange: exchange.as_bytes().into(),
        routing_key: key.as_bytes().into(),
        arguments: Box::default(),
    }
}

pub(super) fn unbind(requester: Requester, exchange: &str, queue: &str, key: &str) -> Request {
    Request::Unbind {
        requester,
        queue: queue.as_bytes().into(),
        exchange: exchange.as_bytes().into(),
        routing_key: key.as_bytes().into(),
        arguments: Box::default(),
    }
}

pub(super) fn delete_exchange(requester: Requester, name: &str) -> Request {
    Request::DeleteExchange { requester, name: name.as_bytes().into(), if_unused: false }
}

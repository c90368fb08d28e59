//! `Topology` itself: dispatch of requests, versions of the broadcast, and what waits for a version.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::bindings::{Terms, To};
use super::exchanges::Exchange;
use super::numbers::Numbers;
use super::policies::Ruling;
use super::queues::NamedQueue;
use super::record::Record;
use super::request::{Outcome, Refusal, Request};
use crate::access::Access;
use crate::amqp::ReplyCode;
use crate::exchange::{Change, Name, QueueSpec, predeclared_exchanges};
use crate::ids::{QueueId, Requester, ShardId};
use crate::parameters::{Parameters, Policies, VhostLimits};
use crate::queue_args::{Durability, QueueArgs};
use crate::text;

/// Exchanges, queues and bindings of a vhost, and how far each shard knows of them.
pub struct Topology {
    pub(super) vhost: Name,
    /// What the API tells of the vhost, as it likes to write it.
    pub(super) about: Name,
    /// Who waits for the vhost to be gone, once it ends.
    pub(super) closing: Option<Requester>,
    pub(super) is_gone: bool,
    pub(super) exchanges: BTreeMap<Name, Exchange>,
    pub(super) queues: BTreeMap<Name, NamedQueue>,
    /// Of all vhosts together.
    pub(super) numbers: Arc<Numbers>,
    /// Of the queues to come that do not say it themselves.
    pub(super) durability: Durability,
    pub(super) policies: Arc<Policies>,
    pub(super) limits: VhostLimits,
    /// Exchanges that have not been looked at since the policies have changed.
    pub(super) ruling: Ruling,
    /// Of the last broadcast; what was restored came before the first.
    version: u64,
    /// The version that each shard has applied.
    applied: Vec<u64>,
    /// What is to be done once the other shards than this one have applied a version: a reply needs no word of the shard
    /// that it goes to, where it comes behind the changes that it speaks of. The last is for what waits for all shards.
    /// Versions never fall. Each channel waits for one request at most and each queue dies once, so this holds no more
    /// than there are channels and queues.
    waiting: Vec<VecDeque<(u64, After)>>,
    /// Queues that are being unbound.
    pub(super) unbinding: VecDeque<Name>,
}

/// What the control shard is to do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Ask that shard to make the queue; it answers with `queue_created`.
    CreateQueue { on: ShardId, spec: Arc<QueueSpec> },
    /// The change that follows is durable: what comes behind this, but for `CreateQueue`, must wait until it is on disk.
    Record { vhost: Name, record: Record },
    /// Tell every shard, the control shard too; each answers with `applied`.
    Broadcast { vhost: Name, version: u64, change: Arc<Change> },
    /// Every other shard has applied what the outcome speaks of, and the requester's has been told.
    Reply { to: Requester, outcome: Outcome },
    /// To the queue's shard: no router leads to the queue any more; its slot may be used again and delete-ok may go out.
    QueueGone { id: QueueId },
    /// Every shard is to go by that; then it is answered.
    Access { access: Access, to: Requester },
    /// The same.
    Parameters { parameters: Parameters, to: Requester },
    /// To the queue's shard: it ends with its vhost.
    EndQueue { id: QueueId },
}

/// What waits for a version.
enum After {
    Reply(Requester, Outcome),
    FreeName(Name),
}

/// How a request went that was not refused.
pub(super) enum Progress {
    /// The outcome goes out when every shard knows what is true now.
    Done(Outcome),
    /// Another event brings the outcome.
    Later,
}

impl Topology {
    /// The predeclared exchanges, and nothing else.
    pub fn new(vhost: Name, numbers: Arc<Numbers>, durability: Durability) -> Topology {
        let shards = numbers.shards();
        let named = predeclared_exchanges(&vhost).map(|spec| (spec.name.clone(), Exchange::new(spec)));
        Topology {
            exchanges: named.collect(),
            vhost,
            about: Name::from([]),
            closing: None,
            is_gone: false,
            queues: BTreeMap::new(),
            numbers,
            durability,
            policies: Arc::default(),
            limits: VhostLimits::default(),
            ruling: None,
            version: 0,
            applied: vec![0; usize::from(shards)],
            waiting: (0..=shards).map(|_| VecDeque::new()).collect(),
            unbinding: VecDeque::new(),
        }
    }

    /// A connection's shard asks. Each request is answered by one `Effect::Reply`, now or later.
    pub fn request(&mut self, mut request: Request, out: &mut Vec<Effect>) {
        request.strip_names();
        self.run(request, out);
        self.check_versions();
    }

    /// A shard has applied all broadcasts up to this version.
    pub fn applied(&mut self, shard: ShardId, version: u64, out: &mut Vec<Effect>) {
        debug_assert!(version <= self.version, "a shard applies what was broadcast");
        let applied = &mut self.applied[shard.index()];
        debug_assert!(*applied <= version, "a shard applies in order");
        *applied = version;
        self.release(out);
        self.check_versions();
    }

    pub fn has_queue(&self, name: &[u8]) -> bool {
        self.live(name).is_ok()
    }

    pub fn has_exchange(&self, name: &[u8]) -> bool {
        self.exchanges.contains_key(name)
    }

    /// Whether `work` has something to do.
    pub fn has_work(&self) -> bool {
        !self.unbinding.is_empty()
    }

    /// Goes on with what is done in pieces, by so many bindings at most.
    pub fn work(&mut self, bindings_max: usize, out: &mut Vec<Effect>) {
        for _ in 0..bindings_max {
            let Some(name) = self.unbinding.front().cloned() else { break };
            self.unbind_dying(name, out);
        }
        self.check_versions();
    }

    /// Versions are in order, and every binding is known at both its ends. Costs what there is: for tests and the simulator.
    pub fn invariants(&self) {
        self.check_versions();
        self.check_bindings();
    }

    /// What lies here, in RabbitMQ's words.
    pub(super) fn text(&self) -> text::Vhost<'_> {
        text::Vhost(&self.vhost)
    }

    /// Runs a request whose names are stripped, or puts it in line for its queue's name.
    pub(super) fn run(&mut self, request: Request, out: &mut Vec<Effect>) {
        if self.closing.is_some() {
            let (to, method) = (request.requester(), request.method());
            let refusal = Refusal::new(ReplyCode::AccessRefused, "the vhost is being deleted");
            return out.push(Effect::Reply { to, outcome: Outcome::SoftError(refusal.error(method)) });
        }
        let Some(request) = self.wait_for_name(request, out) else { return };
        if let Request::Several { requester, binds, done } = request {
            return self.run_several(requester, binds, done, out);
        }
        let (to, method) = (request.requester(), request.method());
        match self.perform(request, out) {
            Ok(Progress::Done(outcome)) => self.reply(to, outcome, out),
            Ok(Progress::Later) => {}
            Err(refusal) => {
                out.push(Effect::Reply { to, outcome: Outcome::SoftError(refusal.error(method)) });
            }
        }
    }

    /// Runs binds in turn; the first one's name is settled. One whose name is not takes the rest along to wait.
    fn run_several(
        &mut self,
        requester: Requester,
        mut binds: VecDeque<Request>,
        mut done: u32,
        out: &mut Vec<Effect>,
    ) {
        while let Some(bind) = binds.pop_front() {
            let method = bind.method();
            if let Err(refusal) = self.perform(bind, out) {
                let refused = Some(refusal.error(method));
                return self.reply(requester, Outcome::Several { done, refused }, out);
            }
            done += 1;
            if binds.front().and_then(Request::queue_name).is_some_and(|name| !self.is_settled(name)) {
                return self.run(Request::Several { requester, binds, done }, out);
            }
        }
        self.reply(requester, Outcome::Several { done, refused: None }, out);
    }

    fn perform(&mut self, request: Request, out: &mut Vec<Effect>) -> Result<Progress, Refusal> {
        match request {
            Request::DeclareExchange { name, kind, durable, auto_delete, internal, arguments, .. } => {
                self.declare_exchange(&name, &kind, [durable, auto_delete, internal], &arguments, out)
            }
            Request::DeleteExchange { name, if_unused, .. } => self.delete_exchange(&name, if_unused, out),
            Request::DeclareQueue {
                requester,
                name,
                server_named,
                durable,
                exclusive,
                auto_delete,
                arguments,
            } => {
                let spec = QueueSpec {
                    vhost: self.vhost.clone(),
                    name: name.into(),
                    durable: durable && !exclusive,
                    auto_delete,
                    exclusive: exclusive.then_some(requester.connection),
                    arguments: arguments.into(),
                    // Known when the queue is found to be a new one.
                    rules: QueueArgs::default(),
                    uid: None,
                    durability: Durability::default(),
                };
                self.declare_queue(requester, spec, server_named, out)
            }
            Request::Bind { requester, queue, exchange, routing_key, arguments } => {
                let terms = Terms::new(&exchange, To::Queue(&queue), routing_key, &arguments);
                self.bind(requester.connection, terms, out)
            }
            Request::Several { .. } => unreachable!("several binds are run one by one"),
            Request::Unbind { requester, queue, exchange, routing_key, arguments } => {
                let terms = Terms::new(&exchange, To::Queue(&queue), routing_key, &arguments);
                self.unbind(requester.connection, terms, out)
            }
            Request::BindExchange { requester, destination, source, routing_key, arguments } => {
                let terms = Terms::new(&source, To::Exchange(&destination), routing_key, &arguments);
                self.bind(requester.connection, terms, out)
            }
            Request::UnbindExchange { requester, destination, source, routing_key, arguments } => {
                let terms = Terms::new(&source, To::Exchange(&destination), routing_key, &arguments);
                self.unbind(requester.connection, terms, out)
            }
        }
    }

    /// `record` is of a durable change, which is not told before it is on disk: no journal shall hold a message for a queue
    /// that a crash forgets, and no client see anything that may be undone.
    pub(super) fn broadcast(&mut self, change: Change, record: Option<Record>, out: &mut Vec<Effect>) {
        let vhost = &self.vhost;
        out.extend(record.map(|record| Effect::Record { vhost: vhost.clone(), record }));
        self.version += 1;
        out.push(Effect::Broadcast { vhost: vhost.clone(), version: self.version, change: Arc::new(change) });
    }

    /// Replies once the other shards have applied everything broadcast so far: that is more than the reply speaks of,
    /// and costs nothing when nothing changes.
    pub(super) fn reply(&mut self, to: Requester, outcome: Outcome, out: &mut Vec<Effect>) {
        self.after(to.connection.shard.index(), After::Reply(to, outcome), out);
    }

    /// Frees the name of a dying queue once no router knows the queue.
    pub(super) fn free_name(&mut self, name: Name, out: &mut Vec<Effect>) {
        self.after(self.applied.len(), After::FreeName(name), out);
    }

    fn after(&mut self, without: usize, after: After, out: &mut Vec<Effect>) {
        if self.version <= self.applied_by_all(without) {
            self.finish(after, out);
        } else {
            self.waiting[without].push_back((self.version, after));
        }
    }

    /// The version that all shards but one have applied.
    fn applied_by_all(&self, without: usize) -> u64 {
        let others = self.applied.iter().enumerate().filter(|(shard, _)| *shard != without);
        others.map(|(_, &version)| version).min().unwrap_or(u64::MAX)
    }

    /// Whether every shard has applied everything, that of the requester included.
    pub(super) fn is_told(&self) -> bool {
        self.applied_by_all(usize::MAX) == self.version
    }

    fn release(&mut self, out: &mut Vec<Effect>) {
        for without in 0..self.waiting.len() {
            let applied = self.applied_by_all(without);
            while let Some((_, after)) =
                self.waiting[without].pop_front_if(|(version, _)| *version <= applied)
            {
                self.finish(after, out);
            }
        }
    }

    fn finish(&mut self, after: After, out: &mut Vec<Effect>) {
        match after {
            After::Reply(to, outcome) => out.push(Effect::Reply { to, outcome }),
            After::FreeName(name) => self.queue_gone(&name, out),
        }
    }

    /// applied by all others < first waited for <= last waited for <= version
    pub(super) fn check_versions(&self) {
        for (without, waiting) in self.waiting.iter().enumerate() {
            if let (Some((first, _)), Some((last, _))) = (waiting.front(), waiting.back()) {
                debug_assert!(
                    self.applied_by_all(without) < *first && first <= last && *last <= self.version
                );
            }
        }
        debug_assert!(self.applied.iter().all(|&applied| applied <= self.version));
    }
}

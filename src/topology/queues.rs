//! queue.declare, and the life of a queue's name: `Creating`, `Live`, `Dying`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bindings::{BindingEnd, End};
use super::equivalence;
use super::record::{DurableQueue, Record};
use super::request::{Outcome, Refusal, Request};
use super::state::{Effect, Progress, Topology};
use crate::amqp::{ReplyCode, Table};
use crate::exchange::{Change, Name, QueueSpec};
use crate::ids::{QueueId, Requester, ShardId};
use crate::queue_args::{Declaration, QueueArgs};
use crate::text;

/// What a name that is not free stands for. `waiters` came while it was not settled; each is a parked channel.
pub(super) enum NamedQueue {
    Creating {
        on: ShardId,
        spec: Arc<QueueSpec>,
        declarer: Requester,
        waiters: Vec<Request>,
    },
    Live(LiveQueue),
    /// `bindings` are those that are not undone yet.
    Dying {
        id: QueueId,
        waiters: Vec<Request>,
        bindings: BTreeSet<BindingEnd>,
    },
}

pub(super) struct LiveQueue {
    pub id: QueueId,
    pub spec: Arc<QueueSpec>,
    /// The exchanges' ends.
    pub bindings: BTreeSet<BindingEnd>,
}

impl Topology {
    /// The queue's shard has made the queue that `CreateQueue` asked for.
    pub fn queue_created(&mut self, name: &[u8], id: QueueId, out: &mut Vec<Effect>) {
        let Some(NamedQueue::Creating { on, spec, declarer, waiters }) = self.queues.remove(name) else {
            panic!("a shard makes a queue only when asked to");
        };
        assert_eq!(id.shard, on, "the shard that was asked makes the queue");
        let name = spec.name.clone();
        let record = spec.uid.map(|uid| Record::QueueDeclared(DurableQueue::of(uid, &spec)));
        let live = LiveQueue { id, spec: spec.clone(), bindings: BTreeSet::new() };
        self.queues.insert(name.clone(), NamedQueue::Live(live));
        self.broadcast(Change::QueueAdded { id, spec }, record, out);
        self.reply(declarer, Outcome::QueueDeclared { id, name, existed: false }, out);
        if self.closing.is_some() {
            out.push(Effect::EndQueue { id });
        }
        self.run_again(waiters, out);
        self.check_versions();
    }

    /// The queue's shard has decided that the queue ends: by queue.delete, auto-delete or its owner's end.
    pub fn queue_dying(&mut self, id: QueueId, name: &[u8], out: &mut Vec<Effect>) {
        let Some(NamedQueue::Live(live)) = self.queues.get_mut(name) else {
            panic!("a queue that dies lives");
        };
        assert_eq!(live.id, id, "a name has one queue");
        let (name, bindings) = (live.spec.name.clone(), std::mem::take(&mut live.bindings));
        let record = live.spec.uid.map(|uid| Record::QueueDeleted { uid });
        self.queues.insert(name.clone(), NamedQueue::Dying { id, waiters: Vec::new(), bindings });
        self.numbers.remove(id.shard);
        self.broadcast(Change::QueueRemoved { id, name: name.clone() }, record, out);
        self.unbinding.push_back(name);
        self.numbers.begin_to_unbind();
        self.check_versions();
    }

    /// Undoes one binding of a dying queue; when none is left, its name can be freed.
    pub(super) fn unbind_dying(&mut self, name: Name, out: &mut Vec<Effect>) {
        let Some(NamedQueue::Dying { bindings, .. }) = self.queues.get_mut(&name) else {
            panic!("only a dying queue is unbound");
        };
        match bindings.pop_first() {
            Some(end) => {
                if let Some(unused) = self.forget_source_end(&End::Queue(name), end) {
                    self.remove_exchange(&unused, out);
                }
            }
            None => {
                self.unbinding.pop_front();
                self.numbers.end_to_unbind();
                self.free_name(name, out);
            }
        }
    }

    /// No router leads to the queue any more.
    pub(super) fn queue_gone(&mut self, name: &[u8], out: &mut Vec<Effect>) {
        let Some(NamedQueue::Dying { id, waiters, .. }) = self.queues.remove(name) else {
            panic!("only a dying queue's name is freed");
        };
        out.push(Effect::QueueGone { id });
        self.run_again(waiters, out);
        self.end_if_empty(out);
    }

    /// Arguments are looked at when the queue is not there yet; to one that is there they are the same or not.
    pub(super) fn declare_queue(
        &mut self,
        declarer: Requester,
        spec: QueueSpec,
        server_named: bool,
        out: &mut Vec<Effect>,
    ) -> Result<Progress, Refusal> {
        if !server_named {
            check_name(&spec.name)?;
        }
        if let Ok(live) = self.live(&spec.name) {
            equivalence::check_queue(&live.spec, &spec)?;
            let (id, name) = (live.id, live.spec.name.clone());
            return Ok(Progress::Done(Outcome::QueueDeclared { id, name, existed: true }));
        }
        self.check_limit(&spec.name)?;
        let rules = parse_rules(&spec, server_named)?;
        let uid = spec.durable.then(|| self.numbers.give_uid());
        let durability = rules.durability.unwrap_or(self.durability);
        let spec = Arc::new(QueueSpec { rules, uid, durability, ..spec });
        let on = self.numbers.place(declarer.connection.shard);
        let creating = NamedQueue::Creating { on, spec: spec.clone(), declarer, waiters: Vec::new() };
        self.queues.insert(spec.name.clone(), creating);
        out.push(Effect::CreateQueue { on, spec });
        Ok(Progress::Later)
    }

    /// One that is going counts until it is gone.
    fn check_limit(&self, name: &[u8]) -> Result<(), Refusal> {
        let Some(max) = self.limits.max_queues.filter(|max| self.queues.len() >= *max as usize) else {
            return Ok(());
        };
        let [name, vhost] = [name, &self.vhost].map(text::lossy);
        let text =
            format!("cannot declare queue '{name}': queue limit in vhost '{vhost}' ({max}) is reached");
        Err(Refusal::new(ReplyCode::PreconditionFailed, text))
    }

    /// Gives the request back if its queue's name is settled, that is: free or live. Otherwise it waits for that, or,
    /// if its name was made by the server, is answered that the name is taken, whatever it stands for.
    pub(super) fn wait_for_name(&mut self, request: Request, out: &mut Vec<Effect>) -> Option<Request> {
        let Some(queue) = request.queue_name().and_then(|name| self.queues.get_mut(name)) else {
            return Some(request);
        };
        if let Request::DeclareQueue { requester: to, server_named: true, .. } = request {
            out.push(Effect::Reply { to, outcome: Outcome::NameTaken });
            return None;
        }
        match queue {
            NamedQueue::Live(_) => return Some(request),
            NamedQueue::Creating { waiters, .. } | NamedQueue::Dying { waiters, .. } => waiters.push(request),
        }
        None
    }

    /// Whether a name is free or live.
    pub(super) fn is_settled(&self, name: &[u8]) -> bool {
        matches!(self.queues.get(name), Some(NamedQueue::Live(_)) | None)
    }

    pub(super) fn live(&self, name: &[u8]) -> Result<&LiveQueue, Refusal> {
        match self.queues.get(name) {
            Some(NamedQueue::Live(live)) => Ok(live),
            Some(NamedQueue::Creating { .. } | NamedQueue::Dying { .. }) | None => Err(self.no_queue(name)),
        }
    }

    /// How many queues live or are being made on that shard.
    pub(super) fn counted_on(&self, shard: ShardId) -> usize {
        let here = |queue: &&NamedQueue| match queue {
            NamedQueue::Creating { on, .. } => *on == shard,
            NamedQueue::Live(live) => live.id.shard == shard,
            NamedQueue::Dying { .. } => false,
        };
        self.queues.values().filter(here).count()
    }

    /// In their order: the first declare takes a free name, and the rest may wait for it once more.
    fn run_again(&mut self, waiters: Vec<Request>, out: &mut Vec<Effect>) {
        for request in waiters {
            self.run(request, out);
        }
    }
}

pub(super) fn parse_rules(spec: &QueueSpec, server_named: bool) -> Result<QueueArgs, Refusal> {
    let declared = Declaration {
        vhost: text::Vhost(&spec.vhost),
        name: &spec.name,
        server_named,
        durable: spec.durable,
        exclusive: spec.exclusive.is_some(),
        auto_delete: spec.auto_delete,
        arguments: Table::from_checked(&spec.arguments),
    };
    QueueArgs::parse(&declared).map_err(|text| Refusal::new(ReplyCode::PreconditionFailed, text))
}

/// RabbitMQ refuses the prefix even if the queue exists: its own names cannot be declared again by clients.
/// An empty name asks the server for one, which is done before a request is made; here it would catch every message
/// that is published without exchange and key.
fn check_name(name: &[u8]) -> Result<(), Refusal> {
    if name.starts_with(b"amq.") {
        return Err(Refusal::reserved_prefix("queue", name));
    }
    if name.is_empty() {
        return Err(Refusal::new(ReplyCode::NotFound, "no previously declared queue"));
    }
    Ok(())
}

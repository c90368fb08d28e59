//! queue.bind and queue.unbind. A binding is known at both its ends, so that either may go at the cost of its bindings.

use std::collections::BTreeSet;

use super::exchanges::{check_not_default, check_routable};
use super::queues::NamedQueue;
use super::request::{Outcome, Refusal};
use super::state::{Effect, Progress, Topology};
use crate::exchange::{Change, Name};
use crate::ids::{ConnectionId, QueueId};

/// A binding as one of its ends sees it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct BindingEnd {
    /// The name of the other end.
    pub other: Name,
    pub key: Name,
    /// Part of the identity: the same queue and key with other arguments is another binding.
    pub arguments: Name,
}

/// Source, queue, binding key and arguments are all of a binding's identity.
struct Binding {
    source: Name,
    queue: Name,
    id: QueueId,
    key: Name,
    arguments: Name,
}

impl Binding {
    fn queue_end(&self) -> BindingEnd {
        BindingEnd { other: self.queue.clone(), key: self.key.clone(), arguments: self.arguments.clone() }
    }

    fn exchange_end(&self) -> BindingEnd {
        BindingEnd { other: self.source.clone(), key: self.key.clone(), arguments: self.arguments.clone() }
    }
}

impl Topology {
    /// Binding again what is bound is no error and no change.
    pub(super) fn bind(
        &mut self,
        connection: ConnectionId,
        exchange: &[u8],
        queue: &[u8],
        key_and_arguments: (Box<[u8]>, Box<[u8]>),
        out: &mut Vec<Effect>,
    ) -> Result<Progress, Refusal> {
        check_not_default(exchange)?;
        let source = self.exchanges.get(exchange).ok_or_else(|| Refusal::no_exchange(exchange))?;
        let (source, kind) = (source.spec.name.clone(), source.spec.kind);
        let binding = self.binding(source, queue, key_and_arguments)?;
        self.check_access(connection, queue)?;
        check_routable(kind, "queue.bind")?;
        if self.insert(&binding) {
            let Binding { source, id: queue, key, arguments, .. } = binding;
            self.broadcast(Change::Bound { source, queue, key, arguments }, out);
        }
        Ok(Progress::Done(Outcome::Ok))
    }

    /// Unbinding what is not bound, or not there at all, is no error (rabbit_binding).
    pub(super) fn unbind(
        &mut self,
        connection: ConnectionId,
        exchange: &[u8],
        queue: &[u8],
        key_and_arguments: (Box<[u8]>, Box<[u8]>),
        out: &mut Vec<Effect>,
    ) -> Result<Progress, Refusal> {
        check_not_default(exchange)?;
        let Some(source) = self.exchanges.get(exchange).map(|found| found.spec.name.clone()) else {
            return Ok(Progress::Done(Outcome::Ok));
        };
        let Ok(binding) = self.binding(source, queue, key_and_arguments) else {
            return Ok(Progress::Done(Outcome::Ok));
        };
        if self.contains(&binding) {
            self.check_access(connection, queue)?;
            self.remove(binding, out);
        }
        Ok(Progress::Done(Outcome::Ok))
    }

    /// Forgets the bindings of an exchange at their queues.
    pub(super) fn forget_queue_ends(&mut self, exchange: &Name, ends: BTreeSet<BindingEnd>) {
        for BindingEnd { other: queue, key, arguments } in ends {
            if let Some(NamedQueue::Live(live)) = self.queues.get_mut(&queue) {
                live.bindings.remove(&BindingEnd { other: exchange.clone(), key, arguments });
            }
        }
    }

    /// Forgets the bindings of a queue at their exchanges; returns those auto-delete exchanges that have none left.
    pub(super) fn forget_exchange_ends(
        &mut self,
        queue: &Name,
        ends: BTreeSet<BindingEnd>,
    ) -> BTreeSet<Name> {
        let mut unused = BTreeSet::new();
        for BindingEnd { other: source, key, arguments } in ends {
            if let Some(exchange) = self.exchanges.get_mut(&source) {
                exchange.bindings.remove(&BindingEnd { other: queue.clone(), key, arguments });
            }
            if self.is_unused_auto_delete(&source) {
                unused.insert(source);
            }
        }
        unused
    }

    /// What an exchange knows of its queues, the queues know of it; and as many ends stand on either side.
    pub(super) fn check_bindings(&self) {
        let mut ends = 0;
        for (source, exchange) in &self.exchanges {
            for end in &exchange.bindings {
                let Ok(live) = self.live(&end.other) else {
                    panic!("{end:?} of {source:?} leads to no queue")
                };
                assert!(live.bindings.contains(&BindingEnd { other: source.clone(), ..end.clone() }));
                ends += 1;
            }
        }
        let at_queue =
            |queue: &NamedQueue| if let NamedQueue::Live(live) = queue { live.bindings.len() } else { 0 };
        assert_eq!(ends, self.queues.values().map(at_queue).sum::<usize>());
    }

    fn remove(&mut self, binding: Binding, out: &mut Vec<Effect>) {
        if let Some(NamedQueue::Live(live)) = self.queues.get_mut(&binding.queue) {
            live.bindings.remove(&binding.exchange_end());
        }
        if let Some(exchange) = self.exchanges.get_mut(&binding.source) {
            exchange.bindings.remove(&binding.queue_end());
        }
        let Binding { source, id: queue, key, arguments, .. } = binding;
        self.broadcast(Change::Unbound { source: source.clone(), queue, key, arguments }, out);
        if self.is_unused_auto_delete(&source) {
            self.remove_exchange(&source, out);
        }
    }

    /// Asked after a binding went: an exchange that never had one stays.
    fn is_unused_auto_delete(&self, exchange: &[u8]) -> bool {
        self.exchanges.get(exchange).is_some_and(|found| found.spec.auto_delete && found.bindings.is_empty())
    }

    fn insert(&mut self, binding: &Binding) -> bool {
        if let Some(NamedQueue::Live(live)) = self.queues.get_mut(&binding.queue) {
            live.bindings.insert(binding.exchange_end());
        }
        let exchange = self.exchanges.get_mut(&binding.source);
        exchange.is_some_and(|found| found.bindings.insert(binding.queue_end()))
    }

    fn contains(&self, binding: &Binding) -> bool {
        let exchange = self.exchanges.get(&binding.source);
        exchange.is_some_and(|found| found.bindings.contains(&binding.queue_end()))
    }

    fn binding(
        &self,
        source: Name,
        queue: &[u8],
        (key, arguments): (Box<[u8]>, Box<[u8]>),
    ) -> Result<Binding, Refusal> {
        let live = self.live(queue)?;
        let (queue, id) = (live.spec.name.clone(), live.id);
        Ok(Binding { source, queue, id, key: key.into(), arguments: arguments.into() })
    }

    fn check_access(&self, connection: ConnectionId, queue: &[u8]) -> Result<(), Refusal> {
        match self.live(queue)?.spec.exclusive {
            Some(owner) if owner != connection => Err(Refusal::locked_queue(queue)),
            Some(_) | None => Ok(()),
        }
    }
}

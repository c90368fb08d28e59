//! queue.bind, exchange.bind and their undoing. A binding is known at both its ends, so that either may go at the cost
//! of its bindings.

use std::collections::BTreeSet;

use super::exchanges::check_not_default;
use super::queues::{LiveQueue, NamedQueue};
use super::record::{DurableBinding, DurableEnd, Record};
use super::request::{Outcome, Refusal};
use super::state::{Effect, Progress, Topology};
use crate::amqp::{ReplyCode, Table, Value};
use crate::exchange::headers::{X_MATCH, XMatch};
use crate::exchange::{Change, Destination, ExchangeKind, Name};
use crate::ids::ConnectionId;
use crate::text;

/// A binding as one of its ends sees it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct BindingEnd {
    pub other: End,
    pub key: Name,
    /// Part of the identity: the same destination and key with other arguments is another binding.
    pub arguments: Name,
}

/// The name of the other end. A source is always an exchange.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    Queue(Name),
    Exchange(Name),
}

/// What a request says of a binding, its names as they came.
pub(super) struct Terms<'a> {
    source: &'a [u8],
    destination: To<'a>,
    key: Name,
    /// Sorted by name: their order is not part of the identity.
    arguments: Name,
}

#[derive(Clone, Copy)]
pub(super) enum To<'a> {
    Queue(&'a [u8]),
    Exchange(&'a [u8]),
}

impl<'a> Terms<'a> {
    pub fn new(source: &'a [u8], destination: To<'a>, routing_key: Box<[u8]>, arguments: &[u8]) -> Terms<'a> {
        let arguments = Table::from_checked(arguments).sorted().into();
        Terms { source, destination, key: routing_key.into(), arguments }
    }

    /// The default exchange has no bindings, neither from it nor to it.
    fn check_not_default(&self) -> Result<(), Refusal> {
        if let To::Exchange(destination) = self.destination {
            check_not_default(destination)?;
        }
        check_not_default(self.source)
    }
}

/// Source, destination, binding key and arguments are all of a binding's identity.
struct Binding {
    source: Name,
    destination: End,
    /// The same for the routers, who know a queue by its id.
    led_to: Destination,
    /// The same for the journal, if both ends are durable.
    kept: Option<DurableEnd>,
    key: Name,
    arguments: Name,
}

impl Binding {
    fn durable(&self) -> Option<DurableBinding> {
        let destination = self.kept.clone()?;
        let (source, key, arguments) = (self.source.clone(), self.key.clone(), self.arguments.clone());
        Some(DurableBinding { source, destination, key, arguments })
    }

    fn destination_end(&self) -> BindingEnd {
        BindingEnd {
            other: self.destination.clone(),
            key: self.key.clone(),
            arguments: self.arguments.clone(),
        }
    }

    fn source_end(&self) -> BindingEnd {
        let other = End::Exchange(self.source.clone());
        BindingEnd { other, key: self.key.clone(), arguments: self.arguments.clone() }
    }
}

impl Topology {
    pub(super) fn bind(
        &mut self,
        connection: ConnectionId,
        terms: Terms<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<Progress, Refusal> {
        terms.check_not_default()?;
        let (binding, kind) = self.binding(terms)?;
        check_arguments(kind, &binding.arguments)?;
        self.check_access(connection, &binding.destination)?;
        self.insert(binding, out);
        Ok(Progress::Done(Outcome::Ok))
    }

    /// Unbinding what is not bound, or not there at all, is no error (rabbit_binding).
    pub(super) fn unbind(
        &mut self,
        connection: ConnectionId,
        terms: Terms<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<Progress, Refusal> {
        terms.check_not_default()?;
        if let Ok((binding, _)) = self.binding(terms)
            && self.contains(&binding)
        {
            self.check_access(connection, &binding.destination)?;
            self.remove(binding, out);
        }
        Ok(Progress::Done(Outcome::Ok))
    }

    /// Forgets the bindings of an exchange at their destinations.
    pub(super) fn forget_destination_ends(&mut self, exchange: &Name, ends: BTreeSet<BindingEnd>) {
        for BindingEnd { other: destination, key, arguments } in ends {
            if let Some(sources) = self.sources_mut(&destination) {
                sources.remove(&BindingEnd { other: End::Exchange(exchange.clone()), key, arguments });
            }
        }
    }

    /// Forgets a binding of a destination that goes at its source; returns that if it is an auto-delete exchange that has
    /// none left.
    pub(super) fn forget_source_end(&mut self, destination: &End, end: BindingEnd) -> Option<Name> {
        let BindingEnd { other: End::Exchange(source), key, arguments } = end else { return None };
        let exchange = self.exchanges.get_mut(&source)?;
        let removed = exchange.bindings.remove(&BindingEnd { other: destination.clone(), key, arguments });
        (removed && self.is_unused_auto_delete(&source)).then_some(source)
    }

    /// What a source knows of its destinations, they know of it; and as many ends stand on either side.
    pub(super) fn check_bindings(&self) {
        let mut ends = 0;
        for (source, exchange) in &self.exchanges {
            for end in &exchange.bindings {
                let at_source = BindingEnd { other: End::Exchange(source.clone()), ..end.clone() };
                let known = self.sources(&end.other).is_some_and(|sources| sources.contains(&at_source));
                assert!(known, "{end:?} of {source:?} leads to nothing that knows of it");
                ends += 1;
            }
        }
        let queues = self.queues.keys().map(|name| End::Queue(name.clone()));
        let destinations = queues.chain(self.exchanges.keys().map(|name| End::Exchange(name.clone())));
        let at_destinations = destinations.filter_map(|end| Some(self.sources(&end)?.len()));
        assert_eq!(ends, at_destinations.sum::<usize>());
    }

    fn insert(&mut self, binding: Binding, out: &mut Vec<Effect>) {
        let exchange = self.exchanges.get_mut(&binding.source);
        let is_new = exchange.is_some_and(|found| found.bindings.insert(binding.destination_end()));
        // Binding again what is bound is no error and no change.
        if is_new {
            if let Some(sources) = self.sources_mut(&binding.destination) {
                sources.insert(binding.source_end());
            }
            let record = binding.durable().map(Record::Bound);
            let Binding { source, led_to: destination, key, arguments, .. } = binding;
            self.broadcast(Change::Bound { source, destination, key, arguments }, record, out);
        }
    }

    fn remove(&mut self, binding: Binding, out: &mut Vec<Effect>) {
        if let Some(sources) = self.sources_mut(&binding.destination) {
            sources.remove(&binding.source_end());
        }
        if let Some(exchange) = self.exchanges.get_mut(&binding.source) {
            exchange.bindings.remove(&binding.destination_end());
        }
        let record = binding.durable().map(Record::Unbound);
        let Binding { source, led_to: destination, key, arguments, .. } = binding;
        self.broadcast(Change::Unbound { source: source.clone(), destination, key, arguments }, record, out);
        if self.is_unused_auto_delete(&source) {
            self.remove_exchange(&source, out);
        }
    }

    /// Asked after a binding went: an exchange that never had one stays.
    fn is_unused_auto_delete(&self, exchange: &[u8]) -> bool {
        self.exchanges.get(exchange).is_some_and(|found| found.spec.auto_delete && found.bindings.is_empty())
    }

    fn contains(&self, binding: &Binding) -> bool {
        let exchange = self.exchanges.get(&binding.source);
        exchange.is_some_and(|found| found.bindings.contains(&binding.destination_end()))
    }

    /// The sources' ends of the bindings to a destination that is there.
    pub(super) fn sources(&self, destination: &End) -> Option<&BTreeSet<BindingEnd>> {
        match destination {
            End::Queue(name) => match self.queues.get(name)? {
                NamedQueue::Live(LiveQueue { bindings, .. }) | NamedQueue::Dying { bindings, .. } => {
                    Some(bindings)
                }
                NamedQueue::Creating { .. } => None,
            },
            End::Exchange(name) => self.exchanges.get(name).map(|exchange| &exchange.inbound),
        }
    }

    fn sources_mut(&mut self, destination: &End) -> Option<&mut BTreeSet<BindingEnd>> {
        match destination {
            End::Queue(name) => match self.queues.get_mut(name)? {
                NamedQueue::Live(LiveQueue { bindings, .. }) | NamedQueue::Dying { bindings, .. } => {
                    Some(bindings)
                }
                NamedQueue::Creating { .. } => None,
            },
            End::Exchange(name) => self.exchanges.get_mut(name).map(|exchange| &mut exchange.inbound),
        }
    }

    /// The binding that a request speaks of, if both its ends are there, and the type of its source.
    fn binding(&self, terms: Terms<'_>) -> Result<(Binding, ExchangeKind), Refusal> {
        let Terms { source, destination, key, arguments } = terms;
        let source = &self.exchanges.get(source).ok_or_else(|| self.no_exchange(source))?.spec;
        let (destination, led_to, kept) = match destination {
            To::Queue(name) => {
                let live = self.live(name)?;
                let kept = live.spec.uid.map(DurableEnd::Queue);
                (End::Queue(live.spec.name.clone()), Destination::Queue(live.id), kept)
            }
            To::Exchange(name) => {
                let found = &self.exchanges.get(name).ok_or_else(|| self.no_exchange(name))?.spec;
                let name = found.name.clone();
                let kept = found.durable.then(|| DurableEnd::Exchange(name.clone()));
                (End::Exchange(name.clone()), Destination::Exchange(name), kept)
            }
        };
        let kept = kept.filter(|_| source.durable);
        let binding = Binding { source: source.name.clone(), destination, led_to, kept, key, arguments };
        Ok((binding, source.kind))
    }

    fn check_access(&self, connection: ConnectionId, destination: &End) -> Result<(), Refusal> {
        let End::Queue(queue) = destination else { return Ok(()) };
        match self.live(queue)?.spec.exclusive {
            Some(owner) if owner != connection => Err(Refusal::locked_queue(&self.vhost, queue)),
            Some(_) | None => Ok(()),
        }
    }
}

/// A headers exchange must know what the binding wants (rabbit_exchange_type_headers:validate_binding).
pub(super) fn check_arguments(kind: ExchangeKind, arguments: &[u8]) -> Result<(), Refusal> {
    if kind != ExchangeKind::Headers {
        return Ok(());
    }
    let text = match Table::from_checked(arguments).find(X_MATCH) {
        None => return Ok(()),
        Some(Value::LongString(value)) if XMatch::parse(value).is_some() => return Ok(()),
        Some(Value::LongString(value)) => format!(
            "Invalid x-match field value <<\"{}\">>; expected all, any, all-with-x, or any-with-x",
            text::lossy(value)
        ),
        Some(value) => {
            let (kind, value) = (value.type_name(), super::term::shown(&value));
            format!("Invalid x-match field type {kind} (value {value}); expected longstr")
        }
    };
    Err(Refusal::new(ReplyCode::PreconditionFailed, text))
}

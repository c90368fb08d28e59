//! The router: a replica of the topology, compiled for one question: where does this message go?
//!
//! ```text
//! exchange + key --> default, direct, fanout: one probe ------------------------------> a list of queues
//!                \-> topic, headers, bound to exchanges, with an alternate: the walk --> a list, or a union of several
//! ```
//! Lives on: every shard, one for each vhost. It is asked by the connections of its shard and changed only by `apply`.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use super::cache::RouteCache;
use super::keys::{RoutingKeys, UnacceptableHeader};
use super::lists::{Leads, ListIndex, Lists, Origin};
use super::routes::Routes;
use super::walk::Walk;
use super::{Change, ExchangeSpec, Name, QueueSpec, predeclared_exchanges, text};
use crate::amqp::Table;
use crate::ids::QueueId;
use crate::message::Message;
use crate::slots::Slots;

/// Exchanges, queues and the lists of targets that bindings lead to.
pub struct Router {
    pub vhost: Name,
    pub(super) names: HashMap<Name, u32, RandomState>,
    pub(super) exchanges: Slots<Exchange>,
    pub(super) queues: HashMap<Name, Queue, RandomState>,
    pub(super) queue_lists: Lists<QueueId>,
    pub(super) exchange_lists: Lists<u32>,
    /// The exchanges that have the exchange of that name, which need not exist, as their alternate.
    pub(super) alternates: HashMap<Name, Vec<u32>, RandomState>,
    pub(super) walk: Walk,
    cache: RouteCache,
    /// The list of the last union that was not kept.
    union: ListIndex,
    pub(super) sweep: Sweep,
    /// Counts changes.
    pub(super) epoch: u64,
    pub(super) hashing: RandomState,
}

/// What is left of a removal.
#[derive(Default)]
pub(super) struct Sweep {
    /// The queue that is being taken out of its lists.
    pub queue: Option<QueueId>,
    /// Lists of exchanges that are gone.
    pub lists: Vec<ListIndex>,
}

pub(super) struct Exchange {
    /// Of the spec, beside the routes: it is asked for each message.
    pub internal: bool,
    /// Lists of exchanges that its bindings lead to.
    pub exchange_lists: u32,
    pub routes: Routes,
    /// The last change after which messages to this exchange may go elsewhere.
    pub epoch: u64,
    /// The last walk that came by.
    pub visited: u64,
    pub passed: Passed,
    pub spec: Arc<ExchangeSpec>,
}

/// What came to an exchange on one shard since it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Passed {
    pub published: u64,
    /// Messages that it brought to queues, once for each queue.
    pub routed: u64,
}

pub(super) struct Queue {
    /// The list of this queue alone, for the default exchange.
    pub own: ListIndex,
    pub route: QueueRoute,
}

/// A queue as the topology knows it. That it stands here means: it exists, and messages to its name reach it.
#[derive(Clone, Debug)]
pub struct QueueRoute {
    pub id: QueueId,
    pub spec: Arc<QueueSpec>,
}

/// Until when a route holds: as long as its exchange has this epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub(super) exchange: u32,
    pub(super) epoch: u64,
}

impl Stamp {
    /// Of no exchange.
    pub(super) const NEVER: Stamp = Stamp { exchange: u32::MAX, epoch: 0 };
}

/// Where a message goes.
#[derive(Clone, Copy, Debug)]
pub struct Resolved {
    /// Valid until the next `resolve` or `apply`.
    pub list: ListIndex,
    /// Until when each message with this exchange and routing key, and without headers, has this list; none if that
    /// depends on the message, or if the list is a union, which goes when the next one or the cache needs its place.
    pub stamp: Option<Stamp>,
    /// The message has a BCC header, which must go before anybody reads it.
    pub has_bcc: bool,
}

/// Why a message cannot even be routed. That it reaches no queue is no error: the list of its targets is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteError {
    /// 404
    NoExchange,
    /// 403
    Internal,
    /// 406
    Header(UnacceptableHeader),
}

impl RouteError {
    /// RabbitMQ's explanation, after `NOT_FOUND - ` and the like.
    pub fn text(self, vhost: &[u8], exchange: &[u8]) -> String {
        match self {
            RouteError::NoExchange => text::Vhost(vhost).no_exchange(exchange),
            RouteError::Internal => text::Vhost(vhost).internal_exchange(exchange),
            RouteError::Header(UnacceptableHeader { header, kind }) => {
                format!("invalid message: {{unacceptable_type_in_header,\"{header}\",{kind}}}")
            }
        }
    }
}

impl Router {
    /// A router with the predeclared exchanges. The seed decides the layout of its tables and must be hard to guess
    /// for clients, who choose the names in them.
    pub fn new(vhost: Name, seed: u64) -> Router {
        let hashing =
            RandomState::with_seeds(seed, seed.rotate_left(32), !seed, seed ^ 0x9E37_79B9_7F4A_7C15);
        let mut queue_lists = Lists::new(hashing.clone());
        let mut router = Router {
            vhost,
            names: HashMap::with_hasher(hashing.clone()),
            exchanges: Slots::default(),
            queues: HashMap::with_hasher(hashing.clone()),
            union: queue_lists.add(None),
            queue_lists,
            exchange_lists: Lists::new(hashing.clone()),
            alternates: HashMap::with_hasher(hashing.clone()),
            walk: Walk::default(),
            cache: RouteCache::new(hashing.clone()),
            sweep: Sweep::default(),
            epoch: 0,
            hashing,
        };
        for spec in predeclared_exchanges(&router.vhost.clone()) {
            router.apply(&Change::ExchangeAdded { spec });
        }
        router
    }

    /// Whether what was resolved with this stamp still holds.
    #[inline]
    pub fn stands(&self, stamp: Stamp) -> bool {
        self.exchanges.get(stamp.exchange).is_some_and(|exchange| exchange.epoch == stamp.epoch)
    }

    /// The queues that a message reaches.
    #[inline]
    pub fn resolve(&mut self, message: &Message<'_>) -> Result<Resolved, RouteError> {
        let stamp = self.admit(message.exchange())?;
        let resolved = match message.headers() {
            None => self.resolve_key(stamp, message),
            Some(headers) => self.resolve_with_headers(stamp, message, headers)?,
        };
        self.count(stamp, resolved.list, 1);
        Ok(resolved)
    }

    /// So many messages came to an exchange and went to the queues of a list.
    #[inline]
    pub(super) fn count(&mut self, stamp: Stamp, list: ListIndex, messages: u64) {
        // Else the list may be another one by now.
        let queues = if self.stands(stamp) { self.targets(list).len() as u64 } else { 0 };
        if let Some(exchange) = self.exchanges.get_mut(stamp.exchange) {
            exchange.passed.published += messages;
            exchange.passed.routed += messages * queues;
        }
    }

    /// The exchanges from a slot on, in the order of the slots, with what passed them on this shard.
    pub fn exchanges(&self, from: u32) -> impl Iterator<Item = (u32, &Arc<ExchangeSpec>, Passed)> {
        self.exchanges.iter_from(from).map(|(slot, exchange)| (slot, &exchange.spec, exchange.passed))
    }

    /// Whether clients may publish to an exchange of that name.
    #[inline]
    pub fn admit(&self, exchange: &[u8]) -> Result<Stamp, RouteError> {
        let slot = self.slot(exchange)?;
        let exchange = self.exchanges.get(slot).expect("a name leads to an exchange");
        if exchange.internal {
            return Err(RouteError::Internal);
        }
        Ok(Stamp { exchange: slot, epoch: exchange.epoch })
    }

    /// The same for what the broker itself publishes: an internal exchange takes it too.
    pub fn resolve_letter(&mut self, message: &Message<'_>) -> Result<Resolved, RouteError> {
        let slot = self.slot(message.exchange())?;
        let exchange = self.exchanges.get(slot).expect("a name leads to an exchange");
        let stamp = Stamp { exchange: slot, epoch: exchange.epoch };
        self.resolve_with_headers(stamp, message, message.headers().unwrap_or_default())
    }

    #[inline]
    fn slot(&self, exchange: &[u8]) -> Result<u32, RouteError> {
        match exchange {
            b"" => Ok(DEFAULT),
            name => self.names.get(name).copied().ok_or(RouteError::NoExchange),
        }
    }

    /// The queues of a list, each once.
    #[inline]
    pub fn targets(&self, list: ListIndex) -> &[QueueId] {
        self.queue_lists.targets(list)
    }

    pub fn queue(&self, name: &[u8]) -> Option<&QueueRoute> {
        self.queues.get(name).map(|queue| &queue.route)
    }

    pub fn exchange(&self, name: &[u8]) -> Option<&ExchangeSpec> {
        let slot = *self.names.get(name)?;
        self.exchanges.get(slot).map(|exchange| &*exchange.spec)
    }

    /// A message that nothing but its routing key tells where to go.
    #[inline]
    fn resolve_key(&mut self, stamp: Stamp, message: &Message<'_>) -> Resolved {
        let key = message.routing_key();
        let resolved = |list| Resolved { list, stamp: Some(stamp), has_bcc: false };
        if stamp.exchange == DEFAULT {
            return resolved(self.queues.get(key).map_or(ListIndex::EMPTY, |queue| queue.own));
        }
        let exchange = self.exchanges.get(stamp.exchange).expect("a name leads to an exchange");
        if !exchange.leads_on() {
            match &exchange.routes {
                Routes::Direct(keys) => {
                    return resolved(keys.get(key).map_or(ListIndex::EMPTY, |leads| leads.queues));
                }
                Routes::Fanout(leads) => return resolved(leads.queues),
                Routes::Topic(_) | Routes::Headers(_) => {}
            }
        }
        self.resolve_by_walk(stamp, message.route, &RoutingKeys::one(key))
    }

    fn resolve_with_headers(
        &mut self,
        stamp: Stamp,
        message: &Message<'_>,
        headers: Table<'_>,
    ) -> Result<Resolved, RouteError> {
        let keys = RoutingKeys::of(message.routing_key(), headers).map_err(RouteError::Header)?;
        let exchange = self.exchanges.get(stamp.exchange).expect("a name leads to an exchange");
        if keys.is_one() && !exchange.routes.is_by_headers() && !exchange.leads_on() {
            return Ok(Resolved { has_bcc: keys.has_bcc(), ..self.resolve_key(stamp, message) });
        }
        self.walk_from(stamp.exchange, &keys, headers);
        let list = match *self.walk.lists() {
            [] => ListIndex::EMPTY,
            [list] => list,
            _ => self.unite(),
        };
        Ok(Resolved { list, stamp: None, has_bcc: keys.has_bcc() })
    }

    /// A walk whose result is kept for the next message with the same route.
    fn resolve_by_walk(&mut self, stamp: Stamp, route: &[u8], keys: &RoutingKeys<'_>) -> Resolved {
        let hashed = self.cache.hash(route);
        if let Some(hashed) = hashed
            && let Some(known) = self.cache.find(hashed, route)
            && known.stamp == stamp
        {
            let stamp = (!known.owned).then_some(stamp);
            return Resolved { list: known.list, stamp, has_bcc: false };
        }
        let by_headers = self.walk_from(stamp.exchange, keys, Table::EMPTY);
        let (list, is_union) = match *self.walk.lists() {
            [] => (ListIndex::EMPTY, false),
            [list] => (list, false),
            _ => (self.unite(), true),
        };
        let lasting = (!by_headers && !is_union).then_some(stamp);
        let Some(hashed) = hashed.filter(|&hashed| !by_headers && self.cache.glance(hashed)) else {
            return Resolved { list, stamp: lasting, has_bcc: false };
        };
        let list = if is_union { self.queue_lists.add_union(self.walk.queues()) } else { list };
        if let Some(unused) = self.cache.keep(hashed, route, stamp, list, is_union) {
            self.queue_lists.remove(unused);
        }
        Resolved { list, stamp: lasting, has_bcc: false }
    }

    /// The queues of all lists that the walk found, each once, as a list of its own until the next union.
    fn unite(&mut self) -> ListIndex {
        self.walk.unite(&self.queue_lists);
        self.queue_lists.set_union(self.union, self.walk.queues());
        self.union
    }

    /// Every queue is reached by its name, no exchange keeps a place that leads nowhere, and the lists are sound. Costs
    /// what there is: for tests and the simulator.
    pub fn invariants(&self) {
        self.queue_lists.invariants();
        self.exchange_lists.invariants();
        for (name, queue) in &self.queues {
            assert_eq!(*name, queue.route.spec.name);
            assert_eq!(self.targets(queue.own), [queue.route.id]);
        }
        for (name, &slot) in &self.names {
            let exchange = self.exchanges.get(slot).expect("a name leads to an exchange");
            assert_eq!(*name, exchange.spec.name);
            exchange.routes.invariants();
            let leads = exchange.routes.all();
            assert_eq!(
                exchange.exchange_lists as usize,
                leads.iter().filter(|leads| leads.exchanges != ListIndex::EMPTY).count()
            );
            for Leads { queues, exchanges } in leads {
                assert!(queues == ListIndex::EMPTY || !self.queue_lists.is_empty(queues));
                assert!(exchanges == ListIndex::EMPTY || !self.exchange_lists.is_empty(exchanges));
                let here = |origin: Option<&Origin>| origin.is_none_or(|origin| origin.exchange == slot);
                assert!(here(self.queue_lists.origin(queues)) && here(self.exchange_lists.origin(exchanges)));
            }
        }
        assert_eq!(self.names.len(), self.exchanges.len());
    }
}

impl Exchange {
    /// Messages may go on from here to other exchanges.
    #[inline]
    pub fn leads_on(&self) -> bool {
        self.exchange_lists > 0 || self.spec.alternate.is_some()
    }
}

/// The slot of the default exchange, which is the first there is.
pub(super) const DEFAULT: u32 = 0;

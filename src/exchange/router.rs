//! The router: a replica of the topology, compiled for one question: where does this message go?
//!
//! Lives on: every shard, one each. It is asked by the connections of its shard and changed only by `apply`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ahash::RandomState;

use super::lists::{Lists, Origin};
use super::{Change, ExchangeKind, ExchangeSpec, ListIndex, Name, QueueSpec, predeclared_exchanges, text};
use crate::ids::QueueId;

/// Exchanges, queues and the lists of targets that binding keys lead to.
pub struct Router {
    exchanges: HashMap<Name, Exchange, RandomState>,
    queues: HashMap<Name, Queue, RandomState>,
    lists: Lists,
    epoch: u64,
    hashing: RandomState,
}

/// A queue as the topology knows it. That it stands here means: it exists, and messages to its name reach it.
#[derive(Clone, Debug)]
pub struct QueueRoute {
    pub id: QueueId,
    pub spec: Arc<QueueSpec>,
}

/// Why a message cannot even be routed. That it reaches no queue is no error: the list of its targets is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteError {
    /// 404
    NoExchange,
    /// 403
    Internal,
}

impl RouteError {
    /// RabbitMQ's explanation, after `NOT_FOUND - ` or `ACCESS_REFUSED - `.
    pub fn text(self, exchange: &[u8]) -> String {
        match self {
            RouteError::NoExchange => text::no_exchange(exchange),
            RouteError::Internal => text::internal_exchange(exchange),
        }
    }
}

impl Router {
    /// A router with the predeclared exchanges. The seed decides the layout of its tables and must be hard to guess
    /// for clients, who choose the names in them.
    pub fn new(seed: u64) -> Router {
        let hashing =
            RandomState::with_seeds(seed, seed.rotate_left(32), !seed, seed ^ 0x9E37_79B9_7F4A_7C15);
        let mut router = Router {
            exchanges: HashMap::with_hasher(hashing.clone()),
            queues: HashMap::with_hasher(hashing.clone()),
            lists: Lists::new(hashing.clone()),
            epoch: 0,
            hashing,
        };
        for spec in predeclared_exchanges() {
            router.add_exchange(spec);
        }
        router
    }

    /// Takes one change of the topology, in the order in which the topology made them.
    pub fn apply(&mut self, change: &Change) {
        self.epoch += 1;
        match change {
            Change::ExchangeAdded { spec } => self.add_exchange(spec.clone()),
            Change::ExchangeRemoved { name } => self.remove_exchange(name),
            Change::QueueAdded { id, spec } => self.add_queue(*id, spec.clone()),
            Change::QueueRemoved { id, name } => self.remove_queue(*id, name),
            Change::Bound { source, queue, key, arguments: _ } => self.bind(source, *queue, key),
            Change::Unbound { source, queue, key, arguments: _ } => self.unbind(source, *queue, key),
        }
    }

    /// Counts changes. What `resolve` said holds until it moves.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The list of queues that a message to this exchange with this routing key reaches.
    pub fn resolve(&self, exchange: &[u8], routing_key: &[u8]) -> Result<ListIndex, RouteError> {
        if exchange.is_empty() {
            return Ok(self.queues.get(routing_key).map_or(ListIndex::EMPTY, |queue| queue.own));
        }
        let exchange = self.exchanges.get(exchange).ok_or(RouteError::NoExchange)?;
        if exchange.internal {
            return Err(RouteError::Internal);
        }
        Ok(exchange.routes.resolve(routing_key))
    }

    /// The queues of a list, each once.
    pub fn targets(&self, list: ListIndex) -> &[QueueId] {
        self.lists.targets(list)
    }

    pub fn queue(&self, name: &[u8]) -> Option<&QueueRoute> {
        self.queues.get(name).map(|queue| &queue.route)
    }

    pub fn exchange(&self, name: &[u8]) -> Option<&ExchangeSpec> {
        self.exchanges.get(name).map(|exchange| &*exchange.spec)
    }

    fn add_exchange(&mut self, spec: Arc<ExchangeSpec>) {
        let routes = match spec.kind {
            ExchangeKind::Direct => Routes::Direct(HashMap::with_hasher(self.hashing.clone())),
            ExchangeKind::Fanout => Routes::Fanout(self.lists.add(None)),
            ExchangeKind::Topic | ExchangeKind::Headers => Routes::Nowhere,
        };
        let exchange = Exchange { internal: spec.internal, routes, spec: spec.clone() };
        let before = self.exchanges.insert(spec.name.clone(), exchange);
        debug_assert!(before.is_none(), "the topology adds an exchange once");
    }

    fn remove_exchange(&mut self, name: &[u8]) {
        match self.exchanges.remove(name).map(|exchange| exchange.routes) {
            Some(Routes::Direct(keys)) => keys.into_values().for_each(|list| self.lists.remove(list)),
            Some(Routes::Fanout(list)) => self.lists.remove(list),
            Some(Routes::Nowhere) => {}
            None => debug_assert!(false, "the topology removes what it added"),
        }
    }

    fn add_queue(&mut self, id: QueueId, spec: Arc<QueueSpec>) {
        let name = spec.name.clone();
        let queue = Queue { own: self.lists.add_own(id), route: QueueRoute { id, spec } };
        let before = self.queues.insert(name, queue);
        debug_assert!(before.is_none(), "a name has one live queue");
    }

    fn remove_queue(&mut self, id: QueueId, name: &[u8]) {
        if let Some(queue) = self.queues.remove(name) {
            debug_assert_eq!(queue.route.id, id, "the topology removes what it added");
            self.lists.remove(queue.own);
        }
        for list in self.lists.unlink_queue(id) {
            self.remove_if_emptied(list);
        }
    }

    fn bind(&mut self, source: &[u8], queue: QueueId, key: &Name) {
        let Some(exchange) = self.exchanges.get_mut(source) else {
            debug_assert!(false, "the topology binds to exchanges it added");
            return;
        };
        let list = match &mut exchange.routes {
            Routes::Direct(keys) => match keys.entry(key.clone()) {
                Entry::Occupied(list) => *list.get(),
                Entry::Vacant(vacant) => {
                    let origin = Origin { exchange: exchange.spec.name.clone(), key: key.clone() };
                    *vacant.insert(self.lists.add(Some(origin)))
                }
            },
            Routes::Fanout(list) => *list,
            Routes::Nowhere => return,
        };
        self.lists.link(list, queue);
    }

    fn unbind(&mut self, source: &[u8], queue: QueueId, key: &[u8]) {
        let list = self.exchanges.get(source).map_or(ListIndex::EMPTY, |found| found.routes.resolve(key));
        self.lists.unlink(list, queue);
        self.remove_if_emptied(list);
    }

    /// A direct exchange forgets a key that nothing is bound with.
    fn remove_if_emptied(&mut self, list: ListIndex) {
        let Some(Origin { exchange, key }) = self.lists.emptied(list) else { return };
        if let Some(Exchange { routes: Routes::Direct(keys), .. }) = self.exchanges.get_mut(&exchange) {
            keys.remove(&key);
        }
        self.lists.remove(list);
    }

    /// Every queue is reached by its name, no direct exchange keeps an empty key, and the lists are sound. Costs what
    /// there is: for tests and the simulator.
    pub fn invariants(&self) {
        self.lists.invariants();
        for (name, queue) in &self.queues {
            assert_eq!(*name, queue.route.spec.name);
            assert_eq!(self.targets(queue.own), [queue.route.id]);
        }
        for exchange in self.exchanges.values() {
            if let Routes::Direct(keys) = &exchange.routes {
                assert!(
                    keys.values().all(|&list| !self.targets(list).is_empty()),
                    "an empty key is forgotten"
                );
            }
        }
    }
}

struct Exchange {
    /// Of the spec, beside the routes: it is asked for each message.
    internal: bool,
    routes: Routes,
    spec: Arc<ExchangeSpec>,
}

struct Queue {
    /// The list of this queue alone, for the default exchange.
    own: ListIndex,
    route: QueueRoute,
}

enum Routes {
    Direct(HashMap<Name, ListIndex, RandomState>),
    Fanout(ListIndex),
    /// Topic and headers: the topology refuses bindings to them so far.
    Nowhere,
}

impl Routes {
    fn resolve(&self, routing_key: &[u8]) -> ListIndex {
        match self {
            Routes::Direct(keys) => keys.get(routing_key).copied().unwrap_or(ListIndex::EMPTY),
            Routes::Fanout(list) => *list,
            Routes::Nowhere => ListIndex::EMPTY,
        }
    }
}

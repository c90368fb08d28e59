//! Changes of the topology come in. What one costs follows what it changes; what removes much is done in pieces.

use std::sync::Arc;

use super::lists::{Leads, ListIndex, Origin, Place};
use super::router::{DEFAULT, Exchange, Passed, Queue, QueueRoute, Router};
use super::routes::Routes;
use super::{Change, Destination, ExchangeSpec, Name, QueueSpec};
use crate::ids::QueueId;

impl Router {
    /// Takes one change of the topology, in the order in which the topology made them. If `is_applying` after it, the
    /// rest comes by `work`, and until then the next change must wait.
    pub fn apply(&mut self, change: &Change) {
        debug_assert!(!self.is_applying(), "one change after the other");
        self.epoch += 1;
        match change {
            // About the router as a whole.
            Change::VhostOpened | Change::VhostClosing | Change::VhostGone => {}
            Change::ExchangeAdded { spec } => self.add_exchange(spec.clone()),
            Change::AlternateChanged { spec } => self.change_alternate(spec.clone()),
            Change::ExchangeRemoved { name } => self.remove_exchange(name),
            Change::QueueAdded { id, spec } => self.add_queue(*id, spec.clone()),
            Change::QueueRemoved { id, name } => self.remove_queue(*id, name),
            Change::Bound { source, destination, key, arguments } => {
                self.bind(source, destination, key, arguments)
            }
            Change::Unbound { source, destination, key, arguments } => {
                self.unbind(source, destination, key, arguments)
            }
        }
    }

    /// A queue that was removed is not out of all its lists yet: messages may still be led to it, and be dropped there.
    pub fn is_applying(&self) -> bool {
        self.sweep.queue.is_some()
    }

    /// Whether `work` has something to do.
    pub fn has_work(&self) -> bool {
        self.is_applying() || !self.sweep.lists.is_empty()
    }

    /// Goes on with removals, by so many targets at most.
    pub fn work(&mut self, targets_max: usize) {
        self.epoch += 1;
        for _ in 0..targets_max {
            if let Some(queue) = self.sweep.queue {
                match self.queue_lists.unlink_target(queue) {
                    Some(list) => self.after_unlink(list),
                    None => self.sweep.queue = None,
                }
            } else if let Some(&list) = self.sweep.lists.last() {
                if !self.queue_lists.unlink_last(list) {
                    self.sweep.lists.pop();
                }
            } else {
                return;
            }
        }
    }

    fn add_exchange(&mut self, spec: Arc<ExchangeSpec>) {
        let routes = Routes::new(spec.kind, self.hashing.clone());
        let (internal, epoch, name) = (spec.internal, self.epoch, spec.name.clone());
        let exchange = Exchange {
            internal,
            exchange_lists: 0,
            routes,
            epoch,
            visited: 0,
            passed: Passed::default(),
            spec,
        };
        let slot = self.exchanges.insert_with(|_, _| exchange);
        self.note_alternate(slot);
        self.touch_alternates_of(&name);
        let before = self.names.insert(name, slot);
        debug_assert!(before.is_none(), "the topology adds an exchange once");
    }

    fn remove_exchange(&mut self, name: &[u8]) {
        let Some(slot) = self.names.remove(name) else {
            debug_assert!(false, "the topology removes what it added");
            return;
        };
        self.touch(slot);
        while let Some(list) = self.exchange_lists.unlink_target(slot) {
            self.after_exchange_unlink(list);
        }
        self.forget_alternate(slot);
        let Some(exchange) = self.exchanges.remove(slot) else { return };
        for Leads { queues, exchanges } in exchange.routes.all() {
            if exchanges != ListIndex::EMPTY {
                self.exchange_lists.disown(exchanges);
                while self.exchange_lists.unlink_last(exchanges) {}
            }
            if queues != ListIndex::EMPTY {
                self.queue_lists.disown(queues);
                self.sweep.lists.push(queues);
            }
        }
    }

    fn change_alternate(&mut self, spec: Arc<ExchangeSpec>) {
        let Some(&slot) = self.names.get(&spec.name) else {
            debug_assert!(false, "the topology changes what it added");
            return;
        };
        self.forget_alternate(slot);
        if let Some(exchange) = self.exchanges.get_mut(slot) {
            exchange.spec = spec;
        }
        self.note_alternate(slot);
        self.touch(slot);
    }

    /// An exchange is among those that have its alternate.
    fn note_alternate(&mut self, slot: u32) {
        if let Some(alternate) = self.alternate_of(slot) {
            self.alternates.entry(alternate).or_default().push(slot);
        }
    }

    fn forget_alternate(&mut self, slot: u32) {
        if let Some(alternate) = self.alternate_of(slot)
            && let Some(users) = self.alternates.get_mut(&alternate)
        {
            users.retain(|&user| user != slot);
            if users.is_empty() {
                self.alternates.remove(&alternate);
            }
        }
    }

    fn alternate_of(&self, slot: u32) -> Option<Name> {
        self.exchanges.get(slot)?.spec.alternate.clone()
    }

    fn add_queue(&mut self, id: QueueId, spec: Arc<QueueSpec>) {
        self.touch(DEFAULT);
        let name = spec.name.clone();
        let queue = Queue { own: self.queue_lists.add_own(id), route: QueueRoute { id, spec } };
        let before = self.queues.insert(name, queue);
        debug_assert!(before.is_none(), "a name has one live queue");
    }

    fn remove_queue(&mut self, id: QueueId, name: &[u8]) {
        self.touch(DEFAULT);
        if let Some(queue) = self.queues.remove(name) {
            debug_assert_eq!(queue.route.id, id, "the topology removes what it added");
            self.queue_lists.remove(queue.own);
        }
        if !self.queue_lists.lists_of(id).is_empty() {
            self.sweep.queue = Some(id);
        }
    }

    fn bind(&mut self, source: &[u8], destination: &Destination, key: &Name, arguments: &[u8]) {
        let Some(&slot) = self.names.get(source) else {
            debug_assert!(false, "the topology binds to exchanges it added");
            return;
        };
        let exchange = self.exchanges.get_mut(slot).expect("a name leads to an exchange");
        let place = exchange.routes.insert(key, arguments);
        let leads = exchange.routes.leads_mut(&place);
        match destination {
            Destination::Queue(queue) => {
                if leads.queues == ListIndex::EMPTY {
                    leads.queues = self.queue_lists.add(Some(Origin { exchange: slot, place }));
                }
                self.queue_lists.link(leads.queues, *queue);
            }
            Destination::Exchange(name) => {
                let Some(&target) = self.names.get(name) else {
                    debug_assert!(false, "the topology binds exchanges it added");
                    return;
                };
                if leads.exchanges == ListIndex::EMPTY {
                    leads.exchanges = self.exchange_lists.add(Some(Origin { exchange: slot, place }));
                    let list = leads.exchanges;
                    exchange.exchange_lists += 1;
                    self.exchange_lists.link(list, target);
                } else {
                    self.exchange_lists.link(leads.exchanges, target);
                }
            }
        }
        self.touch(slot);
    }

    fn unbind(&mut self, source: &[u8], destination: &Destination, key: &Name, arguments: &[u8]) {
        let found = self.names.get(source).and_then(|&slot| {
            let exchange = self.exchanges.get_mut(slot)?;
            let place = exchange.routes.find(key, arguments)?;
            Some(*exchange.routes.leads_mut(&place))
        });
        let Some(Leads { queues, exchanges }) = found else {
            debug_assert!(false, "the topology unbinds what it bound");
            return;
        };
        match destination {
            Destination::Queue(queue) => {
                self.queue_lists.unlink(queues, *queue);
                self.after_unlink(queues);
            }
            Destination::Exchange(name) => {
                if let Some(&target) = self.names.get(name) {
                    self.exchange_lists.unlink(exchanges, target);
                    self.after_exchange_unlink(exchanges);
                }
            }
        }
    }

    /// A list lost a queue: its exchange routes otherwise, and forgets the place if it leads nowhere any more.
    fn after_unlink(&mut self, list: ListIndex) {
        let Some(Origin { exchange: slot, place }) = self.queue_lists.origin(list).cloned() else { return };
        self.touch(slot);
        if self.queue_lists.is_empty(list) {
            self.queue_lists.remove(list);
            self.vacate(slot, &place, |leads| leads.queues = ListIndex::EMPTY);
        }
    }

    /// The same for a list that lost an exchange.
    fn after_exchange_unlink(&mut self, list: ListIndex) {
        let Some(Origin { exchange: slot, place }) = self.exchange_lists.origin(list).cloned() else {
            return;
        };
        self.touch(slot);
        if self.exchange_lists.is_empty(list) {
            self.exchange_lists.remove(list);
            if let Some(exchange) = self.exchanges.get_mut(slot) {
                exchange.exchange_lists -= 1;
            }
            self.vacate(slot, &place, |leads| leads.exchanges = ListIndex::EMPTY);
        }
    }

    fn vacate(&mut self, slot: u32, place: &Place, clear: impl FnOnce(&mut Leads)) {
        let Some(exchange) = self.exchanges.get_mut(slot) else { return };
        let leads = exchange.routes.leads_mut(place);
        clear(leads);
        if *leads == Leads::NOWHERE {
            exchange.routes.remove(place);
        }
    }

    /// What was resolved for this exchange, and for those that lead to it, does not hold any more.
    fn touch(&mut self, slot: u32) {
        let mut ahead = vec![];
        let mut next = Some(slot);
        while let Some(slot) = next {
            if let Some(exchange) = self.exchanges.get_mut(slot)
                && exchange.epoch != self.epoch
            {
                exchange.epoch = self.epoch;
                let origins = self.exchange_lists.lists_of(slot).iter();
                let origins = origins.filter_map(|&list| self.exchange_lists.origin(list));
                ahead.extend(origins.map(|origin| origin.exchange));
                ahead.extend(self.alternates.get(&exchange.spec.name).into_iter().flatten());
            }
            next = ahead.pop();
        }
    }

    fn touch_alternates_of(&mut self, name: &[u8]) {
        for slot in self.alternates.get(name).cloned().unwrap_or_default() {
            self.touch(slot);
        }
    }
}

//! The general way through the exchanges: from one to the next by bindings between them and by alternates, each once.

use super::Router;
use super::keys::RoutingKeys;
use super::lists::{Leads, ListIndex, Lists};
use super::router::DEFAULT;
use crate::amqp::Table;
use crate::ids::QueueId;

/// What a walk found, and room that walks use again.
#[derive(Default)]
pub(super) struct Walk {
    /// Exchanges still to be visited.
    ahead: Vec<u32>,
    found: Vec<Leads>,
    lists: Vec<ListIndex>,
    queues: Vec<QueueId>,
    /// By shard and slot: the last union that took the queue.
    taken: Vec<Vec<u64>>,
    /// Counts walks, and unions.
    step: u64,
}

impl Walk {
    /// The lists of queues that were found; one may occur twice.
    pub fn lists(&self) -> &[ListIndex] {
        &self.lists
    }

    /// The queues of the last union.
    pub fn queues(&self) -> &[QueueId] {
        &self.queues
    }

    /// Takes the queues of all lists, each once.
    pub fn unite(&mut self, lists: &Lists<QueueId>) {
        self.step += 1;
        self.queues.clear();
        for &list in &self.lists {
            for &queue in lists.targets(list) {
                if self.taken.len() <= queue.shard.index() {
                    self.taken.resize_with(queue.shard.index() + 1, Vec::new);
                }
                let taken = &mut self.taken[queue.shard.index()];
                if taken.len() <= queue.slot as usize {
                    taken.resize(queue.slot as usize + 1, 0);
                }
                if std::mem::replace(&mut taken[queue.slot as usize], self.step) != self.step {
                    self.queues.push(queue);
                }
            }
        }
    }
}

impl Router {
    /// Finds the lists that a message reaches from an exchange. True if any exchange on the way looks at headers. An
    /// alternate is followed where an exchange leads its messages nowhere at all (rabbit_exchange:route1).
    pub(super) fn walk_from(&mut self, start: u32, keys: &RoutingKeys<'_>, headers: Table<'_>) -> bool {
        let Router { names, exchanges, queues, exchange_lists, walk, .. } = self;
        let Walk { ahead, found, lists, step, .. } = walk;
        *step += 1;
        lists.clear();
        ahead.push(start);
        let mut by_headers = false;
        while let Some(slot) = ahead.pop() {
            let Some(exchange) = exchanges.get_mut(slot) else { continue };
            if std::mem::replace(&mut exchange.visited, *step) == *step {
                continue;
            }
            by_headers |= exchange.routes.is_by_headers();
            found.clear();
            exchange.routes.collect(keys, headers, found);
            for leads in found.iter() {
                lists.extend(Some(leads.queues).filter(|&list| list != ListIndex::EMPTY));
                ahead.extend_from_slice(exchange_lists.targets(leads.exchanges));
            }
            if found.is_empty()
                && let Some(alternate) = &exchange.spec.alternate
            {
                ahead.extend(names.get(alternate));
            }
        }
        if start == DEFAULT {
            // Every queue is bound to it by name, without a binding.
            lists.extend(keys.iter().filter_map(|key| queues.get(key)).map(|queue| queue.own));
        }
        by_headers
    }
}

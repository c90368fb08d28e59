//! Why a message goes where it goes, told binding by binding.
//!
//! ```text
//! Trail::advance -> an exchange; who asks looks it up and offers its bindings: visit -> followed or not -> leave
//!             -> the next one, by bindings between exchanges and by alternates, each exchange once
//! ```
//! The same way as the router's walk takes, by the same routing tables: here each holds one binding, so that what it leads to
//! is known by the binding and not by the list that it shares with others.

use std::collections::BTreeSet;

use ahash::RandomState;

use super::lists::{Leads, ListIndex};
use super::routes::Routes;
use super::{ExchangeKind, ExchangeSpec, Name, RoutingKeys, UnacceptableHeader};
use crate::amqp::Table;

/// A message that might be published.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    keys: RoutingKeys<'a>,
    headers: Table<'a>,
}

impl<'a> Inquiry<'a> {
    pub fn new(routing_key: &'a [u8], headers: Table<'a>) -> Result<Inquiry<'a>, UnacceptableHeader> {
        Ok(Inquiry { keys: RoutingKeys::of(routing_key, headers)?, headers })
    }

    /// The names of the queues that the default exchange leads to, if they exist: the routing key, and those that the
    /// headers CC and BCC add.
    pub fn keys(&self) -> impl Iterator<Item = &'a [u8]> {
        self.keys.iter()
    }

    /// Whether a binding of an exchange of that type takes the message.
    fn passes(&self, kind: ExchangeKind, key: &Name, arguments: &[u8]) -> bool {
        let mut routes = Routes::new(kind, RandomState::with_seed(0));
        let place = routes.insert(key, arguments);
        *routes.leads_mut(&place) = Leads { queues: ListIndex::SOME, exchanges: ListIndex::EMPTY };
        let mut found = Vec::new();
        routes.collect(&self.keys, self.headers, &mut found);
        !found.is_empty()
    }
}

/// The way of a message from exchange to exchange.
pub struct Trail<'a> {
    inquiry: Inquiry<'a>,
    ahead: Vec<Name>,
    visited: BTreeSet<Name>,
    /// A binding of the exchange that is visited has taken the message.
    is_taken: bool,
}

impl<'a> Trail<'a> {
    pub fn new(inquiry: Inquiry<'a>, exchange: Name) -> Trail<'a> {
        Trail { inquiry, ahead: vec![exchange], visited: BTreeSet::new(), is_taken: false }
    }

    /// The next exchange to be visited; one that is not there is passed over.
    pub fn advance(&mut self) -> Option<Name> {
        self.is_taken = false;
        while let Some(name) = self.ahead.pop() {
            if self.visited.insert(name.clone()) {
                return Some(name);
            }
        }
        None
    }

    /// Offers a binding of the exchange that is visited, which leads to an exchange, or else to a queue. Whether it takes
    /// the message.
    pub fn visit(&mut self, kind: ExchangeKind, key: &Name, arguments: &[u8], to: Option<&Name>) -> bool {
        let passes = self.inquiry.passes(kind, key, arguments);
        if passes {
            self.is_taken = true;
            self.ahead.extend(to.cloned());
        }
        passes
    }

    /// All bindings of the exchange were offered. True: its alternate takes the message.
    pub fn leave(&mut self, spec: &ExchangeSpec) -> bool {
        let alternate = spec.alternate.as_ref().filter(|_| !self.is_taken);
        self.ahead.extend(alternate.cloned());
        alternate.is_some()
    }
}

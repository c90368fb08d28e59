//! The routing table of one exchange, by its type: from a message's keys and headers to the places that its bindings made.

use std::collections::HashMap;

use ahash::RandomState;

use super::headers::Patterns;
use super::lists::{Leads, Place};
use super::topic::Trie;
use super::{ExchangeKind, Name, RoutingKeys};
use crate::amqp::Table;

pub(super) enum Routes {
    Direct(HashMap<Name, Leads, RandomState>),
    Fanout(Leads),
    Topic(Box<Trie>),
    Headers(Box<Patterns>),
}

impl Routes {
    pub fn new(kind: ExchangeKind, hashing: RandomState) -> Routes {
        match kind {
            ExchangeKind::Direct => Routes::Direct(HashMap::with_hasher(hashing)),
            ExchangeKind::Fanout => Routes::Fanout(Leads::NOWHERE),
            ExchangeKind::Topic => Routes::Topic(Box::new(Trie::new(hashing))),
            ExchangeKind::Headers => Routes::Headers(Box::new(Patterns::new(hashing))),
        }
    }

    /// The place of a binding, made if it is not there.
    pub fn insert(&mut self, key: &Name, arguments: &[u8]) -> Place {
        match self {
            Routes::Direct(keys) => {
                keys.entry(key.clone()).or_insert(Leads::NOWHERE);
                Place::Key(key.clone())
            }
            Routes::Fanout(_) => Place::Whole,
            Routes::Topic(trie) => Place::Node(trie.insert(key)),
            Routes::Headers(patterns) => Place::Pattern(patterns.insert(Table::from_checked(arguments))),
        }
    }

    pub fn find(&mut self, key: &Name, arguments: &[u8]) -> Option<Place> {
        match self {
            Routes::Direct(keys) => keys.contains_key(key).then(|| Place::Key(key.clone())),
            Routes::Fanout(_) => Some(Place::Whole),
            Routes::Topic(trie) => trie.find(key).map(Place::Node),
            Routes::Headers(patterns) => patterns.find(Table::from_checked(arguments)).map(Place::Pattern),
        }
    }

    pub fn leads_mut(&mut self, place: &Place) -> &mut Leads {
        match (self, place) {
            (Routes::Direct(keys), Place::Key(key)) => {
                keys.get_mut(key).expect("a place is there until it is removed")
            }
            (Routes::Fanout(leads), Place::Whole) => leads,
            (Routes::Topic(trie), Place::Node(node)) => trie.leads_mut(*node),
            (Routes::Headers(patterns), Place::Pattern(pattern)) => patterns.leads_mut(*pattern),
            (_, place) => unreachable!("{place:?} is of an exchange of another type"),
        }
    }

    /// Forgets a place that leads nowhere any more.
    pub fn remove(&mut self, place: &Place) {
        match (self, place) {
            (Routes::Direct(keys), Place::Key(key)) => _ = keys.remove(key),
            (Routes::Fanout(_), Place::Whole) => {}
            (Routes::Topic(trie), Place::Node(node)) => trie.remove(*node),
            (Routes::Headers(patterns), Place::Pattern(pattern)) => patterns.remove(*pattern),
            (_, place) => unreachable!("{place:?} is of an exchange of another type"),
        }
    }

    /// Where a message is led to by any of its keys; the same place may come twice.
    pub fn collect(&mut self, keys: &RoutingKeys<'_>, headers: Table<'_>, found: &mut Vec<Leads>) {
        match self {
            Routes::Direct(places) => found.extend(keys.iter().filter_map(|key| places.get(key))),
            Routes::Fanout(leads) => found.extend(Some(*leads).filter(|&leads| leads != Leads::NOWHERE)),
            Routes::Topic(trie) => keys.iter().for_each(|key| trie.matches(key, found)),
            Routes::Headers(patterns) => patterns.matches(headers, found),
        }
    }

    /// Whether it routes by more than the keys.
    pub fn is_by_headers(&self) -> bool {
        matches!(self, Routes::Headers(_))
    }

    /// All places that lead somewhere.
    pub fn all(&self) -> Vec<Leads> {
        match self {
            Routes::Direct(keys) => keys.values().copied().collect(),
            Routes::Fanout(leads) => vec![*leads],
            Routes::Topic(trie) => trie.all().collect(),
            Routes::Headers(patterns) => patterns.all().collect(),
        }
    }

    /// Nothing is kept that leads nowhere.
    pub fn invariants(&self) {
        match self {
            Routes::Direct(keys) => assert!(keys.values().all(|&leads| leads != Leads::NOWHERE)),
            Routes::Fanout(_) => {}
            Routes::Topic(trie) => trie.invariants(),
            Routes::Headers(patterns) => patterns.invariants(),
        }
    }
}

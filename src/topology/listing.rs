//! The bindings of a vhost as administrators see them: told in pieces, while the topology changes.
//!
//! A binding that is there all the while is told once; one that comes or goes meanwhile, perhaps. Those to the default
//! exchange are not kept: each queue has one, by its name.

use std::ops::Bound::{Excluded, Included, Unbounded};

use super::bindings::{BindingEnd, End};
use super::queues::NamedQueue;
use super::state::Topology;
use crate::exchange::Name;

/// Which bindings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    All,
    /// Those of the default exchange.
    Default,
    From(Name),
    To(End),
    Between(Name, End),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedBinding {
    pub source: Name,
    pub destination: End,
    pub key: Name,
    /// The bytes of a checked table.
    pub arguments: Name,
}

/// The last that a piece has looked at: a queue, or an exchange and perhaps one of its bindings.
#[derive(Clone, Default, Debug)]
pub struct Place {
    name: Option<Name>,
    end: Option<BindingEnd>,
}

/// A piece of a listing.
#[derive(Debug)]
pub struct Piece {
    pub bindings: Vec<ListedBinding>,
    /// Where to go on; none at the end.
    pub next: Option<Place>,
}

impl Topology {
    /// Goes on from `place`, or begins; looks at `things_max` things at most.
    pub fn list_bindings(&self, wanted: &Wanted, place: Option<Place>, things_max: usize) -> Piece {
        let mut piece = Listing { topology: self, left: things_max, bindings: Vec::new() };
        let mut place = place.unwrap_or_default();
        let is_done = match wanted {
            Wanted::All => piece.all(&mut place),
            Wanted::Default => piece.default(&mut place),
            Wanted::From(source) => piece.from(source, &mut place.end),
            Wanted::To(destination) => piece.to(destination, &mut place.end),
            Wanted::Between(source, destination) => piece.between(source, destination, &mut place.end),
        };
        Piece { bindings: piece.bindings, next: (!is_done).then_some(place) }
    }

    fn is_live(&self, end: &End) -> bool {
        match end {
            End::Queue(name) => matches!(self.queues.get(name), Some(NamedQueue::Live(_))),
            End::Exchange(_) => true,
        }
    }
}

struct Listing<'a> {
    topology: &'a Topology,
    left: usize,
    bindings: Vec<ListedBinding>,
}

/// Each is true at the end.
impl Listing<'_> {
    /// An exchange counts as a thing too: most may have no binding.
    fn all(&mut self, place: &mut Place) -> bool {
        let (topology, from) = (self.topology, place.name.clone());
        let from = from.as_deref().map_or(Unbounded, Included);
        for (source, _) in topology.exchanges.range::<[u8], _>((from, Unbounded)) {
            if place.name.as_ref() != Some(source) {
                if !self.has_room() {
                    return false;
                }
                *place = Place { name: Some(source.clone()), end: None };
            }
            if !self.from(source, &mut place.end) {
                return false;
            }
        }
        true
    }

    fn default(&mut self, place: &mut Place) -> bool {
        let (topology, from) = (self.topology, place.name.clone());
        let from = from.as_deref().map_or(Unbounded, Excluded);
        for (name, _) in topology.queues.range::<[u8], _>((from, Unbounded)) {
            if !self.has_room() {
                return false;
            }
            place.name = Some(name.clone());
            self.tell(&Name::from([]), End::Queue(name.clone()), name, &Name::from([]));
        }
        true
    }

    fn from(&mut self, source: &Name, last: &mut Option<BindingEnd>) -> bool {
        let Some(exchange) = self.topology.exchanges.get(source) else { return true };
        let from = last.clone().map_or(Unbounded, Excluded);
        for end in exchange.bindings.range((from, Unbounded)) {
            if !self.has_room() {
                return false;
            }
            *last = Some(end.clone());
            self.tell(source, end.other.clone(), &end.key, &end.arguments);
        }
        true
    }

    fn to(&mut self, destination: &End, last: &mut Option<BindingEnd>) -> bool {
        let Some(sources) = self.topology.sources(destination) else { return true };
        let from = last.clone().map_or(Unbounded, Excluded);
        for end in sources.range((from, Unbounded)) {
            if !self.has_room() {
                return false;
            }
            *last = Some(end.clone());
            if let End::Exchange(source) = &end.other {
                self.tell(source, destination.clone(), &end.key, &end.arguments);
            }
        }
        true
    }

    /// At the source the bindings to one destination stand together.
    fn between(&mut self, source: &Name, destination: &End, last: &mut Option<BindingEnd>) -> bool {
        let Some(exchange) = self.topology.exchanges.get(source) else { return true };
        let first = BindingEnd { other: destination.clone(), key: Name::from([]), arguments: Name::from([]) };
        let from = last.clone().map_or(Included(first), Excluded);
        for end in exchange.bindings.range((from, Unbounded)).take_while(|end| end.other == *destination) {
            if !self.has_room() {
                return false;
            }
            *last = Some(end.clone());
            self.tell(source, destination.clone(), &end.key, &end.arguments);
        }
        true
    }

    fn has_room(&mut self) -> bool {
        let has_room = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_room
    }

    /// A queue that dies has no bindings for anybody.
    fn tell(&mut self, source: &Name, destination: End, key: &Name, arguments: &Name) {
        if self.topology.is_live(&destination) {
            let (source, key, arguments) = (source.clone(), key.clone(), arguments.clone());
            self.bindings.push(ListedBinding { source, destination, key, arguments });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::*;
    use super::*;
    use crate::ids::root;

    fn name(text: &str) -> Name {
        Name::from(text.as_bytes())
    }

    /// Four queues, three exchanges that lead to them, and a binding between two of those.
    fn world() -> World {
        let (mut world, me) = (World::new(1), requester(0, 0));
        for queue in ["a", "b", "c", "d"] {
            world.ask(declare_queue(me, queue));
        }
        for (exchange, keys) in [("x", 3), ("y", 0), ("z", 1)] {
            world.ask(declare_exchange(me, exchange, "direct"));
            for queue in ["a", "b", "c"] {
                (0..keys).for_each(|key| drop(world.ask(bind(me, exchange, queue, &key.to_string()))));
            }
        }
        world.ask(crate::topology::Request::BindExchange {
            requester: me,
            destination: (*b"y").into(),
            source: (*b"x").into(),
            routing_key: (*b"k").into(),
            arguments: Box::default(),
        });
        world
    }

    /// All of it, in pieces of so many; as `source destination key`.
    fn listed(world: &World, wanted: &Wanted, things_max: usize) -> Vec<String> {
        let topology = &world.vhosts.all()[&root()];
        let (mut place, mut shown) = (None, Vec::new());
        loop {
            let piece = topology.list_bindings(wanted, place, things_max);
            assert!(piece.bindings.len() <= things_max);
            shown.extend(piece.bindings.iter().map(|binding| {
                let (End::Queue(to) | End::Exchange(to)) = &binding.destination;
                let [source, to, key] =
                    [&binding.source, to, &binding.key].map(|name| crate::text::lossy(name));
                format!("{source} {to} {key}")
            }));
            place = piece.next;
            if place.is_none() {
                return shown;
            }
        }
    }

    #[test]
    fn pieces_of_any_size_make_the_same_whole() {
        let world = world();
        let between = ["x a 0", "x a 1", "x a 2"];
        let from = [&between[..], &["x b 0", "x b 1", "x b 2", "x c 0", "x c 1", "x c 2", "x y k"]].concat();
        let z = ["z a 0", "z b 0", "z c 0"];
        for things_max in 1..20 {
            let listed = |wanted| listed(&world, &wanted, things_max);
            assert_eq!(listed(Wanted::All), [&from[..], &z].concat());
            assert_eq!(listed(Wanted::Default), [" a a", " b b", " c c", " d d"]);
            assert_eq!(listed(Wanted::From(name("x"))), from);
            assert_eq!(listed(Wanted::To(End::Queue(name("a")))), [&between[..], &["z a 0"]].concat());
            assert_eq!(listed(Wanted::To(End::Exchange(name("y")))), ["x y k"]);
            assert_eq!(listed(Wanted::Between(name("x"), End::Queue(name("a")))), between);
            assert_eq!(listed(Wanted::Between(name("x"), End::Exchange(name("a")))), [""; 0]);
            assert_eq!(listed(Wanted::From(name("none"))), [""; 0]);
            assert_eq!(listed(Wanted::To(End::Queue(name("none")))), [""; 0]);
        }
    }

    #[test]
    fn what_goes_meanwhile_ends_no_listing() {
        let mut world = world();
        let topology = &world.vhosts.all()[&root()];
        let place = topology.list_bindings(&Wanted::All, None, 9).next;
        assert!(place.is_some());
        world.ask(delete_exchange(requester(0, 0), "x"));
        let topology = &world.vhosts.all()[&root()];
        let rest = topology.list_bindings(&Wanted::All, place, 20);
        assert!(rest.next.is_none());
        assert!(rest.bindings.iter().all(|binding| binding.source == name("z")));
        assert_eq!(rest.bindings.len(), 3);
    }
}

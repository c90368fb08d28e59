//! Target lists: each a set of queues, or of exchanges, that one place of a routing table leads to.
//!
//! ```text
//! ListIndex --> targets[i]: None | One(target) | Many([target, ...])   read by every publish, so it stands alone
//!               origins[i]: which place of which exchange leads here   read only when the list changes
//! (list, target) --> Link { position in targets, place in lists_of[target], bindings that share it }
//! target         --> lists_of: [ListIndex, ...]
//! ```
//!
//! Both sides know where they stand in the other, so that adding or removing one target costs the same in a fanout to
//! ten as to ten thousand. The last target takes the place of a removed one: order among targets means nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::slice;

use ahash::RandomState;

use super::Name;
use crate::ids::QueueId;

/// A target list of a `Router`, valid while the epoch of the exchange that led to it stays the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListIndex(u32);

impl ListIndex {
    /// The list without targets.
    pub const EMPTY: ListIndex = ListIndex(0);
    /// Any other, where only that it is another one counts.
    pub(super) const SOME: ListIndex = ListIndex(1);
    #[cfg(test)]
    pub(super) const FOR_TESTS: ListIndex = ListIndex::SOME;

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which place of which exchange leads to a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    /// The exchange's slot.
    pub exchange: u32,
    pub place: Place,
}

/// Where in its exchange's routing table a binding stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// A fanout exchange has one place for all bindings.
    Whole,
    /// A binding key of a direct exchange.
    Key(Name),
    /// A node of a topic exchange's trie.
    Node(u32),
    /// A pattern of a headers exchange.
    Pattern(u32),
}

/// Where a place leads: to queues, and on to exchanges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Leads {
    pub queues: ListIndex,
    pub exchanges: ListIndex,
}

impl Leads {
    pub const NOWHERE: Leads = Leads { queues: ListIndex::EMPTY, exchanges: ListIndex::EMPTY };
}

/// `T` is what the lists hold: queues, or the slots of exchanges.
pub(super) struct Lists<T> {
    targets: Vec<Targets<T>>,
    origins: Vec<Option<Origin>>,
    free: Vec<ListIndex>,
    links: HashMap<(ListIndex, T), Link, RandomState>,
    lists_of: HashMap<T, Vec<ListIndex>, RandomState>,
}

impl<T: Copy + Eq + Hash> Lists<T> {
    pub fn new(hashing: RandomState) -> Lists<T> {
        Lists {
            targets: vec![Targets::None],
            origins: vec![None],
            free: Vec::new(),
            links: HashMap::with_hasher(hashing.clone()),
            lists_of: HashMap::with_hasher(hashing),
        }
    }

    /// A list without targets.
    pub fn add(&mut self, origin: Option<Origin>) -> ListIndex {
        if let Some(list) = self.free.pop() {
            self.origins[list.index()] = origin;
            return list;
        }
        let list = ListIndex(u32::try_from(self.targets.len()).expect("memory ends before 2^32 lists do"));
        self.targets.push(Targets::None);
        self.origins.push(origin);
        list
    }

    /// A list that leads to one target without a binding.
    pub fn add_own(&mut self, target: T) -> ListIndex {
        let list = self.add(None);
        self.targets[list.index()] = Targets::One(target);
        list
    }

    /// A list of targets that no binding stands for: what several places lead to together.
    pub fn add_union(&mut self, targets: &[T]) -> ListIndex {
        let list = self.add(None);
        self.set_union(list, targets);
        list
    }

    pub fn set_union(&mut self, list: ListIndex, targets: &[T]) {
        debug_assert!(list != ListIndex::EMPTY && self.origins[list.index()].is_none());
        match &mut self.targets[list.index()] {
            Targets::Many(kept) => {
                kept.clear();
                kept.extend_from_slice(targets);
            }
            other => *other = Targets::Many(targets.to_vec()),
        }
    }

    /// Removes a list that no target is linked to, or one that has no links.
    pub fn remove(&mut self, list: ListIndex) {
        debug_assert!(list != ListIndex::EMPTY, "the empty list stays");
        self.targets[list.index()] = Targets::None;
        self.origins[list.index()] = None;
        self.free.push(list);
    }

    /// The exchange of the list is gone: nothing leads there any more, and its targets are taken out one by one.
    pub fn disown(&mut self, list: ListIndex) {
        self.origins[list.index()] = None;
    }

    /// Takes the last target out of a disowned list; false, and the list is removed, if there is none.
    pub fn unlink_last(&mut self, list: ListIndex) -> bool {
        let Some(&target) = self.targets(list).last() else {
            self.remove(list);
            return false;
        };
        let link = self.links.remove(&(list, target)).expect("a target has a link");
        self.drop_target(list, link.position);
        self.leave(target, link.place);
        true
    }

    /// One more binding leads from the list to the target.
    pub fn link(&mut self, list: ListIndex, target: T) {
        if let Some(link) = self.links.get_mut(&(list, target)) {
            link.bindings += 1;
            return;
        }
        let lists = self.lists_of.entry(target).or_default();
        let link = Link { position: self.targets[list.index()].len(), place: lists.len(), bindings: 1 };
        lists.push(list);
        self.targets[list.index()].push(target);
        self.links.insert((list, target), link);
    }

    /// One binding less leads from the list to the target.
    pub fn unlink(&mut self, list: ListIndex, target: T) {
        let Some(link) = self.links.get_mut(&(list, target)) else {
            debug_assert!(false, "only what was bound is unbound");
            return;
        };
        link.bindings -= 1;
        if link.bindings == 0 {
            let Link { position, place, .. } = *link;
            self.links.remove(&(list, target));
            self.drop_target(list, position);
            self.leave(target, place);
        }
    }

    /// Takes the target out of one of its lists, whatever number of bindings stands for it; None if it is in none.
    pub fn unlink_target(&mut self, target: T) -> Option<ListIndex> {
        let lists = self.lists_of.get_mut(&target)?;
        let list = lists.pop().expect("a target without lists is forgotten");
        if lists.is_empty() {
            self.lists_of.remove(&target);
        }
        let link = self.links.remove(&(list, target)).expect("a target's list has a link to it");
        self.drop_target(list, link.position);
        Some(list)
    }

    pub fn is_empty(&self, list: ListIndex) -> bool {
        self.targets[list.index()].len() == 0
    }

    pub fn origin(&self, list: ListIndex) -> Option<&Origin> {
        self.origins[list.index()].as_ref()
    }

    #[inline]
    pub fn targets(&self, list: ListIndex) -> &[T] {
        self.targets[list.index()].as_slice()
    }

    /// The lists that lead to a target.
    pub fn lists_of(&self, target: T) -> &[ListIndex] {
        self.lists_of.get(&target).map_or(&[], |lists| lists)
    }

    fn drop_target(&mut self, list: ListIndex, position: usize) {
        let moved = self.targets[list.index()].swap_remove(position);
        if let Some(moved) = moved {
            self.links.get_mut(&(list, moved)).expect("a target has a link").position = position;
        }
    }

    fn leave(&mut self, target: T, place: usize) {
        let lists = self.lists_of.get_mut(&target).expect("a linked target knows its lists");
        lists.swap_remove(place);
        if let Some(&moved) = lists.get(place) {
            self.links.get_mut(&(moved, target)).expect("a target's list has a link to it").place = place;
        } else if lists.is_empty() {
            self.lists_of.remove(&target);
        }
    }

    /// Each link stands where both sides say; and nobody knows of a link that is not there. Costs what there is.
    pub fn invariants(&self) {
        assert!(self.targets(ListIndex::EMPTY).is_empty(), "the empty list is empty");
        assert_eq!(self.targets.len(), self.origins.len());
        for (&(list, target), link) in &self.links {
            assert!(link.bindings > 0, "a link stands for a binding");
            assert!(self.targets(list)[link.position] == target);
            assert_eq!(self.lists_of[&target][link.place], list);
        }
        assert_eq!(self.links.len(), self.lists_of.values().map(Vec::len).sum::<usize>());
        assert!(self.lists_of.values().all(|lists| !lists.is_empty()), "a target without lists is forgotten");
    }
}

struct Link {
    position: usize,
    place: usize,
    bindings: usize,
}

/// One target is by far the most frequent count: it is kept in place and costs no allocation and no further cache line.
enum Targets<T> {
    None,
    One(T),
    Many(Vec<T>),
}

impl<T: Copy> Targets<T> {
    #[inline]
    fn as_slice(&self) -> &[T] {
        match self {
            Targets::None => &[],
            Targets::One(target) => slice::from_ref(target),
            Targets::Many(targets) => targets,
        }
    }

    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn push(&mut self, target: T) {
        match self {
            Targets::None => *self = Targets::One(target),
            Targets::One(first) => *self = Targets::Many(vec![*first, target]),
            Targets::Many(targets) => targets.push(target),
        }
    }

    /// Returns the target that took the removed one's position.
    fn swap_remove(&mut self, position: usize) -> Option<T> {
        if let Targets::Many(targets) = self {
            targets.swap_remove(position);
            let moved = targets.get(position).copied();
            if targets.is_empty() {
                *self = Targets::None;
            }
            return moved;
        }
        debug_assert!(position < self.len(), "a link stands inside its list");
        *self = Targets::None;
        None
    }
}

// A list's hot part is three words: two and a half lists fit a cache line.
const _: () = assert!(size_of::<Targets<QueueId>>() == 24);

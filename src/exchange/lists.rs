//! Target lists: each a set of queues that one binding key, one fanout exchange or one queue's own name leads to.
//!
//! ```text
//! ListIndex --> targets[i]: None | One(queue) | Many([queue, ...])   read by every publish, so it stands alone
//!               origins[i]: which direct exchange and key lead here  read only when the list empties
//! (list, queue) --> Link { position in targets, place in lists_of[queue], bindings that share it }
//! queue         --> lists_of: [ListIndex, ...]
//! ```
//!
//! Both sides know where they stand in the other, so that adding or removing one queue costs the same in a fanout to
//! ten as to ten thousand. The last target takes the place of a removed one: order among targets means nothing.

use std::collections::HashMap;
use std::slice;

use ahash::RandomState;

use super::Name;
use crate::ids::QueueId;

/// A target list of a `Router`, valid while its `epoch()` stays the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListIndex(u32);

impl ListIndex {
    /// The list without targets.
    pub const EMPTY: ListIndex = ListIndex(0);

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The direct exchange and binding key that lead to a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub exchange: Name,
    pub key: Name,
}

pub(super) struct Lists {
    targets: Vec<Targets>,
    origins: Vec<Option<Origin>>,
    free: Vec<ListIndex>,
    links: HashMap<(ListIndex, QueueId), Link, RandomState>,
    lists_of: HashMap<QueueId, Vec<ListIndex>, RandomState>,
}

impl Lists {
    pub fn new(hashing: RandomState) -> Lists {
        Lists {
            targets: vec![Targets::None],
            origins: vec![None],
            free: Vec::new(),
            links: HashMap::with_hasher(hashing.clone()),
            lists_of: HashMap::with_hasher(hashing),
        }
    }

    /// A list without targets. With an origin it is to be removed when it empties.
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

    /// A list that leads to one queue by its name, without a binding.
    pub fn add_own(&mut self, queue: QueueId) -> ListIndex {
        let list = self.add(None);
        self.targets[list.index()] = Targets::One(queue);
        list
    }

    /// Removes a list and all its links.
    pub fn remove(&mut self, list: ListIndex) {
        debug_assert!(list != ListIndex::EMPTY, "the empty list stays");
        let targets = std::mem::replace(&mut self.targets[list.index()], Targets::None);
        for &queue in targets.as_slice() {
            if let Some(link) = self.links.remove(&(list, queue)) {
                self.leave(queue, link.place);
            }
        }
        self.origins[list.index()] = None;
        self.free.push(list);
    }

    /// One more binding leads from the list to the queue.
    pub fn link(&mut self, list: ListIndex, queue: QueueId) {
        if let Some(link) = self.links.get_mut(&(list, queue)) {
            link.bindings += 1;
            return;
        }
        let lists = self.lists_of.entry(queue).or_default();
        let link = Link { position: self.targets[list.index()].len(), place: lists.len(), bindings: 1 };
        lists.push(list);
        self.targets[list.index()].push(queue);
        self.links.insert((list, queue), link);
    }

    /// One binding less leads from the list to the queue.
    pub fn unlink(&mut self, list: ListIndex, queue: QueueId) {
        let Some(link) = self.links.get_mut(&(list, queue)) else {
            debug_assert!(false, "only what was bound is unbound");
            return;
        };
        link.bindings -= 1;
        if link.bindings == 0 {
            let Link { position, place, .. } = *link;
            self.links.remove(&(list, queue));
            self.drop_target(list, position);
            self.leave(queue, place);
        }
    }

    /// Takes the queue out of every list; returns those lists.
    pub fn unlink_queue(&mut self, queue: QueueId) -> Vec<ListIndex> {
        let lists = self.lists_of.remove(&queue).unwrap_or_default();
        for &list in &lists {
            let link = self.links.remove(&(list, queue)).expect("a queue's list has a link to it");
            self.drop_target(list, link.position);
        }
        lists
    }

    /// Where an empty list was reached from, if it is to be removed then.
    pub fn emptied(&self, list: ListIndex) -> Option<Origin> {
        if self.targets[list.index()].len() == 0 { self.origins[list.index()].clone() } else { None }
    }

    pub fn targets(&self, list: ListIndex) -> &[QueueId] {
        self.targets[list.index()].as_slice()
    }

    fn drop_target(&mut self, list: ListIndex, position: usize) {
        let moved = self.targets[list.index()].swap_remove(position);
        if let Some(moved) = moved {
            self.links.get_mut(&(list, moved)).expect("a target has a link").position = position;
        }
    }

    fn leave(&mut self, queue: QueueId, place: usize) {
        let lists = self.lists_of.get_mut(&queue).expect("a linked queue knows its lists");
        lists.swap_remove(place);
        if let Some(&moved) = lists.get(place) {
            self.links.get_mut(&(moved, queue)).expect("a queue's list has a link to it").place = place;
        } else if lists.is_empty() {
            self.lists_of.remove(&queue);
        }
    }

    /// Each link stands where both sides say; and nobody knows of a link that is not there. Costs what there is.
    pub fn invariants(&self) {
        assert!(self.targets(ListIndex::EMPTY).is_empty(), "the empty list is empty");
        assert_eq!(self.targets.len(), self.origins.len());
        for (&(list, queue), link) in &self.links {
            assert!(link.bindings > 0, "a link stands for a binding");
            assert_eq!(self.targets(list)[link.position], queue);
            assert_eq!(self.lists_of[&queue][link.place], list);
        }
        assert_eq!(self.links.len(), self.lists_of.values().map(Vec::len).sum::<usize>());
        assert!(self.lists_of.values().all(|lists| !lists.is_empty()), "a queue without lists is forgotten");
    }
}

struct Link {
    position: usize,
    place: usize,
    bindings: usize,
}

/// One target is by far the most frequent count: it is kept in place and costs no allocation and no further cache line.
enum Targets {
    None,
    One(QueueId),
    Many(Vec<QueueId>),
}

impl Targets {
    fn as_slice(&self) -> &[QueueId] {
        match self {
            Targets::None => &[],
            Targets::One(queue) => slice::from_ref(queue),
            Targets::Many(queues) => queues,
        }
    }

    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn push(&mut self, queue: QueueId) {
        match self {
            Targets::None => *self = Targets::One(queue),
            Targets::One(first) => *self = Targets::Many(vec![*first, queue]),
            Targets::Many(queues) => queues.push(queue),
        }
    }

    /// Returns the target that took the removed one's position.
    fn swap_remove(&mut self, position: usize) -> Option<QueueId> {
        if let Targets::Many(queues) = self {
            queues.swap_remove(position);
            let moved = queues.get(position).copied();
            if queues.is_empty() {
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
const _: () = assert!(size_of::<Targets>() == 24);

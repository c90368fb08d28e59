//! Routes that took some work to find: which queues a publish to this exchange with this routing key reaches.
//!
//! ```text
//! hash of the route --> set of four ways: tags (compared first), then route, exchange, epoch, list
//! ```
//! Bounded, and it forgets by overwriting. A route is kept from the second time on that it comes along, so that keys
//! that never repeat cost it nothing but a glance. An entry holds while the epoch of its exchange stands.

use ahash::RandomState;

use super::lists::ListIndex;
use super::router::Stamp;

pub(super) struct RouteCache {
    sets: Vec<Set>,
    /// Of the routes that came along lately: their tags, each at its own place or overwritten.
    glanced: Vec<u32>,
    hashing: RandomState,
    next_way: u8,
}

#[derive(Clone, Copy)]
struct Set {
    tags: [u32; WAYS],
    entries: [Entry; WAYS],
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// What the list holds with.
    pub stamp: Stamp,
    pub list: ListIndex,
    /// The list is here for this entry alone, and goes with it: whoever remembers it elsewhere would not hear of that.
    pub owned: bool,
    route_len: u8,
    route: [u8; ROUTE_BYTES_MAX],
}

/// A route's place.
#[derive(Clone, Copy)]
pub(super) struct Hashed {
    tag: u32,
    set: usize,
}

impl RouteCache {
    pub fn new(hashing: RandomState) -> RouteCache {
        RouteCache { sets: Vec::new(), glanced: Vec::new(), hashing, next_way: 0 }
    }

    /// None: the route is too long to be kept. `route` is exchange and routing key as they came in the publish.
    pub fn hash(&self, route: &[u8]) -> Option<Hashed> {
        let hash = self.hashing.hash_one(route);
        // A tag is never 0, which stands for no entry.
        let tag = (hash >> 32) as u32 | 1;
        (route.len() <= ROUTE_BYTES_MAX).then_some(Hashed { tag, set: hash as usize % SETS })
    }

    /// What is kept of a route.
    pub fn find(&self, hashed: Hashed, route: &[u8]) -> Option<&Entry> {
        let set = self.sets.get(hashed.set)?;
        let way = (0..WAYS).find(|&way| set.tags[way] == hashed.tag && set.entries[way].route() == route)?;
        Some(&set.entries[way])
    }

    /// Whether the route came along lately; from now on it did.
    pub fn glance(&mut self, hashed: Hashed) -> bool {
        if self.glanced.is_empty() {
            self.glanced.resize(GLANCED, 0);
        }
        let place = &mut self.glanced[(hashed.tag >> 1) as usize % GLANCED];
        std::mem::replace(place, hashed.tag) == hashed.tag
    }

    /// Keeps a route; gives back the list that is not needed any more.
    pub fn keep(
        &mut self,
        hashed: Hashed,
        route: &[u8],
        stamp: Stamp,
        list: ListIndex,
        owned: bool,
    ) -> Option<ListIndex> {
        if self.sets.is_empty() {
            self.sets.resize(SETS, Set { tags: [0; WAYS], entries: [Entry::NONE; WAYS] });
        }
        let set = &mut self.sets[hashed.set];
        let same = |way: &usize| set.tags[*way] == hashed.tag && set.entries[*way].route() == route;
        let way = (0..WAYS).find(same).or_else(|| set.tags.iter().position(|&tag| tag == 0));
        let way = way.unwrap_or_else(|| {
            self.next_way = self.next_way.wrapping_add(1);
            usize::from(self.next_way) % WAYS
        });
        let before = (set.tags[way] != 0 && set.entries[way].owned).then_some(set.entries[way].list);
        let mut entry = Entry { stamp, list, owned, route_len: route.len() as u8, ..Entry::NONE };
        entry.route[..route.len()].copy_from_slice(route);
        set.tags[way] = hashed.tag;
        set.entries[way] = entry;
        before
    }
}

impl Entry {
    const NONE: Entry = Entry {
        stamp: Stamp::NEVER,
        list: ListIndex::EMPTY,
        owned: false,
        route_len: 0,
        route: [0; ROUTE_BYTES_MAX],
    };

    fn route(&self) -> &[u8] {
        &self.route[..usize::from(self.route_len)]
    }
}

const WAYS: usize = 4;
/// With four ways 32,768 routes: more than three times the 10,000 keys of the benchmarks, 3 MB when all are in use.
const SETS: usize = 8_192;
const GLANCED: usize = 65_536;
/// Longer routes are searched each time.
const ROUTE_BYTES_MAX: usize = 70;

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> RouteCache {
        RouteCache::new(RandomState::with_seeds(1, 2, 3, 4))
    }

    #[test]
    fn a_route_is_found_with_the_stamp_that_it_was_kept_with() {
        let mut cache = cache();
        let hashed = cache.hash(b"\x01xa").unwrap();
        assert!(cache.find(hashed, b"\x01xa").is_none());
        assert!(!cache.glance(hashed) && cache.glance(hashed));
        let stamp = Stamp { exchange: 7, epoch: 9 };
        assert_eq!(cache.keep(hashed, b"\x01xa", stamp, ListIndex::FOR_TESTS, true), None);
        let entry = cache.find(hashed, b"\x01xa").unwrap();
        assert_eq!((entry.stamp, entry.list, entry.owned), (stamp, ListIndex::FOR_TESTS, true));
        assert!(cache.find(hashed, b"\x01xb").is_none(), "another route with the same hash is another");
        let replaced = cache.keep(hashed, b"\x01xa", stamp, ListIndex::EMPTY, false);
        assert_eq!(replaced, Some(ListIndex::FOR_TESTS), "an owned list comes back");
    }

    #[test]
    fn more_routes_than_fit_overwrite_each_other() {
        let mut cache = cache();
        let routes: Vec<String> = (0..3 * SETS * WAYS).map(|number| format!("\x01x{number}")).collect();
        for route in &routes {
            let hashed = cache.hash(route.as_bytes()).unwrap();
            cache.keep(hashed, route.as_bytes(), Stamp::NEVER, ListIndex::EMPTY, false);
        }
        let found = routes
            .iter()
            .filter(|route| cache.find(cache.hash(route.as_bytes()).unwrap(), route.as_bytes()).is_some());
        let found = found.count();
        assert!((SETS * WAYS / 2..=SETS * WAYS).contains(&found), "{found}");
    }

    #[test]
    fn a_route_that_is_too_long_is_not_kept() {
        assert!(cache().hash(&[7; ROUTE_BYTES_MAX + 1]).is_none());
    }
}

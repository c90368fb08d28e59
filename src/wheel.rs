//! Deadlines of a shard: a timing wheel of seven levels, each turning 64 times slower than the one below it.
//!
//! ```text
//! level 0   64 slots of one tick (1.05 ms)      a timer stands in the slot of the highest six bits
//! level 1   64 slots of 64 ticks (67 ms)        in which its tick differs from the wheel's
//! ...                                           when the wheel comes to a slot above level 0,
//! level 6   64 slots of 64^6 ticks (2.3 years)  its timers are spread over the levels below
//! ```
//! Setting and cancelling cost the same whatever the number of timers and their time. A timer never goes off early, and at
//! most a tick late. Work is done in steps that the caller bounds, however many timers share a moment.

/// Which timer; its owner keeps it, and gives it back by `cancel`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId(u32);

impl TimerId {
    /// Stands for no timer.
    pub const NONE: TimerId = TimerId(u32::MAX);

    #[inline]
    pub fn is_none(self) -> bool {
        self == TimerId::NONE
    }
}

/// Lives on: its shard. Time is given in nanoseconds of the shard's clock.
pub struct Wheel<T> {
    /// The first ones are the ends of the rings: one for each slot, the timers that are due, and those to be spread.
    nodes: Vec<Node<T>>,
    free: u32,
    /// Slots that may hold timers, by level; a bit of an empty one is cleared when the wheel comes by.
    occupied: [u64; LEVELS],
    /// The tick up to which timers are due.
    tick: u64,
    len: usize,
}

/// Links of a ring; a timer that stands in none is linked to itself.
struct Node<T> {
    tick: u64,
    next: u32,
    previous: u32,
    what: Option<T>,
}

impl<T: Copy> Default for Wheel<T> {
    fn default() -> Wheel<T> {
        let end = |at| Node { tick: 0, next: at, previous: at, what: None };
        Wheel { nodes: (0..ENDS).map(end).collect(), free: NO_NODE, occupied: [0; LEVELS], tick: 0, len: 0 }
    }
}

impl<T: Copy> Wheel<T> {
    /// Goes off at `at`, or, if that is past or now, at once.
    pub fn set(&mut self, at: u64, what: T) -> TimerId {
        let tick = at.div_ceil(TICK_NS);
        let node = self.allocate(tick, what);
        self.place(node);
        self.len += 1;
        TimerId(node)
    }

    /// When the timer goes off, at the wheel's precision.
    pub fn at(&self, timer: TimerId) -> u64 {
        self.nodes[timer.0 as usize].tick * TICK_NS
    }

    /// Gives a timer back, whether it went off or not.
    pub fn cancel(&mut self, timer: TimerId) {
        self.unlink(timer.0);
        let node = &mut self.nodes[timer.0 as usize];
        debug_assert!(node.what.is_some(), "a timer is given back once");
        node.what = None;
        node.next = self.free;
        self.free = timer.0;
        self.len -= 1;
    }

    /// A timer that has gone off by `now`; each once, and in the order of their ticks. It is its owner's still, who gives it
    /// back. `steps` is counted down, and at 0 there is no answer although there may be more.
    pub fn due(&mut self, now: u64, steps: &mut usize) -> Option<(TimerId, T)> {
        let target = now / TICK_NS;
        while *steps > 0 {
            *steps -= 1;
            if let Some(node) = self.first(DUE) {
                self.unlink(node);
                return Some((TimerId(node), self.nodes[node as usize].what.expect("it stands in a ring")));
            }
            if let Some(node) = self.first(TO_SPREAD) {
                self.unlink(node);
                self.place(node);
            } else if self.tick >= target {
                return None;
            } else {
                self.turn(target);
            }
        }
        None
    }

    /// No timer goes off before this time; none is set if there is no answer. 0: one may be due.
    pub fn next_at(&self) -> Option<u64> {
        if self.first(DUE).is_some() || self.first(TO_SPREAD).is_some() {
            return Some(0);
        }
        (0..LEVELS)
            .find_map(|level| {
                let shift = SLOT_BITS * level as u32;
                let ahead = self.occupied[level] & later_slots(self.tick >> shift);
                let slot = u64::from(ahead.trailing_zeros());
                (ahead != 0).then(|| (((self.tick >> shift) & !SLOT_MASK) + slot) << shift)
            })
            .map(|tick| tick * TICK_NS)
    }

    /// Timers that were not given back.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Steps to the next tick at which something happens, or to `target`.
    fn turn(&mut self, target: u64) {
        let ahead = self.occupied[0] & later_slots(self.tick);
        if ahead != 0 {
            let next = (self.tick & !SLOT_MASK) + u64::from(ahead.trailing_zeros());
            self.tick = next.min(target);
            if next <= target {
                self.empty_slot(0, DUE);
            }
            return;
        }
        let round = (self.tick | SLOT_MASK) + 1;
        let none_set = self.occupied.iter().all(|&slots| slots == 0);
        if none_set || round > target {
            self.tick = target;
            return;
        }
        self.tick = round;
        self.empty_slot(0, DUE);
        for level in 1..LEVELS {
            self.empty_slot(level, TO_SPREAD);
            if self.tick >> (SLOT_BITS * level as u32) & SLOT_MASK != 0 {
                break;
            }
        }
    }

    /// Moves all timers of a level's present slot to the end of another ring.
    fn empty_slot(&mut self, level: usize, to: u32) {
        let slot = (self.tick >> (SLOT_BITS * level as u32)) & SLOT_MASK;
        self.occupied[level] &= !(1 << slot);
        let from = slot_end(level, slot);
        let (first, last) = (self.nodes[from as usize].next, self.nodes[from as usize].previous);
        if first == from {
            return;
        }
        (self.nodes[from as usize].next, self.nodes[from as usize].previous) = (from, from);
        let before = self.nodes[to as usize].previous;
        (self.nodes[before as usize].next, self.nodes[first as usize].previous) = (first, before);
        (self.nodes[last as usize].next, self.nodes[to as usize].previous) = (to, last);
    }

    fn place(&mut self, node: u32) {
        let tick = self.nodes[node as usize].tick;
        let end = if tick <= self.tick {
            DUE
        } else {
            let highest = 63 - (tick ^ self.tick).leading_zeros();
            let level = (highest / SLOT_BITS) as usize;
            debug_assert!(level < LEVELS, "what is set is at most TIMER_NS_MAX ahead");
            let slot = (tick >> (SLOT_BITS * level as u32)) & SLOT_MASK;
            self.occupied[level] |= 1 << slot;
            slot_end(level, slot)
        };
        let last = std::mem::replace(&mut self.nodes[end as usize].previous, node);
        self.nodes[last as usize].next = node;
        (self.nodes[node as usize].previous, self.nodes[node as usize].next) = (last, end);
    }

    fn unlink(&mut self, node: u32) {
        let Node { next, previous, .. } = self.nodes[node as usize];
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
        (self.nodes[node as usize].next, self.nodes[node as usize].previous) = (node, node);
    }

    #[inline]
    fn first(&self, end: u32) -> Option<u32> {
        let next = self.nodes[end as usize].next;
        (next != end).then_some(next)
    }

    fn allocate(&mut self, tick: u64, what: T) -> u32 {
        let what = Some(what);
        if self.free == NO_NODE {
            let at = self.nodes.len() as u32;
            self.nodes.push(Node { tick, next: at, previous: at, what });
            return at;
        }
        let at = self.free;
        let node = &mut self.nodes[at as usize];
        self.free = node.next;
        *node = Node { tick, next: at, previous: at, what };
        at
    }
}

/// The slots of a level behind the one at which it stands.
fn later_slots(position: u64) -> u64 {
    (u64::MAX << (position & SLOT_MASK)) << 1
}

fn slot_end(level: usize, slot: u64) -> u32 {
    (level as u32) << SLOT_BITS | slot as u32
}

/// A power of two above a millisecond.
pub const TICK_NS: u64 = 1 << 20;
/// The furthest that a timer may be set ahead: twelve years, more than any argument of a queue asks for.
pub const TIMER_NS_MAX: u64 = 12 * 365 * 24 * 3600 * 1_000_000_000;

const SLOT_BITS: u32 = 6;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const LEVELS: usize = 7;
const DUE: u32 = (LEVELS as u32) << SLOT_BITS;
const TO_SPREAD: u32 = DUE + 1;
const ENDS: u32 = TO_SPREAD + 1;
const NO_NODE: u32 = u32::MAX;
const _: () = assert!(TIMER_NS_MAX / TICK_NS < 1 << (SLOT_BITS * LEVELS as u32 - 1));

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn all_due(wheel: &mut Wheel<u64>, now: u64) -> Vec<u64> {
        let mut found = Vec::new();
        while let Some((timer, what)) = wheel.due(now, &mut { usize::MAX }) {
            wheel.cancel(timer);
            found.push(what);
        }
        found
    }

    #[test]
    fn a_timer_goes_off_at_its_tick_and_not_before() {
        let mut wheel = Wheel::default();
        for at in [0, 1, TICK_NS, 100 * TICK_NS + 1, 5_000 * TICK_NS, 315_360_000_000 * 1_000_000] {
            wheel.set(at, at);
        }
        assert_eq!(all_due(&mut wheel, 0), [0]);
        assert!(all_due(&mut wheel, TICK_NS - 1).is_empty());
        assert_eq!(all_due(&mut wheel, TICK_NS), [1, TICK_NS]);
        assert!(all_due(&mut wheel, 100 * TICK_NS + 1).is_empty());
        assert_eq!(all_due(&mut wheel, 101 * TICK_NS), [100 * TICK_NS + 1]);
        assert_eq!(all_due(&mut wheel, 5_001 * TICK_NS), [5_000 * TICK_NS]);
        assert_eq!(all_due(&mut wheel, 400_000_000_000 * 1_000_000).len(), 1);
        assert!(wheel.is_empty());
    }

    /// Against a sorted map, over random times, steps and cancellations.
    #[test]
    fn timers_go_off_in_their_order_whatever_else_is_set_and_cancelled() {
        let mut random = 7u64;
        let mut dice = move |sides: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % sides
        };
        let (mut wheel, mut known) = (Wheel::default(), BTreeMap::new());
        let (mut now, mut next) = (0u64, 0u64);
        for _ in 0..20_000 {
            match dice(4) {
                0 | 1 => {
                    let bits = dice(40);
                    let at = now + dice(1 << bits);
                    known.insert((at.div_ceil(TICK_NS), next), wheel.set(at, next));
                    next += 1;
                }
                2 => {
                    let at = dice(known.len() as u64 + 1) as usize;
                    if let Some(&key) = known.keys().nth(at) {
                        wheel.cancel(known[&key]);
                        known.remove(&key);
                    }
                }
                _ => {
                    let bits = dice(36);
                    now += dice(1 << bits);
                    let earliest = known.keys().next().map(|&(tick, _)| tick * TICK_NS);
                    assert!(wheel.next_at().unwrap_or(u64::MAX) <= earliest.unwrap_or(u64::MAX));
                    let mut last = 0;
                    while let Some((timer, what)) = wheel.due(now, &mut { usize::MAX }) {
                        let tick = wheel.at(timer) / TICK_NS;
                        assert!(tick <= now / TICK_NS && tick >= last);
                        last = tick;
                        assert_eq!(known.remove(&(tick, what)), Some(timer));
                        wheel.cancel(timer);
                    }
                    assert!(known.keys().all(|&(tick, _)| tick > now / TICK_NS));
                }
            }
            assert_eq!(wheel.len(), known.len());
        }
    }

    #[test]
    fn a_crowd_is_taken_in_steps() {
        let mut wheel = Wheel::default();
        (0..1000).for_each(|what| _ = wheel.set(70 * TICK_NS, what));
        let (mut found, mut pieces) = (0, 0);
        while found < 1000 {
            let mut steps = 100;
            while let Some((timer, _)) = wheel.due(70 * TICK_NS, &mut steps) {
                wheel.cancel(timer);
                found += 1;
            }
            assert_eq!(wheel.next_at(), (found < 1000).then_some(0));
            pieces += 1;
        }
        assert!(pieces >= 20, "1000 timers are spread and taken in {pieces} pieces of 100 steps");
    }

    #[test]
    fn one_that_went_off_is_its_owners_until_given_back() {
        let mut wheel = Wheel::default();
        let timer = wheel.set(5, 1);
        assert_eq!(wheel.due(TICK_NS, &mut 9), Some((timer, 1)));
        assert_eq!(wheel.due(TICK_NS, &mut 9), None);
        assert_ne!(wheel.set(5, 2), timer);
        wheel.cancel(timer);
        assert_eq!(wheel.len(), 1);
    }
}

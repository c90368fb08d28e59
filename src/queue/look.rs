//! What administrators do to a queue: they look at what waits in it, take some of it out, hold it back, and send consumers
//! away.

use super::timers::Timers;
use super::{ConsumerAt, Entry, Queue};
use crate::ids::ConsumerId;
use crate::pages::Pages;
use crate::wheel::TimerId;

/// A place among the ready messages, in the order in which they leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spot {
    pub priority: u8,
    pub sequence: u64,
}

impl Spot {
    /// Nothing stands before it.
    pub const FRONT: Spot = Spot { priority: u8::MAX, sequence: 0 };
}

impl Queue {
    /// The ready messages from a spot on, without those that were published before the one with the sequence `least`.
    pub fn ready_from(&self, spot: Spot, least: u64) -> impl Iterator<Item = &Entry> {
        self.ready.since(spot.priority, spot.sequence, least)
    }

    pub fn ready_at(&self, sequence: u64) -> Option<&Entry> {
        self.ready.find_sequence(sequence)
    }

    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// While it is paused no consumer gets anything; it takes messages, and gives them to basic.get, as before. Who ends
    /// the pause lists the queue to be served.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Takes a ready message out, wherever it stands; the caller frees it.
    pub fn take_out(&mut self, sequence: u64, pages: &Pages, timers: &mut Timers) -> Option<Entry> {
        if self.dying {
            return None;
        }
        let mut entry = self.ready.remove_sequence(sequence)?;
        timers.stop(std::mem::replace(&mut entry.timer, TimerId::NONE));
        self.uncount(&entry, pages);
        Some(entry)
    }

    /// The consumer of that connection with that number there.
    pub fn consumer_at(&self, at: ConsumerAt) -> Option<ConsumerId> {
        let mut consumers = self.consumers.iter();
        let (slot, consumer) = consumers.find(|(_, consumer)| consumer.at == at)?;
        Some(ConsumerId { slot, generation: consumer.generation })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bench;
    use super::super::{Marks, Queue};
    use super::*;

    fn sequences(queue: &Queue, spot: Spot, least: u64) -> Vec<u64> {
        queue.ready_from(spot, least).map(|entry| entry.sequence).collect()
    }

    fn prioritized(priorities: &[u8]) -> Bench {
        let mut bench = Bench::new();
        for (body, &priority) in priorities.iter().enumerate() {
            bench.publish_marked(body as u8, &Marks { priority, ..Marks::default() });
        }
        bench
    }

    #[test]
    fn what_is_looked_at_in_pieces_is_seen_once_and_in_the_order_in_which_it_leaves() {
        let bench = prioritized(&[0, 5, 0, 9, 5, 0]);
        let all = [4, 2, 5, 1, 3, 6];
        assert_eq!(sequences(&bench.queue, Spot::FRONT, 0), all);
        assert_eq!(sequences(&bench.queue, Spot::FRONT, 3), [4, 5, 3, 6]);
        let (mut spot, mut seen) = (Spot::FRONT, Vec::new());
        while let Some(entry) = bench.queue.ready_from(spot, 0).next() {
            seen.push(entry.sequence);
            spot = Spot { priority: entry.priority, sequence: entry.sequence + 1 };
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn what_is_taken_out_is_gone_and_the_rest_stays_in_order() {
        let mut bench = prioritized(&[0, 5, 0]);
        let Bench { queue, pages, timers } = &mut bench;
        assert_eq!(queue.ready_at(2).map(|entry| entry.priority), Some(5));
        let taken = queue.take_out(2, pages, timers).expect("it is ready");
        pages.release(taken.message);
        assert!(queue.ready_at(2).is_none());
        assert!(queue.take_out(2, pages, timers).is_none() && queue.take_out(7, pages, timers).is_none());
        assert_eq!(sequences(queue, Spot::FRONT, 0), [1, 3]);
        queue.invariants(pages);
    }

    #[test]
    fn a_paused_queue_takes_messages_and_serves_nobody_until_it_goes_on() {
        let mut bench = Bench::new();
        bench.consume(1, true, 0, 1000);
        bench.queue.set_paused(true);
        assert!(bench.queue.direct(1).is_none() && bench.queue.sole_taker().is_none());
        bench.publish(0);
        assert!(!bench.queue.can_serve());
        assert!(bench.queue.next(&bench.pages, &mut bench.timers).is_none());
        assert_eq!(bench.queue.ready_count(), 1);
        bench.queue.set_paused(false);
        assert!(bench.queue.can_serve());
        assert_eq!(bench.serve().len(), 1);
        assert!(bench.queue.direct(1).is_some());
    }
}

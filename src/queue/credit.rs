//! The queue's side of a channel's limit (basic.qos global): its consumers are sent what the channel lends them.
//!
//! ```text
//! Lacking -> (a message waits or passes by) asks -> lent -> Available -> used, or recalled -> Lacking
//! ```

use super::Queue;
use super::consumer::{ConsumerAt, NO_LIMIT, Place};
use crate::ids::ConsumerId;

impl Queue {
    /// Whether a consumer lacks credit, and its channel does not know it yet.
    #[inline]
    pub fn lacks_credit(&self) -> bool {
        !self.lacking.is_empty()
    }

    /// The next consumer whose channel must hear that a message waits or passes by.
    pub fn next_lacking(&mut self) -> Option<ConsumerAt> {
        let at = self.lacking.pop_front()?;
        let consumer = self.consumers.get_mut(at).expect("who is in line is there");
        consumer.place = Place::Asked;
        Some(consumer.at)
    }

    /// The channel lends so many messages; `NO_LIMIT` lifts its limit.
    pub fn lend(&mut self, id: ConsumerId, messages: u32) {
        let Some(consumer) = self.consumers.live_mut(id.slot, id.generation) else { return };
        consumer.credit = if messages == NO_LIMIT { NO_LIMIT } else { consumer.credit + messages };
        if consumer.place != Place::Available {
            self.step_out(id.slot);
            self.offer(id.slot);
        }
    }

    /// What the consumer was lent and has not used. From now on it is sent no more than it is lent.
    pub fn recall(&mut self, id: ConsumerId) -> u32 {
        let Some(consumer) = self.consumers.live_mut(id.slot, id.generation) else { return 0 };
        let unused = std::mem::replace(&mut consumer.credit, 0);
        if consumer.place == Place::Available {
            self.step_out(id.slot);
            self.offer(id.slot);
        }
        if unused == NO_LIMIT { 0 } else { unused }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bench;
    use super::*;

    #[test]
    fn a_consumer_of_a_limited_channel_is_sent_what_it_is_lent() {
        let mut bench = Bench::new();
        let consumer = bench.consume_limited(1, 0);
        (0..4).for_each(|body| bench.publish(body));
        assert!(bench.queue.can_serve(), "it has to ask");
        assert_eq!(bench.serve().len(), 0);
        assert_eq!(bench.queue.next_lacking().map(|at| at.handle), Some(1));
        assert!(!bench.queue.can_serve() && bench.queue.next_lacking().is_none(), "it asks once");
        bench.queue.lend(consumer, 3);
        assert_eq!(bench.serve().len(), 3);
        assert_eq!(bench.queue.next_lacking().map(|at| at.handle), Some(1), "and again when that is used");
        bench.queue.invariants(&bench.pages);
    }

    #[test]
    fn what_is_recalled_is_not_sent() {
        let mut bench = Bench::new();
        let consumer = bench.consume_limited(1, 0);
        bench.queue.lend(consumer, 3);
        bench.publish(0);
        assert_eq!(bench.serve().len(), 1);
        assert_eq!(bench.queue.recall(consumer), 2);
        assert_eq!(bench.queue.recall(consumer), 0);
        bench.queue.invariants(&bench.pages);
        bench.publish(1);
        assert_eq!(bench.serve().len(), 0);
        assert!(bench.queue.next_lacking().is_some());
    }

    #[test]
    fn the_first_recall_limits_a_consumer_and_the_limit_can_be_lifted() {
        let mut bench = Bench::new();
        let consumer = bench.consume(1, false, 0, 1000);
        assert_eq!(bench.queue.recall(consumer), 0);
        (0..9).for_each(|body| bench.publish(body));
        assert_eq!(bench.serve().len(), 0);
        bench.queue.lend(consumer, NO_LIMIT);
        assert_eq!(bench.serve().len(), 9);
        bench.queue.invariants(&bench.pages);
    }

    #[test]
    fn the_prefetch_count_holds_beside_the_limit() {
        let mut bench = Bench::new();
        let consumer = bench.consume_limited(1, 2);
        bench.queue.lend(consumer, 3);
        (0..4).for_each(|body| bench.publish(body));
        let served = bench.serve();
        assert_eq!(served.len(), 2);
        assert!(!bench.queue.lacks_credit());
        bench.ack(served[0].3);
        assert_eq!(bench.serve().len(), 1);
        assert!(!bench.queue.lacks_credit(), "its prefetch count is reached, credit would not help");
        bench.queue.invariants(&bench.pages);
    }

    #[test]
    fn credit_for_a_consumer_that_went_does_not_reach_its_successor() {
        let mut bench = Bench::new();
        let first = bench.consume_limited(1, 0);
        bench.leave(first);
        let second = bench.consume_limited(2, 0);
        assert_eq!(first.slot, second.slot);
        bench.queue.lend(first, 5);
        bench.queue.grant(first, 5);
        assert_eq!(bench.queue.recall(first), 0);
        bench.publish(0);
        assert_eq!(bench.serve().len(), 0);
        bench.queue.invariants(&bench.pages);
    }
}

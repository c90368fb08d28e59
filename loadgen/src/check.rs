//! Judges what arrives: per queue and producer every sequence once, in order; what did not hold is counted and listed.

use std::collections::VecDeque;

/// What one queue received, from every producer that feeds it.
///
/// Lives on: the thread that owns all consumers of the queue.
pub struct QueueCheck {
    /// By producer number, ascending.
    streams: Vec<(u16, Stream)>,
    /// Where the last message's producer was found; most messages come from the same one.
    last_found: usize,
    /// A queue with several consumers spreads its messages: order then holds per consumer only, and per variant where
    /// messages differ in what may let one overtake another (properties.rs).
    orders: usize,
    /// Whoever turns up is a producer.
    from_any: bool,
    /// What comes first from one of those need not be its first message.
    from_anywhere: bool,
    /// All is well, whatever comes.
    blind: bool,
}

impl QueueCheck {
    /// `producers` are those that feed this queue; `consumers` how many read from it; `variants` how many each publishes.
    pub fn new(mut producers: Vec<u16>, consumers: usize, variants: usize) -> QueueCheck {
        let orders = consumers * variants;
        producers.sort_unstable();
        producers.dedup();
        let streams = producers.into_iter().map(|producer| (producer, Stream::new(orders, false))).collect();
        QueueCheck { streams, last_found: 0, orders, from_any: false, from_anywhere: false, blind: false }
    }

    /// For a queue that was filled before this run: any producer, each from whatever comes first, or from its first message
    /// where what comes first need not be the oldest.
    pub fn of_unknown(consumers: usize, variants: usize) -> QueueCheck {
        let orders = consumers * variants;
        let from_anywhere = variants == 1;
        QueueCheck { streams: Vec::new(), last_found: 0, orders, from_any: true, from_anywhere, blind: false }
    }

    /// For what no broker delivered: the same message again and again.
    pub fn blind() -> QueueCheck {
        QueueCheck {
            streams: Vec::new(),
            last_found: 0,
            orders: 0,
            from_any: false,
            from_anywhere: false,
            blind: true,
        }
    }

    /// Takes one message into account. `order`: the consumer, counted from 0 among those of this queue, times the variants,
    /// plus the message's own.
    #[inline]
    pub fn accept(&mut self, producer: u16, sequence: u64, order: usize, redelivered: bool) -> Verdict {
        let blind = self.blind;
        let Some(stream) = self.stream(producer) else {
            return if blind { Verdict::InOrder } else { Verdict::UnknownProducer };
        };
        if stream.in_turn(sequence) {
            return Verdict::InOrder;
        }
        stream.accept(sequence, order, redelivered)
    }

    /// What is missing of each producer's `expected(producer)` messages, as (producer, count, first missing).
    pub fn missing(&self, expected: impl Fn(u16) -> u64) -> Vec<Missing> {
        let missing = self.streams.iter().filter_map(|&(producer, ref stream)| {
            let (count, first) = stream.missing(expected(producer))?;
            Some(Missing { producer, count, first })
        });
        missing.collect()
    }

    #[inline]
    fn stream(&mut self, producer: u16) -> Option<&mut Stream> {
        let found = self.streams.get(self.last_found).is_some_and(|entry| entry.0 == producer);
        if !found {
            self.last_found = self.find(producer)?;
        }
        self.streams.get_mut(self.last_found).map(|entry| &mut entry.1)
    }

    fn find(&mut self, producer: u16) -> Option<usize> {
        match self.streams.binary_search_by_key(&producer, |entry| entry.0) {
            Ok(index) => Some(index),
            Err(index) if self.from_any => {
                self.streams.insert(index, (producer, Stream::new(self.orders, self.from_anywhere)));
                Some(index)
            }
            Err(_) => None,
        }
    }
}

/// How a message stands to those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// New, and later than all of this variant that this consumer had from the producer.
    InOrder,
    /// New, but something published after it was here before.
    Overtaken,
    /// New and out of order, which `redelivered` excuses.
    Requeued,
    /// Seen before, which `redelivered` excuses.
    Redelivered,
    /// Seen before.
    Duplicate,
    /// No producer of that number feeds this queue.
    UnknownProducer,
    /// Further ahead of its producer than can be.
    Implausible,
}

impl Verdict {
    /// Whether this is the first time that the message is here.
    pub fn is_new(self) -> bool {
        matches!(self, Verdict::InOrder | Verdict::Overtaken | Verdict::Requeued)
    }
}

/// Messages of one producer that never came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    pub producer: u16,
    pub count: u64,
    pub first: u64,
}

/// The messages of one producer in one queue. Invariant: everything below `next` was seen, except the `given_up`.
struct Stream {
    next: u64,
    /// One bit per sequence from `next` rounded down to 64, while something after `next` was seen.
    ahead: VecDeque<u64>,
    /// Per order, one more than the highest sequence it had; not kept for a single one while nothing is ahead.
    past: Vec<u64>,
    /// Holes that were left behind because the window may not grow for ever, and the first of them.
    given_up: u64,
    first_given_up: u64,
    from_anywhere: bool,
}

impl Stream {
    fn new(orders: usize, from_anywhere: bool) -> Stream {
        let past = vec![0; orders];
        Stream { next: 0, ahead: VecDeque::new(), past, given_up: 0, first_given_up: u64::MAX, from_anywhere }
    }

    /// The common case, small enough to be inlined: one order, nothing missing so far, and this is the next.
    #[inline]
    fn in_turn(&mut self, sequence: u64) -> bool {
        let in_turn =
            sequence == self.next && self.past.len() <= 1 && self.ahead.is_empty() && !self.from_anywhere;
        self.next += u64::from(in_turn);
        in_turn
    }

    #[inline(never)]
    fn accept(&mut self, sequence: u64, order: usize, redelivered: bool) -> Verdict {
        if std::mem::take(&mut self.from_anywhere) {
            self.next = sequence;
        }
        if sequence >= self.next + AHEAD_MAX {
            return Verdict::Implausible;
        }
        if !self.insert(sequence) {
            return if redelivered { Verdict::Redelivered } else { Verdict::Duplicate };
        }
        match (self.advance_order(order, sequence), redelivered) {
            (true, _) => Verdict::InOrder,
            (false, true) => Verdict::Requeued,
            (false, false) => Verdict::Overtaken,
        }
    }

    /// Whether `sequence` is the highest of its order.
    fn advance_order(&mut self, order: usize, sequence: u64) -> bool {
        let single = self.past.len() <= 1;
        let Some(past) = self.past.get_mut(order) else { return true };
        // The fast path does not keep `past` for a single order; there, all below `next` before this one was had.
        let had = if single { (*past).max(self.next.min(sequence)) } else { *past };
        *past = had.max(sequence + 1);
        sequence >= had
    }

    /// Marks `sequence` as seen; false if it was.
    fn insert(&mut self, sequence: u64) -> bool {
        if sequence < self.next {
            return false;
        }
        if sequence == self.next && self.ahead.is_empty() {
            self.next += 1;
            return true;
        }
        let base = self.next / 64;
        let (word, bit) = ((sequence / 64 - base) as usize, 1 << (sequence % 64));
        if self.ahead.is_empty() {
            // Those of the first word that lie below `next` were seen.
            self.ahead.push_back((1 << (self.next % 64)) - 1);
        }
        if word >= self.ahead.len() {
            self.ahead.resize(word + 1, 0);
        }
        let new = self.ahead[word] & bit == 0;
        self.ahead[word] |= bit;
        self.advance();
        if self.ahead.len() >= WINDOW_WORDS_MAX {
            self.give_up_oldest();
        }
        new
    }

    /// Moves `next` over all that was seen in a row.
    fn advance(&mut self) {
        while let Some(&word) = self.ahead.front() {
            if word != u64::MAX {
                self.next = self.next / 64 * 64 + u64::from(word.trailing_ones());
                break;
            }
            self.next = (self.next / 64 + 1) * 64;
            self.ahead.pop_front();
        }
        let nothing_ahead = self.ahead.len() == 1 && self.ahead[0] >> (self.next % 64) == 0;
        if nothing_ahead {
            self.ahead.clear();
        }
    }

    /// Counts the holes of the older half of the window as lost.
    fn give_up_oldest(&mut self) {
        for _ in 0..WINDOW_WORDS_MAX / 2 {
            let Some(word) = self.ahead.pop_front() else { break };
            self.first_given_up = self.first_given_up.min(self.next);
            self.given_up += u64::from(word.count_zeros());
            self.next = (self.next / 64 + 1) * 64;
        }
        self.advance();
    }

    /// How many of the first `expected` messages, or of those before the last seen, are missing, and the first of them.
    fn missing(&self, expected: u64) -> Option<(u64, u64)> {
        let ahead: u64 = self.ahead.iter().map(|word| u64::from(word.count_ones())).sum();
        let below = if self.ahead.is_empty() { 0 } else { self.next % 64 };
        let seen = self.next + ahead - below;
        let missing = expected.max(self.end()) - seen + self.given_up;
        (missing > 0).then_some((missing, self.first_given_up.min(self.next)))
    }

    /// One more than the highest sequence seen.
    fn end(&self) -> u64 {
        let Some(last) = self.ahead.back() else { return self.next };
        self.next / 64 * 64 + self.ahead.len() as u64 * 64 - u64::from(last.leading_zeros())
    }
}

/// A window of 32 MiB of bits per stream: more lost or late messages than that are counted when the window moves on.
const WINDOW_WORDS_MAX: usize = 1 << 22;
/// Nothing can be that far ahead of what is missing: the number itself must be damaged.
const AHEAD_MAX: u64 = WINDOW_WORDS_MAX as u64 * 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(check: &mut QueueCheck, sequences: impl IntoIterator<Item = u64>) -> Vec<Verdict> {
        sequences.into_iter().map(|sequence| check.accept(7, sequence, 0, false)).collect()
    }

    fn check(consumers: usize) -> QueueCheck {
        QueueCheck::new(vec![9, 7, 8], consumers, 1)
    }

    #[test]
    fn a_stream_without_fault_is_in_order_and_complete() {
        let mut check = check(1);
        assert!(feed(&mut check, 0..10_000).iter().all(|&verdict| verdict == Verdict::InOrder));
        assert_eq!(check.missing(|producer| if producer == 7 { 10_000 } else { 0 }), []);
    }

    #[test]
    fn a_lost_message_is_missing_and_nothing_else_is_wrong() {
        let mut check = check(1);
        let verdicts = feed(&mut check, (0..1000).filter(|&sequence| sequence != 321));
        assert!(verdicts.iter().all(|&verdict| verdict == Verdict::InOrder));
        assert_eq!(
            check.missing(|producer| u64::from(producer == 7) * 1000),
            [Missing { producer: 7, count: 1, first: 321 }]
        );
    }

    #[test]
    fn a_lost_tail_is_missing() {
        let mut check = check(1);
        feed(&mut check, 0..990);
        assert_eq!(
            check.missing(|producer| u64::from(producer == 7) * 1000),
            [Missing { producer: 7, count: 10, first: 990 }]
        );
    }

    #[test]
    fn a_second_copy_is_a_duplicate_unless_marked_redelivered() {
        for (gap, repeated) in [(false, 50), (true, 50), (true, 20), (true, 99)] {
            let mut check = check(1);
            feed(&mut check, (0..100).filter(|&sequence| !gap || sequence != 30));
            assert_eq!(check.accept(7, repeated, 0, false), Verdict::Duplicate);
            assert_eq!(check.accept(7, repeated, 0, true), Verdict::Redelivered);
        }
    }

    #[test]
    fn a_message_that_comes_late_was_overtaken_unless_marked_redelivered() {
        for (redelivered, verdict) in [(false, Verdict::Overtaken), (true, Verdict::Requeued)] {
            let mut check = check(1);
            feed(&mut check, [0, 1, 3]);
            assert_eq!(check.accept(7, 2, 0, redelivered), verdict);
            assert_eq!(feed(&mut check, [4, 5]), [Verdict::InOrder; 2]);
            assert_eq!(check.missing(|producer| u64::from(producer == 7) * 6), []);
        }
    }

    #[test]
    fn swapped_neighbours_are_seen_at_every_position() {
        for at in 0..200 {
            let mut check = check(1);
            let mut sequences: Vec<u64> = (0..202).collect();
            sequences.swap(at, at + 1);
            let verdicts = feed(&mut check, sequences);
            assert_eq!(
                verdicts.iter().filter(|&&verdict| verdict == Verdict::Overtaken).count(),
                1,
                "at {at}"
            );
            assert_eq!(check.missing(|producer| u64::from(producer == 7) * 202), []);
        }
    }

    #[test]
    fn several_consumers_may_interleave_but_each_must_rise() {
        let mut check = check(2);
        for sequence in (0..100).step_by(2) {
            assert_eq!(check.accept(7, sequence + 1, 1, false), Verdict::InOrder);
            assert_eq!(check.accept(7, sequence, 0, false), Verdict::InOrder);
        }
        check.accept(7, 101, 0, false);
        assert_eq!(check.accept(7, 100, 0, false), Verdict::Overtaken);
        assert_eq!(check.missing(|producer| u64::from(producer == 7) * 102), []);
    }

    #[test]
    fn what_differs_may_overtake_and_what_is_alike_may_not() {
        let accept =
            |check: &mut QueueCheck, sequence: u64| check.accept(7, sequence, sequence as usize % 3, false);
        for mut check in [QueueCheck::new(vec![7], 1, 3), QueueCheck::of_unknown(1, 3)] {
            for sequence in [2, 5, 8, 1, 7, 0, 3, 6] {
                assert_eq!(accept(&mut check, sequence), Verdict::InOrder, "{sequence}");
            }
            assert_eq!(accept(&mut check, 5), Verdict::Duplicate);
            assert_eq!(check.missing(|_| 9), [Missing { producer: 7, count: 1, first: 4 }]);
            assert_eq!(accept(&mut check, 4), Verdict::Overtaken, "7 was before it");
            assert_eq!(check.missing(|_| 9), []);
        }
    }

    #[test]
    fn a_producer_that_does_not_feed_the_queue_is_unknown() {
        assert_eq!(check(1).accept(6, 0, 0, false), Verdict::UnknownProducer);
        assert_eq!(check(1).accept(7, 1 << 40, 0, false), Verdict::Implausible);
    }

    #[test]
    fn a_queue_filled_before_may_begin_anywhere() {
        let mut check = QueueCheck::of_unknown(1, 1);
        assert_eq!(feed(&mut check, [5, 6, 8]), [Verdict::InOrder; 3]);
        assert_eq!(check.missing(|_| 0), [Missing { producer: 7, count: 1, first: 7 }]);
    }

    /// Any arrival order of any multiset of sequences gives the counts that a plain set gives.
    #[test]
    fn counts_agree_with_a_set_on_random_input() {
        let mut seed = 42_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for round in 0..200 {
            let span = 1 + random(400);
            let mut check = QueueCheck::new(vec![7], 1, 1);
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..random(800) {
                let sequence = random(span);
                let verdict = check.accept(7, sequence, 0, false);
                let late = seen.last().is_some_and(|&last| last > sequence);
                let expected = match (seen.insert(sequence), late) {
                    (false, _) => Verdict::Duplicate,
                    (true, true) => Verdict::Overtaken,
                    (true, false) => Verdict::InOrder,
                };
                assert_eq!(verdict, expected, "round {round}, sequence {sequence}");
            }
            let missing = (0..span).filter(|sequence| !seen.contains(sequence));
            let expected = missing.clone().next().map(|first| (missing.count() as u64, first));
            assert_eq!(
                check.missing(|_| span).first().map(|m| (m.count, m.first)),
                expected,
                "round {round}"
            );
        }
    }
}

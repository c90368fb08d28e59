//! What the clock brings: consumers that take too long, queues that nobody uses.

use haremq::wheel::TICK_NS;

use super::*;

impl Oracle {
    /// Time has passed.
    pub fn advance(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        for queue in 0..self.queues.len() {
            let (at, record) = (self.time, &self.queues[queue]);
            if record.auto_delete
                && record.fact.is_sure()
                && self.some_are_overdue(queue)
                && !self.has_sure_consumer(queue)
            {
                self.queues[queue].fact.doubt(at, None);
            }
            let record = &self.queues[queue];
            let Some(ms) = record.rules.expires_ms else { continue };
            if !record.maybe_idle
                && now_ns >= record.used_ns + ms * 1_000_000
                && !self.has_sure_consumer(queue)
            {
                self.queues[queue].maybe_idle = true;
                self.queues[queue].fact.doubt(at, None);
            }
        }
    }

    fn has_sure_consumer(&self, queue: QueueIx) -> bool {
        let active = |(at, consumer): (usize, &ConsumerRecord)| {
            consumer.queue == queue && consumer.state == Consuming::Active && !self.may_be_overdue(at)
        };
        self.consumers.iter().enumerate().any(active)
    }

    /// Somebody asked for it at that time at the earliest, and was answered.
    pub(super) fn was_used(&mut self, queue: QueueIx, at_ns: u64) {
        let record = &mut self.queues[queue];
        record.used_ns = record.used_ns.max(at_ns);
    }

    /// Somebody asks for it.
    pub(super) fn may_be_used(&mut self, queue: QueueIx) {
        self.queues[queue].idle_by_ns = u64::MAX;
    }

    /// At rest: who is there too long, and what is gone.
    pub(super) fn clock_at_rest(&mut self) -> Verdict {
        for consumer in 0..self.consumers.len() {
            self.is_in_time(consumer)?;
            let record = &mut self.consumers[consumer];
            if record.held == 0 {
                record.since_ns = self.now_ns;
            }
        }
        for queue in 0..self.queues.len() {
            let used = self.consumers.iter().any(|it| it.queue == queue && it.state != Consuming::Ended);
            let (at, now_ns) = (self.time, self.now_ns);
            let record = &mut self.queues[queue];
            if used || record.idle_by_ns == u64::MAX {
                record.idle_by_ns = now_ns;
            }
            let Some(ms) = record.rules.expires_ms else { continue };
            let over = (record.idle_by_ns + ms * 1_000_000).div_ceil(TICK_NS) * TICK_NS <= now_ns;
            if over && record.fact.gone.is_none() {
                self.tally.idle += u64::from(record.fact.sure_from.is_some());
                record.fact.end(at);
            }
        }
        Ok(())
    }

    /// Whoever has had a message for longer than its queue allows is cancelled.
    fn is_in_time(&self, consumer: ConsumerIx) -> Verdict {
        let record = &self.consumers[consumer];
        let Some(ns) = self.queues[record.queue].rules.timeout_ns() else { return Ok(()) };
        if record.state != Consuming::Active || !self.queues[record.queue].fact.is_sure() {
            return Ok(());
        }
        let held = self.channels[record.channel].held.values().filter(|held| held.consumer == Some(consumer));
        let over = |held: &&Held| (held.at_ns + ns).div_ceil(TICK_NS) * TICK_NS <= self.now_ns;
        match held.into_iter().find(over) {
            Some(held) => violation(format!(
                "consumer {} has had message {} of {} for too long and is still there",
                String::from_utf8_lossy(&record.tag),
                held.message,
                self.name(record.queue)
            )),
            None => Ok(()),
        }
    }

    /// Whether the consumer may have been cancelled as it had a message for too long.
    pub fn may_be_overdue(&self, consumer: ConsumerIx) -> bool {
        let record = &self.consumers[consumer];
        let timeout = self.queues[record.queue].rules.timeout_ns();
        !record.no_ack && timeout.is_some_and(|timeout| record.since_ns + timeout <= self.now_ns)
    }

    /// Whether messages of the queue may have been taken from a consumer that had them for too long.
    pub(super) fn some_are_overdue(&self, queue: QueueIx) -> bool {
        self.queues[queue].rules.timeout_ms.is_some()
            && (0..self.consumers.len())
                .any(|at| self.consumers[at].queue == queue && self.may_be_overdue(at))
    }

    /// What the consumer had goes back to its queue.
    pub(super) fn overdue(&mut self, consumer: ConsumerIx) {
        self.tally.overdue += 1;
        let channel = self.consumers[consumer].channel;
        let at = self.time;
        let of_it = |_: &u64, held: &mut Held| held.consumer == Some(consumer);
        let held: BTreeMap<u64, Held> = self.channels[channel].held.extract_if(.., of_it).collect();
        let in_doubt = self.channels[channel].transaction.is_some();
        let copies: Vec<(QueueIx, PublicationIx)> =
            held.values().map(|held| (held.queue, held.message)).collect();
        self.give_back(channel, held, None, Arrived::NotYet);
        for (queue, message) in copies {
            if let Some(copy) = self.queues[queue].copies.get_mut(&message)
                && copy.state == CopyState::Ready
            {
                copy.since = copy.since.min(at);
                // What a rollback of its client's has not reached is still held.
                copy.maybe_gone |= in_doubt;
            }
        }
        self.consumer_ends(consumer);
        self.auto_delete_is_done(self.consumers[consumer].queue);
    }
}

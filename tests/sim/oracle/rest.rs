//! At rest nothing is under way: what may be becomes what is, and what is not there now is lost.

use super::*;

impl Oracle {
    /// All clients have read everything, no shard has anything to do, and time has not passed.
    pub fn at_rest(&mut self) -> Verdict {
        self.tick();
        for channel in 0..self.channels.len() {
            self.channel_at_rest(channel)?;
        }
        self.clock_at_rest()?;
        self.bindings_at_rest();
        self.fates_at_rest()?;
        for queue in 0..self.queues.len() {
            self.queue_at_rest(queue);
        }
        for queue in 0..self.queues.len() {
            self.nothing_is_stuck(queue)?;
        }
        Ok(())
    }

    fn channel_at_rest(&mut self, channel: ChannelIx) -> Verdict {
        let record = &self.channels[channel];
        if record.close_ok_due && self.connections[record.connection].state == Life::Open {
            return violation(format!(
                "a close of channel {} that crossed ours is not answered",
                record.number
            ));
        }
        if matches!(record.state, Life::Ended | Life::Refused) {
            self.channels[channel].leaving = Some(Vec::new());
            self.channels[channel].told.clear();
            for consumer in self.consumers_of(channel) {
                self.consumer_ends(consumer);
            }
            return Ok(());
        }
        if let Some(told) = record.told.iter().find(|told| told.request.awaits_reply()) {
            return violation(format!("{:?} is not answered", told.request));
        }
        let count = record.told.len();
        self.done_up_to(channel, count)?;
        let record = &self.channels[channel];
        if record.confirmed < record.seqnos.len() as u64 {
            let (confirmed, published) = (record.confirmed, record.seqnos.len());
            return violation(format!("{published} published, and only {confirmed} confirmed"));
        }
        Ok(())
    }

    fn bindings_at_rest(&mut self) {
        for binding in &mut self.bindings {
            binding.fact.kept |= binding.fact.is_sure();
            binding.fact.lost |= binding.fact.gone.is_some();
        }
    }

    fn queue_at_rest(&mut self, queue: QueueIx) {
        let (at, now_ns) = (self.time, self.now_ns);
        let owner = self.queues[queue].exclusive.map(|owner| self.connections[owner].state);
        let record = &mut self.queues[queue];
        for window in [&mut record.lossy, &mut record.hidden, &mut record.purging, &mut record.getting] {
            window.rest(at);
        }
        if matches!(owner, Some(Life::Ended)) && !record.contended {
            record.fact.end(at);
        }
        self.auto_delete_is_done(queue);
        let record = &mut self.queues[queue];
        let gone = record.fact.gone.is_some();
        for copy in record.copies.values_mut() {
            copy.by_ns.get_or_insert(now_ns);
            if gone {
                copy.died |= copy.state == CopyState::Ready;
                if copy.state != CopyState::Gone {
                    (copy.state, copy.since) = (CopyState::Gone, at);
                }
            } else if copy.state == CopyState::Ready {
                copy.arrived = Arrived::At(at);
            }
        }
        self.settle_for_good(queue);
    }

    /// Where a consumer has room, nothing waits.
    fn nothing_is_stuck(&self, queue: QueueIx) -> Verdict {
        let record = &self.queues[queue];
        if record.contended || !record.fact.is_sure() {
            return Ok(());
        }
        let served = |at: &usize| self.consumers[*at].queue == queue && self.is_served(*at);
        if !(0..self.consumers.len()).any(|at| served(&at)) {
            return Ok(());
        }
        let waits = |(message, copy): &(&PublicationIx, &Copy)| {
            copy.sure && copy.state == CopyState::Ready && !self.may_be_lost(**message, queue, copy)
        };
        let Some((message, _)) = record.copies.iter().find(waits) else { return Ok(()) };
        let with_room = (0..self.consumers.len()).find(served).map(|at| &self.consumers[at]);
        match with_room {
            Some(consumer) => violation(format!(
                "message {message} of {} waits, and consumer {} has room",
                self.name(queue),
                String::from_utf8_lossy(&consumer.tag)
            )),
            None => Ok(()),
        }
    }

    /// Whether it is there, has room, and is the one that is served where only one is.
    pub(super) fn is_served(&self, consumer: ConsumerIx) -> bool {
        let record = &self.consumers[consumer];
        let queue = &self.queues[record.queue];
        let others = || {
            let of_queue = |it: &&ConsumerRecord| it.queue == record.queue && it.state != Consuming::Ended;
            self.consumers.iter().filter(of_queue).count()
        };
        record.state == Consuming::Active
            && (record.no_ack || self.has_room(record))
            && (!queue.rules.single_active || queue.served_alone == Some(consumer) || others() == 1)
    }

    /// By its own prefetch count and by the limit of its channel.
    fn has_room(&self, consumer: &ConsumerRecord) -> bool {
        let channel = &self.channels[consumer.channel];
        (consumer.prefetch == 0 || consumer.held < u32::from(consumer.prefetch))
            && (channel.limit == 0 || channel.delivered < u32::from(channel.limit))
    }

    /// The queues that must be there now.
    pub fn sure_queues(&self) -> Vec<QueueIx> {
        let all = self.queues.iter().enumerate();
        all.filter(|(_, queue)| !queue.contended && queue.fact.is_sure()).map(|(at, _)| at).collect()
    }

    /// The messages that must be in a queue now.
    pub fn must_be_in(&self, queue: QueueIx) -> usize {
        let must = |(message, copy): &(&PublicationIx, &Copy)| {
            copy.sure && copy.state == CopyState::Ready && !self.may_be_lost(**message, queue, copy)
        };
        self.queues[queue].copies.iter().filter(must).count()
    }
}

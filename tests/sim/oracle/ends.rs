//! The ends of channels and connections: what they held goes back, what they asked may be done or not.

use super::*;

impl Oracle {
    /// The client writes connection.close.
    pub fn close_connection(&mut self, connection: ConnectionIx) {
        self.tick();
        if self.connections[connection].state != Life::Open {
            return;
        }
        self.connections[connection].state = Life::Closing;
        self.exclusive_queues_may_go(connection);
        for channel in self.channels_of(connection) {
            self.leave(channel);
            if self.channels[channel].state == Life::Open {
                self.channels[channel].state = Life::Closing;
            }
        }
    }

    /// The socket is gone: nothing is written to it any more.
    pub fn lose_connection(&mut self, connection: ConnectionIx) {
        self.tick();
        if self.connections[connection].state != Life::Ended {
            self.abandon_connection(connection, Life::Ended);
        }
    }

    /// The broker has written connection.close.
    pub(super) fn refuse_connection(&mut self, connection: ConnectionIx) {
        self.abandon_connection(connection, Life::Refused);
    }

    fn abandon_connection(&mut self, connection: ConnectionIx, state: Life) {
        self.connections[connection].state = state;
        self.exclusive_queues_may_go(connection);
        for channel in self.channels_of(connection) {
            self.abandon(channel, Life::Ended);
        }
    }

    /// connection.close-ok: everything of it is done and gone.
    pub(super) fn connection_closed(&mut self, connection: ConnectionIx) -> Verdict {
        let at = self.time;
        for channel in self.channels_of(connection) {
            // What was asked before the close was answered or cut short by it; what needs no answer is done.
            self.cut_short(channel)?;
            self.finish(channel);
        }
        self.connections[connection].state = Life::Ended;
        for queue in self.queues.iter_mut().filter(|queue| queue.exclusive == Some(connection)) {
            queue.fact.end(at);
        }
        Ok(())
    }

    /// The channel is about to end: its consumers may get what nobody will see.
    pub(super) fn leave(&mut self, channel: ChannelIx) {
        if self.channels[channel].leaving.is_some() {
            return;
        }
        self.forget_transaction(channel);
        let mut windows = Vec::new();
        for consumer in self.consumers_of(channel) {
            windows.push((self.consumers[consumer].queue, self.consumers[consumer].no_ack));
            self.consumer_leaves(consumer);
        }
        for told in &self.channels[channel].told {
            if let Request::Get { queue, no_ack } = told.request {
                windows.push((queue, no_ack));
            }
        }
        for &(queue, no_ack) in &windows {
            self.window(queue, no_ack).open();
        }
        self.channels[channel].leaving = Some(windows);
        self.channels[channel].left = self.time;
    }

    /// A consumer goes: with the last one an auto-delete queue goes too.
    pub(super) fn consumer_leaves(&mut self, consumer: ConsumerIx) {
        let at = self.time;
        let record = &mut self.consumers[consumer];
        if record.state == Consuming::Ended {
            return;
        }
        let was_there = record.state == Consuming::Active;
        record.state = Consuming::Leaving;
        let of = record.queue;
        if was_there && !self.may_be_overdue(consumer) {
            self.was_used(of, self.now_ns);
        }
        self.may_be_used(of);
        let queue = &mut self.queues[of];
        if queue.auto_delete {
            queue.fact.doubt(at, None);
        }
    }

    /// Nothing more is delivered to it.
    pub(super) fn consumer_ends(&mut self, consumer: ConsumerIx) {
        let at = self.time;
        let record = &mut self.consumers[consumer];
        if record.state == Consuming::Ended {
            return;
        }
        record.state = Consuming::Ended;
        record.ended = Some(at);
        let queue = record.queue;
        self.queues[queue].served.close(at);
        self.may_be_used(queue);
    }

    /// The channel is gone for sure, and its messages are back.
    pub(super) fn finish(&mut self, channel: ChannelIx) {
        let at = self.time;
        self.leave(channel);
        self.release(channel, self.channels[channel].left, Arrived::At(at));
        let consumers = self.consumers_of(channel);
        for &consumer in &consumers {
            self.consumer_ends(consumer);
        }
        for (queue, no_ack) in self.channels[channel].leaving.replace(Vec::new()).unwrap_or_default() {
            self.window(queue, no_ack).close(at);
        }
        for consumer in consumers {
            self.auto_delete_is_done(self.consumers[consumer].queue);
        }
        self.end_channel(channel, Life::Ended);
    }

    /// The channel ends without a word when: what it asked may be done or not.
    pub(super) fn abandon(&mut self, channel: ChannelIx, state: Life) {
        if self.channels[channel].state == Life::Ended {
            return;
        }
        self.leave(channel);
        for Told { request, .. } in std::mem::take(&mut self.channels[channel].told) {
            self.perhaps(channel, request);
        }
        self.release(channel, self.channels[channel].left, Arrived::NotYet);
        self.end_channel(channel, state);
    }

    /// It may be done, now or later, or not.
    pub(super) fn perhaps(&mut self, channel: ChannelIx, request: Request) {
        let at = self.time;
        match request {
            Request::Publish(message) => {
                let publication = &mut self.publications[message];
                if publication.state == Routing::Written {
                    publication.state = Routing::Unknown;
                }
            }
            Request::Settle { copies, requeue, serial, .. } => {
                for (queue, message) in copies {
                    let Some(copy) = self.queues[queue].copies.get_mut(&message) else { continue };
                    if copy.state == CopyState::Acking(serial) {
                        (copy.state, copy.since, copy.arrived) = (CopyState::Ready, at, Arrived::NotYet);
                        copy.maybe_gone = true;
                        copy.returns += 1;
                    } else if requeue && copy.state == CopyState::Ready {
                        copy.arrived = Arrived::NotYet;
                    }
                }
            }
            Request::Recover { copies, since, .. } => self.recovered_at(&copies, since, Arrived::NotYet),
            Request::Declare { queue, .. } => {
                self.unlock(channel, queue);
                self.queues[queue].fact.doubt(at, None);
            }
            Request::Bind { binding, .. } => {
                self.unlock(channel, self.bindings[binding].queue);
                if !self.bindings[binding].fact.is_sure() {
                    self.bindings[binding].fact.doubt(at, None);
                }
            }
            Request::Unbind { binding } => {
                self.unlock(channel, self.bindings[binding].queue);
                self.bindings[binding].fact.doubt(at, None);
            }
            Request::Delete { queue, .. } => {
                self.unlock(channel, queue);
                self.queues[queue].fact.doubt(at, None);
            }
            // Their windows stay open until the next rest.
            Request::Purge { .. }
            | Request::Get { .. }
            | Request::Consume { .. }
            | Request::Cancel { .. } => {}
            Request::Open
            | Request::Close
            | Request::Confirm { .. }
            | Request::Qos { .. }
            | Request::Hold(_)
            | Request::Select
            | Request::Commit(_)
            | Request::Rollback
            | Request::Passive { .. }
            | Request::Exchange { .. } => {}
        }
    }

    pub(super) fn unlock(&mut self, channel: ChannelIx, queue: QueueIx) {
        let lock = &mut self.queues[queue].lock;
        if let Some((holder, count)) = lock
            && *holder == channel
        {
            *count -= 1;
            if *count == 0 {
                *lock = None;
            }
        }
    }

    /// Whoever saw the end of the last consumer finds the queue gone.
    pub(super) fn auto_delete_is_done(&mut self, queue: QueueIx) {
        let at = self.time;
        let record = &mut self.queues[queue];
        if record.auto_delete
            && record.had_consumer
            && !record.served.is_open()
            && record.fact.sure_from.is_some()
        {
            record.fact.end(at);
        }
    }

    pub(super) fn consumers_of(&self, channel: ChannelIx) -> Vec<ConsumerIx> {
        let all = self.consumers.iter().enumerate();
        let living = all.filter(|(_, c)| c.channel == channel && c.state != Consuming::Ended);
        living.map(|(at, _)| at).collect()
    }

    pub(super) fn channels_of(&self, connection: ConnectionIx) -> Vec<ChannelIx> {
        self.connections[connection].channels.values().copied().collect()
    }

    fn exclusive_queues_may_go(&mut self, connection: ConnectionIx) {
        let at = self.time;
        for queue in self.queues.iter_mut().filter(|queue| queue.exclusive == Some(connection)) {
            queue.fact.doubt(at, None);
        }
    }

    fn window(&mut self, queue: QueueIx, no_ack: bool) -> &mut Window {
        let record = &mut self.queues[queue];
        if no_ack { &mut record.lossy } else { &mut record.hidden }
    }

    /// What the channel held is ready again, since then at the earliest.
    pub(super) fn release(&mut self, channel: ChannelIx, since: u64, arrived: Arrived) {
        let held = std::mem::take(&mut self.channels[channel].held);
        self.give_back(channel, held, Some(since), arrived);
    }

    /// recover-ok: what the channel was sent since it asked is ready again, since it was sent at the earliest.
    pub(super) fn release_unseen(&mut self, channel: ChannelIx) {
        let is_sent = |_: &u64, held: &mut Held| !held.rolled_back;
        let sent = self.channels[channel].held.extract_if(.., is_sent).collect();
        self.give_back(channel, sent, None, Arrived::At(self.time));
    }

    pub(super) fn give_back(
        &mut self,
        channel: ChannelIx,
        held: BTreeMap<u64, Held>,
        since: Option<u64>,
        arrived: Arrived,
    ) {
        for (tag, held) in held {
            if let Some(consumer) = held.consumer {
                self.consumers[consumer].held -= 1;
                self.channels[channel].delivered -= 1;
            }
            let Some(copy) = self.queues[held.queue].copies.get_mut(&held.message) else { continue };
            if copy.state == CopyState::Held(channel) && copy.tag == tag {
                (copy.state, copy.arrived) = (CopyState::Ready, arrived);
                copy.returns += 1;
                copy.since = since.unwrap_or(copy.since);
            }
        }
    }

    /// When what was recovered is there again.
    pub(super) fn recovered_at(&mut self, copies: &[(QueueIx, PublicationIx)], since: u64, arrived: Arrived) {
        for (queue, message) in copies {
            if let Some(copy) = self.queues[*queue].copies.get_mut(message)
                && (copy.state, copy.since) == (CopyState::Ready, since)
            {
                copy.arrived = arrived;
            }
        }
    }

    fn end_channel(&mut self, channel: ChannelIx, state: Life) {
        self.channels[channel].state = state;
        if state == Life::Ended {
            let (connection, number) = (self.channels[channel].connection, self.channels[channel].number);
            let living = &mut self.connections[connection].channels;
            if living.get(&number) == Some(&channel) {
                living.remove(&number);
            }
        }
    }
}

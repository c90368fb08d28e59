//! What the broker writes: each frame is a promise kept, or a violation.

use haremq::amqp::Method;

use super::*;
use crate::wire::Unit;

impl Oracle {
    /// An error about a message that is handed out changes nothing: within one turn of the broker, the outputs of several
    /// connections are heard in any order, and what makes no sense yet is tried again behind the others.
    pub fn hear(&mut self, connection: ConnectionIx, unit: &Unit) -> Verdict {
        self.tick();
        let method = unit.method();
        if unit.channel == 0 {
            return self.hear_connection(connection, &method);
        }
        let Some(&channel) = self.connections[connection].channels.get(&unit.channel) else {
            return violation(format!("{} on channel {} that is closed", method.name(), unit.channel));
        };
        if self.connections[connection].state == Life::Refused {
            return violation(format!("{} behind connection.close", method.name()));
        }
        if self.channels[channel].state == Life::Refused {
            return self.hear_refused(channel, &method);
        }
        match method {
            Method::BasicDeliver { .. } => self.delivered(channel, unit),
            Method::BasicGetOk { .. } => self.got(channel, unit),
            Method::BasicReturn { reply_code: 312, .. } => self.returned(channel, unit),
            Method::BasicAck { delivery_tag, multiple } => {
                self.confirmed(channel, delivery_tag, multiple, false)
            }
            Method::BasicNack { delivery_tag, multiple, .. } => {
                self.confirmed(channel, delivery_tag, multiple, true)
            }
            Method::BasicCancel { consumer_tag, .. } => self.cancelled_by_server(channel, &consumer_tag),
            Method::ChannelClose { reply_code, class_id, method_id, .. } => {
                self.channel_refused(channel, reply_code, (class_id, method_id))
            }
            method => self.replied(channel, &method),
        }
    }

    /// What the broker is about to be heard to end had perhaps ended before anything else of the same turn was written.
    pub fn foresee_ends(&mut self, connection: ConnectionIx, units: &[Unit]) {
        for unit in units {
            let ended = match unit.method() {
                Method::ChannelClose { .. } => {
                    self.connections[connection].channels.get(&unit.channel).copied().into_iter().collect()
                }
                Method::ConnectionClose { .. } => self.channels_of(connection),
                _ => Vec::new(),
            };
            ended.into_iter().for_each(|channel| self.leave(channel));
        }
    }

    /// Whether the unit hands out a message that its channel was not handed yet: it may make sense later.
    pub fn is_yet_to_come(&self, connection: ConnectionIx, unit: &Unit) -> bool {
        let (Method::BasicDeliver { delivery_tag: tag, .. } | Method::BasicGetOk { delivery_tag: tag, .. }) =
            unit.method()
        else {
            return false;
        };
        let channel = self.connections[connection].channels.get(&unit.channel);
        channel.is_some_and(|&channel| tag > self.channels[channel].last_tag)
    }

    /// Whether the channel of that delivery ends with one of these units, or its client has asked for its end, or to
    /// recover, so that the message may come again.
    pub fn gives_back_within<'a>(
        &self,
        connection: ConnectionIx,
        delivery: &Unit,
        units: impl IntoIterator<Item = &'a Unit>,
    ) -> bool {
        let (record, channel) = (&self.connections[connection], delivery.channel);
        if let Method::BasicDeliver { consumer_tag, .. } = delivery.method()
            && let Some(&channel) = record.channels.get(&channel)
            && let Some(&consumer) = self.channels[channel].consumers.get(&consumer_tag[..])
            && self.consumers[consumer].no_ack
        {
            return false;
        }
        let keeps = |&at: &ChannelIx| !self.channels[at].may_give_back();
        let mut closes = units.into_iter().filter(|unit| {
            matches!(unit.method(), Method::ChannelClose { .. }) && unit.channel == channel
                || matches!(unit.method(), Method::ConnectionClose { .. })
        });
        record.state != Life::Open
            || !record.channels.get(&channel).is_some_and(keeps)
            || closes.next().is_some()
    }

    fn hear_connection(&mut self, connection: ConnectionIx, method: &Method<'_>) -> Verdict {
        match (method, self.connections[connection].state) {
            (Method::ConnectionClose { reply_code, reply_text, .. }, Life::Open | Life::Closing) => {
                if !self.connections[connection].provoked {
                    return violation(format!("connection.close {reply_code} {reply_text} without reason"));
                }
                self.tally.connection_errors += 1;
                self.refuse_connection(connection);
                Ok(())
            }
            (Method::ConnectionCloseOk, Life::Closing) => self.connection_closed(connection),
            // Both closed at once.
            (Method::ConnectionCloseOk, Life::Refused) => Ok(()),
            (
                Method::ConnectionStart { .. } | Method::ConnectionTune { .. } | Method::ConnectionOpenOk,
                Life::Open | Life::Closing,
            ) => Ok(()),
            (method, state) => violation(format!("{} on a connection that is {state:?}", method.name())),
        }
    }

    /// Behind channel.close nothing may come but the answer to a close that crossed it.
    fn hear_refused(&mut self, channel: ChannelIx, method: &Method<'_>) -> Verdict {
        if *method == Method::ChannelCloseOk && self.channels[channel].close_ok_due {
            self.channels[channel].close_ok_due = false;
            return Ok(());
        }
        violation(format!("{} behind channel.close", method.name()))
    }

    pub(super) fn replied(&mut self, channel: ChannelIx, method: &Method<'_>) -> Verdict {
        let told = &self.channels[channel].told;
        let Some(at) = told.iter().position(|told| told.request.awaits_reply()) else {
            return violation(format!("{} that nobody asked for", method.name()));
        };
        let request = &told[at].request;
        if !request.is_answered_by(method.ids()) {
            return violation(format!("{} as answer to {request:?}", method.name()));
        }
        self.done_up_to(channel, at)?;
        let Some(told) = self.channels[channel].told.pop_front() else { return Ok(()) };
        self.tally.replies += 1;
        self.answered(channel, told, method)
    }

    /// The first `count` requests are done; none of them has an answer.
    pub(super) fn done_up_to(&mut self, channel: ChannelIx, count: usize) -> Verdict {
        for _ in 0..count {
            let Some(Told { request, .. }) = self.channels[channel].told.pop_front() else { break };
            if request.awaits_reply() {
                return violation(format!("{request:?} is passed over"));
            }
            self.done(channel, request)?;
        }
        Ok(())
    }

    /// Done, as everything before the request that was answered.
    fn done(&mut self, channel: ChannelIx, request: Request) -> Verdict {
        let at = self.time;
        match request {
            Request::Publish(message) => self.routed(message)?,
            Request::Settle { wrong: true, ids, .. } => {
                return violation(format!("{ids:?} of an unknown delivery tag was accepted"));
            }
            Request::Settle { copies, serial, .. } => {
                for (queue, message) in copies {
                    self.is_settled(queue, message, serial);
                }
            }
            Request::Qos { limit } => self.channels[channel].limit = limit,
            Request::Recover { copies, since, nowait: false } => {
                // recover-ok comes behind all that it concerns, and when it is back.
                self.recovered_at(&copies, since, Arrived::At(at));
                self.release_unseen(channel);
                self.channels[channel].recovering -= 1;
                let record = &mut self.channels[channel];
                let unseen = |told: &Told| matches!(told.request, Request::Recover { nowait: true, .. });
                record.recovers_unseen = record.told.iter().any(unseen);
            }
            Request::Declare { queue, .. } => {
                self.unlock(channel, queue);
                if !self.queues[queue].open_to(self.channels[channel].connection) {
                    // It was not there any more, and belongs to another connection now.
                    self.queues[queue].contended = true;
                }
                self.is_declared(queue);
            }
            Request::Bind { binding, .. } => {
                self.unlock(channel, self.bindings[binding].queue);
                self.is_bound(binding);
            }
            Request::Unbind { binding } => {
                self.unlock(channel, self.bindings[binding].queue);
                self.end_binding(binding);
            }
            Request::Purge { queue, .. } => self.queues[queue].purging.close(at),
            Request::Delete { queue, .. } => {
                self.unlock(channel, queue);
                let fact = &mut self.queues[queue].fact;
                if fact.sure_from.is_some() || fact.asked_by == Some(channel) {
                    self.end_queue(queue);
                } else {
                    // It may have been declared behind that, by a connection whose end the broker came to late.
                    fact.doubt(at, None);
                }
            }
            Request::Get { queue, .. } => self.queues[queue].getting.close(at),
            Request::Consume { consumer, .. } => self.consuming(consumer),
            Request::Cancel { consumer, .. } => self.cancelled(consumer),
            Request::Open
            | Request::Close
            | Request::Confirm { .. }
            | Request::Recover { nowait: true, .. }
            | Request::Hold(_)
            | Request::Select
            | Request::Commit(_)
            | Request::Rollback
            | Request::Passive { .. }
            | Request::Exchange { .. } => {}
        }
        Ok(())
    }

    fn answered(&mut self, channel: ChannelIx, told: Told, method: &Method<'_>) -> Verdict {
        match told.request {
            Request::Declare { queue, .. } | Request::Passive { queue } | Request::Get { queue, .. } => {
                self.was_used(queue, told.at_ns);
            }
            Request::Consume { consumer, .. } => self.was_used(self.consumers[consumer].queue, told.at_ns),
            _ => {}
        }
        match (&told.request, *method) {
            (
                &Request::Declare { queue, fresh, .. },
                Method::QueueDeclareOk { queue: name, message_count, consumer_count },
            ) => {
                self.is_named(queue, &name)?;
                if !fresh || !self.queues[queue].contended {
                    self.counts_are_plausible(channel, &told, queue, message_count, Some(consumer_count))?;
                }
            }
            (
                &Request::Passive { queue },
                Method::QueueDeclareOk { queue: name, message_count, consumer_count },
            ) => {
                self.is_named(queue, &name)?;
                self.counts_are_plausible(channel, &told, queue, message_count, Some(consumer_count))?;
            }
            (&Request::Purge { queue, .. }, Method::QueuePurgeOk { message_count }) => {
                self.counts_are_plausible(channel, &told, queue, message_count, None)?;
                self.purged(channel, &told, queue);
            }
            (&Request::Delete { queue, .. }, Method::QueueDeleteOk { message_count }) => {
                self.counts_are_plausible(channel, &told, queue, message_count, None)?;
                if !self.queues[queue].contended {
                    self.queues[queue].deleted_on = Some(self.channels[channel].connection);
                }
            }
            (&Request::Get { queue, .. }, Method::BasicGetEmpty) => {
                self.tally.got_nothing += 1;
                self.nothing_was_there(channel, &told, queue)?;
            }
            (&Request::Consume { consumer, .. }, Method::BasicConsumeOk { consumer_tag }) => {
                self.consumer_is_tagged(channel, consumer, &consumer_tag)?;
            }
            (&Request::Cancel { consumer, .. }, Method::BasicCancelOk { consumer_tag })
                if self.consumers[consumer].tag[..] != consumer_tag[..] =>
            {
                return violation("cancel-ok names another consumer");
            }
            (Request::Close, _) => {
                self.finish(channel);
                return Ok(());
            }
            _ => {}
        }
        if let Request::Passive { queue } = told.request {
            self.looked_for = Some((queue, true));
        }
        let request = told.request.clone();
        self.done(channel, told.request)?;
        self.is_kept_or_lost(channel, &request);
        Ok(())
    }

    /// It is on disk, as it was answered.
    fn is_kept_or_lost(&mut self, channel: ChannelIx, request: &Request) {
        match *request {
            Request::Declare { queue, .. } if !self.queues[queue].contended => {
                self.queues[queue].fact.kept = true;
            }
            Request::Delete { queue, .. } if !self.queues[queue].contended => {
                self.queues[queue].fact.lost = self.queues[queue].fact.gone.is_some();
            }
            Request::Bind { binding, .. } => self.bindings[binding].fact.kept = true,
            Request::Unbind { binding } => self.bindings[binding].fact.lost = true,
            Request::Commit(_) => self.committed(channel),
            _ => {}
        }
    }

    fn is_named(&mut self, queue: QueueIx, name: &[u8]) -> Verdict {
        let record = &mut self.queues[queue];
        if record.name.is_empty() && name.starts_with(b"amq.gen-") {
            record.name = name.to_vec();
        }
        if record.name[..] != name[..] {
            return violation(format!("declare-ok names {:?}", String::from_utf8_lossy(name)));
        }
        Ok(())
    }

    fn is_declared(&mut self, queue: QueueIx) {
        let at = self.time;
        if !self.queues[queue].contended {
            self.queues[queue].fact.confirm(at);
        }
    }

    fn is_bound(&mut self, binding: BindingIx) {
        let at = self.time;
        let BindingRecord { exchange, queue, .. } = self.bindings[binding];
        if is_permanent(exchange) && !self.queues[queue].contended {
            self.bindings[binding].fact.confirm(at);
        }
    }

    fn end_binding(&mut self, binding: BindingIx) {
        let at = self.time;
        if !self.queues[self.bindings[binding].queue].contended {
            self.bindings[binding].fact.end(at);
        }
    }

    fn end_queue(&mut self, queue: QueueIx) {
        let at = self.time;
        if !self.queues[queue].contended {
            self.queues[queue].fact.end(at);
        }
    }

    fn consuming(&mut self, consumer: ConsumerIx) {
        let at = self.time;
        let record = &mut self.consumers[consumer];
        record.awaits_ok = false;
        record.active_from = Some(at);
        if record.state == Consuming::Asked {
            record.state = Consuming::Active;
        }
        self.queues[record.queue].had_consumer = true;
    }

    fn cancelled(&mut self, consumer: ConsumerIx) {
        self.consumer_ends(consumer);
        self.auto_delete_is_done(self.consumers[consumer].queue);
    }

    fn consumer_is_tagged(&mut self, channel: ChannelIx, consumer: ConsumerIx, tag: &[u8]) -> Verdict {
        let record = &mut self.consumers[consumer];
        if record.tag.is_empty() {
            record.tag = tag.to_vec();
            self.channels[channel].consumers.insert(tag.to_vec(), consumer);
            return Ok(());
        }
        if record.tag[..] == tag[..] { Ok(()) } else { violation("consume-ok names another consumer") }
    }

    fn cancelled_by_server(&mut self, channel: ChannelIx, tag: &[u8]) -> Verdict {
        let record = &self.channels[channel];
        let wanted = self.connections[record.connection].notify;
        let Some(&consumer) = record.consumers.get(tag).filter(|_| wanted) else {
            return violation("basic.cancel for nobody");
        };
        let queue = self.consumers[consumer].queue;
        if self.consumers[consumer].state == Consuming::Ended {
            return violation("basic.cancel behind the end of the consumer");
        }
        if self.may_be_overdue(consumer) {
            self.overdue(consumer);
            return Ok(());
        }
        if self.queues[queue].fact.is_sure() {
            return violation(format!(
                "a consumer of {} was cancelled, and the queue is there",
                self.name(queue)
            ));
        }
        self.tally.cancelled_by_server += 1;
        self.consumer_ends(consumer);
        Ok(())
    }

    fn confirmed(&mut self, channel: ChannelIx, tag: u64, multiple: bool, refused: bool) -> Verdict {
        let record = &self.channels[channel];
        let (last, published) = (record.confirmed, record.seqnos.len() as u64);
        if !record.confirms || tag <= last || tag > published {
            return violation(format!("a confirm of {tag} behind {last}, {published} published"));
        }
        if !multiple && tag != last + 1 {
            return violation(format!("a single confirm of {tag} behind {last}"));
        }
        let message = record.seqnos[tag as usize - 1];
        let is_it = |told: &Told| matches!(told.request, Request::Publish(at) if at == message);
        if let Some(at) = record.told.iter().position(is_it) {
            self.done_up_to(channel, at + 1)?;
        }
        for at in last..tag {
            let message = self.channels[channel].seqnos[at as usize];
            self.message_confirmed(message, refused);
            if refused {
                self.message_refused(message)?;
            }
        }
        self.tally.confirmed += tag - last;
        self.channels[channel].confirmed = tag;
        Ok(())
    }

    /// A channel error: one of the requests must have earned it. What came before is done, what comes behind is not.
    fn channel_refused(&mut self, channel: ChannelIx, code: u16, ids: (u16, u16)) -> Verdict {
        if (code, ids) == (406, (0, 0)) {
            return self.channel_overdue(channel);
        }
        let told = &self.channels[channel].told;
        let blamed: Vec<usize> = (0..told.len()).filter(|&at| told[at].request.ids() == ids).collect();
        let risky = |at: &&usize| self.is_risky(channel, &told[**at]);
        let (Some(&first), Some(&last)) = (blamed.iter().find(risky), blamed.iter().rfind(risky)) else {
            return violation(format!("channel.close {code} for {ids:?} without reason"));
        };
        self.tally.channel_errors += 1;
        if let Request::Passive { queue } = self.channels[channel].told[first].request
            && first == last
        {
            self.looked_for = Some((queue, false));
        }
        let behind = self.channels[channel].told.split_off(last + 1);
        self.done_up_to(channel, first)?;
        if first == last
            && let Some(told) = self.channels[channel].told.front()
            && let Request::Delete { queue, conditional: true, .. } = told.request
            && self.queues[queue].fact.sure_until == Some(told.at)
            && self.queues[queue].fact.removed_by == Some(channel)
            && !self.queues[queue].maybe_idle
            && code == 406
        {
            self.channels[channel].told.pop_front();
            self.unlock(channel, queue);
            self.queues[queue].fact.stays();
        }
        let crossed = self.channels[channel].state == Life::Closing;
        self.leave(channel);
        for Told { request, .. } in behind {
            // While the disk is full publishes wait, and settlements overtake them.
            if self.disk_may_be_full && matches!(request, Request::Settle { .. }) {
                self.perhaps(channel, request);
            } else {
                self.never(channel, request);
            }
        }
        self.abandon(channel, Life::Refused);
        self.channels[channel].close_ok_due = crossed;
        Ok(())
    }

    /// A consumer of a client that does not understand basic.cancel took too long.
    fn channel_overdue(&mut self, channel: ChannelIx) -> Verdict {
        let notify = self.connections[self.channels[channel].connection].notify;
        let mut late = (0..self.consumers.len())
            .filter(|&at| self.consumers[at].channel == channel && self.may_be_overdue(at));
        if notify || late.next().is_none() {
            return violation("channel.close of a channel whose consumers are in time");
        }
        self.tally.overdue += 1;
        let crossed = self.channels[channel].state == Life::Closing;
        self.leave(channel);
        self.abandon(channel, Life::Refused);
        self.channels[channel].close_ok_due = crossed;
        Ok(())
    }

    /// The connection is closed: what needs no answer is done, unless something before it may have failed.
    pub(super) fn cut_short(&mut self, channel: ChannelIx) -> Verdict {
        let mut sure = true;
        for told in std::mem::take(&mut self.channels[channel].told) {
            sure &= !self.is_risky(channel, &told);
            match told.request {
                // Whether it was returned nobody hears any more.
                Request::Publish(message) if sure => self.place(message)?,
                request @ Request::Settle { .. } if sure => self.done(channel, request)?,
                request => self.perhaps(channel, request),
            }
        }
        Ok(())
    }

    /// Whether an error would be right: what it speaks of may not be there, or may not be allowed.
    fn is_risky(&self, channel: ChannelIx, told: &Told) -> bool {
        let connection = self.channels[channel].connection;
        let unsure = |queue: QueueIx| {
            let record = &self.queues[queue];
            !record.fact.sure_for(channel, told.at) || !record.open_to(connection)
        };
        match told.request {
            Request::Hold(message) => !is_permanent(self.publications[message].exchange),
            // What was held before was routed then.
            Request::Publish(message) => {
                let publication = &self.publications[message];
                !publication.held && !is_permanent(publication.exchange)
            }
            Request::Settle { wrong, .. } => wrong,
            Request::Exchange { risky, .. } => risky,
            Request::Declare { queue, fresh, .. } => {
                self.queues[queue].contended || (!fresh && unsure(queue))
            }
            Request::Passive { queue } | Request::Purge { queue, .. } | Request::Get { queue, .. } => {
                unsure(queue)
            }
            Request::Bind { binding, .. } | Request::Unbind { binding } => {
                let BindingRecord { exchange, queue, .. } = self.bindings[binding];
                unsure(queue) || !is_permanent(exchange)
            }
            Request::Delete { queue, conditional, .. } => {
                // Its own request puts the queue in doubt; what matters is whether anybody else did.
                let mut fact = self.queues[queue].fact.clone();
                if fact.sure_until == Some(told.at) && !self.queues[queue].maybe_idle {
                    fact.stays();
                }
                conditional || !fact.sure_for(channel, told.at) || !self.queues[queue].open_to(connection)
            }
            Request::Consume { consumer, exclusive, .. } => {
                let queue = self.consumers[consumer].queue;
                unsure(queue) || exclusive || self.queues[queue].had_exclusive_consumer
            }
            Request::Open
            | Request::Close
            | Request::Confirm { .. }
            | Request::Qos { .. }
            | Request::Recover { .. }
            | Request::Select
            | Request::Rollback
            | Request::Cancel { .. } => false,
            // `partial tx completion`
            Request::Commit(ref messages) => messages.iter().any(|&message| self.may_be_refused(message)),
        }
    }

    /// The server had closed the channel before it came to this.
    fn never(&mut self, channel: ChannelIx, request: Request) {
        match request {
            Request::Publish(message) => self.publications[message].state = Routing::Never,
            Request::Settle { copies, serial, .. } => {
                let at = self.time;
                for (queue, message) in copies {
                    let Some(copy) = self.queues[queue].copies.get_mut(&message) else { continue };
                    if copy.state == CopyState::Acking(serial) {
                        (copy.state, copy.since) = (CopyState::Ready, at);
                        copy.returns += 1;
                    }
                    if copy.state == CopyState::Ready {
                        copy.arrived = Arrived::NotYet;
                    }
                    copy.rejected = false;
                }
            }
            Request::Unbind { binding } => {
                self.unlock(channel, self.bindings[binding].queue);
                self.bindings[binding].fact.stays();
            }
            request => self.perhaps(channel, request),
        }
    }
}

/// Whether nobody deletes that exchange.
pub fn is_permanent(exchange: &str) -> bool {
    !exchange.starts_with('e')
}

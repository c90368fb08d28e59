//! A message in a queue: who may have it, when it may come again, and whether it must be there.

use haremq::amqp::{Method, Properties, Table, TableWriter};

use super::*;
use crate::letter;
use crate::rules::Overflow;
use crate::wire::Unit;

/// A message on its way to a client.
struct Handing {
    channel: ChannelIx,
    queue: QueueIx,
    message: PublicationIx,
    tag: u64,
    redelivered: bool,
    /// How often it had come back, as it says itself.
    returns: i64,
    no_ack: bool,
    consumer: Option<ConsumerIx>,
}

impl Oracle {
    pub(super) fn delivered(&mut self, channel: ChannelIx, unit: &Unit) -> Verdict {
        let Method::BasicDeliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key } =
            unit.method()
        else {
            return violation("no delivery");
        };
        let Some(&consumer) = self.channels[channel].consumers.get(&consumer_tag[..]) else {
            return violation(format!("a delivery to consumer {consumer_tag}, which does not exist"));
        };
        let record = &self.consumers[consumer];
        if record.awaits_ok || record.state == Consuming::Ended {
            let when = if record.awaits_ok { "before consume-ok" } else { "behind the end" };
            return violation(format!("a delivery {when} of consumer {consumer_tag}"));
        }
        let (queue, no_ack, prefetch, held) = (record.queue, record.no_ack, record.prefetch, record.held);
        if self.queues[queue].deleted_on == Some(self.channels[channel].connection) {
            return violation(format!("a delivery of {} behind its delete-ok", self.name(queue)));
        }
        let message = self.read(unit, &exchange, &routing_key, Some(queue))?;
        self.may_be_served(consumer)?;
        self.is_preferred(consumer, message)?;
        let record = &self.channels[channel];
        // What a consumer had that has ended may be the queue's again, if the queue was not the end of it.
        let is_over =
            |held: &Held| held.consumer.is_some_and(|it| self.consumers[it].state == Consuming::Ended);
        let takes_back = record.recovers_unseen
            || record.recovering > 0
            || record.held.values().any(is_over)
            || record.settled_at_commit().any(is_over)
            || self.some_are_overdue(queue);
        if !no_ack && !takes_back {
            if prefetch > 0 && held >= u32::from(prefetch) {
                return violation(format!("{} unacked with a prefetch count of {prefetch}", held + 1));
            }
            self.keeps_limit(channel)?;
        }
        let (consumer, returns, tag) = (Some(consumer), returns_in(unit), delivery_tag);
        self.hand(Handing { channel, queue, message, tag, redelivered, returns, no_ack, consumer })?;
        self.tally.delivered += 1;
        Ok(())
    }

    /// Within the limit of the channel, or one that it may have by now.
    fn keeps_limit(&self, channel: ChannelIx) -> Verdict {
        let record = &self.channels[channel];
        let asked = record.told.iter().filter_map(|told| match told.request {
            Request::Qos { limit } => Some(limit),
            _ => None,
        });
        let most = asked.chain([record.limit]).map(|limit| if limit == 0 { u32::MAX } else { limit.into() });
        let most = most.max().unwrap_or(u32::MAX);
        if record.delivered < most {
            return Ok(());
        }
        violation(format!(
            "{} unacked on channel {} with a limit of {most}",
            record.delivered + 1,
            record.number
        ))
    }

    pub(super) fn got(&mut self, channel: ChannelIx, unit: &Unit) -> Verdict {
        let method = unit.method();
        let Method::BasicGetOk { delivery_tag: tag, redelivered, exchange, routing_key, message_count } =
            method
        else {
            return violation("no get-ok");
        };
        let mut told = self.channels[channel].told.iter();
        let asked = told.find(|told| told.request.awaits_reply()).cloned();
        let Some(told @ Told { request: Request::Get { queue, no_ack }, .. }) = asked else {
            return violation(format!("get-ok as answer to {asked:?}"));
        };
        let message = self.read(unit, &exchange, &routing_key, Some(queue))?;
        let returns = returns_in(unit);
        self.hand(Handing { channel, queue, message, tag, redelivered, returns, no_ack, consumer: None })?;
        self.tally.got += 1;
        self.replied(channel, &method)?;
        if self.publications.len() > MESSAGES_TO_COUNT {
            return Ok(());
        }
        self.counts_are_plausible(channel, &told, queue, message_count, None)
    }

    pub(super) fn returned(&mut self, channel: ChannelIx, unit: &Unit) -> Verdict {
        let Method::BasicReturn { exchange, routing_key, .. } = unit.method() else {
            return violation("no return");
        };
        let message = self.read(unit, &exchange, &routing_key, None)?;
        let publication = &self.publications[message];
        if publication.channel != channel || !publication.mandatory || publication.returned {
            return violation(format!("message {message} was returned to somebody else, unasked or again"));
        }
        if publication.confirmed {
            return violation(format!("message {message} was returned behind its confirm"));
        }
        let is_it = |told: &Told| matches!(told.request, Request::Publish(at) if at == message);
        let Some(at) = self.channels[channel].told.iter().position(is_it) else {
            return violation(format!("message {message} was returned behind later answers"));
        };
        self.done_up_to(channel, at)?;
        self.publications[message].returned = true;
        self.tally.returned += 1;
        match (0..self.queues.len()).find(|&queue| self.surely_reaches(message, queue)) {
            Some(queue) => violation(format!("message {message} for {} was returned", self.name(queue))),
            None => Ok(()),
        }
    }

    /// Which message it is; every octet of it must be as it was published.
    fn read(
        &mut self,
        unit: &Unit,
        exchange: &[u8],
        key: &[u8],
        queue: Option<QueueIx>,
    ) -> Verdict<PublicationIx> {
        let Some(content) = &unit.content else { return violation("no content") };
        let Ok(properties) = Properties::decode(&content.properties) else {
            return violation("properties that cannot be read");
        };
        let number = letter::number(&properties, &content.body).unwrap_or(u64::MAX);
        let known = self.publications.get(number as usize).filter(|known| known.letter.is_none());
        let Some(len) = known.map(|known| known.len) else {
            return violation(format!("message {number}, which nobody published"));
        };
        let headers = properties.headers().unwrap_or_default();
        let mut message = number as usize;
        if headers.find(b"x-death").is_some() {
            message = self.letter_with(message, headers)?;
        }
        let mut expected = self.properties_of(message, headers);
        if let Some(returns) = queue.and_then(|queue| self.told_returns(message, queue, headers)) {
            let count = TableWriter::new().i64("x-delivery-count", returns).finish();
            let plain = Properties::decode(&expected).expect("properties that we wrote");
            let count = Table::decode(&count).expect("a table that we wrote");
            expected = plain.with_headers(&plain.headers().unwrap_or_default().overlaid(count));
        }
        let publication = &self.publications[message];
        let changed = if content.body != letter::body(number, len) {
            "body"
        } else if content.properties != expected {
            "properties"
        } else if exchange != publication.exchange.as_bytes() || key != publication.key {
            "route"
        } else {
            return Ok(message);
        };
        violation(format!("message {message} was changed: {changed}"))
    }

    /// What the header must say of how often a message came back, if it must be there.
    fn told_returns(&self, message: PublicationIx, queue: QueueIx, headers: Table<'_>) -> Option<i64> {
        self.queues[queue].rules.delivery_limit?;
        let told = headers.find(b"x-delivery-count").and_then(|count| count.as_integer());
        let (returns, vague) = match self.queues[queue].copies.get(&message) {
            _ if self.publications[message].doubled => (0, true),
            Some(copy) => {
                let given_back = matches!(copy.state, CopyState::Held(_) | CopyState::Acking(_));
                (
                    i64::from(copy.returns) + i64::from(given_back),
                    copy.uncounted || self.is_vague(queue, copy),
                )
            }
            None => (0, true),
        };
        // Which of two deliveries came first is not known either, if the one before was to a client that reads late.
        if vague { told } else { Some(returns).filter(|&it| it > 0) }
    }

    /// Whether it may have come back more often than is known.
    fn is_vague(&self, queue: QueueIx, copy: &Copy) -> bool {
        copy.vague || self.queues[queue].hidden.since(copy.since) || self.some_are_overdue(queue)
    }

    fn hand(&mut self, handing: Handing) -> Verdict {
        let Handing { channel, queue, message, tag, redelivered, returns, no_ack, consumer } = handing;
        let last = self.channels[channel].last_tag;
        if tag != last + 1 {
            return violation(format!("delivery tag {tag} behind {last}"));
        }
        let is_late = self.is_heard_late(channel, queue, message, redelivered, returns);
        if !is_late {
            self.may_be_handed(queue, message, redelivered)?;
        }
        let drains = self.connections[self.channels[channel].connection].drains;
        if !redelivered || drains {
            self.keeps_order(channel, queue, message)?;
        }
        if drains {
            self.is_most_urgent(queue, message)?;
        }
        let (at, now_ns) = (self.time, self.now_ns);
        let state = if no_ack { CopyState::Gone } else { CopyState::Held(channel) };
        let limit = self.queues[queue].rules.delivery_limit;
        let fresh = Copy::new(state, at, Arrived::NotYet);
        let mut copy = Copy { seen: true, tag, given_ns: now_ns, told_returns: returns, ..fresh };
        if let Some(old) = self.queues[queue].copies.get(&message) {
            let given_back = matches!(old.state, CopyState::Held(_) | CopyState::Acking(_));
            copy.returns = old.returns + u32::from(given_back);
            copy.vague = self.is_vague(queue, old);
            copy.maybe_gone = old.state != CopyState::Ready && self.some_are_overdue(queue);
            copy.deliveries = old.deliveries;
            copy.by_ns = old.by_ns;
            (copy.uncounted, copy.safe, copy.may_have) = (old.uncounted, old.safe, old.may_have);
        } else {
            copy.vague = redelivered;
        }
        copy.by_ns.get_or_insert(now_ns);
        copy.deliveries += 1;
        let doubled = self.publications[message].doubled;
        copy.sure &= !doubled;
        if drains {
            self.is_surveyed(queue, message);
        }
        let may_be_more = doubled || copy.uncounted;
        let limit = limit.filter(|_| !may_be_more);
        if limit.is_some_and(|limit| copy.deliveries > limit + 1 || copy.returns > limit) {
            return violation(format!(
                "message {message} of {} came {} times, {} returned",
                self.name(queue),
                copy.deliveries,
                copy.returns
            ));
        }
        self.tell_death(message);
        if !is_late {
            self.queues[queue].copies.insert(message, copy);
        }
        self.channels[channel].last_tag = tag;
        self.tally.redelivered += u64::from(redelivered);
        self.tally.outlived += u64::from(self.is_inherited(message));
        if !no_ack {
            let held = Held { queue, message, consumer, at_ns: now_ns, rolled_back: false };
            self.channels[channel].held.insert(tag, held);
            if let Some(consumer) = consumer {
                self.consumers[consumer].held += 1;
                self.channels[channel].delivered += 1;
            }
        }
        Ok(())
    }

    /// Another delivery, which came after this one, was heard of before: meanwhile the broker had ended the channel that this
    /// one went to, or the channel had given back all it had.
    fn is_heard_late(
        &self,
        channel: ChannelIx,
        queue: QueueIx,
        message: PublicationIx,
        redelivered: bool,
        returns: i64,
    ) -> bool {
        self.queues[queue].copies.get(&message).is_some_and(|copy| {
            let is_settled = matches!(copy.state, CopyState::Gone | CopyState::Acking(_)) && !copy.died;
            let is_first = copy.vague && (!redelivered || returns < copy.told_returns);
            copy.seen && (is_first || is_settled && self.channels[channel].recovering > 0)
        })
    }

    fn may_be_handed(&self, queue: QueueIx, message: PublicationIx, redelivered: bool) -> Verdict {
        let what = || format!("{} of {}", self.describe(message), self.name(queue));
        if self.publications[message].returned {
            return violation(format!("{} was returned, and is delivered", what()));
        }
        let record = &self.queues[queue];
        if self.publications[message].doubled {
            return Ok(());
        }
        let Some(copy) = record.copies.get(&message) else {
            self.may_have_outlived(message, queue, redelivered)?;
            let inherited = self.is_inherited(message);
            if !self.may_reach(message, queue) {
                return violation(format!("{} has no way there", what()));
            }
            let hidden = record.hidden.since(self.publications[message].at);
            return if redelivered && !hidden && !inherited {
                violation(format!("{} is redelivered before it was delivered", what()))
            } else {
                Ok(())
            };
        };
        match copy.state {
            CopyState::Gone if copy.for_good => {
                return violation(format!("{} is gone for good, and comes again", what()));
            }
            CopyState::Gone if !self.some_are_overdue(queue) => {
                return violation(format!("{} is settled, and comes again", what()));
            }
            CopyState::Acking(_) if !self.some_are_overdue(queue) => {
                return violation(format!("{} is acked, and comes again", what()));
            }
            CopyState::Held(holder)
                if !self.channels[holder].may_give_back() && !self.some_are_overdue(queue) =>
            {
                return violation(format!("{} is unacked, and comes again", what()));
            }
            // What was taken from a slow consumer may be heard of behind what became of it.
            CopyState::Held(_) | CopyState::Ready | CopyState::Acking(_) | CopyState::Gone => {}
        }
        let is_vague =
            self.publications[message].at <= self.ended_again_at || record.hidden.since(copy.since);
        if copy.seen != redelivered && (copy.seen || !is_vague) {
            let seen = if copy.seen { "again" } else { "for the first time" };
            return violation(format!("{} comes {seen}, and redelivered is {redelivered}", what()));
        }
        Ok(())
    }

    /// The first deliveries of a channel's messages come in the order of their publishes.
    fn keeps_order(&mut self, channel: ChannelIx, queue: QueueIx, message: PublicationIx) -> Verdict {
        // In which order letters come nobody knows.
        if self.queues[queue].contended || self.publications[message].letter.is_some() {
            return Ok(());
        }
        let priority = self.queues[queue].rules.priority(self.publications[message].priority);
        let publisher = self.publications[message].channel;
        let record = &mut self.connections[self.channels[channel].connection];
        let key = (record.has_recovered.then_some(channel), queue, publisher, priority);
        match record.order.insert(key, message) {
            Some(last) if last > message => {
                record.order.insert(key, last);
                violation(format!(
                    "message {message} behind {last} of the same channel in {}",
                    self.name(queue)
                ))
            }
            _ => Ok(()),
        }
    }

    /// get-empty: there was no message that must have been found.
    pub(super) fn nothing_was_there(&mut self, channel: ChannelIx, told: &Told, queue: QueueIx) -> Verdict {
        match self.surely_ready(channel, told, queue).first() {
            Some(message) => {
                violation(format!("get-empty, and message {message} is in {}", self.name(queue)))
            }
            None => Ok(()),
        }
    }

    /// A message count lies between what must be ready and what may be.
    pub(super) fn counts_are_plausible(
        &mut self,
        channel: ChannelIx,
        told: &Told,
        queue: QueueIx,
        messages: u32,
        consumers: Option<u32>,
    ) -> Verdict {
        if self.queues[queue].contended {
            return Ok(());
        }
        self.tally.counts_checked += 1;
        let least = self.surely_ready(channel, told, queue).len().max(self.surely_left(told, queue));
        let most = self.possibly_ready(queue, told.at);
        let most = if self.queues[queue].rules.drops_heads() {
            most.min(self.queues[queue].rules.length_max.unwrap_or(u64::MAX) as usize)
        } else {
            most
        };
        if (messages as usize) < least || messages as usize > most {
            let sure = self.surely_ready(channel, told, queue);
            let name = self.name(queue);
            return violation(format!(
                "{name} has {messages} messages, not {least} to {most}; there is {sure:?}"
            ));
        }
        let Some(consumers) = consumers else { return Ok(()) };
        let of_queue = || (0..self.consumers.len()).filter(|&at| self.consumers[at].queue == queue);
        let is_there =
            |&at: &ConsumerIx| self.consumers[at].is_active_since(told.at) && !self.may_be_overdue(at);
        let may_be_there = |&at: &ConsumerIx| self.consumers[at].ended.is_none_or(|ended| ended > told.at);
        let least = of_queue().filter(is_there).count();
        let most = of_queue().filter(may_be_there).count();
        if (consumers as usize) < least || consumers as usize > most {
            return violation(format!(
                "{} has {consumers} consumers, not {least} to {most}",
                self.name(queue)
            ));
        }
        Ok(())
    }

    /// How many a queue that drops the first must have kept, if nobody took any.
    fn surely_left(&self, told: &Told, queue: QueueIx) -> usize {
        let record = &self.queues[queue];
        let Some(max) = record.rules.length_max.filter(|_| record.rules.overflow == Overflow::DropHead)
        else {
            return 0;
        };
        let is_touched =
            !record.served.is_fresh() || !record.getting.is_fresh() || !record.purging.is_fresh();
        // One that expires soon may have taken the place of one that would have stayed.
        // Nor is it known which of what was too much was transient.
        let is_touched = is_touched || record.emptied > 0;
        if is_touched || self.some_expire || record.rules.bytes_max.is_some() || !record.fact.is_sure() {
            return 0;
        }
        let is_there = |(message, copy): &(&PublicationIx, &Copy)| {
            copy.sure
                && copy.state == CopyState::Ready
                && matches!(copy.arrived, Arrived::At(at) if at <= told.at)
                && !copy.maybe_gone
                && !self.may_have_expired(**message, queue)
        };
        record.copies.iter().filter(is_there).count().min(max as usize)
    }

    /// The messages that a request must have found ready, when it was answered now.
    pub(super) fn surely_ready(&self, channel: ChannelIx, told: &Told, queue: QueueIx) -> Vec<PublicationIx> {
        let record = &self.queues[queue];
        // Its own gets behind this request are done later.
        let behind = self.channels[channel].told.iter();
        let gets = behind
            .filter(|told| matches!(told.request, Request::Get { queue: of, .. } if of == queue))
            .count() as u32
            + u32::from(matches!(told.request, Request::Get { .. }));
        let purges = u32::from(matches!(told.request, Request::Purge { .. }));
        let others = record.served.since(told.at)
            || record.getting.depth() > gets
            || record.getting.closed_since(told.at)
            || record.purging.depth() > purges;
        let mut fact = record.fact.clone();
        if fact.sure_until == Some(told.at) && !record.maybe_idle {
            fact.stays();
        }
        if others || !fact.sure_for(channel, told.at) {
            return Vec::new();
        }
        let ready = record.copies.iter().filter(|(message, copy)| {
            let there = match copy.arrived {
                Arrived::NotYet => false,
                Arrived::Behind(by) => by == channel,
                Arrived::At(at) => at <= told.at,
            };
            let lost =
                copy.maybe_gone || record.lossy.since(copy.since) || record.purging.closed_since(copy.since);
            there
                && copy.sure
                && copy.state == CopyState::Ready
                && copy.since < told.at
                && !lost
                && !self.may_have_died(**message, queue, copy)
        });
        ready.map(|(message, _)| *message).collect()
    }

    /// A purge was answered: what it must have found is gone, unless somebody else may have it.
    pub(super) fn purged(&mut self, channel: ChannelIx, told: &Told, queue: QueueIx) {
        let at = self.time;
        for message in self.surely_ready(channel, told, queue) {
            if let Some(copy) = self.queues[queue].copies.get_mut(&message) {
                (copy.state, copy.since) = (CopyState::Gone, at);
            }
        }
    }

    /// It may have gone without a trace.
    pub(super) fn may_be_lost(&self, message: PublicationIx, queue: QueueIx, copy: &Copy) -> bool {
        let record = &self.queues[queue];
        copy.maybe_gone
            || record.lossy.since(copy.since)
            || record.purging.since(copy.since)
            || self.may_have_died(message, queue, copy)
    }

    /// How many may have been ready at some time since then.
    fn possibly_ready(&self, queue: QueueIx, told: u64) -> usize {
        if self.may_get_letters(queue) {
            return usize::MAX;
        }
        let mut messages = 0..self.publications.len();
        messages.by_ref().filter(|&message| self.may_have_been_ready(message, queue, told)).count()
    }

    /// Whether it may have been ready at some time since then.
    pub(super) fn may_have_been_ready(&self, message: PublicationIx, queue: QueueIx, since: u64) -> bool {
        match self.queues[queue].copies.get(&message) {
            Some(Copy { state: CopyState::Ready, .. }) => true,
            Some(Copy { state: CopyState::Held(holder), since: given, .. }) => {
                *given > since || self.channels[*holder].may_give_back() || self.some_are_overdue(queue)
            }
            Some(Copy { state: CopyState::Acking(_), since: given, .. }) => {
                *given > since || self.some_are_overdue(queue)
            }
            Some(Copy { state: CopyState::Gone, since: given, .. }) => *given > since,
            None => self.may_reach(message, queue),
        }
    }
}

impl ChannelRecord {
    fn settled_at_commit(&self) -> impl Iterator<Item = &Held> {
        let settlements = self.transaction.iter().flat_map(|transaction| &transaction.settlements);
        settlements.flat_map(|settlement| settlement.tags.iter().map(|(_, held)| held))
    }

    /// What it holds may be ready again.
    pub(super) fn may_give_back(&self) -> bool {
        self.leaving.is_some() || self.recovering > 0
    }
}

impl ConsumerRecord {
    fn is_active_since(&self, time: u64) -> bool {
        self.state == Consuming::Active && self.active_from.is_some_and(|from| from < time)
    }
}

fn returns_in(unit: &Unit) -> i64 {
    let properties = unit.content.as_ref().and_then(|content| Properties::decode(&content.properties).ok());
    let count = properties.as_ref().and_then(|properties| properties.headers()?.find(b"x-delivery-count"));
    count.and_then(|count| count.as_integer()).unwrap_or_default()
}

/// In a run with more messages the count of each get-ok is not checked: that would take most of the time.
const MESSAGES_TO_COUNT: usize = 500;

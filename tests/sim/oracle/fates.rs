//! When a message may die in its queue, and when it must have.

use haremq::death::Reason;
use haremq::wheel::TICK_NS;

use super::letters::REASONS;
use super::*;

impl Oracle {
    /// Whether that end of a message is possible by now.
    pub(super) fn may_die(&self, message: PublicationIx, queue: QueueIx, reason: Reason) -> Verdict {
        let record = &self.queues[queue];
        let what = || format!("message {message} of {} ({})", self.name(queue), reason.name());
        let publication = &self.publications[message];
        let Some(copy) = record.copies.get(&message) else {
            let may = match reason {
                Reason::Rejected => false,
                Reason::Expired => self.may_have_expired(message, queue),
                Reason::MaxLength => self.may_be_too_many(message, queue, publication.at),
                Reason::DeliveryLimit => {
                    record.rules.delivery_limit.is_some() && record.hidden.since(publication.at)
                }
            };
            return if may && self.may_reach(message, queue) {
                Ok(())
            } else {
                violation(format!("{} is dead and cannot have died there", what()))
            };
        };
        if self.publications[message].doubled || copy.may_have_died_by(reason) {
            return Ok(());
        }
        self.may_die_now(message, queue, copy, reason)
    }

    /// The same of one that is known, without what may have been before the end of a server.
    pub(super) fn may_die_now(
        &self,
        message: PublicationIx,
        queue: QueueIx,
        copy: &Copy,
        reason: Reason,
    ) -> Verdict {
        let (record, publication) = (&self.queues[queue], &self.publications[message]);
        let what = || format!("message {message} of {} ({})", self.name(queue), reason.name());
        if copy.letter.is_some() {
            return violation(format!("{} has died before", what()));
        }
        let overdue = self.some_are_overdue(queue);
        let is_there = match copy.state {
            CopyState::Ready => true,
            CopyState::Held(holder) => overdue || self.channels[holder].may_give_back(),
            CopyState::Acking(_) => overdue,
            CopyState::Gone => copy.died,
        };
        let may = match reason {
            Reason::Rejected => copy.rejected,
            Reason::Expired => is_there && self.may_have_expired(message, queue),
            Reason::MaxLength => {
                let was_there = if copy.state == CopyState::Gone { publication.at } else { copy.since };
                is_there
                    && (record.rules.drops_heads() || !copy.seen)
                    && self.may_be_too_many(message, queue, was_there)
            }
            Reason::DeliveryLimit => {
                let unseen = copy.vague || copy.uncounted || record.hidden.since(copy.since);
                let given_back = !matches!(copy.state, CopyState::Ready | CopyState::Gone);
                let returns = copy.returns + u32::from(given_back);
                is_there
                    && record.rules.delivery_limit.is_some_and(|limit| returns > limit || unseen || overdue)
            }
        };
        if may { Ok(()) } else { violation(format!("{} is dead, and has no reason: {copy:?}", what())) }
    }

    /// Whether a message that was ready, and that nobody settled, may have died all the same.
    pub(super) fn may_have_died(&self, message: PublicationIx, queue: QueueIx, copy: &Copy) -> bool {
        let rules = &self.queues[queue].rules;
        let vague = copy.vague || copy.uncounted || self.queues[queue].hidden.since(copy.since);
        let returned = rules.delivery_limit.is_some_and(|limit| copy.returns > limit || vague);
        returned
            || copy.maybe_refused
            || self.may_have_expired(message, queue)
            || (rules.drops_heads() && self.may_be_too_many(message, queue, copy.since))
    }

    pub(super) fn may_have_expired(&self, message: PublicationIx, queue: QueueIx) -> bool {
        let publication = &self.publications[message];
        let ttl = self.queues[queue].rules.ttl_ns(publication.expiration_ms);
        ttl.is_some_and(|ttl| publication.at_ns + ttl <= self.now_ns)
    }

    /// Whether the queue may have had too many messages at some time since then, this one among them.
    pub(super) fn may_be_too_many(&self, message: PublicationIx, queue: QueueIx, since: u64) -> bool {
        let rules = &self.queues[queue].rules;
        if !rules.is_limited() {
            return false;
        }
        if self.may_get_letters(queue) {
            return true;
        }
        let (mut messages, mut bytes) = (1, self.publications[message].len as u64);
        let exceeds = |messages: u64, bytes: u64| {
            rules.length_max.is_some_and(|max| messages > max)
                || rules.bytes_max.is_some_and(|max| bytes > max)
        };
        // Those that are known to be there come first, as they are few.
        let known = self.queues[queue].copies.keys().rev().copied();
        let others = (0..self.publications.len()).rev();
        let others = others.filter(|other| !self.queues[queue].copies.contains_key(other));
        for other in known.chain(others) {
            if exceeds(messages, bytes) {
                return true;
            }
            if other != message && self.may_have_been_ready(other, queue, since) {
                messages += 1;
                bytes += self.publications[other].len as u64;
            }
        }
        exceeds(messages, bytes)
    }

    /// At rest: what surely died by now, and what surely is a letter by now.
    pub(super) fn fates_at_rest(&mut self) -> Verdict {
        for queue in 0..self.queues.len() {
            let messages: Vec<PublicationIx> = self.queues[queue].copies.keys().copied().collect();
            for message in messages {
                self.fate_at_rest(message, queue);
            }
        }
        self.letters_arrive()
    }

    fn fate_at_rest(&mut self, message: PublicationIx, queue: QueueIx) {
        let record = &self.queues[queue];
        let copy = &record.copies[&message];
        if copy.state != CopyState::Ready {
            return;
        }
        let spent = record.rules.delivery_limit.is_some_and(|limit| copy.returns > limit);
        let ttl = record.rules.ttl_ns(self.publications[message].expiration_ms);
        let expired = ttl.zip(copy.by_ns).is_some_and(|(ttl, by)| {
            let by = if self.is_inherited(message) { by + STAMP_NS } else { by };
            let at = if ttl == 0 { by } else { (by + ttl).div_ceil(TICK_NS) * TICK_NS };
            at <= self.now_ns
        });
        if !spent && !expired {
            return;
        }
        self.tally.surely_dead += 1;
        // By what else it may have gone before.
        let lost = self.is_lost_otherwise(queue, copy);
        let too_many = record.rules.is_limited() && self.may_be_too_many(message, queue, copy.since);
        let vague = copy.vague
            || copy.uncounted
            || record.hidden.since(copy.since)
            || record.rules.timeout_ms.is_some();
        let unseen = (record.rules.delivery_limit.is_some() && vague) || too_many;
        let sure = copy.sure && !lost && copy.letter.is_none() && record.fact.is_sure();
        if sure && spent {
            self.bury(message, queue, Reason::DeliveryLimit);
        } else if sure && !unseen {
            self.bury(message, queue, Reason::Expired);
        } else if let Some(copy) = self.queues[queue].copies.get_mut(&message) {
            (copy.state, copy.died) = (CopyState::Gone, true);
        }
    }

    /// Without rules.
    fn is_lost_otherwise(&self, queue: QueueIx, copy: &Copy) -> bool {
        let record = &self.queues[queue];
        copy.maybe_gone
            || copy.maybe_refused
            || record.lossy.since(copy.since)
            || record.purging.since(copy.since)
    }

    /// basic.nack for a publish: some queue had no room for it.
    pub(super) fn message_refused(&mut self, message: PublicationIx) -> Verdict {
        self.tally.refused += 1;
        let refusing =
            |&queue: &QueueIx| self.queues[queue].rules.refuses() && self.may_reach(message, queue);
        let at = self.publications[message].at;
        let full = |queue: &QueueIx| self.may_be_too_many(message, *queue, at);
        let candidates: Vec<QueueIx> = (0..self.queues.len()).filter(refusing).filter(full).collect();
        let [queue] = candidates[..] else {
            let text = format!("message {message} was refused, and every queue had room");
            return if candidates.is_empty() { violation(text) } else { Ok(()) };
        };
        let fresh = Copy { sure: false, ..Copy::new(CopyState::Ready, at, Arrived::NotYet) };
        let copy = self.queues[queue].copies.entry(message).or_insert(fresh).clone();
        if copy.seen {
            return violation(format!("message {message} was refused, and came from {}", self.name(queue)));
        }
        if copy.state != CopyState::Ready {
            return Ok(());
        }
        let with_letter = self.queues[queue].rules.overflow == crate::rules::Overflow::RejectDlx;
        if with_letter && copy.sure && self.queues[queue].fact.is_sure() {
            self.bury(message, queue, Reason::MaxLength);
        } else if let Some(copy) = self.queues[queue].copies.get_mut(&message) {
            (copy.state, copy.died) = (CopyState::Gone, with_letter);
        }
        Ok(())
    }

    /// Whether a commit of these may fail because a queue is full.
    pub(super) fn may_be_refused(&self, message: PublicationIx) -> bool {
        (0..self.queues.len()).any(|queue| {
            self.queues[queue].rules.refuses()
                && self.may_reach(message, queue)
                && self.may_be_too_many(message, queue, self.publications[message].at)
        })
    }
}

impl Copy {
    /// Before the end of a server, which did not remember it.
    pub(super) fn may_have_died_by(&self, reason: Reason) -> bool {
        REASONS.iter().zip(self.may_have).any(|(of, may)| *of == reason && may)
    }
}

/// How much later a message may expire as its time was written down, in milliseconds, for the next server.
const STAMP_NS: u64 = 1_000_000;

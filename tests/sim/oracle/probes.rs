//! Whose turn it is: of messages by their priority, of consumers by theirs, or of the only one that is active.

use haremq::death::Reason;

use super::*;
use crate::rules::Overflow;

impl Oracle {
    /// Where one consumer is served, another follows when that one is on its way out.
    pub(super) fn may_be_served(&mut self, consumer: ConsumerIx) -> Verdict {
        let queue = self.consumers[consumer].queue;
        if !self.queues[queue].rules.single_active || self.consumers[consumer].state != Consuming::Active {
            return Ok(());
        }
        let before = self.queues[queue].served_alone.filter(|&before| before != consumer);
        if let Some(before) = before {
            let record = &self.consumers[before];
            let stays = record.state == Consuming::Active && self.channels[record.channel].leaving.is_none();
            // What one that was too slow had before is heard of later.
            if stays && self.may_be_overdue(consumer) {
                return Ok(());
            }
            if stays && !self.may_be_overdue(before) {
                return violation(format!(
                    "{} serves {} beside {}",
                    self.name(queue),
                    String::from_utf8_lossy(&self.consumers[consumer].tag),
                    String::from_utf8_lossy(&record.tag)
                ));
            }
            self.tally.succeeded += 1;
        }
        self.queues[queue].served_alone = Some(consumer);
        Ok(())
    }

    /// While nobody else takes any, no message of a higher priority is left behind.
    pub(super) fn is_most_urgent(&mut self, queue: QueueIx, message: PublicationIx) -> Verdict {
        let record = &self.queues[queue];
        if record.rules.priority_max.is_none() {
            return Ok(());
        }
        let priority = |message: PublicationIx| record.rules.priority(self.publications[message].priority);
        let own = priority(message);
        let left = record.copies.iter().find(|&(&other, copy)| {
            priority(other) > own
                && copy.sure
                && copy.state == CopyState::Ready
                && !self.may_be_lost(other, queue, copy)
        });
        if let Some((other, _)) = left {
            return violation(format!(
                "message {message} of {} before {other}, which is more urgent",
                self.name(queue)
            ));
        }
        self.tally.urgent += 1;
        Ok(())
    }

    /// Queues at which, at rest, it is known who of several consumers is served next.
    pub fn contested_queues(&self) -> Vec<QueueIx> {
        let is_contested = |&queue: &QueueIx| {
            let rules = &self.queues[queue].rules;
            let with_room = |&at: &ConsumerIx| self.consumers[at].queue == queue && self.is_served(at);
            let all = 0..self.consumers.len();
            !rules.single_active && rules.timeout_ms.is_none() && all.filter(with_room).count() > 1
        };
        self.sure_queues().into_iter().filter(is_contested).collect()
    }

    /// The only message on its way comes to a consumer with room of the highest priority.
    pub(super) fn is_preferred(&mut self, consumer: ConsumerIx, message: PublicationIx) -> Verdict {
        if self.probe != Some(message) {
            return Ok(());
        }
        let record = &self.consumers[consumer];
        let (queue, priority) = (record.queue, record.priority);
        let better = (0..self.consumers.len()).find(|&at| {
            let other = &self.consumers[at];
            let is_limited = !other.no_ack && self.channels[other.channel].limit > 0;
            other.queue == queue && other.priority > priority && self.is_served(at) && !is_limited
        });
        if let Some(better) = better {
            return violation(format!(
                "message {message} of {} comes to consumer {} and not to {}, which has a higher priority",
                self.name(queue),
                String::from_utf8_lossy(&self.consumers[consumer].tag),
                String::from_utf8_lossy(&self.consumers[better].tag)
            ));
        }
        self.tally.preferred += 1;
        Ok(())
    }

    /// Whether it has died there, and was heard of; a second letter that tells the same is not told from the first.
    fn has_letter(&self, message: PublicationIx, queue: QueueIx) -> bool {
        let letters = self.publications.iter().filter_map(|publication| publication.letter.as_ref());
        let tells = |letter: &Letter| letter.queue == queue && letter.parent == message;
        letters.into_iter().any(|letter| tells(letter))
    }

    /// All queues are empty: what died in one of them without being seen has come to where its dead go.
    pub fn audit(&mut self) -> Verdict {
        for queue in self.sure_queues() {
            let record = &self.queues[queue];
            let Some(graveyard) = &record.rules.graveyard else { continue };
            for (&message, copy) in &record.copies {
                let refused = copy.maybe_refused && record.rules.overflow == Overflow::Reject;
                let lost =
                    copy.maybe_gone || record.lossy.since(copy.since) || record.purging.since(copy.since);
                if copy.state != CopyState::Ready
                    || !copy.sure
                    || refused
                    || lost
                    || self.has_letter(message, queue)
                {
                    continue;
                }
                let key = graveyard.key.as_ref().unwrap_or(&self.publications[message].key);
                let keeps = |&to: &QueueIx| self.surely_keeps(message, to, (graveyard.exchange, key));
                let to = self.sure_queues().into_iter().filter(|&to| to != queue).find(keeps);
                if let Some(to) = to {
                    return violation(format!(
                        "{} is not in {} and did not come to {}",
                        self.describe(message),
                        self.name(queue),
                        self.name(to)
                    ));
                }
            }
            self.tally.audited += 1;
        }
        Ok(())
    }

    /// Whether what becomes of the message on that route must have been found in the queue.
    fn surely_keeps(&self, message: PublicationIx, to: QueueIx, (exchange, key): (&str, &[u8])) -> bool {
        let record = &self.queues[to];
        let publication = &self.publications[message];
        let since = publication.at;
        let sure = |fact: &Fact| fact.is_sure() && fact.sure_from.is_some_and(|from| from <= since);
        let leads = |&at: &BindingIx| {
            let binding = &self.bindings[at];
            let fits = exchange.ends_with("fanout") || binding.key == key;
            binding.exchange == exchange && fits && sure(&binding.fact)
        };
        let has_way = (exchange.is_empty() && *key == record.name[..]) || record.bindings.iter().any(leads);
        let was_there =
            publication.letter.iter().flat_map(|letter| &letter.deaths).any(|death| death.queue == to);
        let rules = &record.rules;
        has_way
            && sure(&record.fact)
            && !was_there
            && !rules.is_limited()
            && rules.ttl_ms.is_none()
            && rules.delivery_limit.is_none()
            && !record.lossy.since(since)
            && !record.purging.since(since)
    }

    /// Its client has it settled, and so it is; unless it had been taken back before.
    pub(super) fn is_settled(&mut self, queue: QueueIx, message: PublicationIx, serial: u64) {
        let at = self.time;
        let in_doubt = self.some_are_overdue(queue);
        let is_sure = self.queues[queue].fact.is_sure();
        let Some(copy) = self.queues[queue].copies.get_mut(&message) else { return };
        if copy.state != CopyState::Acking(serial) {
            return;
        }
        if in_doubt {
            (copy.state, copy.since, copy.arrived) = (CopyState::Ready, at, Arrived::NotYet);
            (copy.maybe_gone, copy.vague) = (true, true);
        } else if copy.rejected && is_sure {
            self.bury(message, queue, Reason::Rejected);
        } else {
            (copy.state, copy.died) = (CopyState::Gone, copy.rejected);
        }
    }

    /// A letter was read.
    pub(super) fn tell_death(&mut self, message: PublicationIx) {
        let Some(letter) = &self.publications[message].letter else { return };
        match letter.reason {
            Reason::Rejected => self.tally.rejected += 1,
            Reason::Expired => self.tally.expired += 1,
            Reason::MaxLength => self.tally.too_many += 1,
            Reason::DeliveryLimit => self.tally.too_often += 1,
        }
    }
}

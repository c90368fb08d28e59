//! Whose turn it is: of messages by their priority, of consumers by theirs, or of the only one that is active.

use haremq::death::Reason;

use super::*;

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

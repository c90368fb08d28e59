//! Where a message must be, and where it may be.

use super::heard::is_permanent;
use super::letters::NOBODY;
use super::*;

impl Oracle {
    /// Its channel has come past it, and has returned it if it had to.
    pub(super) fn routed(&mut self, message: PublicationIx) -> Verdict {
        self.place(message)?;
        let publication = &self.publications[message];
        if publication.mandatory && !publication.returned && !self.may_have_way(message) {
            return violation(format!("message {message} has no way to a queue and was not returned"));
        }
        Ok(())
    }

    /// It is in every queue that it surely had a way to.
    pub(super) fn place(&mut self, message: PublicationIx) -> Verdict {
        let at = self.time;
        if matches!(self.publications[message].state, Routing::Done(_)) {
            return Ok(());
        }
        self.publications[message].state = Routing::Done(at);
        let publication = &self.publications[message];
        let (channel, since) = (publication.channel, publication.at);
        let doubled = self.publications[message].doubled;
        for queue in 0..self.queues.len() {
            if !doubled && self.surely_reaches(message, queue) {
                self.tally.must_route += 1;
                if self.publications[message].returned {
                    return violation(format!("message {message} for {} was returned", self.name(queue)));
                }
                let arrived = if channel == NOBODY { Arrived::NotYet } else { Arrived::Behind(channel) };
                let fresh = Copy {
                    maybe_refused: self.queues[queue].rules.refuses(),
                    ..Copy::new(CopyState::Ready, since, arrived)
                };
                self.queues[queue].copies.entry(message).or_insert(fresh).sure = true;
            }
        }
        Ok(())
    }

    /// Every shard that it went to has taken it.
    pub(super) fn message_confirmed(&mut self, message: PublicationIx, refused: bool) {
        let (at, now_ns) = (self.time, self.now_ns);
        self.publications[message].confirmed = true;
        self.publications[message].acked = !refused;
        for queue in &mut self.queues {
            if let Some(copy) = queue.copies.get_mut(&message) {
                copy.by_ns.get_or_insert(now_ns);
                copy.maybe_refused &= refused;
            }
            if let Some(copy) = queue.copies.get_mut(&message)
                && copy.state == CopyState::Ready
                && !copy.seen
            {
                copy.arrived = Arrived::At(at);
            }
        }
    }

    pub(super) fn surely_reaches(&self, message: PublicationIx, queue: QueueIx) -> bool {
        let publication = &self.publications[message];
        let record = &self.queues[queue];
        // What waits for a commit misses a queue that its own channel deletes meanwhile.
        let sure = |fact: &Fact| {
            fact.sure_for(publication.channel, publication.at) && (!publication.held || fact.is_sure())
        };
        let cyclic = self.is_cyclic(message, queue);
        if cyclic || record.contended || !sure(&record.fact) || !is_permanent(publication.exchange) {
            return false;
        }
        self.is_own_name(message, queue)
            || record.bindings.iter().any(|&at| self.matches(message, at) && sure(&self.bindings[at].fact))
    }

    pub(super) fn may_reach(&self, message: PublicationIx, queue: QueueIx) -> bool {
        let publication = &self.publications[message];
        let until = match publication.state {
            Routing::Done(at) => at,
            Routing::Written | Routing::Unknown => u64::MAX,
            Routing::Never => return false,
        };
        let may = |fact: &Fact| fact.may_for(publication.channel, publication.at, until);
        let record = &self.queues[queue];
        may(&record.fact)
            && !self.is_cyclic(message, queue)
            && (self.is_own_name(message, queue)
                || record
                    .bindings
                    .iter()
                    .any(|&at| self.matches(message, at) && may(&self.bindings[at].fact)))
    }

    fn may_have_way(&self, message: PublicationIx) -> bool {
        (0..self.queues.len()).any(|queue| self.may_reach(message, queue))
    }

    fn is_own_name(&self, message: PublicationIx, queue: QueueIx) -> bool {
        let publication = &self.publications[message];
        publication.exchange.is_empty() && publication.key == self.queues[queue].name
    }

    fn matches(&self, message: PublicationIx, binding: BindingIx) -> bool {
        let publication = &self.publications[message];
        let binding = &self.bindings[binding];
        // Of the exchanges that come and go, nobody knows the type.
        let any_key = publication.exchange.ends_with("fanout") || !is_permanent(publication.exchange);
        binding.exchange == publication.exchange && (any_key || binding.key == publication.key)
    }
}

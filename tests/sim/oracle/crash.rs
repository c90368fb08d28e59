//! The end of a server: what must be there behind it, what may be, and what must not.
//!
//! ```text
//! before            confirmed       not confirmed     settled          settled, and on disk    transient
//! behind it         is there        may be there      may be there     is not there            is not there
//! when looked for   is or is not, from then on
//! ```
//! What is there behind an end without order comes as redelivered.

use haremq::queue_args::Durability;

use super::letters::REASONS;
use super::*;
use crate::store::End;

/// What a commit that was not answered did to one queue, or to all on one shard.
#[derive(Clone, Debug)]
pub struct Half {
    channel: ChannelIx,
    /// Each with whether it is found if the commit counts.
    signs: Vec<(QueueIx, PublicationIx, bool)>,
}

/// A commit that was written.
pub struct Commit {
    pub channel: ChannelIx,
    pub publishes: Vec<PublicationIx>,
    pub settled: Vec<(QueueIx, PublicationIx)>,
    pub answered: bool,
    /// When it was written.
    pub at: u64,
}

impl Oracle {
    /// The server is no more. In order: it was at rest, and had closed all connections.
    pub fn server_ended(&mut self, end: End) {
        // What ended before may have given back what its commit settled.
        let commits = std::mem::take(&mut self.commits);
        let is_open = |commit: &Commit| {
            let channel = &self.channels[commit.channel];
            channel.state == Life::Open && self.connections[channel.connection].state == Life::Open
        };
        self.commits = commits.into_iter().filter(is_open).collect();
        for connection in 0..self.connections.len() {
            self.lose_connection(connection);
        }
        let at = self.tick();
        for channel in 0..self.channels.len() {
            self.forget_channel(channel);
        }
        if end != End::Stop {
            self.note_halves();
            self.note_rows();
        }
        self.commits.clear();
        for publication in &mut self.publications {
            if matches!(publication.state, Routing::Written | Routing::Unknown) {
                publication.state = Routing::Done(at);
            }
        }
        if end == End::Stop {
            self.stopped_at = at;
            self.halves.clear();
            self.queues.iter_mut().for_each(|queue| queue.row.clear());
        } else {
            self.double_letters();
        }
        let lost: Vec<_> = (0..self.queues.len()).map(|queue| self.copies_behind(queue, end)).collect();
        for (queue, copies) in lost.into_iter().enumerate() {
            if self.outlives(queue) {
                let is_sure = |copy: &&Copy| copy.sure && copy.state == CopyState::Ready;
                self.tally.had_to_outlive += copies.values().filter(is_sure).count() as u64;
                self.tally.settled_for_good += copies.values().filter(|copy| copy.for_good).count() as u64;
            }
            self.queues[queue].copies = copies;
            self.queue_behind(queue, end);
        }
        for binding in 0..self.bindings.len() {
            let BindingRecord { exchange, fact, .. } = &mut self.bindings[binding];
            if super::heard::is_permanent(exchange) {
                fact.outlive(at);
            } else {
                fact.end(at);
                fact.lost = true;
            }
        }
        if end != End::Stop {
            self.crashed_at = at;
        }
        self.disk_failed = false;
    }

    /// One that had not begun to serve.
    pub fn server_ended_again(&mut self, end: End) {
        // Behind it, what nobody was given may come as redelivered, and may not.
        self.ended_again_at = self.time;
        // What was written, and is not on disk, was there for the one that ended now, and may be gone for the next.
        if end == End::Power {
            for queue in &mut self.queues {
                if queue.rules.durability == Some(Durability::Os) {
                    queue.copies.values_mut().for_each(|copy| copy.sure = false);
                }
            }
        }
    }

    fn forget_channel(&mut self, channel: ChannelIx) {
        for consumer in self.consumers_of(channel) {
            self.consumer_ends(consumer);
        }
        let record = &mut self.channels[channel];
        record.told.clear();
        record.held.clear();
        record.leaving = Some(Vec::new());
        record.recovering = 0;
        record.close_ok_due = false;
        record.state = Life::Ended;
    }

    /// A durable queue that no connection owns.
    pub(super) fn outlives(&self, queue: QueueIx) -> bool {
        let record = &self.queues[queue];
        record.durable && record.exclusive.is_none() && !record.contended
    }

    fn class(&self, queue: QueueIx) -> Durability {
        self.queues[queue].rules.durability.unwrap_or_default()
    }

    /// Whether the message is kept in that queue at all.
    fn is_kept(&self, message: PublicationIx, queue: QueueIx) -> bool {
        self.outlives(queue) && self.publications[message].persistent && self.class(queue) != Durability::None
    }

    fn copies_behind(&self, queue: QueueIx, end: End) -> BTreeMap<PublicationIx, Copy> {
        if self.queues[queue].contended {
            return BTreeMap::new();
        }
        let copies = self.queues[queue].copies.iter();
        copies.map(|(&message, copy)| (message, self.copy_behind(message, queue, copy, end))).collect()
    }

    fn copy_behind(&self, message: PublicationIx, queue: QueueIx, copy: &Copy, end: End) -> Copy {
        let at = self.time;
        let may_have = self.deaths_before(message, queue, copy);
        let mut copy = copy.clone();
        if !self.is_kept(message, queue) {
            copy.may_have = may_have;
            copy.gone_for_good(at);
            return copy;
        }
        if copy.for_good {
            return copy;
        }
        if end == End::Stop {
            match copy.state {
                CopyState::Gone => copy.for_good = !self.some_are_overdue(queue),
                _ => copy.arrived = Arrived::At(at),
            }
            copy.uncounted = true;
            return copy;
        }
        let publication = &self.publications[message];
        let is_safe = match self.class(queue) {
            Durability::Fsync => publication.acked,
            // What was only written, the kernel may let go of when it cannot sync it.
            Durability::Os => publication.acked && end != End::Power && !self.disk_failed,
            Durability::None => false,
        };
        let is_letter_safe = publication.letter.as_ref().is_some_and(|letter| {
            let source = self.queues[letter.queue].copies.get(&letter.parent);
            source.is_some_and(|source| source.for_good) && self.class(queue) == Durability::Fsync
        });
        let lost = copy.state == CopyState::Gone || self.may_be_lost(message, queue, &copy);
        let is_safe = copy.sure && (is_safe || is_letter_safe || copy.safe) && !lost && !publication.doubled;
        Copy {
            sure: copy.sure && is_safe,
            maybe_gone: !is_safe,
            safe: copy.safe,
            seen: true,
            may_have,
            by_ns: copy.by_ns,
            uncounted: true,
            ..Copy::new(CopyState::Ready, at, Arrived::At(at))
        }
    }

    /// A letter that nobody has read may be from then.
    fn deaths_before(&self, message: PublicationIx, queue: QueueIx, copy: &Copy) -> [bool; 4] {
        let mut may_have = copy.may_have;
        if self.queues[queue].rules.graveyard.is_some() {
            for (may, reason) in may_have.iter_mut().zip(REASONS) {
                *may |= self.may_die(message, queue, reason).is_ok();
            }
        }
        may_have
    }

    fn queue_behind(&mut self, queue: QueueIx, end: End) {
        let (at, now_ns, outlives) = (self.time, self.now_ns, self.outlives(queue));
        let record = &mut self.queues[queue];
        record.emptied = at;
        (record.lock, record.served_alone) = (None, None);
        if record.contended {
            return;
        }
        for window in [
            &mut record.lossy,
            &mut record.hidden,
            &mut record.purging,
            &mut record.served,
            &mut record.getting,
        ] {
            window.rest(at);
        }
        if !outlives {
            record.fact.end(at);
            return;
        }
        let was_idle = record.maybe_idle;
        record.fact.outlive(at);
        (record.had_consumer, record.maybe_idle) = (false, was_idle && end != End::Stop);
        (record.used_ns, record.idle_by_ns) = (now_ns, u64::MAX);
    }

    /// What dies behind an end of the server may have died before it too, and its letter may have arrived.
    fn double_letters(&mut self) {
        for at in 0..self.publications.len() {
            let Some(letter) = self.publications[at].letter.clone() else { continue };
            let source = self.queues[letter.queue].copies.get(&letter.parent);
            let may_return = source.is_none_or(|copy| !copy.for_good);
            let doubled = self.publications[letter.parent].doubled || may_return;
            self.publications[at].doubled |= doubled;
        }
    }

    /// The signs by which it will be seen which of the commits that were not answered count.
    fn note_halves(&mut self) {
        let commits = std::mem::take(&mut self.commits);
        self.halves.clear();
        for commit in commits.iter().filter(|commit| !commit.answered) {
            if commit.publishes.iter().any(|&message| self.may_be_refused(message)) {
                continue;
            }
            self.tally.open_commits += 1;
            let parts = (0..self.queues.len()).map(|queue| self.signs(commit, queue));
            let parts: Vec<_> =
                if self.is_single { vec![parts.flatten().collect()] } else { parts.collect() };
            for signs in parts.into_iter().filter(|signs| signs.len() > 1) {
                self.halves.push(Half { channel: commit.channel, signs });
            }
        }
    }

    fn signs(&self, commit: &Commit, queue: QueueIx) -> Vec<(QueueIx, PublicationIx, bool)> {
        let record = &self.queues[queue];
        if !self.outlives(queue) || !record.rules.is_calm() {
            return Vec::new();
        }
        // One with an expiration is not there for more reasons than that.
        let stays = |message: PublicationIx| self.publications[message].expiration_ms.is_none();
        let mut signs = Vec::new();
        for &message in &commit.publishes {
            let since = self.publications[message].at;
            let untouched = !record.lossy.since(since) && !record.purging.since(since);
            let is_unsettled = |copy: &Copy| copy.state == CopyState::Ready && !copy.maybe_gone;
            let was_there = record.copies.get(&message).is_some_and(|copy| copy.seen);
            let is_fresh = record.copies.get(&message).is_none_or(is_unsettled);
            if self.is_kept(message, queue)
                && stays(message)
                && untouched
                && is_fresh
                && self.publications[message].state != Routing::Never
                && (was_there || self.surely_reaches(message, queue))
            {
                signs.push((queue, message, true));
            }
        }
        for &(of, message) in commit.settled.iter().filter(|(of, _)| *of == queue) {
            let is_there =
                record.copies.get(&message).is_some_and(|copy| copy.sure && copy.state == CopyState::Ready);
            let untouched = !record.purging.since(self.publications[message].at);
            let is_safe = self.publications[message].acked && self.class(queue) == Durability::Fsync;
            let safe = record.copies.get(&message).is_some_and(|copy| copy.safe) || is_safe;
            if is_there && untouched && safe && stays(message) && self.is_kept(message, queue) {
                signs.push((of, message, false));
            }
        }
        signs
    }

    /// For each queue, what is there of a channel if something that it published later is.
    fn note_rows(&mut self) {
        for queue in 0..self.queues.len() {
            let record = &self.queues[queue];
            let is_told = self.outlives(queue) && record.fact.is_sure() && !record.rules.is_limited();
            let in_row = |&message: &PublicationIx| {
                let publication = &self.publications[message];
                let fresh = Copy::new(CopyState::Ready, publication.at, Arrived::NotYet);
                let copy = record.copies.get(&message).unwrap_or(&fresh);
                publication.letter.is_none()
                    && publication.state != Routing::Never
                    && self.is_kept(message, queue)
                    && copy.state == CopyState::Ready
                    && !copy.for_good
                    && !copy.maybe_refused
                    && !self.may_be_lost(message, queue, copy)
                    && self.surely_reaches(message, queue)
            };
            let row = (0..self.publications.len()).filter(in_row);
            self.queues[queue].row = if is_told { row.collect() } else { BTreeSet::new() };
        }
    }

    /// Whether somebody waits for an answer to a commit that does something.
    pub fn commits_now(&self) -> bool {
        let is_under_way = |commit: &Commit| {
            !commit.answered && commit.publishes.len() > 1 && commit.at + STEPS_TO_COMMIT < self.time
        };
        self.commits.iter().any(is_under_way)
    }

    /// Durable queues of which it is to be seen whether they are there.
    pub fn queues_to_look_for(&self) -> Vec<QueueIx> {
        let named = |&queue: &QueueIx| self.outlives(queue) && !self.queues[queue].name.is_empty();
        (0..self.queues.len()).filter(named).filter(|&queue| self.queues[queue].fact.asked > 0).collect()
    }

    /// How many queues may be there that nobody saw.
    pub fn queues_in_doubt(&self) -> usize {
        let in_doubt = |&queue: &QueueIx| self.outlives(queue) && !self.queues[queue].fact.lost;
        (0..self.queues.len()).filter(in_doubt).count()
    }

    /// Somebody asked whether the queue is there.
    pub fn found(&mut self, queue: QueueIx, is_there: bool) -> Verdict {
        let at = self.time;
        let name = self.name(queue);
        let fact = &mut self.queues[queue].fact;
        if is_there && fact.lost {
            return violation(format!("{name} was deleted, and is there"));
        }
        if is_there {
            fact.gone = None;
            fact.stays();
            fact.confirm(at);
            fact.kept = true;
            self.queues[queue].maybe_idle = false;
        } else {
            fact.end(at);
            fact.lost = true;
            self.queues[queue].copies.values_mut().for_each(|copy| copy.gone_for_good(at));
        }
        Ok(())
    }

    /// All messages of these queues were got: no less than what was promised, and in rows without gaps. What was not there
    /// never comes.
    pub fn survey(&mut self, queues: &[QueueIx]) -> Verdict {
        for &queue in queues {
            self.rows_have_no_gaps(queue)?;
        }
        for half in std::mem::take(&mut self.halves) {
            self.is_whole_or_absent(&half, queues)?;
        }
        let at = self.time;
        for &queue in queues {
            let found = self.surveyed.remove(&queue).unwrap_or_default();
            let is_new = |&message: &PublicationIx| {
                self.publications[message].letter.is_none()
                    && !self.queues[queue].copies.contains_key(&message)
                    && self.may_reach(message, queue)
            };
            let missing: Vec<PublicationIx> = (0..self.publications.len()).filter(is_new).collect();
            for message in missing {
                let copy = Copy { sure: false, ..Copy::new(CopyState::Gone, at, Arrived::NotYet) };
                self.queues[queue].copies.insert(message, copy);
            }
            let doubled: BTreeSet<PublicationIx> =
                (0..self.publications.len()).filter(|&it| self.publications[it].doubled).collect();
            for (message, copy) in &mut self.queues[queue].copies {
                if found.contains(message) {
                    copy.safe |= !doubled.contains(message);
                } else if !doubled.contains(message) && !matches!(copy.state, CopyState::Held(_)) {
                    copy.gone_for_good(at);
                }
            }
            self.queues[queue].row.clear();
        }
        Ok(())
    }

    fn rows_have_no_gaps(&self, queue: QueueIx) -> Verdict {
        let record = &self.queues[queue];
        let Some(found) = self.surveyed.get(&queue) else { return Ok(()) };
        let mut last: BTreeMap<ChannelIx, PublicationIx> = BTreeMap::new();
        for &message in found.iter().filter(|&&it| self.publications[it].letter.is_none()) {
            let of = last.entry(self.publications[message].channel).or_insert(message);
            *of = (*of).max(message);
        }
        for &message in &record.row {
            let channel = self.publications[message].channel;
            let Some(&behind) = last.get(&channel).filter(|&&last| last > message) else { continue };
            let copy = Copy::new(CopyState::Ready, self.publications[message].at, Arrived::NotYet);
            let may_be_lost =
                self.may_have_expired(message, queue) || self.may_have_died(message, queue, &copy);
            if !found.contains(&message) && !may_be_lost {
                return violation(format!(
                    "message {behind} is in {}, and message {message} of the same channel before it is not",
                    self.name(queue)
                ));
            }
        }
        Ok(())
    }

    fn is_whole_or_absent(&mut self, half: &Half, queues: &[QueueIx]) -> Verdict {
        let seen = |queue: &QueueIx, message: &PublicationIx| {
            queues.contains(queue).then(|| self.surveyed.get(queue).is_some_and(|all| all.contains(message)))
        };
        let counts = half.signs.iter().filter_map(|(queue, message, if_done)| {
            Some((seen(queue, message)? == *if_done, self.name(*queue), *message))
        });
        let counts: Vec<(bool, String, PublicationIx)> = counts.collect();
        self.tally.halves += 1;
        let done = counts.iter().filter(|(counts, ..)| *counts).count();
        self.tally.halves_done += u64::from(done > 0);
        if done > 0 && done < counts.len() {
            return violation(format!("a commit of channel {} counts in part: {counts:?}", half.channel));
        }
        Ok(())
    }

    /// A survey was given that message.
    pub(super) fn is_surveyed(&mut self, queue: QueueIx, message: PublicationIx) {
        self.surveyed.entry(queue).or_default().insert(message);
    }

    /// How many messages may be in a queue.
    pub fn may_be_in(&self, queue: QueueIx) -> usize {
        self.queues[queue].copies.values().filter(|copy| copy.state == CopyState::Ready).count()
    }

    /// At rest: whatever was recorded long enough ago is on disk.
    pub(super) fn settle_for_good(&mut self, queue: QueueIx) {
        let (at, now_ns) = (self.time, self.now_ns);
        let overdue = self.some_are_overdue(queue);
        let is_synced = self.class(queue) == Durability::Fsync;
        let record = &mut self.queues[queue];
        if record.fact.gone.is_some_and(|gone| gone <= at) && !record.contended {
            record.fact.lost = true;
        }
        if record.fact.is_sure() && !record.contended {
            record.fact.kept = true;
        }
        for copy in record.copies.values_mut() {
            if copy.state != CopyState::Gone {
                copy.gone_by_ns = None;
            } else if now_ns >= *copy.gone_by_ns.get_or_insert(now_ns) + LAZY_NS && !overdue && is_synced {
                copy.for_good = true;
            }
        }
    }

    /// commit-ok: all of it is on disk.
    pub(super) fn committed(&mut self, channel: ChannelIx) {
        let next = self.commits.iter_mut().find(|commit| commit.channel == channel && !commit.answered);
        let Some(commit) = next else { return };
        commit.answered = true;
        let (publishes, settled) =
            (std::mem::take(&mut commit.publishes), std::mem::take(&mut commit.settled));
        for message in publishes {
            self.publications[message].acked = true;
        }
        for (queue, message) in settled {
            // What settles in a queue that is going is not recorded; if its end is not either, it comes back with it.
            let is_synced = self.class(queue) == Durability::Fsync
                && self.queues[queue].fact.is_sure()
                && !self.some_are_overdue(queue);
            if let Some(copy) = self.queues[queue].copies.get_mut(&message)
                && copy.state == CopyState::Gone
            {
                copy.for_good |= is_synced;
            }
        }
    }

    /// Whether the first server of the message was not this one.
    pub(super) fn is_inherited(&self, message: PublicationIx) -> bool {
        self.publications[message].at <= self.crashed_at.max(self.stopped_at)
    }

    /// A message of which nothing is known in a queue is handed out.
    pub(super) fn may_have_outlived(
        &self,
        message: PublicationIx,
        queue: QueueIx,
        redelivered: bool,
    ) -> Verdict {
        let publication = &self.publications[message];
        if publication.letter.is_some() {
            return Ok(());
        }
        let what = || format!("message {message} of {}", self.name(queue));
        if publication.at <= self.queues[queue].emptied && !self.is_kept(message, queue) {
            return violation(format!("{} is transient, and comes behind the end of its server", what()));
        }
        if publication.at <= self.crashed_at && !redelivered {
            return violation(format!(
                "{} was there before the server ended, and is not redelivered",
                what()
            ));
        }
        Ok(())
    }
}

impl Copy {
    fn gone_for_good(&mut self, at: u64) {
        if self.state != CopyState::Gone {
            self.since = at;
        }
        (self.state, self.for_good) = (CopyState::Gone, true);
    }
}

/// Things heard and told until a server may have come to a commit.
const STEPS_TO_COMMIT: u64 = 40;
/// How long a settlement may wait, and some.
const LAZY_NS: u64 = 52_000_000;

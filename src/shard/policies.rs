//! Queues come under other policies: each shard walks through its own, piece by piece, while everything goes on.
//!
//! ```text
//! Command::Parameters -> Walk over the slots -> Queue::go_by -> (too long now) unfit -> counted, dropped -> fits
//!                                    \-> at the end BarrierPassed: who changed them is answered
//! ```
//! A queue that is made meanwhile is made by the newer policies, wherever the walk is.

use super::Shard;
use super::command::Command;
use super::rooms::Rooms;
use crate::ids::{Name, Requester, ShardId};
use crate::limits::{FIT_LETTERS_MAX, FIT_MESSAGES, POLICY_MATCHES};
use crate::parameters::Parameters;

/// How far a walk has come.
pub(super) struct Walk {
    /// Where policies have changed.
    vhosts: Vec<Name>,
    /// The slot of the next queue.
    next: u32,
    to: Requester,
}

impl Shard {
    /// Parameters have changed.
    pub(super) fn go_by(&mut self, parameters: Parameters, to: Requester) {
        let vhosts = parameters.with_other_policies(&self.parameters).cloned().collect();
        self.parameters = parameters;
        self.walks.push_back(Walk { vhosts, next: 0, to });
        self.walk_queues();
    }

    /// A piece of the first walk.
    pub(super) fn walk_queues(&mut self) {
        let Some(mut walk) = self.walks.pop_front() else { return };
        let mut left = POLICY_MATCHES;
        while left > 0 && !walk.vhosts.is_empty() && walk.next < self.rooms.queues.slots() {
            left = left.saturating_sub(1 + self.apply_policies(walk.next, &walk.vhosts));
            walk.next += 1;
        }
        if walk.vhosts.is_empty() || walk.next >= self.rooms.queues.slots() {
            self.send(ShardId::CONTROL, Command::BarrierPassed(walk.to));
        } else {
            self.walks.push_front(walk);
        }
    }

    /// Answers how many patterns were tried at most.
    fn apply_policies(&mut self, slot: u32, vhosts: &[Name]) -> usize {
        let Rooms { queues, timers, unfit, .. } = &mut self.rooms;
        let Some(queue) = queues.get_mut(slot).filter(|queue| vhosts.contains(&queue.vhost)) else {
            return 0;
        };
        let policies = self.parameters.policies(&queue.vhost);
        let applied = policies.map(|policies| policies.of_queue(&queue.name, queue.kind()));
        if queue.go_by(applied.unwrap_or_default(), self.config.consumer_timeout_ms, timers) {
            unfit.push(slot);
        }
        policies.map_or(0, |policies| policies.len())
    }
}

impl Rooms {
    pub(super) fn may_fit(&self) -> bool {
        !self.unfit.is_empty() && self.letters.len() < FIT_LETTERS_MAX
    }

    /// Makes a piece of what a queue holds fit its rules.
    pub(super) fn fit_some(&mut self) {
        if !self.may_fit() {
            return;
        }
        let Some(&slot) = self.unfit.last() else { return };
        let queue = self.queues.get_mut(slot).filter(|queue| queue.is_fitting() && !queue.dying);
        // It may have ended, or come under other policies again.
        if queue.is_none_or(|queue| queue.count_some(FIT_MESSAGES, &self.pages)) && self.drop_some_heads(slot)
        {
            self.unfit.pop();
        }
    }

    /// True when no more is to be dropped.
    fn drop_some_heads(&mut self, slot: u32) -> bool {
        for _ in 0..FIT_MESSAGES {
            let Some(queue) = self.queues.get_mut(slot).filter(|queue| !queue.dying) else { return true };
            let Some(dead) = queue.drop_head(&self.pages, &mut self.timers) else {
                queue.fits();
                return true;
            };
            self.bury(slot, dead);
        }
        false
    }
}

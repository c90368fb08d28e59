//! The limit of a channel (basic.qos global): what its consumers may hold together, lent in lots to their queues.
//!
//! ```text
//!         lend             deliver
//! free  -------->  lent  ---------->  held: unacked, but for those of basic.get
//!  ^ ^-- recall ----+                  |
//!  +------ ack, nack, recover ---------+
//! ```
//! A lot stays where it is until it is used, so that an idle consumer takes its turn at its queue without asking.
//! A consumer without credit asks when a message waits or passes by; if nothing is free, lots are recalled, and each
//! recall is answered with what could not be used. So whoever asks waits for an ack at most, never for an idle queue.

use std::collections::VecDeque;

use super::Connection;
use super::channel::{ChannelState, channel_in};
use super::deliver::ConsumerEnd;
use crate::ids::{ChannelNumber, ConsumerId, QueueId};
use crate::limits::LEND_CONSUMERS;

/// Invariant: lent == 0 or held + lent <= count. Nothing is lent to who holds too much since the count was lowered.
///
/// Lives on: the connection's shard.
pub struct Limit {
    count: u32,
    /// Sum over the consumers.
    lent: u32,
    /// Of that, what is recalled; sum over the consumers.
    recalled: u32,
    /// Recalls that are not answered yet.
    awaited: u32,
    /// Consumers that ask for credit, first come first served.
    hungry: VecDeque<u32>,
    /// Consumers still to be looked at since something changed, and the position of the next.
    unseen: usize,
    next: usize,
    /// The count to come, 0 for none; until all recalls are answered nothing is lent.
    changing: Option<u32>,
    /// Stands in the shard's list of channels with something to lend.
    pub listed: bool,
}

/// A consumer's share of its channel's limit.
#[derive(Clone, Copy, Default, Debug)]
pub struct Loan {
    /// What it was lent and is not known to be used.
    pub lent: u32,
    /// Of that, what it was asked to return.
    recalled: u32,
    awaited: bool,
    hungry: bool,
}

/// For the queue of a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lending {
    Lend {
        queue: QueueId,
        consumer: ConsumerId,
        messages: u32,
    },
    /// To be answered by `returned`. The first one tells the queue that there is a limit.
    Recall {
        queue: QueueId,
        consumer: ConsumerId,
        handle: u32,
    },
    /// There is no limit any more.
    Lift {
        queue: QueueId,
        consumer: ConsumerId,
    },
}

impl Limit {
    fn new(count: u32) -> Limit {
        Limit {
            count,
            lent: 0,
            recalled: 0,
            awaited: 0,
            hungry: VecDeque::new(),
            unseen: 0,
            next: 0,
            changing: Some(count),
            listed: false,
        }
    }

    /// A message has come that one of the lot was for.
    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn used(&mut self, loan: &mut Loan) {
        loan.lent -= 1;
        self.lent -= 1;
        let recalled = loan.recalled.min(1);
        loan.recalled -= recalled;
        self.recalled -= recalled;
    }

    fn free(&self, held: u32) -> u32 {
        self.count.saturating_sub(held + self.lent)
    }

    fn lacks_recalls(&self) -> bool {
        (self.recalled as usize) < self.hungry.len()
    }

    /// How much it was.
    fn lend(&mut self, end: &mut ConsumerEnd, messages: u32, out: &mut Vec<Lending>) -> u32 {
        let Some(consumer) = end.consumer else { return 0 };
        end.loan.lent += messages;
        self.lent += messages;
        out.push(Lending::Lend { queue: end.queue, consumer, messages });
        messages
    }

    fn recall(&mut self, handle: u32, end: &mut ConsumerEnd, out: &mut Vec<Lending>) {
        let Some(consumer) = end.consumer else { return };
        debug_assert!(!end.loan.awaited);
        self.awaited += 1;
        self.recalled += end.loan.lent;
        end.loan.recalled = end.loan.lent;
        end.loan.awaited = true;
        out.push(Lending::Recall { queue: end.queue, consumer, handle });
    }

    /// Takes `messages` of a lot back, or what is left of it.
    fn take_back(&mut self, loan: &mut Loan, messages: u32) {
        let messages = messages.min(loan.lent);
        loan.lent -= messages;
        self.lent -= messages;
        self.recalled -= loan.recalled;
        loan.recalled = 0;
        loan.awaited = false;
    }
}

impl Loan {
    /// Whether it is worth a record to lend more, if so much is free.
    fn is_low(&self, share: u32, free: u32) -> bool {
        self.lent == 0 || (self.lent <= share / 2 && free >= share / 4)
    }
}

impl Connection {
    /// Begins to set the limit of a channel; 0 lifts it. It holds once `limit_holds` says so.
    pub fn set_limit(&mut self, number: ChannelNumber, count: u32, out: &mut Vec<Lending>) {
        let Connection { channels, consumers, .. } = self;
        let Some(channel) = channel_in(channels, number) else { return };
        let first = channel.limit.is_none();
        match &mut channel.limit {
            None if count == 0 => return,
            Some(limit) if count >= limit.count => {
                limit.count = count;
                return;
            }
            None => channel.limit = Some(Box::new(Limit::new(count))),
            Some(limit) => limit.changing = Some(count),
        }
        let Some(limit) = &mut channel.limit else { return };
        for &handle in &channel.consumers {
            let Some(end) = consumers.get_mut(handle) else { continue };
            if !end.no_ack && !end.loan.awaited && (first || end.loan.lent > 0) {
                limit.recall(handle, end, out);
            }
        }
    }

    /// Whether the limit last set holds: nothing is on its way that was lent before.
    pub fn limit_holds(&mut self, number: ChannelNumber, out: &mut Vec<Lending>) -> bool {
        let Connection { channels, consumers, .. } = self;
        let Some(channel) = channel_in(channels, number) else { return true };
        let Some(limit) = &mut channel.limit else { return true };
        if limit.changing.is_some() && limit.awaited > 0 {
            return false;
        }
        match limit.changing.take() {
            Some(0) => channel.limit = None,
            Some(count) => limit.count = count,
            None => {}
        }
        if channel.limit.is_none() {
            for &handle in &channel.consumers {
                let Some(end) = consumers.get_mut(handle).filter(|end| !end.no_ack) else { continue };
                end.loan = Loan::default();
                out.extend(end.consumer.map(|consumer| Lending::Lift { queue: end.queue, consumer }));
            }
        }
        true
    }

    /// Something may have become free, or somebody asks: all consumers are to be looked at. False if they are not
    /// limited, or it was known.
    pub fn lists_lending(&mut self, number: ChannelNumber) -> bool {
        let Some(channel) = self.channel(number) else { return false };
        let consumers = channel.consumers.len();
        let Some(limit) = &mut channel.limit else { return false };
        limit.unseen = consumers;
        !std::mem::replace(&mut limit.listed, true)
    }

    /// Lends what is free, to those who ask first; recalls lots if that is not enough. True if a piece of it is left to do.
    pub fn lend(&mut self, number: ChannelNumber, out: &mut Vec<Lending>) -> bool {
        let Connection { channels, consumers, .. } = self;
        let Some(channel) = channel_in(channels, number) else { return false };
        let held = channel.held() as u32;
        let Some(limit) = channel.limit.as_deref_mut() else { return false };
        limit.listed = false;
        if channel.state != ChannelState::Open || limit.changing.is_some() {
            return false;
        }
        let share = (limit.count / channel.consumers.len().max(1) as u32).max(1);
        let mut free = limit.free(held);
        while free > 0
            && let Some(handle) = limit.hungry.pop_front()
        {
            let Some(end) = consumers.get_mut(handle) else { continue };
            end.loan.hungry = false;
            free -= limit.lend(end, share.min(free), out);
        }
        let mut budget = LEND_CONSUMERS;
        while limit.unseen > 0 && budget > 0 && (free > 0 || limit.lacks_recalls()) {
            budget -= 1;
            limit.unseen -= 1;
            limit.next = (limit.next + 1) % channel.consumers.len().max(1);
            let Some(&handle) = channel.consumers.get(limit.next) else { break };
            let Some(end) = consumers.get_mut(handle) else { continue };
            if end.no_ack || end.loan.awaited {
                continue;
            }
            if free > 0 {
                if end.loan.is_low(share, free) {
                    let messages = share.saturating_sub(end.loan.lent).min(free);
                    free -= limit.lend(end, messages, out);
                }
            } else if end.loan.lent > 0 {
                limit.recall(handle, end, out);
            }
        }
        limit.listed = budget == 0 && limit.unseen > 0;
        limit.listed
    }

    /// A consumer without credit asks for some. Not if a lot is on its way to it. Answers its channel.
    pub fn wants_credit(&mut self, handle: u32) -> Option<ChannelNumber> {
        let end = self.consumers.get_mut(handle)?;
        let number = end.channel;
        let limit = channel_in(&mut self.channels, number)?.limit.as_deref_mut()?;
        if end.loan.lent > 0 || end.loan.hungry {
            return None;
        }
        end.loan.hungry = true;
        limit.hungry.push_back(handle);
        Some(number)
    }

    /// A recall is answered. The consumer may be gone meanwhile.
    pub fn returned(&mut self, number: ChannelNumber, handle: u32, messages: u32) {
        let Connection { channels, consumers, .. } = self;
        let Some(channel) = channel_in(channels, number) else { return };
        let Some(limit) = &mut channel.limit else { return };
        debug_assert!(limit.awaited > 0, "an answer to a recall");
        limit.awaited -= 1;
        if let Some(end) = consumers.get_mut(handle).filter(|end| end.channel == number) {
            limit.take_back(&mut end.loan, messages);
        }
    }

    /// The consumer ends, and its lot with it.
    pub fn end_loan(&mut self, number: ChannelNumber, handle: u32) {
        let Connection { channels, consumers, .. } = self;
        let Some(channel) = channel_in(channels, number) else { return };
        let (Some(limit), Some(end)) = (&mut channel.limit, consumers.get_mut(handle)) else { return };
        limit.take_back(&mut end.loan, u32::MAX);
        limit.hungry.retain(|&other| other != handle);
    }

    /// The invariant of each limit, and its sums.
    pub fn invariants(&self) {
        for channel in self.channels.iter().flatten() {
            let Some(limit) = &channel.limit else { continue };
            let loans = || channel.consumers.iter().filter_map(|&at| Some(self.consumers.get(at)?.loan));
            assert_eq!(limit.lent, loans().map(|loan| loan.lent).sum::<u32>());
            assert_eq!(limit.recalled, loans().map(|loan| loan.recalled).sum::<u32>());
            assert_eq!(limit.hungry.len(), loans().filter(|loan| loan.hungry).count());
            let held = channel.held() as u32;
            let open = channel.state == ChannelState::Open;
            assert!(!open || limit.lent == 0 || held + limit.lent <= limit.count, "more is lent than free");
        }
    }
}

#[cfg(test)]
mod tests;

//! A channel in tx mode: what its client published and settled since the last commit or rollback.
//!
//! ```text
//! publish -> routed at once -> held -+-> commit: to the queues, in order, then the settlements
//! ack ----> checked at once -> held -+-> rollback: the messages are dropped, the tags wait for their acks again
//! ```
//! The messages lie in the pages of the shard, where they count as memory like those in queues.

use std::collections::VecDeque;

use super::channel::Channel;
use super::unacked::{UnackedTag, UnackedTags};
use crate::ids::{QueueId, ShardId, Tx};
use crate::pages::MessageRef;
use crate::settlement::Settlement;

/// Lives on: the connection's shard.
#[derive(Default)]
pub struct Transaction {
    publishes: VecDeque<HeldPublish>,
    /// Those of the publishes, one behind the other.
    targets: VecDeque<QueueId>,
    settlements: VecDeque<HeldSettlement>,
    /// Of the settled messages, those that consumers were sent: they count as held until commit.
    delivered: usize,
    /// Some queue had no room for a message of the running commit.
    pub refused: bool,
    /// The running commit.
    pub tx: Tx,
    /// Counts what commits sent to other shards.
    pub sent: u64,
    /// Shards that the running commit brought something to that must answer for it.
    touched: Vec<ShardId>,
}

/// A publish whose message is kept. Whoever takes it out releases the message.
#[derive(Clone, Copy, Debug)]
pub struct HeldPublish {
    pub message: MessageRef,
    pub mandatory: bool,
    targets: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldSettlement {
    pub entry: UnackedTag,
    pub settlement: Settlement,
}

/// Publishes that were rolled back: their messages are to be released.
pub type Dropped = VecDeque<HeldPublish>;

impl Transaction {
    pub fn publish(&mut self, message: MessageRef, mandatory: bool, targets: &[QueueId]) {
        self.targets.extend(targets);
        self.publishes.push_back(HeldPublish { message, mandatory, targets: targets.len() as u32 });
    }

    /// The oldest publish; its queues replace what is in `targets`.
    pub fn next_publish(&mut self, targets: &mut Vec<QueueId>) -> Option<HeldPublish> {
        let publish = self.publishes.pop_front()?;
        targets.clear();
        targets.extend(self.targets.drain(..publish.targets as usize));
        Some(publish)
    }

    pub fn next_settlement(&mut self) -> Option<HeldSettlement> {
        let held = self.settlements.pop_front()?;
        self.delivered -= usize::from(held.entry.is_delivered());
        Some(held)
    }

    /// The running commit brings something to that shard, which is to answer for it.
    pub fn touch(&mut self, shard: ShardId) {
        if !self.touched.contains(&shard) {
            self.touched.push(shard);
        }
    }

    pub fn take_touched(&mut self) -> Vec<ShardId> {
        std::mem::take(&mut self.touched)
    }

    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty() && self.settlements.is_empty()
    }

    /// How many messages it keeps.
    pub fn settlement_count(&self) -> usize {
        self.settlements.len()
    }

    pub fn publish_count(&self) -> usize {
        self.publishes.len()
    }

    /// Forgets the publishes and gives the tags back to those that wait for an ack.
    pub fn roll_back(&mut self, unacked: &mut UnackedTags) -> Dropped {
        self.targets.clear();
        self.delivered = 0;
        unacked.put_back(self.settlements.drain(..).map(|held| held.entry));
        std::mem::take(&mut self.publishes)
    }
}

impl Channel {
    /// In tx mode an ack, nack or reject is checked now and done at commit. False if there is no such tag.
    pub fn settle_at_commit(&mut self, tag: u64, multiple: bool, settlement: Settlement) -> bool {
        let Some(transaction) = &mut self.transaction else { return false };
        let Transaction { settlements, delivered, .. } = &mut **transaction;
        self.unacked.settle(tag, multiple, |entry| {
            *delivered += usize::from(entry.is_delivered());
            settlements.push_back(HeldSettlement { entry, settlement });
        })
    }

    /// Messages that consumers were sent and that are not settled, or not yet for good.
    pub fn held(&self) -> usize {
        let settled = self.transaction.as_ref().map_or(0, |transaction| transaction.delivered);
        self.unacked.delivered() + settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelNumber;

    fn queue(slot: u32) -> QueueId {
        QueueId { shard: ShardId(0), slot, generation: 1 }
    }

    fn channel_with_tags(up_to: u64) -> Channel {
        let mut channel = Channel::new(ChannelNumber(1), 1);
        channel.transaction = Some(Box::default());
        for tag in 1..=up_to {
            channel.unacked.push(UnackedTag::delivered(tag, queue(0), tag as u32));
        }
        channel
    }

    #[test]
    fn publishes_come_out_in_order_with_their_queues() {
        let mut pages = crate::pages::Pages::new(std::sync::Arc::new(crate::budget::Budget::new(usize::MAX)));
        let mut store = |content| pages.store(&crate::message::Message { route: b"\0\0", content });
        let (first, second, third) = (store(b"a"), store(b"b"), store(b"c"));
        let mut transaction = Transaction::default();
        transaction.publish(first, true, &[queue(1), queue(2)]);
        transaction.publish(second, false, &[]);
        transaction.publish(third, false, &[queue(3)]);
        let mut targets = vec![queue(9)];
        for (message, mandatory, expected) in
            [(first, true, &[queue(1), queue(2)][..]), (second, false, &[]), (third, false, &[queue(3)])]
        {
            let publish = transaction.next_publish(&mut targets).unwrap();
            assert_eq!((publish.message, publish.mandatory, &targets[..]), (message, mandatory, expected));
        }
        assert!(transaction.next_publish(&mut targets).is_none() && transaction.is_empty());
    }

    #[test]
    fn a_tag_is_checked_when_it_is_settled_and_not_at_commit() {
        let mut channel = channel_with_tags(3);
        assert!(channel.settle_at_commit(2, true, Settlement::Ack));
        assert!(!channel.settle_at_commit(1, false, Settlement::Ack), "it is settled already");
        assert!(!channel.settle_at_commit(4, false, Settlement::Reject));
        assert_eq!(
            (channel.unacked.delivered(), channel.held()),
            (1, 3),
            "what a rollback may bring back is held"
        );
        assert!(channel.settle_at_commit(3, false, Settlement::Requeue));
        let transaction = channel.transaction.as_mut().unwrap();
        let settled: Vec<(u64, Settlement)> =
            std::iter::from_fn(|| transaction.next_settlement().map(|it| (it.entry.tag, it.settlement)))
                .collect();
        assert_eq!(settled, [(1, Settlement::Ack), (2, Settlement::Ack), (3, Settlement::Requeue)]);
    }

    #[test]
    fn a_rollback_lets_the_tags_wait_for_their_acks_again() {
        let mut channel = channel_with_tags(5);
        channel.settle_at_commit(4, false, Settlement::Reject);
        channel.settle_at_commit(2, true, Settlement::Requeue);
        let transaction = channel.transaction.as_mut().unwrap();
        assert!(transaction.roll_back(&mut channel.unacked).is_empty());
        assert!(transaction.is_empty());
        let mut tags = Vec::new();
        channel.unacked.settle(0, true, |entry| tags.push(entry.tag));
        assert_eq!(tags, [1, 2, 3, 4, 5]);
    }
}

//! Transactions: a channel in tx mode routes and checks at once, and lets nothing out before its commit.
//!
//! ```text
//! tx.commit -> (a piece of the publishes, then of the settlements)* -> a barrier to each shard that got some -> commit-ok
//! ```
//! The channel is parked from tx.commit to commit-ok. A commit that has begun is carried through, also when its
//! channel or connection closes meanwhile; without tx.commit their end rolls back.

use bytes::Bytes;

use super::confirm::Sender;
use super::publish::Spread;
use super::{Command, Shard};
use crate::amqp::method::Method;
use crate::amqp::reply::{ChannelError, ReplyCode};
use crate::connection::Failure;
use crate::connection::channel::{ChannelState, Pending};
use crate::connection::publish::Publish;
use crate::connection::transaction::{HeldPublish, Transaction};
use crate::ids::{ChannelNumber, ConnectionId, Origin, QueueId, Requester, ShardId, Tx};
use crate::limits::{COMMIT_BYTES, COMMIT_ENTRY_BYTES, OUTBOX_HOLD_BYTES};
use crate::message::Message;

type Result = std::result::Result<(), Failure>;

impl Shard {
    pub(super) fn tx_select(&mut self, slot: u32, number: ChannelNumber) -> Result {
        let Some(channel) = self.channel(slot, number) else { return Ok(()) };
        if channel.confirms.is_some() {
            return Err(failed("cannot switch from confirm to tx mode", (90, 10)));
        }
        channel.transaction.get_or_insert_default();
        self.reply(slot, number, false, &Method::TxSelectOk {})
    }

    pub(super) fn confirm_select(&mut self, slot: u32, number: ChannelNumber, nowait: bool) -> Result {
        let Some(channel) = self.channel(slot, number) else { return Ok(()) };
        if channel.transaction.is_some() {
            return Err(failed("cannot switch from tx to confirm mode", (85, 10)));
        }
        channel.confirms.get_or_insert_default();
        self.reply(slot, number, nowait, &Method::ConfirmSelectOk {})
    }

    pub(super) fn tx_commit(&mut self, slot: u32, number: ChannelNumber) -> Result {
        self.in_tx_mode(slot, number, (90, 20))?;
        let to = self.requester(slot, number);
        let tx = self.next_tx();
        if let Some(transaction) = self.channel(slot, number).and_then(|channel| channel.transaction.as_mut())
        {
            transaction.tx = tx;
        }
        self.park(slot, number, Pending::TxCommit { left: None });
        self.commit_piece(to);
        Ok(())
    }

    pub(super) fn tx_rollback(&mut self, slot: u32, number: ChannelNumber) -> Result {
        self.in_tx_mode(slot, number, (90, 30))?;
        self.roll_back(slot, number);
        self.reply(slot, number, false, &Method::TxRollbackOk {})
    }

    /// A publish in tx mode: routed as the exchanges are now, and kept until commit.
    pub(super) fn hold_publish(
        &mut self,
        slot: u32,
        publish: &Publish<'_>,
        buffer: Option<&Bytes>,
    ) -> Result {
        let changed = self.look_at_properties(slot, publish)?;
        let buffer = changed.as_ref().or(buffer);
        let message = buffer.map_or(publish.message, |record| Message::from_record(record));
        let (list, has_bcc) = self.resolve(slot, &message)?;
        let with_bcc = has_bcc.then(|| Bytes::from(message.with_bcc_kept()));
        let buffer = with_bcc.as_ref().or(buffer);
        let message = buffer.map_or(message, |record| Message::from_record(record));
        let targets = self.routers.at(self.memos[slot as usize].router).targets(list);
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let Some(channel) = connection.channel(publish.channel) else {
            return Ok(());
        };
        let Some(transaction) = &mut channel.transaction else { return Ok(()) };
        let message = super::accept::store(&mut self.rooms.pages, &message, buffer, &mut Default::default());
        transaction.publish(message, publish.mandatory, targets);
        self.rooms.held += 1;
        self.rooms.outward.counters.published += 1;
        Ok(())
    }

    /// The channel ends: what was not committed never was, unless its commit is under way.
    pub(super) fn roll_back_at_close(&mut self, slot: u32, number: ChannelNumber) {
        if let Some(channel) = self.channel(slot, number)
            && !matches!(channel.pending, Some(Pending::TxCommit { .. }))
        {
            self.roll_back(slot, number);
        }
    }

    /// One more piece of each commit that may go on.
    pub(super) fn commit_some(&mut self) {
        for to in std::mem::take(&mut self.committing) {
            self.commit_piece(to);
        }
    }

    /// Whether some commit can go on: rings and outboxes have room.
    pub(super) fn may_commit(&self) -> bool {
        self.committing.iter().any(|to| self.has_room_for(to.connection))
    }

    /// One more shard has done its part.
    pub(super) fn commit_accepted(&mut self, to: Requester) {
        let Some(channel) = self.channel(to.connection.slot, to.channel) else { return };
        let Some(Pending::TxCommit { left: Some(left) }) = &mut channel.pending else { return };
        *left -= 1;
        if *left == 0 {
            self.committed(to);
        }
    }

    fn roll_back(&mut self, slot: u32, number: ChannelNumber) {
        let Some(channel) = self.channel(slot, number) else { return };
        let Some(transaction) = &mut channel.transaction else { return };
        let dropped = transaction.roll_back(&mut channel.unacked);
        if !dropped.is_empty() {
            self.rooms.dropped.push(dropped);
        }
    }

    fn in_tx_mode(&mut self, slot: u32, number: ChannelNumber, method: (u16, u16)) -> Result {
        match self.channel(slot, number) {
            Some(channel) if channel.transaction.is_none() => {
                Err(failed("channel is not transactional", method))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What a commit brings must not pile up: in the stages of full rings, or as returns that nobody reads.
    fn has_room_for(&self, id: ConnectionId) -> bool {
        let Some(connection) = self.rooms.outward.connections.live(id.slot, id.generation) else {
            return false;
        };
        let unread = connection.is_heard() && connection.outbox.len() > OUTBOX_HOLD_BYTES;
        !unread && !self.rooms.outward.mesh.spilled()
    }

    fn commit_piece(&mut self, to: Requester) {
        if !self.has_room_for(to.connection) {
            self.committing.push(to);
            return;
        }
        let slot = to.connection.slot;
        let Some(channel) = self.channel(slot, to.channel) else { return };
        // Lent out, as what it holds goes to other rooms.
        let Some(mut transaction) = channel.transaction.take() else { return };
        self.commit_from(&mut transaction, to);
        let done = transaction.is_empty();
        let tx = transaction.tx;
        let touched = if done { transaction.take_touched() } else { Vec::new() };
        if let Some(channel) = self.channel(slot, to.channel) {
            channel.transaction = Some(transaction);
        }
        // What was settled is held no more.
        self.rooms.outward.list_lending(to.connection, to.channel);
        if done {
            self.await_shards(to, tx, &touched);
        } else {
            self.committing.push(to);
        }
    }

    fn commit_from(&mut self, transaction: &mut Transaction, to: Requester) {
        let mut bytes = 0;
        let mut targets = Vec::new();
        while bytes < COMMIT_BYTES
            && let Some(held) = transaction.next_publish(&mut targets)
        {
            bytes += COMMIT_ENTRY_BYTES * (1 + targets.len());
            let (size, spread) = self.release_publish(to, transaction.tx, held, &mut targets);
            bytes += size;
            transaction.refused |= spread.refused;
            if spread.elsewhere > 0 {
                transaction.sent += 1;
                self.confirming.await_all(self.id, &targets, Sender::Channel(to), transaction.sent);
            }
            targets
                .iter()
                .filter(|queue| self.answers_commit(queue.shard))
                .for_each(|queue| transaction.touch(queue.shard));
        }
        while bytes < COMMIT_BYTES
            && let Some(held) = transaction.next_settlement()
        {
            bytes += COMMIT_ENTRY_BYTES;
            let queue = held.entry.queue;
            if held.entry.is_gone() {
                continue;
            }
            self.rooms.settle(queue, held.entry.unacked(), held.settlement, transaction.tx);
            if self.answers_commit(queue.shard) {
                transaction.touch(queue.shard);
            }
        }
    }

    /// Brings a kept message to its queues; answers its size. By the default exchange it goes to the queue that
    /// has the name now, as in RabbitMQ, where that exchange's routes are names; unless headers, which may have named
    /// more queues, had a say.
    fn release_publish(
        &mut self,
        to: Requester,
        tx: Tx,
        held: HeldPublish,
        targets: &mut Vec<QueueId>,
    ) -> (usize, Spread) {
        let buffer = self.rooms.pages.large(held.message).cloned();
        let mut record = std::mem::take(&mut self.record);
        if buffer.is_none() {
            let message = self.rooms.pages.read(held.message);
            record.clear();
            record.extend_from_slice(message.route);
            record.extend_from_slice(message.content);
        }
        let message = Message::from_record(buffer.as_deref().unwrap_or(&record));
        if message.exchange().is_empty() && message.headers().is_none() {
            targets.clear();
            let queue = self.router(to.connection.slot).queue(message.routing_key());
            targets.extend(queue.map(|queue| queue.id));
        }
        let mut spread = Spread::default();
        if targets.is_empty() {
            let mandatory = held.mandatory && self.is_open(to);
            self.unroutable(to.connection.slot, &Publish { channel: to.channel, message, mandatory });
        } else {
            spread =
                self.rooms.spread(targets, &message, buffer.as_ref(), true, Origin { tx, letter: false });
        }
        let bytes = message.record_bytes();
        self.record = record;
        self.rooms.pages.release(held.message);
        self.rooms.held -= 1;
        (bytes, spread)
    }

    /// What a commit brings to another shard, or to the journal here, takes a while.
    fn answers_commit(&self, shard: ShardId) -> bool {
        shard != self.id || self.rooms.journal.is_some()
    }

    /// No other commit since the server started has the number.
    fn next_tx(&mut self) -> Tx {
        self.commits += 1;
        Tx(u64::from(self.id.0) << 48 | self.commits)
    }

    /// Whoever sees commit-ok finds everything done, and as safe as it should be: each shard is asked behind what it got.
    fn await_shards(&mut self, to: Requester, tx: Tx, touched: &[ShardId]) {
        if touched.is_empty() {
            self.committed(to);
            return;
        }
        if let Some(channel) = self.channel(to.connection.slot, to.channel) {
            channel.pending = Some(Pending::TxCommit { left: Some(touched.len() as u32) });
        }
        for &shard in touched {
            self.send(shard, Command::Commit(Box::new((to, tx))));
        }
    }

    fn committed(&mut self, to: Requester) {
        let Some(pending) = self.take_pending(to) else { return };
        let (slot, number) = (to.connection.slot, to.channel);
        let refused = self
            .channel(slot, number)
            .and_then(|channel| channel.transaction.as_mut())
            .is_some_and(|transaction| std::mem::take(&mut transaction.refused));
        if refused {
            self.fail_pending(slot, number, failed("partial tx completion", (90, 20)));
        } else {
            self.done(slot, number, &pending);
        }
        self.answered(to);
    }

    fn is_open(&mut self, to: Requester) -> bool {
        self.rooms.outward.connection(to.connection).is_some_and(|connection| {
            connection.is_heard()
                && connection.channel(to.channel).is_some_and(|channel| channel.state == ChannelState::Open)
        })
    }
}

fn failed(text: &str, method: (u16, u16)) -> Failure {
    ChannelError::new(ReplyCode::PreconditionFailed, text, method).into()
}

//! The alarms of memory and disk: publishes wait, and everything that does not stand behind them goes on.
//!
//! ```text
//! alarm, publish      -> its frames are kept behind the channel, connection.blocked
//! ack, nack, reject   -> done at once, if only publishes wait before them: they free memory
//! other methods       -> wait behind the publishes of their channel; other channels go on
//! alarm gone          -> connection.unblocked, what waited is run in order
//! ```
//! Acks lie behind publishes in one TCP stream, so the socket is read on until `BLOCKED_PUBLISH_BYTES_MAX` are kept.
//! A socket that closes takes its waiting publishes along: they were never taken and never confirmed. A
//! connection.close waits behind them like in RabbitMQ, which does not read it before.

use super::Shard;
use crate::amqp::frame::{Frame, FrameKind};
use crate::amqp::method::Method;
use crate::connection::channel::{Blocked, Channel, ChannelState};
use crate::connection::content::Assembly;
use crate::connection::{Connection, HeldBecause, Hold};
use crate::ids::ChannelNumber;
use crate::journal::Journal;

impl Shard {
    /// Looks at the alarm once for a batch of frames: within it, memory may go beyond the limit.
    #[inline]
    pub(super) fn see_alarm(&mut self) {
        self.alarmed = self.is_low_on_memory() || self.is_low_on_disk();
    }

    pub(super) fn is_low_on_memory(&self) -> bool {
        self.budget.alarm()
    }

    /// Each shard sees it by its own journal: they are on one disk.
    pub(super) fn is_low_on_disk(&self) -> bool {
        self.rooms.journal.as_ref().is_some_and(Journal::is_low_on_disk)
    }

    /// Keeps a frame whose turn it would be, if it must wait for the alarm to go. True if it does.
    pub(super) fn waits_for_alarm(&mut self, slot: u32, frame: &Frame<'_>, raw: &[u8]) -> bool {
        if !self.alarmed && self.blocked.is_empty() {
            return false;
        }
        let alarmed = self.alarmed;
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return false };
        let Some(channel) = connection.channel(frame.channel) else { return false };
        let before = channel.blocked;
        if channel.state != ChannelState::Open || !channel.must_wait(frame, alarmed) {
            return false;
        }
        channel.parked.push(raw);
        connection.parked_bytes += raw.len();
        if before == Blocked::No {
            self.block(slot);
        }
        true
    }

    /// The alarm has gone: what one connection could not publish is run, and `has_work` says whether more wait.
    pub(super) fn unblock_one(&mut self) {
        self.see_alarm();
        if self.alarmed || self.rooms.outward.mesh.spilled() {
            return;
        }
        let Some(id) = self.blocked.pop_front() else { return };
        let Some(connection) = self.rooms.outward.connection(id) else { return };
        connection.blocked = false;
        let waiting: Vec<ChannelNumber> = connection.unblock_channels().collect();
        if connection.wants_to_know() {
            connection.reply(ChannelNumber(0), &Method::ConnectionUnblocked {});
            self.rooms.outward.touch(id.slot);
        }
        for number in waiting {
            self.replay(id.slot, number);
        }
        self.resume_if_roomy(id.slot);
        self.leave_if_drained(id.slot);
    }

    pub(super) fn may_unblock(&self) -> bool {
        !self.blocked.is_empty()
            && !self.is_low_on_memory()
            && !self.is_low_on_disk()
            && !self.rooms.outward.mesh.spilled()
    }

    fn block(&mut self, slot: u32) {
        let (because, reason) = match (self.is_low_on_disk(), self.is_low_on_memory()) {
            (true, true) => (HeldBecause::LowOnMemoryAndDisk, "low on disk & memory"),
            (true, false) => (HeldBecause::LowOnDisk, "low on disk"),
            (false, _) => (HeldBecause::LowOnMemory, "low on memory"),
        };
        let since = self.now;
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return };
        if connection.blocked {
            return;
        }
        connection.blocked = true;
        connection.block = Some(Hold { because, since });
        self.blocked.push_back(connection.id);
        self.rooms.outward.counters.blocks += 1;
        if connection.wants_to_know() {
            let reason = reason.into();
            connection.reply(ChannelNumber(0), &Method::ConnectionBlocked { reason });
            self.rooms.outward.touch(slot);
        }
    }
}

impl Channel {
    /// Whether this frame waits; notes what else does.
    fn must_wait(&mut self, frame: &Frame<'_>, alarmed: bool) -> bool {
        let publishes = match frame.kind {
            FrameKind::Method => frame.payload.starts_with(&BASIC_PUBLISH),
            // Without a publish before it, it is an error, which need not wait.
            FrameKind::Header | FrameKind::Body => {
                self.blocked != Blocked::No || !matches!(self.assembly, Assembly::Idle)
            }
            FrameKind::Heartbeat => false,
        };
        self.blocked = match (self.blocked, publishes) {
            (Blocked::No, true) if alarmed => Blocked::Publishes,
            (Blocked::No, _) => return false,
            (Blocked::Publishes, false) if settles(frame.payload) => return false,
            (Blocked::Publishes, false) => Blocked::PublishesAndMore,
            (before, _) => before,
        };
        true
    }
}

impl Connection {
    fn wants_to_know(&self) -> bool {
        self.is_heard()
            && self.session.as_ref().is_some_and(|session| session.capabilities.connection_blocked)
    }

    /// Nothing of them waits for the alarm any more; answers which did.
    fn unblock_channels(&mut self) -> impl Iterator<Item = ChannelNumber> {
        self.channels.iter_mut().flatten().filter_map(|channel| {
            (std::mem::take(&mut channel.blocked) != Blocked::No).then_some(channel.number)
        })
    }

    /// What waits for the alarm to go is forgotten.
    pub(super) fn drop_blocked(&mut self) {
        for channel in self.channels.iter_mut().flatten() {
            if std::mem::take(&mut channel.blocked) != Blocked::No {
                self.parked_bytes -= std::mem::take(&mut channel.parked).len();
            }
        }
    }
}

/// basic.ack, reject and nack.
fn settles(method: &[u8]) -> bool {
    [[0, 60, 0, 80], [0, 60, 0, 90], [0, 60, 0, 120]].iter().any(|ids| method.starts_with(ids))
}

/// Class and method id.
const BASIC_PUBLISH: [u8; 4] = [0, 60, 0, 40];

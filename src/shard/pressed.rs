//! Whom the shell may read: sockets are held while rings or a journal have more than they should, or their own outbox has.

use super::Shard;
use crate::connection::HeldBecause;
use crate::ids::ShardId;
use crate::journal::Journal;

impl Shard {
    /// Whether the shell may read this socket now; if not, the slot comes out of `take_resumed` later, and the
    /// shell hands in again what `receive` left before it reads on.
    pub fn may_read(&mut self, slot: u32) -> bool {
        let (pressure, now) = (self.pressure(), self.now);
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return false };
        if connection.held || connection.is_judged() {
            return false;
        }
        if connection.is_overfull() {
            connection.hold(connection.overfull_because(), now);
        } else if let Some(because) = pressure
            && connection.publishes
            && connection.is_open()
        {
            connection.hold(because, now);
            self.pressed.push(slot);
        }
        self.rooms.outward.counters.holds += u64::from(connection.held);
        !connection.held
    }

    /// Of what more is under way than publishers may add to.
    fn pressure(&self) -> Option<HeldBecause> {
        if self.rooms.outward.mesh.spilled() {
            return Some(HeldBecause::RingsFull);
        }
        self.budget.is_behind().then_some(HeldBecause::JournalBehind)
    }

    /// Whether some who were held may go on.
    pub(super) fn may_resume(&self) -> bool {
        !self.pressed.is_empty() && self.pressure().is_none()
    }

    /// Publishers of all shards wait while a journal has too much to write: what comes from elsewhere cannot be held here.
    pub(super) fn tell_if_behind(&mut self) {
        let behind = self.rooms.journal.as_ref().is_some_and(Journal::is_behind);
        if behind == self.behind {
            return;
        }
        self.behind = behind;
        self.budget.set_behind(behind);
        if !behind {
            (0..self.rooms.outward.mesh.shards())
                .for_each(|shard| self.rooms.outward.mesh.bell(ShardId(shard)).ring());
        }
    }

    pub(super) fn resume_pressed(&mut self) {
        if !self.may_resume() {
            return;
        }
        for slot in std::mem::take(&mut self.pressed) {
            if let Some(connection) = self.rooms.outward.connections.get_mut(slot) {
                connection.held = false;
                self.resumed.push(slot);
            }
        }
    }

    /// A connection that was held for its own sake is read again once there is room.
    pub(super) fn resume_if_roomy(&mut self, slot: u32) {
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot)
            && connection.held
            && !connection.is_overfull()
            && !self.pressed.contains(&slot)
        {
            connection.held = false;
            self.resumed.push(slot);
        }
    }
}

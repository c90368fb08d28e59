//! When which connection must be looked at.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Shard;
use super::notes::What;
use crate::connection::Phase;
use crate::connection::heartbeat::Beat;

/// Earliest first. An entry that its connection no longer counts is passed over when its time comes.
#[derive(Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

impl Deadlines {
    pub fn add(&mut self, at: u64, slot: u32, generation: u32) {
        self.heap.push(Reverse((at, slot, generation)));
    }

    /// Slot, generation and time of the next that has come.
    pub fn due(&mut self, now: u64) -> Option<(u32, u32, u64)> {
        let Reverse((at, slot, generation)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((slot, generation, at))
    }
}

impl Shard {
    /// Looks at a connection at that time, unless it is looked at before.
    pub(super) fn schedule(&mut self, slot: u32, at: u64) {
        if let Some(connection) = self.rooms.outward.connections.get_mut(slot)
            && at < connection.heartbeat.due_at
        {
            connection.heartbeat.due_at = at;
            self.deadlines.add(at, slot, connection.id.generation);
        }
    }

    pub(super) fn on_deadline(&mut self, slot: u32, generation: u32, at: u64) {
        let now = self.now;
        let Some(connection) = self.rooms.outward.connections.live_mut(slot, generation) else { return };
        if connection.heartbeat.due_at != at {
            return;
        }
        connection.heartbeat.due_at = u64::MAX;
        let held = connection.held;
        match &mut connection.phase {
            Phase::Header | Phase::Handshake(_) => {
                let at = connection.opened_at + self.config.handshake_timeout_ns;
                if now >= at {
                    self.note(slot, What::HandshakeTimedOut);
                    self.give_up(slot);
                } else {
                    self.schedule(slot, at);
                }
            }
            Phase::Refused { close_at, .. } => {
                let at = *close_at;
                self.rooms.outward.touch(slot);
                if now < at {
                    self.schedule(slot, at);
                }
            }
            Phase::Open => match connection.heartbeat.check(now, held) {
                Beat::Dead => {
                    let session = connection.session.as_ref();
                    let timeout_s = session.map_or(0, |session| session.heartbeat_s);
                    self.note(slot, What::MissedHeartbeats { timeout_s });
                    self.give_up(slot);
                }
                beat => {
                    if beat == Beat::Send {
                        connection.beat();
                        connection.heartbeat.sent(now);
                    }
                    connection.outbox.release_memory();
                    if let Some(at) = connection.heartbeat.next(now) {
                        self.schedule(slot, at);
                    }
                    if beat == Beat::Send {
                        self.rooms.outward.touch(slot);
                    }
                }
            },
            Phase::Closing(closing) => {
                if now >= closing.deadline {
                    self.give_up(slot);
                } else {
                    let at = closing.deadline;
                    self.schedule(slot, at);
                }
            }
        }
    }
}

//! Logins whose passwords take long to judge. A shard has no time for a slow hash: a thread outside makes it.
//!
//! ```text
//! start-ok -> Claims -> (shell) -> hashing thread -> (shell) -> take_verdict -> tune, or a refusal
//! ```
//! The connection is not read meanwhile, and the others are. Its time for the handshake runs on.

use std::collections::VecDeque;

use super::Shard;
use crate::access::{Claim, Verdict};
use crate::connection::{Connection, Phase};
use crate::ids::ConnectionId;
use crate::limits::CLAIMS_OUT_MAX;

/// Lives on: its shard.
#[derive(Default)]
pub(super) struct Claims {
    /// First come, first judged.
    waiting: VecDeque<(ConnectionId, Claim)>,
    /// Behind all others those from where many wrong passwords came: the thread makes some 50 hashes a second, and whoever
    /// guesses must not keep everybody waiting.
    suspect: VecDeque<(ConnectionId, Claim)>,
    /// How many the thread has.
    out: usize,
}

impl Shard {
    /// There is one of a connection at a time; those of connections that are gone go when they would be too many.
    pub(super) fn claim(&mut self, slot: u32, claim: Claim) {
        let outward = &mut self.rooms.outward;
        let Some(Connection { id, address, .. }) = outward.connections.get(slot) else { return };
        let (id, suspect) = (*id, self.guesses.suspects(address.ip(), self.now));
        let claims = if suspect { &mut self.claims.suspect } else { &mut self.claims.waiting };
        if claims.len() >= self.config.unauthenticated_max {
            claims.retain(|(id, _)| outward.connection(*id).is_some_and(|it| it.is_judged()));
        }
        claims.push_back((id, claim));
    }

    /// The next for the thread, as long as it has few of this shard: what waits here costs no hash if the client goes.
    pub fn next_claim(&mut self) -> Option<(ConnectionId, Claim)> {
        while self.claims.out < CLAIMS_OUT_MAX
            && let Some((id, claim)) = self.claims.pop()
        {
            if self.rooms.outward.connection(id).is_some_and(|connection| connection.is_judged()) {
                self.claims.out += 1;
                return Some((id, claim));
            }
        }
        None
    }

    /// What came of a claim. The connection may be gone.
    pub fn take_verdict(&mut self, id: ConnectionId, verdict: &Verdict, now: u64) {
        self.begin(now);
        self.claims.out -= 1;
        if let Some(connection) = self.rooms.outward.connection(id)
            && let Phase::Handshake(handshake) = &mut connection.phase
        {
            let progress = handshake.on_verdict(verdict, &self.access, connection.outbox.buffer());
            self.rooms.outward.touch(id.slot);
            self.handshake_progress(id.slot, progress);
            self.resumed.push(id.slot);
        }
        self.end_batch();
    }
}

impl Claims {
    fn pop(&mut self) -> Option<(ConnectionId, Claim)> {
        self.waiting.pop_front().or_else(|| self.suspect.pop_front())
    }
}

impl Connection {
    /// It waits for a verdict, and is not read.
    pub(super) fn is_judged(&self) -> bool {
        matches!(&self.phase, Phase::Handshake(handshake) if handshake.is_judging())
    }
}

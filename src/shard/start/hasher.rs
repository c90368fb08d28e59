//! The thread that makes slow hashes of passwords, for one shard after the other.
//!
//! ```text
//! shard -> claims -> (thread: 20 ms and 19 MiB each) -> verdicts -> doorbell -> shard
//! ```

use super::Common;
use crate::access::{Claim, Verdict};
use crate::ids::ConnectionId;
use crate::limits::CLAIMS_OUT_MAX;
use crossbeam_queue::ArrayQueue;
use std::io;
use std::sync::OnceLock;
use std::thread::{self, JoinHandle, Thread};

/// Lives on: shared by the shards and the hashing thread. Nobody waits at it: a shard hands in no more than there is room
/// for.
pub struct Hasher {
    trays: Box<[Tray]>,
    thread: OnceLock<Thread>,
}

/// Of one shard.
struct Tray {
    claims: ArrayQueue<(ConnectionId, Claim)>,
    verdicts: ArrayQueue<(ConnectionId, Verdict)>,
}

impl Hasher {
    pub fn new(shards: usize) -> Hasher {
        let tray =
            || Tray { claims: ArrayQueue::new(CLAIMS_OUT_MAX), verdicts: ArrayQueue::new(CLAIMS_OUT_MAX) };
        Hasher { trays: (0..shards).map(|_| tray()).collect(), thread: OnceLock::new() }
    }

    /// Ends when the server stops; [`Hasher::wake`] it then.
    pub fn start(common: Common) -> io::Result<JoinHandle<()>> {
        let hasher = common.hasher.clone();
        let thread = thread::Builder::new().name("hasher".into()).spawn(move || {
            while !common.stop.requested() {
                if !judge(&common) {
                    thread::park();
                }
            }
        })?;
        hasher.thread.set(thread.thread().clone()).expect("it is started once");
        Ok(thread)
    }

    pub fn wake(&self) {
        self.thread.get().into_iter().for_each(Thread::unpark);
    }

    pub(super) fn hand_in(&self, shard: usize, claim: (ConnectionId, Claim)) {
        self.trays[shard].claims.push(claim).expect("a shard counts what it has handed in");
        self.wake();
    }

    pub(super) fn take(&self, shard: usize) -> Option<(ConnectionId, Verdict)> {
        self.trays[shard].verdicts.pop()
    }

    pub(super) fn has(&self, shard: usize) -> bool {
        !self.trays[shard].verdicts.is_empty()
    }
}

/// One claim of each shard, so that none is kept waiting by the crowd at another; false if there was none.
fn judge(common: &Common) -> bool {
    let mut any = false;
    for (tray, bell) in common.hasher.trays.iter().zip(&*common.bells) {
        if let Some((id, claim)) = tray.claims.pop() {
            tray.verdicts.push((id, claim.judge())).expect("a shard counts what it has handed in");
            bell.ring();
            any = true;
        }
    }
    any
}

//! What the threads of a run share: when it starts and stops, how much is in flight, and how to wake each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

/// Written by the conductor (run.rs) and read by the workers, except the counters in it, which are the workers'.
pub struct Shared {
    /// Clock times; `u64::MAX` until known.
    pub start_at: AtomicU64,
    pub measure_from: AtomicU64,
    pub stop_at: AtomicU64,
    /// Settle what is open, close the connections, end.
    pub closing: AtomicBool,
    pub workers: Vec<WorkerState>,
    pub flight: Option<Flight>,
}

/// Of one worker; only it writes the counters, once per turn.
pub struct WorkerState {
    pub counters: Counters,
    /// Consumers whose basic.consume was answered.
    pub consuming: AtomicU64,
    /// Its producers will publish nothing more, and the counters say so.
    pub stopped: AtomicBool,
    pub bell: Bell,
}

#[derive(Default)]
#[repr(align(128))]
pub struct Counters {
    pub sent: AtomicU64,
    /// Deliveries, duplicates included.
    pub received: AtomicU64,
    /// Deliveries that were new to their queue.
    pub distinct: AtomicU64,
    pub confirmed: AtomicU64,
    pub nacked: AtomicU64,
    pub returned: AtomicU64,
    pub bytes_sent: AtomicU64,
    pub bytes_received: AtomicU64,
}

impl Shared {
    pub fn new(workers: usize, flight: Option<Flight>) -> std::io::Result<Shared> {
        let unknown = || AtomicU64::new(u64::MAX);
        let workers = (0..workers).map(|_| WorkerState::new()).collect::<Result<_, _>>()?;
        let (start_at, measure_from, stop_at) = (unknown(), unknown(), unknown());
        Ok(Shared { start_at, measure_from, stop_at, closing: AtomicBool::new(false), workers, flight })
    }

    pub fn ring_all(&self) {
        self.workers.iter().for_each(|worker| worker.bell.ring());
    }

    /// Tells of deliveries, and of messages that make none, and wakes the producers that waited for them.
    pub fn arrived(&self, deliveries: u64, undelivered: u64) {
        let Some(flight) = &self.flight else { return };
        let deliveries = deliveries + undelivered * flight.copies;
        let received = flight.received.fetch_add(deliveries, Ordering::SeqCst) + deliveries;
        for worker in &self.workers {
            worker.bell.ring_if_reached(received);
        }
    }
}

impl WorkerState {
    fn new() -> std::io::Result<WorkerState> {
        Ok(WorkerState {
            counters: Counters::default(),
            consuming: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            bell: Bell::new()?,
        })
    }
}

/// The limit of messages between producers and consumers, counted in deliveries.
pub struct Flight {
    limit: u64,
    copies: u64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Flight {
    /// `copies`: how many deliveries each message makes.
    pub fn new(limit_messages: u64, copies: usize) -> Flight {
        let copies = copies as u64;
        Flight {
            limit: limit_messages * copies,
            copies,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    /// How many messages may be published now. Two threads that ask at once may exceed the limit by a batch.
    pub fn room(&self) -> u64 {
        let in_flight = self.sent.load(Ordering::SeqCst).saturating_sub(self.received.load(Ordering::SeqCst));
        self.limit.saturating_sub(in_flight) / self.copies
    }

    pub fn published(&self, messages: u64) {
        self.sent.fetch_add(messages * self.copies, Ordering::SeqCst);
    }

    /// Asks for a ring when an eighth of the limit is free: a batch per wake, not a message. False: it is free already.
    pub fn wait(&self, bell: &Bell) -> bool {
        let wanted = (self.limit / 8).max(self.copies);
        let at = (self.sent.load(Ordering::SeqCst) + wanted).saturating_sub(self.limit);
        bell.ring_at.store(at, Ordering::SeqCst);
        let reached = self.received.load(Ordering::SeqCst) >= at;
        if reached {
            bell.ring_at.store(u64::MAX, Ordering::SeqCst);
        }
        !reached
    }
}

/// Wakes a worker from its wait.
pub struct Bell {
    fd: OwnedFd,
    /// The count of deliveries that it waits for.
    ring_at: AtomicU64,
}

impl Bell {
    fn new() -> std::io::Result<Bell> {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Bell { fd, ring_at: AtomicU64::new(u64::MAX) })
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The count is never read back: each write is an edge for epoll, and 2^64 of them do not happen.
    pub fn ring(&self) {
        // Only a full counter fails, and then the edge was seen long ago.
        _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
    }

    fn ring_if_reached(&self, received: u64) {
        if received >= self.ring_at.load(Ordering::SeqCst)
            && self.ring_at.swap(u64::MAX, Ordering::SeqCst) != u64::MAX
        {
            self.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_the_limit_leaves_and_counts_copies() {
        let flight = Flight::new(100, 10);
        flight.published(60);
        assert_eq!(flight.room(), 40);
        flight.received.store(155, Ordering::SeqCst);
        assert_eq!(flight.room(), 55);
        flight.published(80);
        assert_eq!(flight.room(), 0);
    }

    #[test]
    fn who_waits_is_woken_when_an_eighth_is_free() {
        let shared = Shared::new(1, Some(Flight::new(80, 1))).unwrap();
        let (flight, bell) = (shared.flight.as_ref().unwrap(), &shared.workers[0].bell);
        flight.published(80);
        assert!(flight.wait(bell));
        let mut count = [0; 8];
        shared.arrived(9, 0);
        assert!(rustix::io::read(bell.fd(), &mut count).is_err(), "not yet");
        shared.arrived(0, 1);
        assert_eq!(rustix::io::read(bell.fd(), &mut count), Ok(8));
        assert!(!flight.wait(bell), "there is room, nobody needs to wait");
    }
}

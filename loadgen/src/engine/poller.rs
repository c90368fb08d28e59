//! Waits for sockets and the bell, edge-triggered, to the nanosecond.

use std::io;

use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, OwnedFd};

use crate::clock::NS_PER_SECOND;

pub struct Poller {
    epoll: OwnedFd,
}

/// Room for what a wait brings. It stays on the thread that waits.
pub struct Events(Vec<epoll::Event>);

impl Events {
    pub fn new() -> Events {
        Events(Vec::with_capacity(EVENTS_PER_WAIT))
    }
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    Bell,
    Socket { index: usize, readable: bool, writable: bool },
}

impl Poller {
    pub fn new(bell: impl AsFd) -> io::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, bell, epoll::EventData::new_u64(BELL), flags)?;
        Ok(Poller { epoll })
    }

    pub fn add(&self, index: usize, socket: impl AsFd) -> io::Result<()> {
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(index as u64), flags)?)
    }

    pub fn remove(&self, socket: impl AsFd) {
        // It fails only for a socket that is not in there, which is what is wanted.
        _ = epoll::delete(&self.epoll, socket);
    }

    /// Sleeps at most `timeout_ns`, and says what woke.
    pub fn wait<'e>(&self, timeout_ns: u64, events: &'e mut Events) -> impl Iterator<Item = Wake> + use<'e> {
        let timeout = Timespec {
            tv_sec: (timeout_ns / NS_PER_SECOND) as i64,
            tv_nsec: (timeout_ns % NS_PER_SECOND) as i64,
        };
        events.0.clear();
        // Interrupted by a signal is as good as a timeout; nothing else can fail here.
        _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events.0), Some(&timeout));
        events.0.iter().map(wake)
    }
}

fn wake(event: &epoll::Event) -> Wake {
    let (flags, data) = (event.flags, event.data.u64());
    if data == BELL {
        return Wake::Bell;
    }
    let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
    Wake::Socket {
        index: data as usize,
        readable: flags.intersects(epoll::EventFlags::IN | ends),
        writable: flags.intersects(epoll::EventFlags::OUT | ends),
    }
}

const BELL: u64 = u64::MAX;
const EVENTS_PER_WAIT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_wait_is_as_long_as_asked_for() {
        let (bell, _other) = UnixStream::pair().unwrap();
        let mut events = Events::new();
        let poller = Poller::new(&bell).unwrap();
        let before = clock::now();
        assert_eq!(poller.wait(3_100_000, &mut events).count(), 0);
        assert!(clock::now() - before >= 3_100_000);
    }

    #[test]
    fn an_edge_is_told_once() {
        let ((bell, mut ring), (socket, mut peer)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let mut events = Events::new();
        let poller = Poller::new(&bell).unwrap();
        poller.add(5, &socket).unwrap();
        let first: Vec<_> = poller.wait(0, &mut events).collect();
        assert_eq!(first, [Wake::Socket { index: 5, readable: false, writable: true }]);
        peer.write_all(b"x").unwrap();
        ring.write_all(b"x").unwrap();
        let second: Vec<_> = poller.wait(0, &mut events).collect();
        assert!(second.contains(&Wake::Bell));
        assert!(second.contains(&Wake::Socket { index: 5, readable: true, writable: true }));
        assert_eq!(poller.wait(0, &mut events).count(), 0);
    }
}

//! A shard with its sockets, and the shell around it: what `net` and `shard::start` do, one turn at a time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use haremq::shard::{Peer, Rest, Shard};

use crate::oracle::{ConnectionIx, Verdict, violation};
use crate::wire::{Cutter, Unit};

pub struct Host {
    pub shard: Shard,
    /// By the slots that the shard gave.
    pub sockets: Vec<Option<Socket>>,
    /// When its clock began.
    born: u64,
    woken: Arc<Woken>,
    asleep: bool,
    /// Reads that the last receive turn was cut into by requests to flush, and that got nowhere.
    stalled: u32,
}

/// Both directions of a connection, with the kernel's buffers.
pub struct Socket {
    pub connection: ConnectionIx,
    /// What the client wrote and the shell did not read.
    pub uplink: VecDeque<u8>,
    /// The client is gone.
    pub hung_up: bool,
    /// Octets that the kernel still takes towards the client.
    pub room: usize,
    pub frame_max: u32,
    /// Octets that the kernel took so far.
    pub sent: u64,
    /// What the shard left of the last read.
    tail: Vec<u8>,
    held: bool,
    resumed: bool,
    awaits_room: bool,
    cutter: Cutter,
    /// Octets of output that were looked at, and those of them that are not sent.
    looked_at: u64,
    unsent: VecDeque<u8>,
}

/// What a turn left behind for the world to see, in order.
pub enum Event {
    /// New output of one step, by connection; the one whose turn it was comes first.
    Written(Vec<(ConnectionIx, Vec<Unit>)>),
    /// A socket that the shell closed.
    Closed(ConnectionIx),
}

type Events = Vec<Event>;

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Host {
    pub fn new(shard: Shard, born: u64) -> Host {
        Host { shard, born, sockets: Vec::new(), woken: Arc::default(), asleep: false, stalled: 0 }
    }

    pub fn accept(&mut self, connection: ConnectionIx, room: usize, now: u64) -> Option<u32> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let slot = self.shard.open(Peer { address, local: address, internal: false, trusted: false }, now)?;
        if self.sockets.len() <= slot as usize {
            self.sockets.resize_with(slot as usize + 1, || None);
        }
        self.sockets[slot as usize] = Some(Socket::new(connection, room));
        Some(slot)
    }

    pub fn socket(&mut self, slot: u32) -> Option<&mut Socket> {
        self.sockets.get_mut(slot as usize)?.as_mut()
    }

    /// Slots whose sockets have something for the shell: octets, an end, or a word that it may read again.
    pub fn readable(&self) -> Vec<u32> {
        self.slots(|socket| {
            let waits =
                !socket.uplink.is_empty() || socket.hung_up || (socket.resumed && !socket.tail.is_empty());
            waits && (!socket.held || (socket.hung_up && socket.awaits_room))
        })
    }

    /// Slots whose sockets take output again.
    pub fn writable(&self) -> Vec<u32> {
        self.slots(|socket| socket.awaits_room && socket.room > 0)
    }

    /// The mesh task has reason to run: it was woken, or never slept.
    pub fn is_awake(&self) -> bool {
        !self.asleep || self.woken.0.load(Ordering::SeqCst)
    }

    /// Reads up to `count` octets of a socket and runs them.
    pub fn read(&mut self, slot: u32, count: usize, now: u64, out: &mut Events) -> Verdict {
        let Some(socket) = self.sockets.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Ok(());
        };
        let cut_off = socket.hung_up && (socket.uplink.is_empty() || socket.awaits_room);
        if cut_off {
            return self.lose(slot, now, out);
        }
        if !self.shard.may_read(slot) {
            socket.held = true;
            return Ok(());
        }
        if !std::mem::take(&mut socket.resumed) || socket.tail.is_empty() {
            let count = count.min(socket.uplink.len());
            socket.tail.extend(socket.uplink.drain(..count));
        }
        self.receive(slot, now, out)
    }

    /// Commands from the rings and what a budget left over; then sleeps, if there is nothing else.
    pub fn drain(&mut self, now: u64, out: &mut Events) -> Verdict<bool> {
        self.woken.0.store(false, Ordering::SeqCst);
        self.asleep = false;
        let moved = self.shard.drain(now);
        self.look(None, out)?;
        if !moved && !self.shard.has_work() && self.shard.dirty_count() == 0 {
            let waker = Waker::from(self.woken.clone());
            self.asleep = self.shard.bell().park(&waker, || self.shard.must_wake());
        }
        Ok(moved)
    }

    pub fn tick(&mut self, now: u64, out: &mut Events) -> Verdict {
        self.tell_time(now);
        self.shard.tick(now);
        self.look(None, out)
    }

    /// The server is to end: it closes all connections.
    pub fn shut_down(&mut self, now: u64, out: &mut Events) -> Verdict {
        self.shard.shutdown(now);
        self.look(None, out)?;
        self.flush(now, out)
    }

    pub fn tell_time(&mut self, now: u64) {
        self.shard.set_wall(wall_ns(self.born + now), now);
    }

    /// Something in the shard waits for the clock, and it has come.
    pub fn is_due(&self, now: u64) -> bool {
        self.shard.next_due().is_some_and(|at| at <= now)
    }

    /// The turn of the clockwork.
    pub fn take_due(&mut self, now: u64, out: &mut Events) -> Verdict {
        self.shard.flushed(now);
        self.look(None, out)?;
        self.flush(now, out)
    }

    /// Sends to every connection with output, as far as its socket takes it.
    pub fn flush(&mut self, now: u64, out: &mut Events) -> Verdict {
        while let Some(slot) = self.shard.next_dirty() {
            if self.socket(slot).is_some_and(|socket| !socket.awaits_room) {
                self.send(slot, usize::MAX, now, out)?;
            }
        }
        self.shard.flushed(now);
        self.look(None, out)
    }

    /// Sends up to `count` octets.
    pub fn send(&mut self, slot: u32, count: usize, now: u64, out: &mut Events) -> Verdict {
        let Host { shard, sockets, .. } = self;
        let Some(socket) = sockets.get_mut(slot as usize).and_then(Option::as_mut) else { return Ok(()) };
        let output = shard.output(slot);
        let count = count.min(output.len()).min(socket.room);
        if !socket.unsent.drain(..count).eq(output[..count].iter().copied()) {
            return violation("output changed after it was written");
        }
        socket.room -= count;
        socket.sent += count as u64;
        socket.awaits_room = count < output.len();
        let done = !socket.awaits_room;
        shard.sent(slot, count, now);
        if done && self.shard.wants_close(slot) {
            let socket = self.sockets[slot as usize].take();
            out.extend(socket.map(|socket| Event::Closed(socket.connection)));
            self.shard.closed(slot, now);
        }
        self.look(None, out)
    }

    /// The sockets that may be read again hear of it.
    pub fn resume(&mut self) {
        let mut resumed = Vec::new();
        self.shard.take_resumed(&mut resumed);
        for slot in resumed {
            if let Some(socket) = self.socket(slot) {
                socket.held = false;
                socket.resumed = true;
            }
        }
    }

    /// Every socket is between two frames.
    pub fn is_whole(&self) -> bool {
        self.sockets.iter().flatten().all(|socket| socket.cutter.is_whole())
    }

    pub fn describe(&self, slot: u32) -> String {
        let socket = self.sockets.get(slot as usize).and_then(Option::as_ref);
        let socket = socket.map(|socket| (socket.uplink.len(), socket.tail.len(), socket.room, socket.held));
        let output = self.shard.output(slot).len();
        format!("unread, tail, room, held: {socket:?}, unsent: {output}")
    }

    fn lose(&mut self, slot: u32, now: u64, out: &mut Events) -> Verdict {
        let socket = self.sockets[slot as usize].take();
        out.extend(socket.map(|socket| Event::Closed(socket.connection)));
        self.shard.eof(slot, now);
        self.look(None, out)
    }

    fn receive(&mut self, slot: u32, now: u64, out: &mut Events) -> Verdict {
        loop {
            let Some(socket) = self.sockets.get_mut(slot as usize).and_then(Option::as_mut) else {
                return Ok(());
            };
            let received = self.shard.receive(slot, &socket.tail, now);
            socket.tail.drain(..received.consumed);
            let ends = received.rest == Rest::More;
            self.stalled = if !ends && received.consumed == 0 { self.stalled + 1 } else { 0 };
            self.look(Some(slot), out)?;
            if ends {
                return Ok(());
            }
            if self.stalled > 2 {
                return violation("receive asks for a flush again and again and takes nothing");
            }
            self.flush(now, out)?;
        }
    }

    /// Checks the shard and collects what it has written.
    fn look(&mut self, first: Option<u32>, out: &mut Events) -> Verdict {
        self.shard.invariants();
        let Host { shard, sockets, .. } = self;
        let others = (0..sockets.len() as u32).filter(|slot| Some(*slot) != first);
        let mut written = Vec::new();
        for slot in first.into_iter().chain(others) {
            let Some(socket) = &mut sockets[slot as usize] else { continue };
            let units = socket.look(shard.output(slot))?;
            if !units.is_empty() {
                written.push((socket.connection, units));
            }
        }
        if !written.is_empty() {
            out.push(Event::Written(written));
        }
        Ok(())
    }

    fn slots(&self, is: impl Fn(&Socket) -> bool) -> Vec<u32> {
        let all = self.sockets.iter().enumerate();
        all.filter(|(_, socket)| socket.as_ref().is_some_and(&is)).map(|(slot, _)| slot as u32).collect()
    }
}

/// Nanoseconds since 1970 at that time of the clock.
pub fn wall_ns(now: u64) -> u64 {
    1_800_000_000_000_000_000 + now
}

impl Socket {
    fn new(connection: ConnectionIx, room: usize) -> Socket {
        Socket {
            connection,
            uplink: VecDeque::new(),
            hung_up: false,
            room,
            frame_max: 0,
            sent: 0,
            tail: Vec::new(),
            held: false,
            resumed: false,
            awaits_room: false,
            cutter: Cutter::default(),
            looked_at: 0,
            unsent: VecDeque::new(),
        }
    }

    fn look(&mut self, output: &[u8]) -> Verdict<Vec<Unit>> {
        let mut units = Vec::new();
        let known = self.unsent.len();
        if output.len() < known {
            // The shard has given the connection up.
            self.unsent.truncate(output.len());
        } else if output.len() > known {
            self.unsent.extend(&output[known..]);
            self.looked_at += (output.len() - known) as u64;
            self.cutter.cut(&output[known..], self.frame_max, &mut units)?;
        }
        Ok(units)
    }
}

//! The sockets of a shard: bytes go from them into the `Shard` and from its outboxes into them.
//!
//! A read batch runs to its end: receive, run every frame, drain the rings, post commands, send what all
//! connections have to send. Only readiness is awaited, elsewhere (`shard::start`).

use super::receive::ReceiveBuffer;
use super::socket::Socket;
use crate::shard::{Rest, Shard};
use std::ops::Range;
use std::task::{Context, Poll, Waker};

/// Lives on: its shard. Indexed by the slots that the shard gave to the connections.
#[derive(Default)]
pub struct Sockets {
    endpoints: Vec<Option<Endpoint>>,
    buffer: ReceiveBuffer,
    resumed: Vec<u32>,
    pub io: IoCounts,
}

/// What crossed the sockets of this shard since the start.
#[derive(Clone, Copy, Default, Debug)]
pub struct IoCounts {
    pub reads: u64,
    pub bytes_in: u64,
    pub sends: u64,
    pub bytes_out: u64,
    /// Sends that the kernel took only in part, or not at all.
    pub short_sends: u64,
}

impl IoCounts {
    pub const NAMES: [&'static str; 5] = ["reads", "bytes_in", "sends", "bytes_out", "short_sends"];

    /// In the order of `NAMES`.
    pub fn values(&self) -> [u64; 5] {
        [self.reads, self.bytes_in, self.sends, self.bytes_out, self.short_sends]
    }
}

struct Endpoint {
    socket: Socket,
    /// Of the connection's task, for who sends on its behalf, resumes or closes it.
    waker: Waker,
    /// What could not be consumed yet, if it had to leave the receive buffer.
    tail: Vec<u8>,
    /// The kernel's send buffer is full, and the waker will be called when it is not.
    awaits_room: bool,
    /// Reading was held back: the tail may hold whole frames.
    held: bool,
    failed: bool,
}

/// What the connection's task does after its turn.
pub enum Turn {
    /// Waits to be woken.
    Wait,
    /// More is likely to be there: come again after the others.
    Again,
    /// The same, once the reactor has had its turn.
    Over,
    Leave(Leave),
}

pub enum Leave {
    /// The peer has gone.
    Gone,
    /// The server ends the connection: the peer is to see the last frame.
    Finish(Socket),
}

enum Read {
    Nothing,
    Part,
    Full,
    /// What came has made much work, and more of it is here.
    Much,
    End,
}

impl Sockets {
    pub fn enter(&mut self, slot: u32, socket: Socket) {
        let index = slot as usize;
        if self.endpoints.len() <= index {
            self.endpoints.resize_with(index + 1, || None);
        }
        debug_assert!(self.endpoints[index].is_none(), "the shard gave the slot twice");
        self.endpoints[index] = Some(Endpoint {
            socket,
            waker: Waker::noop().clone(),
            tail: Vec::new(),
            awaits_room: false,
            held: false,
            failed: false,
        });
    }

    /// What the task of `slot` does when it is woken.
    pub fn turn(&mut self, shard: &mut Shard, slot: u32, cx: &mut Context<'_>, now: u64) -> Turn {
        self.greet(shard, slot, cx, now);
        loop {
            if let Some(leave) = self.leaves(shard, slot, now) {
                return Turn::Leave(leave);
            }
            if !shard.may_read(slot) {
                self.endpoint(slot).held = true;
                return Turn::Wait;
            }
            match self.read(shard, slot, cx, now) {
                Read::Nothing => return Turn::Wait,
                Read::Part => {
                    self.settle(shard, now);
                }
                Read::Full => {
                    self.settle(shard, now);
                    return Turn::Again;
                }
                Read::Much => {
                    self.settle(shard, now);
                    return Turn::Over;
                }
                Read::End => self.endpoint(slot).failed = true,
            }
        }
    }

    /// Drains the rings and sends what that or a read batch made; answers whether the rings had anything.
    /// More to do may be left: `Shard::has_work`, `Shard::dirty_count`.
    pub fn settle(&mut self, shard: &mut Shard, now: u64) -> bool {
        let moved = shard.drain(now);
        for _ in 0..FLUSHES_MAX {
            if !self.flush(shard, now) {
                break;
            }
            // What was sent has made room, which may bring more to send.
            shard.flushed(now);
        }
        shard.take_resumed(&mut self.resumed);
        for slot in self.resumed.drain(..) {
            if let Some(endpoint) = &self.endpoints[slot as usize] {
                endpoint.waker.wake_by_ref();
            }
        }
        moved
    }

    /// The deadline of a shutdown has come: every connection's task ends it as if its socket had failed.
    pub fn cut_all(&mut self) {
        for endpoint in self.endpoints.iter_mut().flatten() {
            endpoint.failed = true;
            endpoint.waker.wake_by_ref();
        }
    }

    fn endpoint(&mut self, slot: u32) -> &mut Endpoint {
        self.endpoints[slot as usize].as_mut().expect("a task ends when its endpoint does")
    }

    /// Remembers who to wake, and sends what waited for room.
    fn greet(&mut self, shard: &mut Shard, slot: u32, cx: &Context<'_>, now: u64) {
        let Sockets { endpoints, io, .. } = self;
        let endpoint = endpoints[slot as usize].as_mut().expect("a task ends when its endpoint does");
        endpoint.waker.clone_from(cx.waker());
        if std::mem::take(&mut endpoint.awaits_room) {
            endpoint.send(shard, slot, now, io);
        }
    }

    fn leaves(&mut self, shard: &mut Shard, slot: u32, now: u64) -> Option<Leave> {
        if self.endpoint(slot).failed {
            self.take_away(slot);
            shard.eof(slot, now);
            self.settle(shard, now);
            return Some(Leave::Gone);
        }
        if shard.wants_close(slot) && shard.output(slot).is_empty() {
            let socket = self.take_away(slot);
            shard.closed(slot, now);
            self.settle(shard, now);
            return Some(Leave::Finish(socket));
        }
        None
    }

    fn take_away(&mut self, slot: u32) -> Socket {
        self.buffer.forget(slot);
        self.endpoints[slot as usize].take().expect("a task ends when its endpoint does").socket
    }

    /// One `recv(2)` behind the tail, and every complete frame of it run.
    fn read(&mut self, shard: &mut Shard, slot: u32, cx: &mut Context<'_>, now: u64) -> Read {
        let tail = self.load(slot);
        let endpoint = self.endpoints[slot as usize].as_mut().expect("a task ends when its endpoint does");
        if std::mem::take(&mut endpoint.held) && tail > 0 {
            let yields = self.run(shard, slot, 0..tail, now);
            return if yields { Read::Much } else { Read::Full };
        }
        let space = self.buffer.space(tail);
        assert!(!space.is_empty(), "a connection that may be read keeps less than a frame");
        match endpoint.socket.poll_receive(cx, space) {
            Poll::Pending => Read::Nothing,
            Poll::Ready(Ok(0) | Err(_)) => Read::End,
            Poll::Ready(Ok(count)) => {
                let full = count == space.len();
                self.io.reads += 1;
                self.io.bytes_in += count as u64;
                let yields = self.run(shard, slot, 0..tail + count, now);
                match (yields, full) {
                    (true, _) => Read::Much,
                    (false, true) => Read::Full,
                    (false, false) => Read::Part,
                }
            }
        }
    }

    fn load(&mut self, slot: u32) -> usize {
        if let Some((owner, tail)) = self.buffer.evict(slot)
            && let Some(endpoint) = &mut self.endpoints[owner as usize]
        {
            endpoint.tail = tail.to_vec();
        }
        let endpoint = self.endpoints[slot as usize].as_mut().expect("a task ends when its endpoint does");
        self.buffer.load(slot, &mut endpoint.tail)
    }

    /// Answers whether whole frames are left for the next turn.
    fn run(&mut self, shard: &mut Shard, slot: u32, mut bytes: Range<usize>, now: u64) -> bool {
        let yields = loop {
            let received = shard.receive(slot, self.buffer.filled(bytes.clone()), now);
            bytes.start += received.consumed;
            match received.rest {
                Rest::More => break false,
                Rest::Flush => _ = self.flush(shard, now),
                Rest::Turn => break true,
            }
        };
        self.endpoint(slot).held = yields;
        self.buffer.keep(slot, bytes);
        yields
    }

    /// Sends what any connection has to send; answers whether there was anything.
    fn flush(&mut self, shard: &mut Shard, now: u64) -> bool {
        let sends = self.io.sends;
        while let Some(slot) = shard.next_dirty() {
            match &mut self.endpoints[slot as usize] {
                Some(endpoint) if !endpoint.awaits_room => endpoint.send(shard, slot, now, &mut self.io),
                // Its task sends the rest when the kernel has room, unless the shard gave that up.
                Some(endpoint) if shard.output(slot).is_empty() => endpoint.waker.wake_by_ref(),
                Some(_) | None => {}
            }
        }
        self.io.sends > sends
    }
}

/// How often one batch is followed up by what its output made room for, before others have their turn.
const FLUSHES_MAX: usize = 2;

impl Endpoint {
    /// Sends until the outbox is empty or the kernel takes no more.
    fn send(&mut self, shard: &mut Shard, slot: u32, now: u64, io: &mut IoCounts) {
        loop {
            let output = shard.output(slot);
            if output.is_empty() {
                break;
            }
            io.sends += 1;
            match self.socket.poll_send(&mut Context::from_waker(&self.waker), output) {
                Poll::Ready(Ok(count)) => {
                    io.bytes_out += count as u64;
                    io.short_sends += u64::from(count < output.len());
                    shard.sent(slot, count, now);
                }
                Poll::Ready(Err(_)) => {
                    self.failed = true;
                    return self.waker.wake_by_ref();
                }
                Poll::Pending => {
                    io.short_sends += 1;
                    self.awaits_room = true;
                    return;
                }
            }
        }
        if shard.wants_close(slot) {
            self.waker.wake_by_ref();
        }
    }
}

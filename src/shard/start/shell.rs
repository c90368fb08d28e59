//! What the tasks of one shard share: the `Shard`, its sockets, the gate. No borrow outlives a call.

use super::Common;
use super::gate::{Gate, Pass};
use super::published::Published;
use super::store::wall_ns;
use crate::mesh::doorbell::Doorbell;
use crate::net::listener::{Accepted, Inbox};
use crate::net::{Socket, Sockets, Turn};
use crate::shard::desk::Done;
use crate::shard::{Peer, Shard};
use glommio::timer::Timer;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;

/// Lives on: its shard, within its glommio executor.
pub struct Shell {
    index: usize,
    rooms: RefCell<Rooms>,
    pub gate: Gate,
    pub common: Common,
    /// Of the mesh task, for who leaves work to be continued.
    mesh: RefCell<Waker>,
    /// Something was done since the last beat.
    busy: Cell<bool>,
    /// Of the clockwork.
    clockwork: RefCell<Waker>,
    /// Who waits for the answers of the desk, by ticket.
    orders: RefCell<BTreeMap<u32, oneshot::Sender<Done>>>,
    ticket: Cell<u32>,
    /// For what time it is set.
    alarm: RefCell<Option<Timer>>,
    alarm_at: Cell<u64>,
}

struct Rooms {
    shard: Shard,
    sockets: Sockets,
}

impl Rooms {
    fn has_work(&self) -> bool {
        self.shard.has_work() || self.shard.dirty_count() > 0
    }

    fn settle(&mut self, now: u64) -> bool {
        self.sockets.settle(&mut self.shard, now) | self.has_work()
    }
}

impl Shell {
    pub fn new(index: usize, shard: Shard, common: Common) -> Self {
        Shell {
            index,
            rooms: RefCell::new(Rooms { shard, sockets: Sockets::default() }),
            gate: Gate::new(),
            common,
            mesh: RefCell::new(Waker::noop().clone()),
            busy: Cell::new(false),
            clockwork: RefCell::new(Waker::noop().clone()),
            orders: RefCell::default(),
            ticket: Cell::new(0),
            alarm: RefCell::new(None),
            alarm_at: Cell::new(u64::MAX),
        }
    }

    pub fn published(&self) -> &Published {
        &self.common.published[self.index]
    }

    pub fn inbox(&self) -> &Inbox {
        &self.common.inboxes[self.index]
    }

    /// None: the shard takes no more connections, and the socket is closed.
    pub fn open(&self, accepted: Accepted) -> Option<u32> {
        let mut rooms = self.rooms.borrow_mut();
        let Accepted { peer: address, local, internal, trusted, .. } = accepted;
        let peer = Peer { address, local, internal, trusted };
        let slot = rooms.shard.open(peer, self.gate.now())?;
        rooms.sockets.enter(slot, Socket::adopt(accepted.stream));
        Some(slot)
    }

    /// The turn of a connection's task, once it has passed the gate.
    pub fn turn(&self, slot: u32, cx: &mut Context<'_>, now: u64) -> Turn {
        let mut rooms = self.rooms.borrow_mut();
        let Rooms { shard, sockets } = &mut *rooms;
        let turn = sockets.turn(shard, slot, cx, now);
        self.hand_in_claims(shard);
        self.continue_later(&rooms);
        self.busy.set(true);
        self.gate.worked();
        turn
    }

    /// The turn of the mesh task: takes new connections, drains the rings, goes on with work left over, and
    /// sleeps on the doorbell. Ready when the server stops.
    pub fn poll_mesh(&self, pass: &mut Pass, cx: &Context<'_>, take: impl Fn(Accepted)) -> Poll<()> {
        self.mesh.borrow_mut().clone_from(cx.waker());
        let Poll::Ready(now) = self.gate.poll_pass(pass, cx, &self.published().turns) else {
            return Poll::Pending;
        };
        while let Some(accepted) = self.inbox().arrived.pop() {
            take(accepted);
        }
        self.take_orders(now);
        self.take_verdicts(now);
        if self.common.stop.requested() {
            return Poll::Ready(());
        }
        let moved = self.settle(now);
        self.answer_orders();
        let parked = !moved && self.bell().park(cx.waker(), || self.must_wake());
        if !parked {
            cx.waker().wake_by_ref();
        }
        self.gate.worked();
        Poll::Pending
    }

    /// What is asked at the desk.
    fn take_orders(&self, now: u64) {
        while let Some((order, answer)) = self.common.counters[self.index].orders.pop() {
            let ticket = self.ticket.get();
            self.ticket.set(ticket.wrapping_add(1));
            self.orders.borrow_mut().insert(ticket, answer);
            self.rooms.borrow_mut().shard.order(ticket, order, now);
        }
    }

    /// What came of claims, and more of them for the room that this has made.
    fn take_verdicts(&self, now: u64) {
        while let Some((id, verdict)) = self.common.hasher.take(self.index) {
            let shard = &mut self.rooms.borrow_mut().shard;
            shard.take_verdict(id, &verdict, now);
            self.hand_in_claims(shard);
        }
    }

    fn hand_in_claims(&self, shard: &mut Shard) {
        while let Some(claim) = shard.next_claim() {
            self.common.hasher.hand_in(self.index, claim);
        }
    }

    fn answer_orders(&self) {
        for (ticket, done) in self.rooms.borrow_mut().shard.take_done() {
            if let Some(answer) = self.orders.borrow_mut().remove(&ticket) {
                // Who asked may have gone.
                let _ = answer.send(done);
            }
        }
    }

    /// Deadlines of the shard. The gate is not asked: this is short and must not wait.
    pub fn tick(&self) {
        let now = self.gate.now();
        let mut rooms = self.rooms.borrow_mut();
        rooms.shard.tick(now);
        rooms.settle(now);
        self.continue_later(&rooms);
        drop(rooms);
        self.tell_time();
    }

    /// The wall clock, for the times that messages carry.
    pub fn tell_time(&self) {
        self.rooms.borrow_mut().shard.set_wall(wall_ns(), self.gate.now());
    }

    /// The turn of the clockwork: takes what is due, and sleeps until something will be.
    pub fn poll_due(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.clockwork.borrow_mut().clone_from(cx.waker());
        let now = self.gate.now();
        let mut rooms = self.rooms.borrow_mut();
        if rooms.shard.next_due().is_some_and(|at| at <= now) {
            rooms.shard.flushed(now);
            rooms.settle(now);
            self.busy.set(true);
            self.continue_later(&rooms);
        }
        let next = rooms.shard.next_due();
        self.alarm_at.set(next.unwrap_or(u64::MAX));
        let mut alarm = next.map(|at| Timer::new(Duration::from_nanos(at.saturating_sub(now))));
        if alarm.as_mut().is_some_and(|alarm| Pin::new(alarm).poll(cx).is_ready()) {
            // What is left of a crowd takes its turn like everybody.
            cx.waker().wake_by_ref();
        }
        *self.alarm.borrow_mut() = alarm;
        Poll::Pending
    }

    /// Answers whether anything was done since the last call, and publishes the counters.
    pub fn beat(&self) -> bool {
        self.publish();
        self.busy.take()
    }

    pub fn publish(&self) {
        let mut rooms = self.rooms.borrow_mut();
        let io = rooms.sockets.io;
        self.published().publish(rooms.shard.counters(), &io);
        let (notes, lost) = rooms.shard.take_notes();
        self.common.board.leave(notes, lost);
    }

    /// True if there was something to do, or is left.
    pub fn settle(&self, now: u64) -> bool {
        let mut rooms = self.rooms.borrow_mut();
        let moved = rooms.settle(now);
        if moved {
            self.busy.set(true);
            self.continue_later(&rooms);
        }
        moved
    }

    pub fn shut_down(&self) {
        let now = self.gate.now();
        let mut rooms = self.rooms.borrow_mut();
        rooms.shard.shutdown(now);
        rooms.settle(now);
    }

    /// The last that the shard records.
    pub fn close_journal(&self) {
        self.rooms.borrow_mut().shard.close_journal();
    }

    /// Whether it is on disk.
    pub fn is_journal_done(&self) -> bool {
        self.rooms.borrow_mut().shard.is_journal_done()
    }

    pub fn connections(&self) -> usize {
        self.rooms.borrow().shard.connections()
    }

    pub fn cut_all(&self) {
        self.rooms.borrow_mut().sockets.cut_all();
    }

    /// What is left is the mesh task's.
    fn continue_later(&self, rooms: &Rooms) {
        if rooms.has_work() || rooms.shard.has_done() {
            self.mesh.borrow().wake_by_ref();
        }
        if rooms.shard.next_due().is_some_and(|at| at < self.alarm_at.get()) {
            self.clockwork.borrow().wake_by_ref();
        }
    }

    fn bell(&self) -> &Doorbell {
        &self.common.bells[self.index]
    }

    fn must_wake(&self) -> bool {
        let orders = &self.common.counters[self.index].orders;
        let told = self.common.stop.requested() || !self.inbox().arrived.is_empty() || !orders.is_empty();
        told || self.common.hasher.has(self.index) || self.rooms.borrow().shard.must_wake()
    }
}

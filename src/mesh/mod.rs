//! Between cores: for each ordered pair of shards one ring of commands, and a bell for the one that sleeps.
//!
//! ```text
//! record -> open parcel -+
//! command ---------------+-> stage -> ring (bounded) -> peer
//! ```
//! An emptied parcel travels back to the shard that filled it, so that nothing is allocated in steady state.
//! What does not fit the ring stays staged, in order; a shard with something staged reads no publishing
//! socket until its peers made room. Draining never waits, so two full shards cannot block each other.

pub mod doorbell;
pub mod parcel;
pub mod ring;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::ids::ShardId;
use crate::limits::{COMMANDS_AHEAD, PARCELS_KEPT};
use crate::message::Message;
use doorbell::Doorbell;
use parcel::{Parcel, Record, Span};
use ring::{Consumer, Producer};

/// One shard's end of all its rings. `C` is what crosses; a parcel must be one of its forms.
///
/// Lives on: its shard.
pub struct Mesh<C> {
    outbound: Vec<Option<Outbound<C>>>,
    inbound: Vec<Option<Consumer<Crossing<C>>>>,
    bells: Arc<[Doorbell]>,
    #[expect(clippy::vec_box, reason = "parcels move in and out of the rings as boxes")]
    spare: Vec<Box<Parcel>>,
    pub counters: MeshCounters,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct MeshCounters {
    pub commands_sent: u64,
    pub commands_received: u64,
    /// Times that a ring was full and commands stayed staged.
    pub spills: u64,
}

struct Outbound<C> {
    ring: Producer<Crossing<C>>,
    stage: VecDeque<Crossing<C>>,
    open: Option<Box<Parcel>>,
    /// Emptied parcels of that peer.
    #[expect(clippy::vec_box, reason = "parcels move in and out of the rings as boxes")]
    emptied: Vec<Box<Parcel>>,
}

enum Crossing<C> {
    Command(C),
    /// Back to its owner. Nobody is woken for it.
    Emptied(Box<Parcel>),
}

/// Joins `shards` shards by rings of `capacity` commands.
pub fn connect<C>(shards: u16, capacity: usize) -> Vec<Mesh<C>> {
    let count = usize::from(shards);
    let bells: Arc<[Doorbell]> = (0..count).map(|_| Doorbell::default()).collect();
    let mut ends: Vec<Mesh<C>> = (0..count).map(|_| Mesh::alone(count, bells.clone())).collect();
    for from in 0..count {
        for to in (0..count).filter(|&to| to != from) {
            let (producer, consumer) = ring::ring(capacity);
            ends[from].outbound[to] =
                Some(Outbound { ring: producer, stage: VecDeque::new(), open: None, emptied: Vec::new() });
            ends[to].inbound[from] = Some(consumer);
        }
    }
    ends
}

impl<C> Mesh<C> {
    fn alone(count: usize, bells: Arc<[Doorbell]>) -> Mesh<C> {
        Mesh {
            outbound: (0..count).map(|_| None).collect(),
            inbound: (0..count).map(|_| None).collect(),
            bells,
            spare: Vec::new(),
            counters: MeshCounters::default(),
        }
    }

    pub fn shards(&self) -> u16 {
        self.outbound.len() as u16
    }

    pub fn bell(&self, shard: ShardId) -> &Doorbell {
        &self.bells[shard.index()]
    }

    pub fn bells(&self) -> Arc<[Doorbell]> {
        self.bells.clone()
    }

    /// The next command from that peer.
    pub fn receive(&mut self, from: ShardId) -> Option<C> {
        let ring = self.inbound[from.index()].as_mut()?;
        loop {
            match ring.pop()? {
                Crossing::Emptied(parcel) if self.spare.len() < PARCELS_KEPT => self.spare.push(parcel),
                Crossing::Emptied(_) => {}
                Crossing::Command(command) => {
                    self.counters.commands_received += 1;
                    return Some(command);
                }
            }
        }
    }

    /// To be called after receiving from that peer: a sender that found its ring full waits for this.
    pub fn made_room(&self, peer: ShardId) {
        if let Some(ring) = &self.inbound[peer.index()]
            && ring.producer_spilled()
        {
            self.bells[peer.index()].ring();
        }
    }

    pub fn inbound_is_empty(&self) -> bool {
        self.inbound.iter().flatten().all(|ring| ring.is_empty())
    }

    /// Sends a parcel that was read back to who filled it, with the next post.
    pub fn give_back(&mut self, to: ShardId, mut parcel: Box<Parcel>) {
        if let Some(outbound) = &mut self.outbound[to.index()]
            && outbound.emptied.len() < PARCELS_KEPT
        {
            parcel.clear();
            outbound.emptied.push(parcel);
        }
    }

    /// Whether commands wait for room in a ring.
    pub fn spilled(&self) -> bool {
        self.outbound.iter().flatten().any(|outbound| !outbound.stage.is_empty())
    }

    /// Whether some peer has much to do already: who has time sends it no more, so that memory does not fill with parcels.
    pub fn is_ahead(&self) -> bool {
        self.outbound.iter().flatten().any(|outbound| outbound.ring.waiting() > COMMANDS_AHEAD)
    }

    /// Whether waiting commands would find room now: to be asked once more before the shard sleeps.
    pub fn can_post(&self) -> bool {
        self.outbound.iter().flatten().any(|outbound| !outbound.stage.is_empty() && !outbound.ring.is_full())
    }
}

impl<C: From<Box<Parcel>>> Mesh<C> {
    /// Sends a command behind all that was written to that peer before.
    pub fn send(&mut self, to: ShardId, command: C) {
        let outbound = self.outbound[to.index()].as_mut().expect("a shard sends to its peers only");
        if let Some(parcel) = outbound.open.take() {
            outbound.stage.push_back(Crossing::Command(C::from(parcel)));
        }
        outbound.stage.push_back(Crossing::Command(command));
    }

    /// Writes a record that stands for itself, or one whose message was just copied in by `message`.
    #[inline]
    pub fn record(&mut self, to: ShardId, record: Record) {
        let parcel = if record.has_message() { self.open(to) } else { self.open_with_room(to) };
        parcel.records.push(record);
    }

    /// Copies a message once for as many records as follow it to the same peer.
    #[inline]
    pub fn message(&mut self, to: ShardId, message: &Message<'_>, buffer: Option<&Bytes>) -> Span {
        self.open_with_room(to).add_message(message, buffer)
    }

    /// Moves what is staged into the rings and wakes the peers that sleep.
    pub fn post(&mut self) {
        for to in 0..self.outbound.len() {
            let Some(outbound) = &mut self.outbound[to] else { continue };
            if let Some(parcel) = outbound.open.take() {
                outbound.stage.push_back(Crossing::Command(C::from(parcel)));
            }
            if !outbound.stage.is_empty() {
                self.counters.commands_sent += outbound.ring.push_from(&mut outbound.stage) as u64;
                self.counters.spills += u64::from(!outbound.stage.is_empty());
                self.bells[to].ring();
            }
            if outbound.stage.is_empty() {
                outbound.send_emptied();
            }
        }
    }

    fn open(&mut self, to: ShardId) -> &mut Parcel {
        let outbound = self.outbound[to.index()].as_mut().expect("a shard writes to its peers only");
        let spare = &mut self.spare;
        outbound.open.get_or_insert_with(|| spare.pop().unwrap_or_default())
    }

    /// A full parcel ends here, never between a message and its records.
    fn open_with_room(&mut self, to: ShardId) -> &mut Parcel {
        let outbound = self.outbound[to.index()].as_mut().expect("a shard writes to its peers only");
        if outbound.open.as_ref().is_some_and(|parcel| parcel.is_full())
            && let Some(full) = outbound.open.take()
        {
            outbound.stage.push_back(Crossing::Command(C::from(full)));
        }
        self.open(to)
    }
}

impl<C> Outbound<C> {
    fn send_emptied(&mut self) {
        while let Some(parcel) = self.emptied.pop() {
            if let Err(Crossing::Emptied(parcel)) = self.ring.push(Crossing::Emptied(parcel)) {
                self.emptied.push(parcel);
                return;
            }
        }
    }
}

//! A connection's session, without its socket: bytes come in, frames collect in the outbox.
//!
//! ```text
//! Header -> Handshake -> Open -> Closing -> gone
//!              |                    ^
//!              +-> Refused ---------+
//! ```

pub mod channel;
pub mod confirms;
pub mod content;
pub mod deliver;
pub mod handshake;
pub mod heartbeat;
pub mod limit;
mod outbox;
pub mod publish;
pub mod reply_to;
pub mod transaction;
mod unacked;

pub use deliver::Asked;
pub use outbox::Outbox;
pub use unacked::UnackedTag;

use std::net::SocketAddr;

use crate::access::Seat;
use crate::amqp::frame::HEARTBEAT_FRAME;
use crate::amqp::method::Method;
use crate::amqp::reply::{ChannelError, ConnectionError};
use crate::ids::{ChannelNumber, ConnectionId, ConsumerId, QueueId};
use crate::limits::{
    BLOCKED_PUBLISH_BYTES_MAX, FRAME_MIN_BYTES, OUTBOX_BYTES, OUTBOX_HOLD_BYTES, PARKED_BYTES_MAX,
    WINDOW_BYTES_MIN,
};
use crate::message::Message;
use crate::slots::Slots;
use channel::{Channel, ChannelState, channel_in};
use deliver::ConsumerEnd;
use handshake::{Handshake, Session};
use heartbeat::Heartbeat;

/// Lives on: the connection's shard.
pub struct Connection {
    pub id: ConnectionId,
    pub phase: Phase,
    pub session: Option<Box<Session>>,
    pub frame_max: u32,
    pub channels: Vec<Option<Box<Channel>>>,
    pub channels_opened: u32,
    pub consumers: Slots<ConsumerEnd>,
    /// Consumers that used some of their window since the last grant.
    pub used: Vec<u32>,
    pub outbox: Outbox,
    /// Stands in the shard's list of connections with output.
    pub listed: bool,
    /// The body frame that is only partly here.
    pub partial: Option<Partial>,
    pub parked_bytes: usize,
    /// Has published: is held back when rings are full.
    pub publishes: bool,
    /// Publishes of it wait for the memory alarm to go.
    pub blocked: bool,
    /// The shell was told not to read; it is told when it may again.
    pub held: bool,
    /// Why it is held now, or was last.
    pub hold: Option<Hold>,
    /// The same of `blocked`.
    pub block: Option<Hold>,
    pub exclusive_queues: Vec<QueueId>,
    /// From connection.open until its channels and queues are gone.
    pub seat: Option<Seat>,
    /// The client has closed, or is gone, while channels were parked: what it sent before is done first.
    pub leaving: Option<ClosedBy>,
    /// The socket is closed.
    pub socket_gone: bool,
    pub heartbeat: Heartbeat,
    pub opened_at: u64,
    pub address: SocketAddr,
    /// Of the HTTP API, not of a client.
    pub internal: bool,
    /// Internal, and of somebody who may do everything and is no user.
    pub trusted: bool,
    /// The server's end of the socket.
    pub local: SocketAddr,
    pub octets: Octets,
}

/// What crossed the socket of a connection, and in how many pieces.
#[derive(Clone, Copy, Default, Debug)]
pub struct Octets {
    pub received: u64,
    pub receives: u64,
    pub sent: u64,
    pub sends: u64,
}

/// Why a client has to wait, and since when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    pub because: HeldBecause,
    /// By the clock of the shard, ns.
    pub since: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldBecause {
    /// Memory is low: its publishes wait.
    LowOnMemory,
    LowOnDisk,
    LowOnMemoryAndDisk,
    /// What it is sent stays here.
    ClientDoesNotRead,
    /// It sends more behind a method that is not answered yet than is kept for it.
    ChannelWaits,
    /// It publishes, and the rings to other shards are full.
    RingsFull,
    /// It publishes, and a journal has too much to write.
    JournalBehind,
}

pub enum Phase {
    /// The eight bytes of the protocol header are due.
    Header,
    Handshake(Box<Handshake>),
    Open,
    /// Everything is being taken down.
    Closing(Closing),
    /// A login was refused; the socket closes at this time.
    Refused {
        close_at: u64,
        /// Later than for others, as many were wrong that came from there.
        later: bool,
    },
}

/// What is left to do before the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    pub by: ClosedBy,
    /// Answers that are due for the deletion of exclusive queues; none until the channels are gone.
    pub deletions: Option<u32>,
    /// All channels and exclusive queues are gone.
    pub done: bool,
    /// When we stop waiting for close-ok.
    pub deadline: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// We owe close-ok.
    Client,
    /// The client owes close-ok.
    Server,
    /// Nothing more is to be said: the shell closes the socket once all output is sent.
    Gone,
}

/// A body frame of which bytes are still to come, its end octet included.
#[derive(Clone, Copy, Debug)]
pub struct Partial {
    pub channel: ChannelNumber,
    pub left: usize,
}

/// A queue, its consumer there, and the bytes that it may be sent again.
pub type Grant = (QueueId, ConsumerId, u32);

/// What a client did wrong: it costs the channel or the connection.
#[derive(Debug)]
pub enum Failure {
    Channel(ChannelError),
    Connection(ConnectionError),
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Failure {
        Failure::Channel(error)
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Failure {
        Failure::Connection(error)
    }
}

impl Connection {
    pub fn new(id: ConnectionId, address: SocketAddr, now: u64) -> Connection {
        Connection {
            id,
            phase: Phase::Header,
            session: None,
            frame_max: FRAME_MIN_BYTES,
            channels: Vec::new(),
            channels_opened: 0,
            consumers: Slots::default(),
            used: Vec::new(),
            outbox: Outbox::default(),
            listed: false,
            partial: None,
            parked_bytes: 0,
            publishes: false,
            blocked: false,
            held: false,
            hold: None,
            block: None,
            exclusive_queues: Vec::new(),
            seat: None,
            leaving: None,
            socket_gone: false,
            heartbeat: Heartbeat::new(now),
            opened_at: now,
            address,
            internal: false,
            trusted: false,
            local: address,
            octets: Octets::default(),
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    #[inline]
    pub fn channel(&mut self, number: ChannelNumber) -> Option<&mut Channel> {
        channel_in(&mut self.channels, number)
    }

    pub fn open_channel(&mut self, number: ChannelNumber) {
        let at = usize::from(number.0);
        if self.channels.len() <= at {
            self.channels.resize_with(at + 1, || None);
        }
        self.channels_opened += 1;
        self.channels[at] = Some(Box::new(Channel::new(number, self.channels_opened)));
        self.reply(number, &Method::ChannelOpenOk {});
    }

    #[inline]
    pub fn reply(&mut self, channel: ChannelNumber, method: &Method<'_>) {
        method.encode(channel, self.outbox.buffer());
    }

    /// Behind the deliveries of the channel, also if they are held back.
    pub fn reply_behind(&mut self, number: ChannelNumber, method: &Method<'_>) {
        match self.channel(number) {
            Some(channel) if channel.recovers() => method.encode(number, &mut channel.held_back),
            _ => self.reply(number, method),
        }
    }

    /// The channel has recovered: what was held back goes out, and counts for the windows.
    pub fn release_held_back(&mut self, number: ChannelNumber) {
        let Some(channel) = channel_in(&mut self.channels, number) else {
            return;
        };
        self.outbox.buffer().append(&mut channel.held_back);
        channel.held_back = Vec::new();
        for &handle in &channel.consumers {
            if let Some(end) = self.consumers.get_mut(handle)
                && end.used > 0
                && !end.listed
            {
                end.listed = true;
                self.used.push(handle);
            }
        }
    }

    pub fn beat(&mut self) {
        self.outbox.buffer().extend_from_slice(&HEARTBEAT_FRAME);
    }

    /// Encodes a delivery. False if there is nobody to take it: the consumer or its channel is going, and the
    /// message must go back to its queue (or, without ack, is lost with them).
    #[inline]
    pub fn deliver(
        &mut self,
        handle: u32,
        message: &Message<'_>,
        queue: QueueId,
        unacked: Option<u32>,
        redelivered: bool,
    ) -> bool {
        let Some(end) = self.consumers.get_mut(handle) else { return false };
        let Some(channel) = channel_in(&mut self.channels, end.channel) else {
            return false;
        };
        if channel.state != ChannelState::Open {
            return false;
        }
        let tag = channel.take_tag();
        let traffic = &mut channel.traffic;
        *(if unacked.is_some() { &mut traffic.deliver } else { &mut traffic.deliver_no_ack }) += 1;
        traffic.redeliver += u64::from(redelivered);
        if let Some(unacked) = unacked {
            channel.unacked.push(UnackedTag::delivered(tag, queue, unacked));
            if end.loan.lent > 0
                && let Some(limit) = &mut channel.limit
            {
                limit.used(&mut end.loan);
            }
        }
        let held_back = channel.recovers();
        let out = if held_back { &mut channel.held_back } else { self.outbox.buffer() };
        end.template.encode(message, tag, redelivered, self.frame_max, out);
        end.used += message.window_bytes();
        if !end.listed && !held_back {
            end.listed = true;
            self.used.push(handle);
        }
        true
    }

    /// Encodes a run of deliveries without acks that have the route of the last one, as long as `next`, which hears the
    /// window bytes so far, has a message. Answers how many there were, and their window bytes.
    #[inline]
    pub fn deliver_run<'m>(
        &mut self,
        handle: u32,
        route: &[u8],
        mut next: impl FnMut(u32) -> Option<Message<'m>>,
    ) -> (u64, u32) {
        let Some(end) = self.consumers.get_mut(handle) else { return (0, 0) };
        let Some(channel) = channel_in(&mut self.channels, end.channel) else {
            return (0, 0);
        };
        if channel.state != ChannelState::Open || channel.recovers() || end.template.route() != route {
            return (0, 0);
        }
        let (first_tag, out) = (channel.next_tag, self.outbox.buffer());
        let mut bytes = 0;
        while let Some(message) = next(bytes) {
            end.template.encode_again(&message, channel.take_tag(), false, self.frame_max, out);
            bytes += message.window_bytes();
        }
        end.used += bytes;
        if bytes > 0 && !end.listed {
            end.listed = true;
            self.used.push(handle);
        }
        let count = channel.next_tag - first_tag;
        channel.traffic.deliver_no_ack += count;
        (count, bytes)
    }

    /// The client sends more than we may keep for it: requests without reading the replies, frames behind a
    /// parked channel, or publishes during a memory alarm.
    pub fn is_overfull(&self) -> bool {
        let parked_max = if self.blocked { BLOCKED_PUBLISH_BYTES_MAX } else { PARKED_BYTES_MAX };
        self.outbox.len() > OUTBOX_HOLD_BYTES || self.parked_bytes > parked_max
    }

    /// It is not read from now on.
    pub fn hold(&mut self, because: HeldBecause, since: u64) {
        self.held = true;
        self.hold = Some(Hold { because, since });
    }

    /// Of a connection that is overfull: why.
    pub fn overfull_because(&self) -> HeldBecause {
        if self.outbox.len() > OUTBOX_HOLD_BYTES {
            HeldBecause::ClientDoesNotRead
        } else {
            HeldBecause::ChannelWaits
        }
    }

    /// Why it has to wait right now. An alarm says more than that what waits for it is not read any more.
    pub fn held_back(&self) -> Option<Hold> {
        self.block.filter(|_| self.blocked).or(self.hold.filter(|_| self.held))
    }

    /// Somebody may still read what is written.
    pub fn is_heard(&self) -> bool {
        self.is_open() && self.leaving != Some(ClosedBy::Gone)
    }

    /// Some channel waits for an answer, or frames wait for the end of a channel number's former life.
    pub fn any_parked(&self) -> bool {
        self.channels.iter().flatten().any(|channel| channel.pending.is_some() || !channel.parked.is_empty())
    }

    /// Share of the outbox that one consumer may fill. The sum over n consumers that came one after the other
    /// is at most OUTBOX_BYTES x (1 + ln n), as each got its share of the moment.
    pub fn window(&self) -> u32 {
        (OUTBOX_BYTES / (self.consumers.len() + 1)).max(WINDOW_BYTES_MIN) as u32
    }

    /// When all output is with the kernel: what each consumer may be sent again.
    pub fn grants(&mut self, here: impl Fn(QueueId) -> bool, grants: &mut Vec<Grant>) {
        let consumers = &mut self.consumers;
        self.used.retain(|&handle| {
            let Some(end) = consumers.get_mut(handle) else { return false };
            let Some(consumer) = end.consumer else { return true };
            // Over a ring a grant costs a record: it waits until half of the window is used.
            if !here(end.queue) && end.used < end.window / 2 {
                return true;
            }
            grants.push((end.queue, consumer, end.used));
            end.used = 0;
            end.listed = false;
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    /// A consumer that came as one of many has a small window. It must be granted by that, also when the
    /// others have gone and a new one would get more.
    #[test]
    fn a_consumer_elsewhere_is_granted_by_its_own_window() {
        let id = ConnectionId { shard: ShardId(0), slot: 0, generation: 1 };
        let mut connection = Connection::new(id, "127.0.0.1:1".parse().unwrap(), 0);
        connection.open_channel(ChannelNumber(1));
        let queue = QueueId { shard: ShardId(1), slot: 0, generation: 1 };
        let end = ConsumerEnd::new(ChannelNumber(1), Box::from(&b"t"[..]), true, queue, 1000);
        let handle = connection.consumers.insert_with(|_, _| end);
        let consumer = ConsumerId { slot: 7, generation: 1 };
        connection.consumers.get_mut(handle).unwrap().consumer = Some(consumer);
        let message = Message { route: b"\0\0", content: &[2; 400] };
        let mut grants = Vec::new();
        assert!(connection.deliver(handle, &message, queue, None, false));
        connection.grants(|_| false, &mut grants);
        assert_eq!(grants, [], "less than half is used");
        assert!(connection.deliver(handle, &message, queue, None, false));
        connection.grants(|_| false, &mut grants);
        assert_eq!(grants, [(queue, consumer, 2 * message.window_bytes())]);
    }
}

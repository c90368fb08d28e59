//! A channel: what its client may do now, what it waits for, and what it still holds.

use super::confirms::Confirms;
use super::content::Assembly;
use super::limit::Limit;
use super::reply_to::ReplyConsumer;
use super::transaction::Transaction;
use super::unacked::UnackedTags;
use crate::access::ChannelPlace;
use crate::ids::ChannelNumber;
use crate::stats::Traffic;

/// Lives on: the connection's shard.
pub struct Channel {
    pub number: ChannelNumber,
    /// Which opening of this number on this connection; answers to a former one are recognised by it.
    pub generation: u32,
    pub state: ChannelState,
    /// The request that another room answers. Until then the channel is parked: one method at a time.
    pub pending: Option<Pending>,
    pub blocked: Blocked,
    /// Whole frames that came while the channel was parked, in order.
    pub parked: ParkedFrames,
    pub assembly: Assembly,
    pub next_tag: u64,
    pub unacked: UnackedTags,
    pub confirms: Option<Confirms>,
    /// In tx mode: what waits for commit or rollback.
    pub transaction: Option<Box<Transaction>>,
    /// Stands in the shard's list of channels with a basic.ack to send.
    pub confirm_listed: bool,
    /// Prefetch count of the consumers to come.
    pub prefetch: u16,
    /// What all consumers of the channel may hold together, if that is limited.
    pub limit: Option<Box<Limit>>,
    /// Deliveries that came while the channel recovers: they go behind recover-ok, as what was sent before it is what
    /// goes back. The windows of its consumers bound them.
    pub held_back: Vec<u8>,
    /// The queue that an empty name means.
    pub last_queue: Option<Box<[u8]>>,
    /// The consumer of direct replies.
    pub reply_consumer: Option<Box<ReplyConsumer>>,
    /// Numbers of its consumers on the connection.
    pub consumers: Vec<u32>,
    /// Among the channels of its user.
    pub place: Option<ChannelPlace>,
    pub traffic: Traffic,
}

/// The open channel of this number, out of the connection's channels.
#[inline]
pub(super) fn channel_in(
    channels: &mut [Option<Box<Channel>>],
    number: ChannelNumber,
) -> Option<&mut Channel> {
    channels.get_mut(usize::from(number.0))?.as_deref_mut()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChannelState {
    Open,
    /// The channel is being taken down; `close_ok` says what is still due on the wire.
    Closing {
        step: TeardownStep,
        close_ok: CloseOk,
    },
}

/// Each step waits until its answers are here: cancelled, so that no delivery follows; then requeued, so that
/// close-ok means that the messages are back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TeardownStep {
    /// A request is under way; what it did must be known first.
    AwaitAnswer,
    Cancelling {
        left: u32,
    },
    Requeueing,
    AwaitBarriers {
        left: u32,
    },
    Done,
}

/// What of a channel waits for the memory alarm to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Blocked {
    #[default]
    No,
    Publishes,
    /// Other methods wait behind them, and whatever comes then waits behind those.
    PublishesAndMore,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseOk {
    /// The client closed the channel: we answer when all is done.
    WeOwe,
    /// We closed it: frames are ignored until the client has said close-ok.
    ClientOwes,
    /// Nothing more to say: the client has said close-ok, or the whole connection goes.
    Nobody,
}

/// What a parked channel waits for, with what its reply needs.
#[derive(Debug)]
pub enum Pending {
    ExchangeDeclare {
        nowait: bool,
    },
    ExchangeDelete {
        nowait: bool,
    },
    ExchangeBind {
        nowait: bool,
    },
    ExchangeUnbind {
        nowait: bool,
    },
    QueueDeclare {
        nowait: bool,
        exclusive: bool,
    },
    /// The queue exists: its counts make the declare-ok.
    QueueCounts {
        nowait: bool,
        name: Box<[u8]>,
    },
    QueueBind {
        nowait: bool,
    },
    /// Several binds in a row; for each whether it is to be answered.
    QueueBinds {
        nowait: Box<[bool]>,
    },
    QueueUnbind,
    QueuePurge {
        nowait: bool,
        queue: Box<[u8]>,
    },
    QueueDelete {
        nowait: bool,
        /// Consumers of this channel whose queue went meanwhile: they hear of it behind the delete-ok, as from RabbitMQ.
        gone: Vec<u32>,
    },
    Consume {
        handle: u32,
        nowait: bool,
        queue: Box<[u8]>,
    },
    Cancel {
        handle: u32,
        nowait: bool,
    },
    Get {
        queue: Box<[u8]>,
    },
    /// The limit of the channel changes once nothing is on its way that was lent before.
    Qos,
    /// Everything up to a tag goes back to its queues, piece by piece; then each other shard tells that it is done.
    Recover {
        last_tag: u64,
        /// Shards that have not told; none until the last piece is on its way.
        left: Option<u32>,
        nowait: bool,
    },
    /// The shards that have not yet done their part; none until they all have it.
    TxCommit {
        left: Option<u32>,
    },
}

impl Channel {
    pub fn new(number: ChannelNumber, generation: u32) -> Channel {
        Channel {
            number,
            generation,
            state: ChannelState::Open,
            pending: None,
            blocked: Blocked::No,
            parked: ParkedFrames::default(),
            assembly: Assembly::Idle,
            next_tag: 1,
            unacked: UnackedTags::default(),
            confirms: None,
            transaction: None,
            confirm_listed: false,
            prefetch: 0,
            limit: None,
            held_back: Vec::new(),
            last_queue: None,
            reply_consumer: None,
            consumers: Vec::new(),
            place: None,
            traffic: Traffic::default(),
        }
    }

    /// Open, waiting for nothing (nor for the memory alarm to go), not within a content and not in tx mode: a publish can go
    /// straight to its queues.
    #[inline]
    pub fn takes_publish(&self) -> bool {
        self.state == ChannelState::Open
            && self.pending.is_none()
            && matches!(self.assembly, Assembly::Idle)
            && self.transaction.is_none()
            && self.blocked == Blocked::No
    }

    /// Frames must wait: for an answer, or for the end of this number's former life.
    pub fn is_parked(&self) -> bool {
        match self.state {
            ChannelState::Open => self.pending.is_some(),
            ChannelState::Closing { close_ok, .. } => close_ok == CloseOk::Nobody,
        }
    }

    /// recover-ok is due.
    #[inline]
    pub fn recovers(&self) -> bool {
        matches!(self.pending, Some(Pending::Recover { nowait: false, .. }))
    }

    #[inline]
    pub fn take_tag(&mut self) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        tag
    }
}

/// Whole frames behind a request that is under way.
#[derive(Default)]
pub struct ParkedFrames {
    bytes: Vec<u8>,
    /// Bytes of those that have run.
    run: usize,
}

impl ParkedFrames {
    pub fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
    }

    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.run..]
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.run
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn advance(&mut self, bytes: usize) {
        self.run += bytes;
    }
}

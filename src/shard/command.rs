//! What crosses cores: every command that one shard may send to another, or to itself.

use std::sync::Arc;

use super::routers::News;
use crate::access::Access;
use crate::amqp::reply::ChannelError;
use crate::ids::{ConnectionId, ConsumerId, Name, QueueId, ReplyTo, Requester, Tx};
use crate::limits::COMMAND_RECORDS;
use crate::mesh::parcel::Parcel;
use crate::parameters::Parameters;
use crate::queue::{ConsumerAt, Overdue, Terms};
use crate::topology::{Outcome, QueueSpec, Request};

/// Sixteen bytes and a tag: whatever is larger is boxed.
pub enum Command {
    /// Messages, acks and credit, in order.
    Parcel(Box<Parcel>),

    /// To the queue's shard, behind what the channel published before.
    Ask(Box<Ask>),
    /// From the queue's shard, behind what it delivered before.
    Answer(Box<Answer>),
    /// Comes back as `BarrierPassed` when everything before it is done.
    Barrier(Requester),
    BarrierPassed(Requester),
    /// Behind all that a transaction brings there; comes back as `BarrierPassed` when that is as safe as it should be.
    Commit(Box<(Requester, Tx)>),
    /// To the requester's shard of direct replies: whether it is still there.
    FindReplyTo(Box<(Requester, ReplyTo)>),
    /// To the consumer's shard: its queue is gone.
    ConsumerGone(ConsumerAt),
    /// To the consumer's shard: it has had messages for too long.
    Overdue(Box<Overdue>),

    /// To the control shard, with the vhost that it is about.
    Request(Box<(Name, Request)>),
    QueueCreated(Box<QueueAt>),
    QueueDying(Box<QueueAt>),
    /// So far has the router of that vhost come.
    Applied(Box<(Name, u64)>),
    /// From the control shard.
    CreateQueue(Arc<QueueSpec>),
    News(Arc<News>),
    Outcome(Box<(Requester, Outcome)>),
    QueueGone(QueueId),
    EndQueue(QueueId),
    Access(Box<Access>),
    /// Comes back as `BarrierPassed` when all queues there go by them.
    Parameters(Box<(Parameters, Requester)>),
}

impl Command {
    /// How much of a drain it is.
    pub fn records(&self) -> usize {
        match self {
            Command::Parcel(parcel) => parcel.records.len(),
            Command::Ask(_)
            | Command::Answer(_)
            | Command::Barrier(_)
            | Command::BarrierPassed(_)
            | Command::Commit(_)
            | Command::FindReplyTo(_)
            | Command::ConsumerGone(_)
            | Command::Overdue(_)
            | Command::Request(_)
            | Command::QueueCreated(_)
            | Command::QueueDying(_)
            | Command::Applied(_)
            | Command::CreateQueue(_)
            | Command::News(_)
            | Command::Outcome(_)
            | Command::QueueGone(_)
            | Command::EndQueue(_)
            | Command::Access(_)
            | Command::Parameters(_) => COMMAND_RECORDS,
        }
    }
}

impl From<Box<Parcel>> for Command {
    fn from(parcel: Box<Parcel>) -> Command {
        Command::Parcel(parcel)
    }
}

/// A queue by its name and by its place.
pub struct QueueAt {
    pub vhost: Name,
    pub name: Name,
    pub id: QueueId,
}

/// A request that the queue's shard decides.
pub struct Ask {
    pub requester: Requester,
    pub queue: QueueId,
    pub question: Question,
}

#[derive(Clone, Copy, Debug)]
pub enum Question {
    Consume {
        handle: u32,
        terms: Terms,
    },
    Cancel {
        handle: u32,
        consumer: ConsumerId,
    },
    Get {
        no_ack: bool,
    },
    Purge,
    /// Of a queue that is declared, which is a use of it.
    Counts,
    Delete {
        if_unused: bool,
        if_empty: bool,
    },
}

pub struct Answer {
    pub requester: Requester,
    pub reply: Reply,
}

pub enum Reply {
    Consuming {
        consumer: ConsumerId,
    },
    Cancelled {
        handle: u32,
    },
    Got(Got),
    Empty,
    Purged {
        messages: u32,
    },
    Counts {
        messages: u32,
        consumers: u32,
    },
    Deleted {
        messages: u32,
    },
    /// The queue went before the request came.
    NotFound,
    Refused(ChannelError),
}

/// A message for basic.get-ok.
pub struct Got {
    pub queue: QueueId,
    pub unacked: Option<u32>,
    pub redelivered: bool,
    /// Ready messages left behind it.
    pub left: u32,
    pub record: Vec<u8>,
}

/// For whom the reply is, if anybody still waits for a queue to be gone.
pub struct Waiter {
    pub requester: Requester,
    pub reply: Reply,
}

impl Requester {
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }
}

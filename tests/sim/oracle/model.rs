//! The records that the oracle keeps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Fact, Letter, Window};
use crate::rules::QueueRules;

pub type ConnectionIx = usize;
pub type ChannelIx = usize;
pub type ConsumerIx = usize;
pub type QueueIx = usize;
pub type BindingIx = usize;
/// Also the number of the message.
pub type PublicationIx = usize;

pub struct ConnectionRecord {
    pub state: Life,
    /// The living channel of each number.
    pub channels: BTreeMap<u16, ChannelIx>,
    /// The last first delivery of each queue and publishing channel on this connection; or, as what comes while a channel
    /// recovers is held back, on that channel of a connection that has recovered.
    /// Each priority of a queue has its own.
    pub order: BTreeMap<(Option<ChannelIx>, QueueIx, ChannelIx, u8), PublicationIx>,
    pub has_recovered: bool,
    /// Wants to hear of consumers that the server cancelled.
    pub notify: bool,
    /// Did what earns it a connection error.
    pub provoked: bool,
    /// Takes out what is left at the end: all of that comes in publish order, redelivered or not.
    pub drains: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    Open,
    /// The client has written its close.
    Closing,
    /// The server has written its close.
    Refused,
    /// Nothing is written or done any more; of what was under way, at the next rest.
    Ended,
}

/// One life of a channel number.
pub struct ChannelRecord {
    pub connection: ConnectionIx,
    pub number: u16,
    pub state: Life,
    /// What the client wrote and is not known to be done.
    pub told: VecDeque<Told>,
    pub confirms: bool,
    /// In tx mode: what waits for commit or rollback.
    pub transaction: Option<Transaction>,
    /// By seqno - 1.
    pub seqnos: Vec<PublicationIx>,
    pub confirmed: u64,
    pub last_tag: u64,
    pub prefetch: u16,
    /// For all consumers together, as last confirmed; 0 for none.
    pub limit: u16,
    pub held: BTreeMap<u64, Held>,
    /// Of those, the ones that consumers were sent.
    pub delivered: u32,
    /// basic.recover that are not answered: what the channel holds may be ready again.
    pub recovering: u32,
    /// Behind a recover-async, which has no answer, it is not known how much is held.
    pub recovers_unseen: bool,
    pub consumers: BTreeMap<Vec<u8>, ConsumerIx>,
    /// The server's close and the client's have crossed.
    pub close_ok_due: bool,
    /// It ends, or is about to. The windows that its end has opened: at which queue, and whether messages may be lost.
    pub leaving: Option<Vec<(QueueIx, bool)>>,
    /// When its end began: from then on its messages may be ready again.
    pub left: u64,
}

#[derive(Default)]
pub struct Transaction {
    pub publishes: Vec<PublicationIx>,
    pub settlements: Vec<Settlement>,
}

/// What one ack, nack or reject settles.
pub struct Settlement {
    pub tags: Vec<(u64, Held)>,
    pub requeue: bool,
    pub ids: (u16, u16),
}

/// A message that waits for this channel's ack.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub queue: QueueIx,
    pub message: PublicationIx,
    pub consumer: Option<ConsumerIx>,
    /// When it was given, ns.
    pub at_ns: u64,
    /// Its settlement was rolled back: a recover that was written before the rollback passes it over.
    pub rolled_back: bool,
}

#[derive(Clone, Debug)]
pub struct Told {
    pub at: u64,
    pub at_ns: u64,
    pub request: Request,
}

/// What a client wrote on a channel.
#[derive(Clone, Debug)]
pub enum Request {
    Open,
    Close,
    Confirm {
        nowait: bool,
    },
    /// With the limit of all consumers together; 0 for none.
    Qos {
        limit: u16,
    },
    Publish(PublicationIx),
    /// A publish in tx mode: routed now, so that an error comes now.
    Hold(PublicationIx),
    Select,
    /// What it publishes.
    Commit(Vec<PublicationIx>),
    Rollback,
    /// What it settles; `wrong` names a tag that does not exist. `serial` tells it from others.
    Settle {
        serial: u64,
        copies: Vec<(QueueIx, PublicationIx)>,
        requeue: bool,
        ids: (u16, u16),
        wrong: bool,
    },
    /// What it gives back for sure, ready since then at the earliest.
    Recover {
        copies: Vec<(QueueIx, PublicationIx)>,
        since: u64,
        nowait: bool,
    },
    Declare {
        queue: QueueIx,
        nowait: bool,
        fresh: bool,
    },
    Passive {
        queue: QueueIx,
    },
    Bind {
        binding: BindingIx,
        nowait: bool,
    },
    Unbind {
        binding: BindingIx,
    },
    Purge {
        queue: QueueIx,
        nowait: bool,
    },
    Delete {
        queue: QueueIx,
        nowait: bool,
        conditional: bool,
    },
    Get {
        queue: QueueIx,
        no_ack: bool,
    },
    Consume {
        consumer: ConsumerIx,
        nowait: bool,
        exclusive: bool,
    },
    Cancel {
        consumer: ConsumerIx,
        nowait: bool,
    },
    /// About exchanges that anybody changes: only its answer is looked at.
    Exchange {
        ids: (u16, u16),
        nowait: bool,
        risky: bool,
    },
}

pub struct ConsumerRecord {
    pub queue: QueueIx,
    pub channel: ChannelIx,
    /// Empty until the server has given one.
    pub tag: Vec<u8>,
    pub no_ack: bool,
    pub prefetch: u16,
    /// consume-ok will come, and nothing is delivered before it.
    pub awaits_ok: bool,
    pub state: Consuming,
    pub active_from: Option<u64>,
    pub ended: Option<u64>,
    pub held: u32,
    pub priority: i64,
    /// What it has that is not settled it was given then or later, ns.
    pub since_ns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consuming {
    Asked,
    Active,
    /// basic.cancel, or the close of its channel, is written.
    Leaving,
    /// Nothing may be delivered to it.
    Ended,
}

pub struct QueueRecord {
    /// Empty until the server has given one.
    pub name: Vec<u8>,
    /// Of the shared names that anybody declares and deletes at any time: nothing of them is ever sure.
    pub contended: bool,
    pub durable: bool,
    pub auto_delete: bool,
    pub exclusive: Option<ConnectionIx>,
    pub rules: QueueRules,
    pub fact: Fact,
    /// It was used then, or later, ns; and not later, but for what is under way.
    pub used_ns: u64,
    pub idle_by_ns: u64,
    /// It may have ended as nobody used it.
    pub maybe_idle: bool,
    /// Where one consumer is served: the last that surely was.
    pub served_alone: Option<ConsumerIx>,
    /// Who changes it or its bindings now, and with how many requests.
    pub lock: Option<(ChannelIx, u32)>,
    pub bindings: Vec<BindingIx>,
    pub copies: BTreeMap<PublicationIx, Copy>,
    /// Deliveries may be lost without a trace: a consumer without acks is on its way out.
    pub lossy: Window,
    /// Deliveries may come back unseen: a consumer with acks is on its way out.
    pub hidden: Window,
    pub purging: Window,
    /// Somebody consumes, or may.
    pub served: Window,
    pub getting: Window,
    pub had_consumer: bool,
    pub had_exclusive_consumer: bool,
    /// When it last lost what does not outlive a server.
    pub emptied: u64,
    /// Behind the end of a server: what is there if something is that its channel published later.
    pub row: BTreeSet<PublicationIx>,
    /// Who saw delete-ok: nothing of it follows there.
    pub deleted_on: Option<ConnectionIx>,
}

pub struct BindingRecord {
    pub exchange: &'static str,
    pub key: Vec<u8>,
    pub queue: QueueIx,
    pub fact: Fact,
}

pub struct Publication {
    pub channel: ChannelIx,
    pub exchange: &'static str,
    pub key: Vec<u8>,
    pub mandatory: bool,
    pub len: usize,
    pub priority: Option<u8>,
    pub expiration_ms: Option<u64>,
    pub persistent: bool,
    /// If it is one: what happened to it before.
    pub letter: Option<Box<Letter>>,
    pub at: u64,
    /// When it was published, or died before, at the earliest.
    pub at_ns: u64,
    pub state: Routing,
    pub returned: bool,
    /// In tx mode: it goes to its queues with the commit, later than it is routed.
    pub held: bool,
    pub seqno: Option<u64>,
    pub confirmed: bool,
    /// Its publisher was told that it is safe.
    pub acked: bool,
    /// A letter that there may be twice, as a server ended on its way.
    pub doubled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routing {
    Written,
    /// Known to be routed since then, at the latest.
    Done(u64),
    /// Its channel ended; it may have been routed before.
    Unknown,
    /// Its channel had ended before.
    Never,
}

/// A message's place in one queue.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Known to have been routed to this queue.
    pub sure: bool,
    pub state: CopyState,
    /// When it became ready, at the earliest; or, if it is not, when it was handed out.
    pub since: u64,
    pub arrived: Arrived,
    /// A client was given it: from then on it is redelivered.
    pub seen: bool,
    /// Its settlement may have been done or not.
    pub maybe_gone: bool,
    /// When it was given to somebody, ns, and with which tag.
    pub given_ns: u64,
    pub tag: u64,
    /// It was there then, ns.
    pub by_ns: Option<u64>,
    /// How often it came back, as far as is known; `vague`: or more often.
    pub returns: u32,
    pub vague: bool,
    pub deliveries: u32,
    /// The same, as it said itself when it came last.
    pub told_returns: i64,
    /// It is being rejected.
    pub rejected: bool,
    /// The queue may have had no room for it.
    pub maybe_refused: bool,
    /// It surely died, whatever of.
    pub died: bool,
    /// What it became when it died.
    pub letter: Option<PublicationIx>,
    /// It was known to be gone then, ns; and is not to come back even if the server ends.
    pub gone_by_ns: Option<u64>,
    pub for_good: bool,
    /// It is known to be on disk.
    pub safe: bool,
    /// How often it came back before the last server is not known.
    pub uncounted: bool,
    /// Of which it may have died before the last server, by reason.
    pub may_have: [bool; 4],
}

impl Copy {
    pub fn new(state: CopyState, since: u64, arrived: Arrived) -> Copy {
        Copy {
            sure: true,
            state,
            since,
            arrived,
            seen: false,
            maybe_gone: false,
            given_ns: 0,
            tag: 0,
            by_ns: None,
            returns: 0,
            vague: false,
            deliveries: 0,
            told_returns: 0,
            rejected: false,
            maybe_refused: false,
            died: false,
            letter: None,
            gone_by_ns: None,
            for_good: false,
            safe: false,
            uncounted: false,
            may_have: [false; 4],
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyState {
    Ready,
    Held(ChannelIx),
    /// The ack of that serial is written, and not known to be done.
    Acking(u64),
    Gone,
}

/// Since when a ready message is surely to be found in its queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrived {
    NotYet,
    /// For requests that this channel made later.
    Behind(ChannelIx),
    At(u64),
}

impl Request {
    /// Class and method id.
    pub fn ids(&self) -> (u16, u16) {
        match self {
            Request::Open => (20, 10),
            Request::Close => (20, 40),
            Request::Confirm { .. } => (85, 10),
            Request::Qos { .. } => (60, 10),
            Request::Recover { nowait: false, .. } => (60, 110),
            Request::Recover { nowait: true, .. } => (60, 100),
            Request::Publish(_) | Request::Hold(_) => (60, 40),
            Request::Select => (90, 10),
            Request::Commit(_) => (90, 20),
            Request::Rollback => (90, 30),
            Request::Settle { ids, .. } | Request::Exchange { ids, .. } => *ids,
            Request::Declare { .. } | Request::Passive { .. } => (50, 10),
            Request::Bind { .. } => (50, 20),
            Request::Unbind { .. } => (50, 50),
            Request::Purge { .. } => (50, 30),
            Request::Delete { .. } => (50, 40),
            Request::Get { .. } => (60, 70),
            Request::Consume { .. } => (60, 20),
            Request::Cancel { .. } => (60, 30),
        }
    }

    /// Whether an answer is due.
    pub fn awaits_reply(&self) -> bool {
        match self {
            Request::Publish(_) | Request::Hold(_) | Request::Settle { .. } => false,
            Request::Open
            | Request::Select
            | Request::Commit(_)
            | Request::Rollback
            | Request::Close
            | Request::Qos { .. }
            | Request::Passive { .. }
            | Request::Unbind { .. }
            | Request::Get { .. } => true,
            Request::Confirm { nowait }
            | Request::Declare { nowait, .. }
            | Request::Bind { nowait, .. }
            | Request::Purge { nowait, .. }
            | Request::Delete { nowait, .. }
            | Request::Recover { nowait, .. }
            | Request::Consume { nowait, .. }
            | Request::Cancel { nowait, .. }
            | Request::Exchange { nowait, .. } => !nowait,
        }
    }

    /// Whether that method answers it.
    pub fn is_answered_by(&self, (class, method): (u16, u16)) -> bool {
        match self {
            Request::Get { .. } => (class, method) == (60, 71) || (class, method) == (60, 72),
            _ => (class, method) == (self.ids().0, self.ids().1 + 1),
        }
    }
}

impl QueueRecord {
    /// Whether that connection may use it.
    pub fn open_to(&self, connection: ConnectionIx) -> bool {
        self.exclusive.is_none_or(|owner| owner == connection)
    }
}

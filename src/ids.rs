//! Names for things that cross cores: a slot says where, a generation says which life of that slot.

use std::sync::Arc;

/// The name of an exchange or queue, a binding key, or encoded arguments. Shared, so that a name is in memory once and
/// not once per shard.
pub type Name = Arc<[u8]>;

/// The vhost that there is from the start.
pub fn root() -> Name {
    Name::from(&b"/"[..])
}

/// A core and its state. Shard 0 is the control shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard that owns the topology and serialises its changes.
    pub const CONTROL: ShardId = ShardId(0);

    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A channel of one connection; 0 is the connection itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ChannelNumber(pub u16);

/// A queue: the shard it lives on, its slot there, and which life of the slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct QueueId {
    pub shard: ShardId,
    pub slot: u32,
    pub generation: u32,
}

/// A consumer at its queue: its slot there, and which life of the slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConsumerId {
    pub slot: u32,
    pub generation: u32,
}

/// A connection: the shard it lives on, its slot there, and which life of the slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnectionId {
    pub shard: ShardId,
    pub slot: u32,
    pub generation: u32,
}

/// The channel that waits for an answer from another shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Requester {
    pub connection: ConnectionId,
    pub channel: ChannelNumber,
    /// Which opening of that channel number on that connection.
    pub channel_generation: u32,
}

/// Where direct replies go: a channel, and the key that its consumer's name was made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyTo {
    pub connection: ConnectionId,
    pub channel: ChannelNumber,
    pub key: [u64; 2],
}

/// Counts deliveries of a channel from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct DeliveryTag(pub u64);

/// Counts publishes of a channel in confirm mode from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct PublishSeqno(pub u64);

/// A durable queue for as long as its data is on disk: no other queue ever has the number, not after a restart either.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct QueueUid(pub u64);

/// A message in its shard's journal, by its number there; 0 stands for none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Kept(pub u32);

impl Kept {
    pub const NONE: Kept = Kept(0);

    pub fn is_none(self) -> bool {
        self == Kept::NONE
    }
}

/// A transaction that is being committed: no other of the same process has the number. 0 stands for none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Tx(pub u64);

impl Tx {
    pub const NONE: Tx = Tx(0);

    pub fn is_none(self) -> bool {
        self == Tx::NONE
    }
}

/// How a message comes to a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// It was dead-lettered.
    pub letter: bool,
    /// The commit that brings it.
    pub tx: Tx,
}

//! A client as it sees itself: what it has read, what it waits for, and what it may settle.

use std::collections::{BTreeMap, VecDeque};

use haremq::amqp::{LongStr, Method, ShortStr, Table, TableWriter};
use haremq::ids::ChannelNumber;

use crate::oracle::{ChannelIx, ConnectionIx, ConsumerIx, Oracle};
use crate::wire::Unit;

pub struct Client {
    pub connection: ConnectionIx,
    pub host: usize,
    pub slot: u32,
    pub phase: Phase,
    pub channels: BTreeMap<u16, Channel>,
    pub frame_max: u32,
    /// Wants to hear of consumers that the server cancelled.
    pub notify: bool,
    /// Units that are written; those that end within `read` octets are read.
    pub inbox: VecDeque<Unit>,
    pub read: u64,
    /// Octets that have come over the wire.
    pub arrived: u64,
    /// Does not read for so many steps.
    pub pauses: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Greeting,
    Open,
    Closing,
    Gone,
}

pub struct Channel {
    pub at: ChannelIx,
    pub closing: bool,
    pub awaited: VecDeque<Awaited>,
    /// Unsettled, in order.
    pub tags: Vec<u64>,
    /// Settled since the last commit or rollback, if it is in tx mode.
    pub uncommitted: Vec<u64>,
    pub consumers: Vec<ConsumerIx>,
    /// get-empty answers.
    pub empty: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Awaited {
    Consume(ConsumerIx),
    Get { no_ack: bool },
    Recover,
    Other,
}

impl Client {
    pub fn new(connection: ConnectionIx, (host, slot): (usize, u32), frame_max: u32, notify: bool) -> Client {
        Client {
            connection,
            host,
            slot,
            phase: Phase::Greeting,
            channels: BTreeMap::new(),
            frame_max,
            notify,
            inbox: VecDeque::new(),
            read: 0,
            arrived: 0,
            pauses: 0,
        }
    }

    /// The next unit that has been read to its end.
    pub fn next(&mut self) -> Option<Unit> {
        self.inbox.pop_front_if(|unit| unit.end <= self.read)
    }

    /// Understands a unit; what must be said at once is written to `answer`.
    pub fn take(&mut self, unit: &Unit, oracle: &Oracle, answer: &mut Vec<u8>) {
        let method = unit.method();
        if unit.channel == 0 {
            self.take_own(&method, answer);
            return;
        }
        let number = ChannelNumber(unit.channel);
        match method {
            Method::ChannelClose { .. } => {
                Method::ChannelCloseOk.encode(number, answer);
                self.closed_by_server(unit.channel);
            }
            Method::ChannelCloseOk => drop(self.channels.remove(&unit.channel)),
            method => {
                if let Some(channel) = self.channels.get_mut(&unit.channel) {
                    channel.take(&method, oracle);
                }
            }
        }
    }

    fn take_own(&mut self, method: &Method<'_>, answer: &mut Vec<u8>) {
        let zero = ChannelNumber(0);
        match method {
            Method::ConnectionStart { .. } => self.start_ok(answer),
            Method::ConnectionTune { channel_max, .. } => {
                let (channel_max, frame_max) = (*channel_max, self.frame_max);
                Method::ConnectionTuneOk { channel_max, frame_max, heartbeat: 0 }.encode(zero, answer);
                Method::ConnectionOpen { virtual_host: "/".into() }.encode(zero, answer);
            }
            Method::ConnectionOpenOk => self.phase = Phase::Open,
            Method::ConnectionClose { .. } => {
                Method::ConnectionCloseOk.encode(zero, answer);
                self.phase = Phase::Closing;
            }
            _ => {}
        }
    }

    fn start_ok(&self, answer: &mut Vec<u8>) {
        let notify = self.notify;
        let properties = TableWriter::new()
            .table("capabilities", |table| table.bool("consumer_cancel_notify", notify))
            .finish();
        Method::ConnectionStartOk {
            client_properties: Table::decode(&properties).expect("a table that we wrote"),
            mechanism: "PLAIN".into(),
            response: LongStr(b"\0guest\0guest"),
            locale: ShortStr::from("en_US"),
        }
        .encode(ChannelNumber(0), answer);
    }

    /// If its own close crossed the server's, the number is free when that is answered, too.
    fn closed_by_server(&mut self, number: u16) {
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.tags.clear();
            channel.consumers.clear();
            if !channel.closing {
                self.channels.remove(&number);
            }
        }
    }
}

impl Channel {
    pub fn new(at: ChannelIx) -> Channel {
        Channel {
            at,
            closing: false,
            awaited: VecDeque::from([Awaited::Other]),
            tags: Vec::new(),
            uncommitted: Vec::new(),
            consumers: Vec::new(),
            empty: 0,
        }
    }

    /// It has asked for its messages to be taken back: it settles none until it knows which.
    pub fn recovers(&self) -> bool {
        self.awaited.contains(&Awaited::Recover)
    }

    fn take(&mut self, method: &Method<'_>, oracle: &Oracle) {
        match method {
            Method::BasicDeliver { consumer_tag, delivery_tag, .. } => {
                let consumer = oracle.channels[self.at].consumers.get(&consumer_tag[..]);
                if consumer.is_some_and(|&consumer| !oracle.consumers[consumer].no_ack) {
                    self.tags.push(*delivery_tag);
                }
            }
            Method::BasicGetOk { delivery_tag, .. } => {
                if self.awaited.pop_front() == Some(Awaited::Get { no_ack: false }) {
                    self.tags.push(*delivery_tag);
                }
            }
            Method::BasicGetEmpty => {
                self.empty += 1;
                self.awaited.pop_front();
            }
            Method::BasicConsumeOk { .. } => {
                if let Some(Awaited::Consume(consumer)) = self.awaited.pop_front() {
                    self.consumers.push(consumer);
                }
            }
            Method::BasicRecoverOk => {
                // All that was sent before is the queues' again.
                self.tags.clear();
                self.awaited.pop_front();
            }
            Method::BasicReturn { .. }
            | Method::BasicAck { .. }
            | Method::BasicNack { .. }
            | Method::BasicCancel { .. } => {}
            _ => drop(self.awaited.pop_front()),
        }
    }
}

//! Takes what the parser finds on one connection: verifies, measures and acknowledges deliveries, settles confirms.

use haremq::amqp::Method;
use haremq::ids::ChannelNumber;
use hdrhistogram::Histogram;

use super::flight::WorkerState;
use super::parser::{Delivery, Sink};
use super::producer::Producer;
use crate::check::{QueueCheck, Verdict};
use crate::meter::Meter;
use crate::plan::{Acks, Settlement};
use crate::properties::Variants;
use crate::stamp::{Fill, Stamp};
use crate::violations::{Kind, Violations};

/// One basic.consume.
pub struct Consumer {
    /// Index into the worker's queue checks.
    pub queue: usize,
    pub rank: usize,
    pub acks: Acks,
    pub settlement: Settlement,
    pub unacked: u32,
    pub last_tag: u64,
    pub received: u64,
}

/// What a channel is for, by channel number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Unused,
    /// Index into the connection's producers.
    Producer(usize),
    /// Index into the connection's consumers.
    Consumer(usize),
}

/// What a worker counts; it goes to its atomics once per turn.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub sent: u64,
    pub received: u64,
    pub distinct: u64,
    pub confirmed: u64,
    pub nacked: u64,
    pub returned: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

/// What became of a connection while it was read.
#[derive(Default)]
pub struct News {
    pub blocked: Option<bool>,
    /// connection.close-ok came.
    pub closed: bool,
    pub consumers_ready: u64,
}

/// The parts of a worker that a read touches, borrowed for its length.
pub struct Receiver<'a> {
    /// Read once, after the bytes came.
    pub now: u64,
    pub roles: &'a [Role],
    pub producers: &'a mut [Producer],
    pub consumers: &'a mut [Consumer],
    pub output: &'a mut Vec<u8>,
    pub queues: &'a mut [QueueCheck],
    pub fill: &'a Fill,
    pub variants: &'a Variants,
    /// How late expired messages come, where it is they that come.
    pub lateness: Option<&'a mut Histogram<u64>>,
    pub latency: &'a mut Meter,
    pub confirm_latency: &'a mut Meter,
    pub tally: &'a mut Tally,
    pub violations: &'a mut Violations,
    pub news: News,
}

impl Sink for Receiver<'_> {
    #[inline]
    fn delivered(&mut self, delivery: Delivery, body: &[u8]) {
        let role = self.roles.get(usize::from(delivery.channel));
        let Some(&Role::Consumer(index)) = role else { return self.unexpected(delivery) };
        let consumer = &mut self.consumers[index];
        consumer.received += 1;
        self.tally.received += 1;
        match Stamp::decode(body) {
            Some(stamp) if self.fill.matches(body, stamp.sequence) => {
                let queue = &mut self.queues[consumer.queue];
                let stream = consumer.rank * self.variants.count() + self.variants.index(stamp);
                let verdict = queue.accept(stamp.producer, stamp.sequence, stream, delivery.redelivered);
                if let Some(lateness) = &mut self.lateness {
                    expired(self.variants, stamp, self.now, lateness, self.violations);
                }
                if verdict == Verdict::InOrder {
                    self.tally.distinct += 1;
                } else {
                    judge(self.violations, self.tally, verdict, stamp, delivery);
                }
                self.latency.done(stamp.planned, self.now);
            }
            stamp => damaged(self.violations, stamp, body.len(), delivery),
        }
        consumer.acknowledge(delivery, self.output);
    }

    fn returned(&mut self, channel: u16, body: &[u8]) {
        self.tally.returned += 1;
        let described = || format!("channel {channel}: basic.return of a message of {} bytes", body.len());
        self.violations.add(Kind::Returned, described);
    }

    fn method(&mut self, channel: u16, payload: &[u8]) -> Result<(), String> {
        let method = Method::decode(payload).map_err(|error| format!("cannot decode a method: {error:?}"))?;
        match method {
            Method::BasicAck { delivery_tag, multiple } => {
                self.confirmed(channel, delivery_tag, multiple, false)
            }
            Method::BasicNack { delivery_tag, multiple, .. } => {
                self.confirmed(channel, delivery_tag, multiple, true)
            }
            Method::BasicConsumeOk { .. } => {
                self.news.consumers_ready += 1;
                Ok(())
            }
            Method::ConnectionBlocked { .. } => self.blocked(true),
            Method::ConnectionUnblocked {} => self.blocked(false),
            Method::ConnectionCloseOk {} => {
                self.news.closed = true;
                Ok(())
            }
            Method::ConnectionClose { reply_code, reply_text, .. }
            | Method::ChannelClose { reply_code, reply_text, .. } => {
                Err(format!("{} {reply_code} {reply_text}", method.name()))
            }
            Method::ChannelFlow { active } => {
                Method::ChannelFlowOk { active }.encode(ChannelNumber(channel), self.output);
                self.blocked(!active)
            }
            _ => Err(format!("channel {channel}: {} out of turn", method.name())),
        }
    }
}

impl Receiver<'_> {
    /// Ends a read: what came in it was here at `now`.
    pub fn settle(self) -> News {
        self.latency.settle(self.now);
        self.confirm_latency.settle(self.now);
        self.news
    }

    fn confirmed(&mut self, channel: u16, tag: u64, multiple: bool, nack: bool) -> Result<(), String> {
        let Some(&Role::Producer(index)) = self.roles.get(usize::from(channel)) else {
            return Err(format!("channel {channel}: a confirm for a channel that does not publish"));
        };
        let (now, latency, tally) = (self.now, &mut *self.confirm_latency, &mut *self.tally);
        self.producers[index].confirm(tag, multiple, nack, |slot| {
            latency.done(slot.planned, now);
            if nack { tally.nacked += 1 } else { tally.confirmed += 1 }
        })
    }

    fn blocked(&mut self, blocked: bool) -> Result<(), String> {
        self.news.blocked = Some(blocked);
        Ok(())
    }

    #[cold]
    fn unexpected(&mut self, delivery: Delivery) {
        self.violations.add(Kind::Protocol, || {
            format!("a delivery on channel {}, which does not consume", delivery.channel)
        });
    }
}

impl Consumer {
    #[inline]
    fn acknowledge(&mut self, delivery: Delivery, output: &mut Vec<u8>) {
        let Acks::Every(count) = self.acks else { return };
        self.last_tag = delivery.tag;
        self.unacked += 1;
        if self.unacked >= count {
            self.acknowledge_all(delivery.channel, output);
        }
    }

    /// Acknowledges, or nacks, whatever was not yet.
    pub fn acknowledge_all(&mut self, channel: u16, output: &mut Vec<u8>) {
        if self.unacked > 0 {
            let (delivery_tag, multiple) = (self.last_tag, self.unacked > 1);
            let settle = match self.settlement {
                Settlement::Ack => Method::BasicAck { delivery_tag, multiple },
                Settlement::Nack { requeue } => Method::BasicNack { delivery_tag, multiple, requeue },
            };
            settle.encode(ChannelNumber(channel), output);
            self.unacked = 0;
        }
    }
}

/// Publishes the counters of a turn.
impl Tally {
    pub fn publish(&self, worker: &WorkerState) {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = &worker.counters;
        counters.sent.store(self.sent, Relaxed);
        counters.received.store(self.received, Relaxed);
        counters.distinct.store(self.distinct, Relaxed);
        counters.confirmed.store(self.confirmed, Relaxed);
        counters.nacked.store(self.nacked, Relaxed);
        counters.returned.store(self.returned, Relaxed);
        counters.bytes_sent.store(self.bytes_sent, Relaxed);
        counters.bytes_received.store(self.bytes_received, Relaxed);
    }
}

/// Takes into account when a message came that was to wait for its expiration. Its time began no sooner than it was written.
fn expired(
    variants: &Variants,
    stamp: Stamp,
    now: u64,
    lateness: &mut Histogram<u64>,
    violations: &mut Violations,
) {
    let Some(expiration_ms) = variants.expiration_ms(stamp) else { return };
    let due = stamp.planned.saturating_add(u64::from(expiration_ms) * NS_PER_MS);
    match now.checked_sub(due) {
        Some(late) => lateness.saturating_record(late),
        None => violations.add(Kind::Early, || {
            let early = due - now;
            format!("sequence {}, {expiration_ms} ms: expired {early} ns before its time", stamp.sequence)
        }),
    }
}

const NS_PER_MS: u64 = 1_000_000;

#[cold]
fn judge(violations: &mut Violations, tally: &mut Tally, verdict: Verdict, stamp: Stamp, delivery: Delivery) {
    tally.distinct += u64::from(verdict.is_new());
    let kind = match verdict {
        Verdict::InOrder | Verdict::Requeued => return,
        Verdict::Redelivered => return violations.redelivered(),
        Verdict::Overtaken => Kind::Reordered,
        Verdict::Duplicate => Kind::Duplicated,
        Verdict::UnknownProducer | Verdict::Implausible => Kind::Corrupted,
    };
    violations.add(kind, || {
        format!(
            "producer {} sequence {}, channel {} tag {}: {verdict:?}",
            stamp.producer, stamp.sequence, delivery.channel, delivery.tag
        )
    });
}

#[cold]
fn damaged(violations: &mut Violations, stamp: Option<Stamp>, body_bytes: usize, delivery: Delivery) {
    violations.add(Kind::Corrupted, || {
        format!(
            "channel {} tag {}: a body of {body_bytes} bytes that nobody published: {stamp:?}",
            delivery.channel, delivery.tag
        )
    });
}

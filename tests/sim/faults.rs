//! Faults planted between the broker and the oracle, as a bug of the broker would show. None of them is in the broker.

use std::collections::{BTreeMap, VecDeque};

use haremq::amqp::Method;

use crate::dice::Dice;
use crate::forgery::{forged, is_letter};
use crate::oracle::ConnectionIx;
use crate::rules::QueueRules;
use crate::wire::{Content, Unit};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    // On the way to the client.
    DropDelivery,
    RepeatDelivery,
    LateDelivery,
    SwapContents,
    FlipBody,
    ClearRedelivered,
    SetRedelivered,
    DropReply,
    LateReply,
    DropConfirm,
    EarlyConfirm,
    LateReturn,
    WrongCount,
    // On the way to the broker, which then does what it was not told.
    SwallowPublish,
    RepeatPublish,
    SwallowAck,
    AckAsMultiple,
    AckAsRequeue,
    RequeueAsDiscard,
    MorePrefetch,
    MoreTogether,
    LessTogether,
    RecoverLosesOne,
    ForgetMandatory,
    BindElsewhere,
    UnbindElsewhere,
    DeleteElsewhere,
    ConsumeWithoutAcks,
    RollbackAsCommit,
    CommitAsRollback,
    // Rules that the broker is told otherwise.
    ExpireEarly,
    ExpireNever,
    NoGraveyard,
    IgnorePriority,
    TwoActive,
    ReturnOnceMore,
    ReturnOnceLess,
    MoreThanMax,
    NeverTooSlow,
    NeverIdle,
    IdleEarly,
    IgnorePreference,
    // What dead letters and confirms say.
    WrongReason,
    WrongDeathCount,
    WrongDeathQueue,
    CyclicLetter,
    RepeatLetter,
    RefusedIsAcked,
    AckedIsRefused,
    // What the disk does instead of what it was told.
    ConfirmBeforeSync,
    ToldBeforeSync,
    SyncSkipped,
    ReadNotSynced,
    NamesNotSynced,
    SyncErrorIgnored,
    // What the next server reads.
    CutOneGroup,
    ChecksumIgnored,
    FreedEarly,
    StaleGroup,
    TxWithoutCommit,
    TxInPart,
    GapInRow,
    SettledReturns,
    AckAhead,
    SequenceReused,
    DeletedReturns,
    // What clients are told of what outlives the server.
    NotRedelivered,
    ConfirmTooFar,
}

pub const ALL: [Fault; 68] = [
    Fault::DropDelivery,
    Fault::RepeatDelivery,
    Fault::LateDelivery,
    Fault::SwapContents,
    Fault::FlipBody,
    Fault::ClearRedelivered,
    Fault::SetRedelivered,
    Fault::DropReply,
    Fault::LateReply,
    Fault::DropConfirm,
    Fault::EarlyConfirm,
    Fault::LateReturn,
    Fault::WrongCount,
    Fault::SwallowPublish,
    Fault::RepeatPublish,
    Fault::SwallowAck,
    Fault::AckAsMultiple,
    Fault::AckAsRequeue,
    Fault::RequeueAsDiscard,
    Fault::MorePrefetch,
    Fault::MoreTogether,
    Fault::LessTogether,
    Fault::RecoverLosesOne,
    Fault::ForgetMandatory,
    Fault::BindElsewhere,
    Fault::UnbindElsewhere,
    Fault::DeleteElsewhere,
    Fault::ConsumeWithoutAcks,
    Fault::RollbackAsCommit,
    Fault::CommitAsRollback,
    Fault::ExpireEarly,
    Fault::ExpireNever,
    Fault::NoGraveyard,
    Fault::IgnorePriority,
    Fault::TwoActive,
    Fault::ReturnOnceMore,
    Fault::ReturnOnceLess,
    Fault::MoreThanMax,
    Fault::NeverTooSlow,
    Fault::NeverIdle,
    Fault::IdleEarly,
    Fault::IgnorePreference,
    Fault::WrongReason,
    Fault::WrongDeathCount,
    Fault::WrongDeathQueue,
    Fault::CyclicLetter,
    Fault::RepeatLetter,
    Fault::RefusedIsAcked,
    Fault::AckedIsRefused,
    Fault::ConfirmBeforeSync,
    Fault::ToldBeforeSync,
    Fault::SyncSkipped,
    Fault::ReadNotSynced,
    Fault::NamesNotSynced,
    Fault::SyncErrorIgnored,
    Fault::CutOneGroup,
    Fault::ChecksumIgnored,
    Fault::FreedEarly,
    Fault::StaleGroup,
    Fault::TxWithoutCommit,
    Fault::TxInPart,
    Fault::GapInRow,
    Fault::SettledReturns,
    Fault::AckAhead,
    Fault::SequenceReused,
    Fault::DeletedReturns,
    Fault::NotRedelivered,
    Fault::ConfirmTooFar,
];

/// Plants one kind of fault now and then.
pub struct Faults {
    fault: Option<Fault>,
    dice: Dice,
    late: Option<(ConnectionIx, Unit)>,
    /// Commits and rollbacks that wait for their answers, and whether the broker was told the other.
    ends: VecDeque<(ConnectionIx, u16, bool)>,
    /// A letter of each consumer and routing key.
    letters: BTreeMap<(ConnectionIx, u16, Vec<u8>), Content>,
    /// The queue of each consumer.
    consumers: BTreeMap<(ConnectionIx, u16, Vec<u8>), Vec<u8>>,
    /// Messages with a lower number were published before the server was there.
    inherited: u64,
    /// Of channels in confirm mode: what was published, and what was confirmed too early.
    confirms: BTreeMap<(ConnectionIx, u16), (u64, u64)>,
    pub planted: u32,
}

impl Faults {
    pub fn new(fault: Option<Fault>, seed: u64) -> Faults {
        Faults {
            fault,
            dice: Dice::new(!seed),
            late: None,
            ends: VecDeque::new(),
            letters: BTreeMap::new(),
            consumers: BTreeMap::new(),
            inherited: 0,
            confirms: BTreeMap::new(),
            planted: 0,
        }
    }

    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// What the last server was told, and by whom, is history.
    pub fn server_ended(&mut self, published: u64) {
        (self.inherited, self.late) = (published, None);
        self.ends.clear();
        self.confirms.clear();
    }

    /// What reaches the client instead of these units.
    pub fn towards_client(&mut self, connection: ConnectionIx, units: Vec<Unit>) -> Vec<Unit> {
        let Some(fault) = self.fault else { return units };
        let mut out: Vec<Unit> = Vec::new();
        for unit in units {
            let end = unit.end;
            self.pass(fault, connection, unit, &mut out);
            if let Some((_, mut unit)) = self.late.take_if(|(of, unit)| *of == connection && unit.end < end) {
                unit.end = end;
                out.push(unit);
            }
        }
        out
    }

    /// What the broker is told instead of this method; nothing, if it is swallowed. `other` is a name that means nothing.
    pub fn towards_broker<'a>(
        &mut self,
        client: ConnectionIx,
        number: u16,
        method: Method<'a>,
    ) -> Option<Method<'a>> {
        let Some(fault) = self.fault else { return Some(method) };
        if let Method::BasicConsume { queue, consumer_tag, .. } = method {
            self.consumers.insert((client, number, consumer_tag.to_vec()), queue.to_vec());
        }
        match method {
            Method::ChannelOpen => drop(self.confirms.remove(&(client, number))),
            Method::ConfirmSelect { .. } => drop(self.confirms.entry((client, number)).or_default()),
            Method::BasicPublish { .. } => {
                if let Some((published, _)) = self.confirms.get_mut(&(client, number)) {
                    *published += 1;
                }
            }
            _ => {}
        }
        if matches!(method, Method::ChannelOpen) {
            // Of the number's former life no answer comes any more.
            self.ends.retain(|(of, channel, _)| (*of, *channel) != (client, number));
        }
        if matches!(method, Method::TxCommit | Method::TxRollback) {
            return Some(self.end_of_transaction(fault, client, number, method));
        }
        let other = "nowhere".into();
        let tampered = match (fault, method) {
            (Fault::SwallowAck, Method::BasicAck { .. }) => None,
            (Fault::AckAsMultiple, Method::BasicAck { delivery_tag, multiple: false }) => {
                Some(Method::BasicAck { delivery_tag, multiple: true })
            }
            (Fault::AckAsRequeue, Method::BasicAck { delivery_tag, multiple }) => {
                Some(Method::BasicNack { delivery_tag, multiple, requeue: true })
            }
            (Fault::RequeueAsDiscard, Method::BasicNack { delivery_tag, multiple, requeue: true }) => {
                Some(Method::BasicNack { delivery_tag, multiple, requeue: false })
            }
            (
                Fault::MorePrefetch | Fault::MoreTogether,
                Method::BasicQos { prefetch_size, prefetch_count, global },
            ) if prefetch_count > 0 && global == (fault == Fault::MoreTogether) => {
                Some(Method::BasicQos { prefetch_size, prefetch_count: prefetch_count + 1, global })
            }
            (Fault::LessTogether, Method::BasicQos { prefetch_size, prefetch_count, global: true })
                if prefetch_count > 1 =>
            {
                Some(Method::BasicQos { prefetch_size, prefetch_count: prefetch_count - 1, global: true })
            }
            (
                Fault::ForgetMandatory,
                Method::BasicPublish { exchange, routing_key, mandatory: true, immediate },
            ) => Some(Method::BasicPublish { exchange, routing_key, mandatory: false, immediate }),
            (Fault::BindElsewhere, Method::QueueBind { queue, exchange, nowait, arguments, .. })
                if !exchange.ends_with(b"fanout") =>
            {
                Some(Method::QueueBind { queue, exchange, routing_key: other, nowait, arguments })
            }
            (Fault::UnbindElsewhere, Method::QueueUnbind { queue, exchange, arguments, .. }) => {
                Some(Method::QueueUnbind { queue, exchange, routing_key: other, arguments })
            }
            (Fault::DeleteElsewhere, Method::QueueDelete { if_unused, if_empty, nowait, .. }) => {
                Some(Method::QueueDelete { queue: other, if_unused, if_empty, nowait })
            }
            (
                Fault::ConsumeWithoutAcks,
                Method::BasicConsume {
                    queue,
                    consumer_tag,
                    no_local,
                    no_ack: false,
                    exclusive,
                    nowait,
                    arguments,
                },
            ) => Some(Method::BasicConsume {
                queue,
                consumer_tag,
                no_local,
                no_ack: true,
                exclusive,
                nowait,
                arguments,
            }),
            _ => return Some(method),
        };
        if self.now(PERCENT_TO_BROKER) { tampered } else { Some(method) }
    }

    /// How often a publish is written, which is its method and its content.
    pub fn publishes(&mut self) -> usize {
        let instead = match self.fault {
            Some(Fault::SwallowPublish) => 0,
            Some(Fault::RepeatPublish) => 2,
            _ => return 1,
        };
        if self.now(PERCENT_TO_CLIENT) { instead } else { 1 }
    }

    /// The rules that the broker is told of.
    pub fn rules(&mut self, mut told: QueueRules) -> QueueRules {
        let Some(fault) = self.fault else { return told };
        match fault {
            Fault::ExpireEarly => told.ttl_ms = told.ttl_ms.map(|ms| ms.min(1)),
            Fault::ExpireNever => told.ttl_ms = None,
            Fault::NoGraveyard => told.graveyard = None,
            Fault::IgnorePriority => told.priority_max = None,
            Fault::TwoActive => told.single_active = false,
            Fault::ReturnOnceMore => told.delivery_limit = told.delivery_limit.map(|limit| limit + 1),
            Fault::ReturnOnceLess => told.delivery_limit = told.delivery_limit.map(|it| it.saturating_sub(1)),
            Fault::MoreThanMax => told.length_max = told.length_max.map(|max| max + 1),
            Fault::NeverTooSlow => told.timeout_ms = None,
            Fault::NeverIdle => told.expires_ms = None,
            Fault::IdleEarly => told.expires_ms = told.expires_ms.map(|ms| ms / 2),
            _ => return told,
        }
        self.planted += 1;
        told
    }

    /// The priority that the broker is told of for a consumer.
    pub fn preference(&mut self, priority: i64) -> i64 {
        if self.fault == Some(Fault::IgnorePreference) && priority != 0 && self.now(PERCENT_TO_BROKER) {
            return -priority;
        }
        priority
    }

    /// Whether a recover discards the oldest message.
    pub fn recover_loses_one(&mut self) -> bool {
        self.fault == Some(Fault::RecoverLosesOne) && self.now(PERCENT_TO_BROKER)
    }

    /// The broker may be told to roll back instead of to commit, or to commit instead.
    fn end_of_transaction<'a>(
        &mut self,
        fault: Fault,
        client: ConnectionIx,
        number: u16,
        method: Method<'a>,
    ) -> Method<'a> {
        let instead = match (fault, method) {
            (Fault::CommitAsRollback, Method::TxCommit) => Method::TxRollback,
            (Fault::RollbackAsCommit, Method::TxRollback) => Method::TxCommit,
            _ => method,
        };
        let swapped = instead != method && self.now(PERCENT_TO_BROKER);
        self.ends.push_back((client, number, swapped));
        if swapped { instead } else { method }
    }

    /// The client gets the answer to what it said.
    fn restore_answer(&mut self, connection: ConnectionIx, unit: &mut Unit) {
        let is_it =
            |(of, number, _): &(ConnectionIx, u16, bool)| (*of, *number) == (connection, unit.channel);
        let Some(at) = self.ends.iter().position(is_it) else { return };
        let swapped = self.ends.remove(at).is_some_and(|(_, _, swapped)| swapped);
        let instead = match unit.method() {
            Method::TxCommitOk if swapped => Method::TxRollbackOk,
            Method::TxRollbackOk if swapped => Method::TxCommitOk,
            _ => return,
        };
        unit.set_method(&instead);
    }

    /// Of the consumer that a delivery is for; "nowhere" if the server gave it its tag.
    fn queue_of(&self, connection: ConnectionIx, unit: &Unit) -> Vec<u8> {
        let Method::BasicDeliver { consumer_tag, .. } = unit.method() else { return Vec::new() };
        let key = (connection, unit.channel, consumer_tag.to_vec());
        self.consumers.get(&key).cloned().unwrap_or(b"nowhere".to_vec())
    }

    fn now(&mut self, percent: usize) -> bool {
        let now = self.dice.chance(percent);
        self.planted += u32::from(now);
        now
    }

    /// A confirm of all that was published so far; those that follow are not told.
    fn confirm_too_far(&mut self, connection: ConnectionIx, unit: &mut Unit) -> bool {
        let (Method::BasicAck { delivery_tag: tag, .. } | Method::BasicNack { delivery_tag: tag, .. }) =
            unit.method()
        else {
            return true;
        };
        let is_refusal = matches!(unit.method(), Method::BasicNack { .. });
        let now = !is_refusal && self.now(PERCENT_TO_BROKER);
        let Some((published, told)) = self.confirms.get_mut(&(connection, unit.channel)) else { return true };
        if tag <= *told {
            return false;
        }
        if now {
            *told = *published;
            unit.set_method(&Method::BasicAck { delivery_tag: *published, multiple: true });
        }
        true
    }

    fn pass(&mut self, fault: Fault, connection: ConnectionIx, mut unit: Unit, out: &mut Vec<Unit>) {
        if fault == Fault::ConfirmTooFar && !self.confirm_too_far(connection, &mut unit) {
            return;
        }
        if matches!(unit.method(), Method::TxCommitOk | Method::TxRollbackOk) {
            self.restore_answer(connection, &mut unit);
        }
        let method = unit.method();
        let is_delivery = matches!(method, Method::BasicDeliver { .. });
        let is_return = matches!(method, Method::BasicReturn { .. });
        let is_refusal = matches!(method, Method::BasicNack { .. });
        let is_confirm = matches!(method, Method::BasicAck { .. }) || is_refusal;
        let is_letter = is_delivery && unit.content.as_ref().is_some_and(is_letter);
        let is_reply = !is_delivery && !is_return && !is_confirm && unit.channel > 0;
        let concerns = match fault {
            Fault::DropDelivery | Fault::RepeatDelivery | Fault::LateDelivery | Fault::SwapContents => {
                is_delivery
            }
            Fault::ClearRedelivered => matches!(method, Method::BasicDeliver { redelivered: true, .. }),
            Fault::SetRedelivered => matches!(method, Method::BasicDeliver { redelivered: false, .. }),
            Fault::FlipBody => unit.content.as_ref().is_some_and(|content| !content.body.is_empty()),
            Fault::DropReply | Fault::LateReply => is_reply,
            Fault::DropConfirm | Fault::EarlyConfirm => is_confirm,
            Fault::LateReturn => is_return,
            Fault::NotRedelivered => {
                let is_again = matches!(
                    method,
                    Method::BasicDeliver { redelivered: true, .. }
                        | Method::BasicGetOk { redelivered: true, .. }
                );
                is_again && unit.number().is_some_and(|number| number < self.inherited)
            }
            Fault::RefusedIsAcked => is_refusal,
            Fault::AckedIsRefused => is_confirm && !is_refusal,
            Fault::WrongReason
            | Fault::WrongDeathCount
            | Fault::WrongDeathQueue
            | Fault::CyclicLetter
            | Fault::RepeatLetter => is_letter,
            Fault::WrongCount => {
                matches!(method, Method::QueueDeclareOk { .. } | Method::QueuePurgeOk { .. })
            }
            _ => false,
        };
        let is_rare = matches!(fault, Fault::RefusedIsAcked | Fault::AckedIsRefused);
        let percent = if is_rare { PERCENT_TO_BROKER } else { PERCENT_TO_CLIENT };
        if !concerns || self.late.is_some() || !self.now(percent) {
            out.push(unit);
            return;
        }
        match fault {
            Fault::DropDelivery | Fault::DropReply | Fault::DropConfirm => {}
            Fault::RepeatDelivery => out.extend([unit.clone(), unit]),
            Fault::LateDelivery | Fault::LateReply | Fault::LateReturn => {
                self.late = Some((connection, unit))
            }
            Fault::SwapContents => match out.last_mut() {
                Some(last) if matches!(last.method(), Method::BasicDeliver { .. }) => {
                    std::mem::swap(&mut last.content, &mut unit.content);
                    out.push(unit);
                }
                _ => {
                    self.planted -= 1;
                    out.push(unit);
                }
            },
            Fault::RepeatLetter => {
                let Method::BasicDeliver { consumer_tag, routing_key, .. } = method else { return };
                let of = [&consumer_tag[..], b" ", &routing_key[..]].concat();
                let key = (connection, unit.channel, of);
                match self.letters.get(&key) {
                    Some(before) => unit.content = Some(before.clone()),
                    None => {
                        self.planted -= 1;
                        self.letters.extend(unit.content.clone().map(|content| (key, content)));
                    }
                }
                out.push(unit);
            }
            Fault::WrongReason | Fault::WrongDeathCount | Fault::WrongDeathQueue | Fault::CyclicLetter => {
                let queue = self.queue_of(connection, &unit);
                if let Some(content) = &mut unit.content {
                    content.properties = forged(&content.properties, fault, &queue);
                }
                out.push(unit);
            }
            Fault::FlipBody => {
                if let Some(octet) = unit.content.as_mut().and_then(|content| content.body.last_mut()) {
                    *octet ^= 1;
                }
                out.push(unit);
            }
            _ => {
                change(&mut unit, fault);
                out.push(unit);
            }
        }
    }
}

/// Changes one detail of a unit, which depends on what it is.
fn change(unit: &mut Unit, fault: Fault) {
    let bytes = unit.method.clone();
    let changed = match Method::decode(&bytes) {
        Ok(Method::BasicDeliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key }) => {
            Method::BasicDeliver {
                consumer_tag,
                delivery_tag,
                redelivered: !redelivered,
                exchange,
                routing_key,
            }
        }
        Ok(Method::BasicGetOk { delivery_tag, redelivered, exchange, routing_key, message_count }) => {
            Method::BasicGetOk {
                delivery_tag,
                redelivered: !redelivered,
                exchange,
                routing_key,
                message_count,
            }
        }
        Ok(Method::BasicAck { delivery_tag, multiple }) if fault == Fault::AckedIsRefused => {
            Method::BasicNack { delivery_tag, multiple, requeue: false }
        }
        Ok(Method::BasicNack { delivery_tag, multiple, .. }) if fault == Fault::RefusedIsAcked => {
            Method::BasicAck { delivery_tag, multiple }
        }
        Ok(Method::BasicAck { delivery_tag, multiple }) => {
            Method::BasicAck { delivery_tag: delivery_tag + 1, multiple }
        }
        Ok(Method::QueueDeclareOk { queue, message_count, consumer_count }) => {
            Method::QueueDeclareOk { queue, message_count: message_count + 1, consumer_count }
        }
        Ok(Method::QueuePurgeOk { message_count }) => {
            Method::QueuePurgeOk { message_count: message_count + 1 }
        }
        _ => return,
    };
    unit.set_method(&changed);
}

/// How often a fault is planted where it can be.
const PERCENT_TO_CLIENT: usize = 5;
const PERCENT_TO_BROKER: usize = 30;

//! What is tried: each operation on names that patterns are written for, on others, on the broker's own and on none.

use crate::common::wire::short;
use haremq::amqp::{Method, Table, TableWriter};

/// An operation, and what it is done to.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub operation: Operation,
    pub on: &'static str,
    /// The other exchange or queue, if there are two.
    pub and: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    DeclareExchange,
    DeclareExchangePassive,
    DeclareExchangeOfNoType,
    /// `and` is its alternate exchange.
    DeclareExchangeWithAlternate,
    DeleteExchange,
    /// To the destination `on` from the source `and`; the three that follow, too.
    BindExchange,
    UnbindExchange,
    BindQueue,
    UnbindQueue,
    DeclareQueue,
    DeclareQueuePassive,
    /// `and` is its dead letter exchange.
    DeclareQueueWithDeadLetters,
    DeleteQueue,
    PurgeQueue,
    Publish,
    Get,
    Consume,
}

/// A queue that the broker named: its name goes in here.
pub const NAMED_BY_BROKER: &str = "amq.gen-*";
/// There before each case, on both sides of the pattern `^own`.
pub const QUEUES: [&str; 2] = ["own-q", "q"];
pub const EXCHANGES: [&str; 2] = ["own-x", "x"];
/// Not there before any case.
pub const NEW: [&str; 2] = ["own-new", "new"];
const AMQ: &str = "amq.direct";
const DEFAULT: &str = "";

pub fn all() -> Vec<Case> {
    use Operation as Op;
    let exchanges = [EXCHANGES[0], EXCHANGES[1], AMQ, DEFAULT];
    let queues = [QUEUES[0], QUEUES[1], NAMED_BY_BROKER];
    let with_new = |names: &[&'static str]| [names, &NEW].concat();
    let mut cases = Vec::new();
    let mut each = |operation: Op, on: &[&'static str], and: &[&'static str]| {
        cases.extend(on.iter().flat_map(|&on| and.iter().map(move |&and| Case { operation, on, and })));
    };
    let one = [""];
    each(Op::Publish, &with_new(&exchanges), &one);
    for operation in [Op::Get, Op::Consume, Op::PurgeQueue, Op::DeclareQueuePassive] {
        each(operation, &with_new(&queues), &one);
    }
    each(Op::DeclareExchangePassive, &with_new(&exchanges), &one);
    each(Op::DeclareExchange, &[&with_new(&exchanges)[..], &["amq.new"]].concat(), &one);
    each(Op::DeclareExchangeOfNoType, &with_new(&exchanges), &one);
    each(Op::DeclareExchangeWithAlternate, &NEW, &with_new(&exchanges));
    each(Op::DeclareExchangeWithAlternate, &EXCHANGES, &[AMQ]);
    each(Op::DeclareQueue, &[&with_new(&queues)[..], &["amq.new", DEFAULT]].concat(), &one);
    each(Op::DeclareQueueWithDeadLetters, &[NEW[0], NEW[1], DEFAULT], &with_new(&exchanges));
    each(Op::DeclareQueueWithDeadLetters, &QUEUES, &[AMQ]);
    for operation in [Op::BindQueue, Op::UnbindQueue] {
        each(operation, &with_new(&queues), &with_new(&exchanges));
    }
    for operation in [Op::BindExchange, Op::UnbindExchange] {
        each(operation, &with_new(&exchanges), &with_new(&exchanges));
    }
    each(Op::DeleteExchange, &with_new(&exchanges), &one);
    each(Op::DeleteQueue, &with_new(&queues), &one);
    cases
}

impl Case {
    /// As it is sent, to the queue `named_by_broker` if it is about one.
    pub fn send(&self, named_by_broker: &str, send: impl FnOnce(Method<'_>)) {
        let on = if self.on == NAMED_BY_BROKER { named_by_broker } else { self.on };
        let (on, and) = (short(on), short(self.and));
        let leads_on = TableWriter::new().string(self.argument(), self.and).finish();
        let arguments = if self.argument().is_empty() { &[][..] } else { &leads_on };
        let arguments = Table::decode(arguments).expect("a table that we wrote");
        let (key, nowait, tag) = (short("key"), false, short("tag"));
        let passive =
            matches!(self.operation, Operation::DeclareExchangePassive | Operation::DeclareQueuePassive);
        send(match self.operation {
            Operation::DeclareExchange
            | Operation::DeclareExchangePassive
            | Operation::DeclareExchangeOfNoType
            | Operation::DeclareExchangeWithAlternate => Method::ExchangeDeclare {
                exchange: on,
                type_: short(if self.operation == Operation::DeclareExchangeOfNoType {
                    "none"
                } else {
                    "direct"
                }),
                passive,
                durable: self.on == AMQ,
                auto_delete: false,
                internal: false,
                nowait,
                arguments,
            },
            Operation::DeleteExchange => Method::ExchangeDelete { exchange: on, if_unused: false, nowait },
            Operation::BindExchange => {
                Method::ExchangeBind { destination: on, source: and, routing_key: key, nowait, arguments }
            }
            Operation::UnbindExchange => {
                Method::ExchangeUnbind { destination: on, source: and, routing_key: key, nowait, arguments }
            }
            Operation::BindQueue => {
                Method::QueueBind { queue: on, exchange: and, routing_key: key, nowait, arguments }
            }
            Operation::UnbindQueue => {
                Method::QueueUnbind { queue: on, exchange: and, routing_key: key, arguments }
            }
            Operation::DeclareQueue
            | Operation::DeclareQueuePassive
            | Operation::DeclareQueueWithDeadLetters => Method::QueueDeclare {
                queue: on,
                passive,
                durable: false,
                exclusive: false,
                auto_delete: false,
                nowait,
                arguments,
            },
            Operation::DeleteQueue => {
                Method::QueueDelete { queue: on, if_unused: false, if_empty: false, nowait }
            }
            Operation::PurgeQueue => Method::QueuePurge { queue: on, nowait },
            Operation::Publish => {
                Method::BasicPublish { exchange: on, routing_key: key, mandatory: true, immediate: false }
            }
            Operation::Get => Method::BasicGet { queue: on, no_ack: true },
            Operation::Consume => Method::BasicConsume {
                queue: on,
                consumer_tag: tag,
                no_local: false,
                no_ack: true,
                exclusive: false,
                nowait,
                arguments,
            },
        });
    }

    /// The argument that leads on to another exchange.
    fn argument(&self) -> &'static str {
        match self.operation {
            Operation::DeclareExchangeWithAlternate => "alternate-exchange",
            Operation::DeclareQueueWithDeadLetters => "x-dead-letter-exchange",
            _ => "",
        }
    }
}

//! What RabbitMQ checks of a queue's arguments, value by value. Where HareMQ's queues know more or less than those of
//! Debian's RabbitMQ, the row says so.

use super::ask;
use super::case::{Case, Outcome, Scene, soft};
use super::channel::row;
use crate::common::wire::short;
use haremq::amqp::{Array, Method, Table, TableWriter, Value};

pub fn rows() -> Vec<Case> {
    [integers(), others(), orders(), names(), quorum(), ours()].into_iter().flatten().collect()
}

pub type Write = fn(TableWriter) -> TableWriter;

const DECLARED: Outcome = Outcome::Answer("queue.declare-ok");
const NO_STREAMS: &str = "there are no streams here";

fn invalid(argument: &str, what: &str) -> Outcome {
    let text =
        format!("PRECONDITION_FAILED - invalid arg '{argument}' for queue '{{q}}' in vhost '/': {what}");
    soft(406, &text, (50, 10))
}

fn foreign(argument: &str, kind: &str) -> Outcome {
    let text = format!(
        "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{{q}}' in vhost '/' of queue type {kind}"
    );
    soft(406, &text, (50, 10))
}

/// An exclusive queue with that one argument.
fn single(argument: &'static str, value: Value<'static>, outcome: Outcome) -> Case {
    row(&format!("a queue with {argument} of {value:?}"), outcome, move |s| {
        let arguments = TableWriter::new().value(argument, value).finish();
        s.wire.send(1, ask::declare_with(s.q, &arguments));
    })
}

fn several(name: &str, outcome: Outcome, write: Write) -> Case {
    row(name, outcome, move |s| {
        s.wire.send(1, ask::declare_with(s.q, &write(TableWriter::new()).finish()));
    })
}

/// How a queue is declared that need not be exclusive.
#[derive(Clone, Copy)]
pub struct Shared {
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
}

pub const DURABLE: Shared = Shared { durable: true, exclusive: false, auto_delete: false };

impl Shared {
    pub fn declare(self, s: &mut Scene<'_>, queue: &str, write: Write) {
        let bytes = write(TableWriter::new()).finish();
        let arguments = Table::decode(&bytes).expect("a table that we wrote");
        let (queue, passive, nowait) = (short(queue), false, false);
        let Shared { durable, exclusive, auto_delete } = self;
        s.wire.send(
            1,
            Method::QueueDeclare { queue, passive, durable, exclusive, auto_delete, nowait, arguments },
        );
    }
}

fn shared(name: &str, outcome: Outcome, how: Shared, write: Write) -> Case {
    row(name, outcome, move |s| how.declare(s, s.q, write))
}

/// Arguments that are integers: what else RabbitMQ calls each type, and the bounds.
fn integers() -> Vec<Case> {
    let mut rows = Vec::new();
    for argument in INTEGERS {
        let others = NO_INTEGERS.iter().map(|(value, kind)| {
            single(argument, *value, invalid(argument, &format!("\"expected integer, got {kind}\"")))
        });
        let negative =
            NEGATIVE.iter().map(|value| single(argument, *value, invalid(argument, "{value_negative,-1}")));
        rows.extend(others.chain(negative));
        rows.extend(ONE.iter().map(|value| single(argument, *value, DECLARED)));
    }
    for (argument, value, what) in [
        ("x-expires", 0, "{value_zero,0}"),
        ("x-expires", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-message-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-message-ttl", i64::MAX, "{value_too_large,9223372036854775807}"),
        ("x-max-priority", 256, "{max_value_exceeded,256}"),
        ("x-queue-version", 0, "\"unsupported queue version '0'\""),
        ("x-queue-version", 3, "\"unsupported queue version '3'\""),
    ] {
        rows.push(single(argument, Value::I64(value), invalid(argument, what)));
    }
    for (argument, value) in [
        ("x-expires", 315_360_000_000),
        ("x-message-ttl", 0),
        ("x-message-ttl", 315_360_000_000),
        ("x-max-length", 0),
        ("x-max-length", i64::MAX),
        ("x-max-length-bytes", 0),
        ("x-max-priority", 0),
        ("x-max-priority", 255),
        ("x-queue-version", 2),
    ] {
        rows.push(single(argument, Value::I64(value), DECLARED));
    }
    rows
}

const INTEGERS: &[&str] = &[
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-queue-version",
];

const NO_INTEGERS: &[(Value<'static>, &str)] = &[
    (Value::F32(1.5), "float"),
    (Value::F64(10.0), "double"),
    (Value::LongString(b"10"), "longstr"),
    (Value::Bytes(b"10"), "binary"),
    (Value::Bool(true), "bool"),
    (Value::Void, "void"),
    (Value::Timestamp(5), "timestamp"),
    (Value::Decimal { scale: 1, value: 5 }, "decimal"),
    (Value::Table(Table::EMPTY), "table"),
    (Value::Array(Array::EMPTY), "array"),
];

const NEGATIVE: &[Value<'static>] = &[Value::I8(-1), Value::I16(-1), Value::I32(-1), Value::I64(-1)];

const ONE: &[Value<'static>] =
    &[Value::I8(1), Value::U8(1), Value::I16(1), Value::U16(1), Value::I32(1), Value::U32(1), Value::I64(1)];

/// Arguments that are texts, and the one that is true or false.
fn others() -> Vec<Case> {
    let mut rows = Vec::new();
    for argument in ["x-overflow", "x-queue-mode", "x-queue-type", "x-dead-letter-routing-key"] {
        rows.extend(NO_TEXTS.iter().map(|(value, kind)| {
            single(argument, *value, invalid(argument, &format!("{{unacceptable_type,{kind}}}")))
        }));
    }
    rows.extend(NO_TEXTS.iter().map(|(value, kind)| {
        let text = format!(
            "PRECONDITION_FAILED - invalid type '{kind}' for arg 'x-dead-letter-exchange' in queue '{{q}}' in vhost '/'"
        );
        single("x-dead-letter-exchange", *value, soft(406, &text, (50, 10)))
    }));
    let active = "x-single-active-consumer";
    for (value, kind) in
        [(Value::I32(1), "signedint"), (Value::LongString(b"true"), "longstr"), (Value::Void, "void")]
    {
        rows.push(single(active, value, invalid(active, &format!("{{unacceptable_type,{kind}}}"))));
    }
    rows.extend([true, false].map(|value| single(active, Value::Bool(value), DECLARED)));
    for (argument, value, what) in [
        ("x-overflow", &b"spill"[..], "invalid_overflow"),
        ("x-overflow", b"", "invalid_overflow"),
        ("x-queue-mode", b"eager", "\"unsupported queue mode 'eager'\""),
        ("x-queue-mode", b"", "\"unsupported queue mode ''\""),
        ("x-queue-type", b"Classic", "\"unsupported queue type 'Classic'\""),
        ("x-queue-type", b"a\"b\\c", "\"unsupported queue type 'a\\\"b\\\\c'\""),
        ("x-queue-type", "\u{e9}".as_bytes(), "\"unsupported queue type '\u{e9}'\""),
        (
            "x-queue-type",
            b"\x01",
            "[117,110,115,117,112,112,111,114,116,101,100,32,113,117,101,117,101,32,116,121,112,101,32,39,1,39]",
        ),
        ("x-dead-letter-routing-key", b"k", "routing_key_but_no_dlx_defined"),
    ] {
        rows.push(single(argument, Value::LongString(value), invalid(argument, what)));
    }
    for (argument, value) in [
        ("x-overflow", "drop-head"),
        ("x-overflow", "reject-publish"),
        ("x-overflow", "reject-publish-dlx"),
        ("x-queue-mode", "default"),
        ("x-queue-mode", "lazy"),
        ("x-queue-type", "classic"),
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-exchange", "no such exchange"),
        ("x-queue-master-locator", "min-masters"),
        ("x-queue-master-locator", "client-local"),
        ("x-queue-master-locator", "random"),
        ("x-riddle", "x"),
    ] {
        rows.push(single(argument, Value::LongString(value.as_bytes()), DECLARED));
    }
    rows
}

const NO_TEXTS: &[(Value<'static>, &str)] = &[
    (Value::I32(1), "signedint"),
    (Value::Bool(true), "bool"),
    (Value::Void, "void"),
    (Value::Bytes(b"lazy"), "binary"),
    (Value::F64(1.0), "double"),
    (Value::Timestamp(1), "timestamp"),
];

/// Of several errors, which one is told.
fn orders() -> Vec<Case> {
    let (expires, zero) = ("x-expires", "{value_zero,0}");
    let first_of = |name: &str, argument, what, write| several(name, invalid(argument, what), write);
    vec![
        first_of("expiry before TTL", expires, zero, |table| {
            table.i32("x-message-ttl", -1).i32("x-expires", 0)
        }),
        first_of("TTL before the dead letter key", "x-message-ttl", "{value_negative,-1}", |table| {
            table.string("x-dead-letter-routing-key", "k").i32("x-message-ttl", -1)
        }),
        first_of(
            "the dead letter key before lengths",
            "x-dead-letter-routing-key",
            "routing_key_but_no_dlx_defined",
            |table| table.i32("x-max-length", -1).string("x-dead-letter-routing-key", "k"),
        ),
        first_of("length before bytes", "x-max-length", "{value_negative,-1}", |table| {
            table.i32("x-max-length-bytes", -1).i32("x-max-length", -1)
        }),
        first_of("bytes before priority", "x-max-length-bytes", "{value_negative,-1}", |table| {
            table.i32("x-max-priority", 256).i32("x-max-length-bytes", -1)
        }),
        first_of("priority before overflow", "x-max-priority", "{max_value_exceeded,256}", |table| {
            table.string("x-overflow", "x").i32("x-max-priority", 256)
        }),
        first_of("overflow before the mode", "x-overflow", "invalid_overflow", |table| {
            table.i32("x-queue-mode", 1).string("x-overflow", "x")
        }),
        first_of("the mode before the version", "x-queue-mode", "{unacceptable_type,signedint}", |table| {
            table.i32("x-queue-version", -1).i32("x-queue-mode", 1)
        }),
        first_of(
            "the version before the single consumer",
            "x-queue-version",
            "{value_negative,-1}",
            |table| table.i32("x-single-active-consumer", 1).i32("x-queue-version", -1),
        ),
        first_of("any value before what only other types have", expires, zero, |table| {
            table.i32("x-max-age", 1).i32("x-expires", 0)
        }),
        first_of("the type before all values", "x-queue-type", "\"unsupported queue type 'x'\"", |table| {
            table.i32("x-expires", 0).string("x-queue-type", "x")
        }),
        several(
            "the dead letter exchange before the type",
            soft(
                406,
                "PRECONDITION_FAILED - invalid type 'bool' for arg 'x-dead-letter-exchange' in queue '{q}' in vhost '/'",
                (50, 10),
            ),
            |table| table.string("x-queue-type", "x").bool("x-dead-letter-exchange", true),
        ),
        several("an argument twice, first well", DECLARED, |table| {
            table.i32("x-expires", 60_000).i32("x-expires", 0)
        }),
        first_of("an argument twice, first badly", expires, zero, |table| {
            table.i32("x-expires", 0).i32("x-expires", 60_000)
        }),
    ]
}

/// What comes before arguments are looked at.
fn names() -> Vec<Case> {
    vec![
        row(
            "a reserved name before bad arguments",
            soft(403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'", (50, 10)),
            |s| {
                let arguments = TableWriter::new().i32("x-expires", 0).finish();
                s.wire.send(1, ask::declare_with("amq.mine", &arguments));
            },
        ),
        row(
            "bad arguments for a queue that is there",
            soft(
                406,
                "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue '{q}' in vhost '/': received the value \
                 '0' of type 'signedint' but current is none",
                (50, 10),
            ),
            |s| {
                s.wire.call(1, ask::declare_exclusive(s.q), "queue.declare-ok");
                let arguments = TableWriter::new().i32("x-expires", 0).finish();
                s.wire.send(1, ask::declare_with(s.q, &arguments));
            },
        ),
        row("bad arguments of a passive declare", DECLARED, |s| {
            s.wire.call(1, ask::declare_exclusive(s.q), "queue.declare-ok");
            let bytes = TableWriter::new().i32("x-expires", 0).finish();
            let Method::QueueDeclare { queue, passive, durable, exclusive, auto_delete, nowait, .. } =
                ask::passive(s.q)
            else {
                unreachable!("it is one")
            };
            let arguments = Table::decode(&bytes).expect("a table that we wrote");
            let declare =
                Method::QueueDeclare { queue, passive, durable, exclusive, auto_delete, nowait, arguments };
            s.wire.send(1, declare);
        }),
        row(
            "a quorum queue that the server should name",
            soft(
                406,
                "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue",
                (50, 10),
            ),
            |s| DURABLE.declare(s, "", |table| table.string("x-queue-type", "quorum").i32("x-expires", 0)),
        ),
    ]
}

fn quorum() -> Vec<Case> {
    let property = |name: &str, property: &str, how| {
        let text =
            format!("PRECONDITION_FAILED - invalid property '{property}' for queue '{{q}}' in vhost '/'");
        shared(name, soft(406, &text, (50, 10)), how, |table| table.string("x-queue-type", "quorum"))
    };
    let refused = |argument: &str, what: &str, write| {
        shared(&format!("a quorum queue with a bad {argument}"), invalid(argument, what), DURABLE, write)
    };
    let not_its_own = |argument: &str, write| {
        let outcome = foreign(argument, "rabbit_quorum_queue");
        shared(&format!("a quorum queue with {argument}"), outcome, DURABLE, write)
    };
    let good = |name: &str, write| shared(name, DECLARED, DURABLE, write);
    let mut rows = vec![
        property("a quorum queue that is not durable", "non-durable", Shared { durable: false, ..DURABLE }),
        property("an exclusive quorum queue", "exclusive-owner", Shared { exclusive: true, ..DURABLE }),
        property(
            "a quorum queue that may be none at all",
            "auto-delete",
            Shared { durable: false, exclusive: true, auto_delete: true },
        ),
        not_its_own("x-max-priority", |table| {
            quorum_type(table).i32("x-max-priority", 1).i32("x-queue-version", 1)
        }),
        not_its_own("x-queue-version", |table| {
            quorum_type(table).i32("x-queue-version", 1).i32("x-max-priority", 1)
        }),
        not_its_own("x-queue-mode", |table| quorum_type(table).i32("x-queue-mode", 1)),
        not_its_own("x-queue-master-locator", |table| quorum_type(table).i32("x-queue-master-locator", 1)),
        not_its_own("x-max-age", |table| quorum_type(table).i32("x-max-age", 1)),
        not_its_own("x-stream-max-segment-size-bytes", |table| {
            quorum_type(table).i32("x-stream-max-segment-size-bytes", 1)
        }),
        not_its_own("x-initial-cluster-size", |table| quorum_type(table).i32("x-initial-cluster-size", 1)),
        refused("x-overflow", "invalid_overflow", |table| quorum_type(table).string("x-overflow", "spill")),
        refused("x-overflow", "invalid_overflow", |table| {
            quorum_type(table).string("x-overflow", "reject-publish-dlx")
        })
        .rabbitmq(
            DECLARED,
            "it logs that this is invalid and drops the head, which its publisher asked not to",
        ),
        refused("x-dead-letter-strategy", "invalid_dlx_strategy", |table| {
            quorum_type(table).string("x-dead-letter-strategy", "often")
        }),
        refused("x-dead-letter-strategy", "{unacceptable_type,signedint}", |table| {
            quorum_type(table).i32("x-dead-letter-strategy", 1)
        }),
        refused("x-max-in-memory-length", "{value_negative,-1}", |table| {
            quorum_type(table).i32("x-max-in-memory-length", -1)
        }),
        refused("x-max-in-memory-bytes", "\"expected integer, got longstr\"", |table| {
            quorum_type(table).string("x-max-in-memory-bytes", "1")
        }),
        refused("x-quorum-initial-group-size", "{value_zero,0}", |table| {
            quorum_type(table).i32("x-quorum-initial-group-size", 0)
        }),
        refused("x-queue-leader-locator", "invalid_queue_locator_arg", |table| {
            quorum_type(table).string("x-queue-leader-locator", "nearest")
        }),
        refused("x-queue-leader-locator", "{unacceptable_type,signedint}", |table| {
            quorum_type(table).i32("x-queue-leader-locator", 1)
        }),
        refused("x-expires", "{value_zero,0}", |table| {
            quorum_type(table).i32("x-max-priority", 1).i32("x-expires", 0)
        }),
        good("a quorum queue", quorum_type),
        good("a quorum queue with all that it may have", |table| {
            quorum_type(table)
                .i32("x-delivery-limit", 5)
                .string("x-overflow", "reject-publish")
                .string("x-queue-leader-locator", "balanced")
                .string("x-dead-letter-strategy", "at-least-once")
                .i32("x-quorum-initial-group-size", 1)
                .bool("x-single-active-consumer", true)
                .i32("x-message-ttl", 1000)
                .string("x-riddle", "x")
        }),
        shared(
            "a stream",
            invalid("x-queue-type", "\"unsupported queue type 'stream'\""),
            DURABLE,
            |table| table.string("x-queue-type", "stream"),
        )
        .rabbitmq(DECLARED, NO_STREAMS),
    ];
    for argument in [
        "x-dead-letter-strategy",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-quorum-initial-group-size",
        "x-queue-leader-locator",
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-initial-cluster-size",
    ] {
        rows.push(single(argument, Value::I32(1), foreign(argument, "rabbit_classic_queue")));
    }
    rows.push(
        single(
            "x-stream-filter-size-bytes",
            Value::I32(16),
            foreign("x-stream-filter-size-bytes", "rabbit_classic_queue"),
        )
        .rabbitmq(DECLARED, "3.10 does not know it yet"),
    );
    rows
}

pub fn quorum_type(table: TableWriter) -> TableWriter {
    table.string("x-queue-type", "quorum")
}

/// What RabbitMQ's classic queues do not have, or what it does not check.
fn ours() -> Vec<Case> {
    let (limit, timeout) = ("x-delivery-limit", "x-consumer-timeout");
    let limited = |value, outcome: Outcome| {
        single(limit, value, outcome).rabbitmq(foreign(limit, "rabbit_classic_queue"), ONLY_QUORUM)
    };
    let kept = |value, outcome| single("x-durability", value, outcome).rabbitmq(DECLARED, UNKNOWN_DURABILITY);
    let timed = |value, outcome| single(timeout, value, outcome).rabbitmq(DECLARED, UNKNOWN_TIMEOUT);
    vec![
        limited(Value::I32(0), DECLARED),
        limited(Value::I64(i64::MAX), DECLARED),
        limited(Value::I8(-1), invalid(limit, "{value_negative,-1}")),
        limited(Value::Bool(true), invalid(limit, "\"expected integer, got bool\"")),
        timed(Value::I32(1), DECLARED),
        timed(Value::I32(0), invalid(timeout, "{value_zero,0}")),
        timed(Value::I8(-1), invalid(timeout, "{value_negative,-1}")),
        timed(Value::I64(315_360_000_001), invalid(timeout, "{value_too_large,315360000001}")),
        timed(Value::F64(1.0), invalid(timeout, "\"expected integer, got double\"")),
        kept(Value::LongString(b"fsync"), DECLARED),
        kept(Value::LongString(b"os"), DECLARED),
        kept(Value::LongString(b"none"), DECLARED),
        kept(Value::LongString(b"disk"), invalid("x-durability", "invalid_durability")),
        kept(Value::I32(1), invalid("x-durability", "{unacceptable_type,signedint}")),
        shared(
            "a quorum queue with a bad x-delivery-limit",
            invalid(limit, "{value_negative,-1}"),
            DURABLE,
            |table| quorum_type(table).i32("x-delivery-limit", -1),
        )
        .rabbitmq(DECLARED, "it does not check what it takes for a limit"),
        several(
            "a dead letter routing key that no frame can hold",
            invalid("x-dead-letter-routing-key", "{value_too_large,256}"),
            |table| {
                table.string("x-dead-letter-exchange", "").string("x-dead-letter-routing-key", [b'k'; 256])
            },
        )
        .rabbitmq(DECLARED, "its connections die of delivering such a message"),
        several("the longest dead letter routing key", DECLARED, |table| {
            table.string("x-dead-letter-exchange", "").string("x-dead-letter-routing-key", [b'k'; 255])
        }),
    ]
}

const ONLY_QUORUM: &str = "only its quorum queues have a delivery limit, ours all do";
const UNKNOWN_DURABILITY: &str = "it does not know this one";
const UNKNOWN_TIMEOUT: &str = "3.10 does not know it, and later ones do not check it";

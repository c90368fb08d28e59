//! Queues that are declared again with other arguments: what counts as the same, and how a difference is told.

use super::arguments::{DURABLE, Write, quorum_type};
use super::ask;
use super::case::{Case, Outcome, soft};
use super::channel::row;
use haremq::amqp::{Array, TableWriter, Value};

pub fn rows() -> Vec<Case> {
    [classic(), quorum()].into_iter().flatten().collect()
}

const SAME: Outcome = Outcome::Answer("queue.declare-ok");

fn differs(argument: &str, received: &str, current: &str) -> Outcome {
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg '{argument}' for queue '{{q}}' in vhost '/': received {received} but \
         current is {current}"
    );
    soft(406, &text, (50, 10))
}

/// An exclusive queue that has one value of an argument, or none, and is declared with another.
fn again(
    argument: &'static str,
    current: Option<Value<'static>>,
    received: Option<Value<'static>>,
    outcome: Outcome,
) -> Case {
    let name = format!("{argument} of {received:?} for a queue with {current:?}");
    row(&name, outcome, move |s| {
        let table = |value: Option<Value<'static>>| {
            let table = TableWriter::new();
            value.map_or(TableWriter::new(), |value| table.value(argument, value)).finish()
        };
        s.wire.call(1, ask::declare_with(s.q, &table(current)), "queue.declare-ok");
        s.wire.send(1, ask::declare_with(s.q, &table(received)));
    })
}

fn text(text: &'static str) -> Option<Value<'static>> {
    Some(Value::LongString(text.as_bytes()))
}

fn classic() -> Vec<Case> {
    let mut rows = Vec::new();
    for argument in
        ["x-message-ttl", "x-max-length", "x-max-length-bytes", "x-max-priority", "x-queue-version"]
    {
        rows.extend(integers(argument, 1, 2));
    }
    // The queue must still be there when it is declared again.
    rows.extend(integers("x-expires", 60_001, 60_002));
    for (argument, one, other) in [
        ("x-dead-letter-exchange", "a", "b"),
        ("x-overflow", "drop-head", "reject-publish"),
        ("x-queue-mode", "default", "lazy"),
        ("x-queue-master-locator", "random", "nearest"),
    ] {
        let typed = |value: &str| format!("the value '{value}' of type 'longstr'");
        rows.extend([
            again(argument, text(one), text(one), SAME),
            again(argument, text(one), Some(Value::Bytes(one.as_bytes())), SAME),
            again(
                argument,
                text(one),
                text(other),
                differs(argument, &format!("'{other}'"), &format!("'{one}'")),
            ),
            again(argument, None, text(other), differs(argument, &typed(other), "none")),
            again(argument, text(one), None, differs(argument, "none", &typed(one))),
        ]);
    }
    rows.extend(values());
    rows.extend(types());
    let active = "x-single-active-consumer";
    let truth = |value| Some(Value::Bool(value));
    rows.extend([
        again(active, truth(true), truth(false), differs(active, "'false'", "'true'")),
        again(active, truth(false), None, differs(active, "none", "the value 'false' of type 'bool'")),
        again("x-riddle", None, text("x"), SAME),
        again("x-max-age", None, Some(Value::I32(1)), SAME),
    ]);
    for argument in ["x-delivery-limit", "x-consumer-timeout"] {
        let received = "the value '5' of type 'signedint'";
        rows.push(
            again(argument, None, Some(Value::I32(5)), differs(argument, received, "none"))
                .rabbitmq(SAME, "it means nothing to its classic queues"),
        );
    }
    rows.extend([
        differing(
            "the dead letter key",
            "x-dead-letter-routing-key",
            "the value 'k' of type 'longstr'",
            |table| table.string("x-dead-letter-routing-key", "k"),
        ),
        differing(
            "overflow before mode, version and type",
            "x-overflow",
            "the value 'x' of type 'longstr'",
            |table| {
                table
                    .string("x-queue-type", "quorum")
                    .i32("x-queue-version", 1)
                    .i32("x-queue-mode", 1)
                    .string("x-overflow", "x")
            },
        ),
        differing(
            "version before the single consumer",
            "x-queue-version",
            "the value '1' of type 'signedint'",
            |table| table.bool("x-single-active-consumer", true).i32("x-queue-version", 1),
        ),
        differing("expiry before TTL", "x-expires", "the value '1' of type 'signedint'", |table| {
            table.i32("x-message-ttl", 1).i32("x-expires", 1)
        }),
    ]);
    rows
}

fn integers(argument: &'static str, one: u16, two: u16) -> [Case; 5] {
    let current = Some(Value::I32(i32::from(one)));
    let other = Some(Value::U16(two));
    let float = Some(Value::F64(f64::from(one)));
    let shown = format!("'{one}'");
    let typed = |number, kind| format!("the value '{number}' of type '{kind}'");
    [
        again(argument, current, Some(Value::I64(i64::from(one))), SAME),
        again(argument, current, other, differs(argument, &format!("'{two}'"), &shown)),
        again(argument, current, float, differs(argument, &format!("'{one}.0'"), &shown)),
        again(argument, None, other, differs(argument, &typed(two, "unsignedshort"), "none")),
        again(argument, current, None, differs(argument, "none", &typed(one, "signedint"))),
    ]
}

/// A plain queue that is declared again with arguments.
fn differing(name: &str, argument: &str, received: &str, write: Write) -> Case {
    row(&format!("told of a queue that changes: {name}"), differs(argument, received, "none"), move |s| {
        s.wire.call(1, ask::declare_exclusive(s.q), "queue.declare-ok");
        s.wire.send(1, ask::declare_with(s.q, &write(TableWriter::new()).finish()));
    })
}

/// How values of all types are compared and shown.
fn values() -> Vec<Case> {
    let argument = "x-max-length";
    let ten = Some(Value::I32(10));
    let against_ten =
        |value, shown: &str| again(argument, ten, Some(value), differs(argument, shown, "'10'"));
    let against_none =
        |value, shown: &str| again(argument, None, Some(value), differs(argument, shown, "none"));
    vec![
        again(argument, Some(Value::U8(10)), Some(Value::I16(10)), SAME),
        again(argument, ten, Some(Value::Timestamp(10)), SAME),
        against_ten(Value::LongString(b"10"), "'10'"),
        against_ten(Value::Bool(true), "'true'"),
        against_ten(Value::Void, "none"),
        against_ten(Value::F32(1.1), "'1.100000023841858'"),
        against_ten(Value::F64(1e15), "'1.0e15'"),
        against_ten(Value::F64(1e3), "'1.0e3'"),
        against_ten(Value::F64(123_456.0), "'123456.0'"),
        against_ten(Value::F64(9_007_199_254_740_992.0), "'9.007199254740992e15'"),
        against_ten(Value::F64(0.0001), "'0.0001'"),
        against_ten(Value::F64(-2.5e-10), "'-2.5e-10'"),
        against_ten(Value::Array(Array::EMPTY), "'[]'"),
        against_none(Value::Void, "the value 'undefined' of type 'void'"),
        against_none(Value::Bytes(b"ab"), "the value 'ab' of type 'binary'"),
        against_none(Value::Timestamp(5), "the value '5' of type 'timestamp'"),
        against_none(Value::Decimal { scale: 2, value: 314 }, "the value '{2,314}' of type 'decimal'"),
        differing("a table", argument, "the value '[{<<\"a\">>,signedint,1}]' of type 'table'", |table| {
            table.table("x-max-length", |inner| inner.i32("a", 1))
        }),
        differing(
            "an array",
            argument,
            "the value '[{signedint,1},{longstr,<<\"x\">>}]' of type 'array'",
            |table| table.array("x-max-length", |array| array.i32(1).string("x")),
        ),
    ]
}

fn types() -> Vec<Case> {
    let argument = "x-queue-type";
    let typed = |value: &str| format!("the value '{value}' of type 'longstr'");
    vec![
        again(argument, None, text("classic"), SAME),
        again(argument, text("classic"), None, SAME),
        again(argument, None, text("quorum"), differs(argument, &typed("quorum"), "none")),
        again(argument, text("classic"), text("riddle"), differs(argument, "'riddle'", "'classic'")),
        again(
            argument,
            None,
            Some(Value::Bytes(b"classic")),
            differs(argument, "the value 'classic' of type 'binary'", "none"),
        ),
        again(argument, text("classic"), Some(Value::Bytes(b"classic")), SAME),
    ]
}

/// What RabbitMQ compares of quorum queues, in its order, and what only classic queues have.
fn quorum() -> Vec<Case> {
    let again = |name: &str, outcome, write: Write| {
        row(&format!("a quorum queue that gains {name}"), outcome, move |s| {
            DURABLE.declare(s, s.q, quorum_type);
            s.wire.expect(1, "queue.declare-ok");
            DURABLE.declare(s, s.q, write);
        })
    };
    let gains =
        |argument: &str, received: &str, write| again(argument, differs(argument, received, "none"), write);
    let one = "the value '1' of type 'signedint'";
    let kind = "x-queue-type";
    vec![
        again("nothing", SAME, quorum_type),
        again("another type", differs(kind, "'classic'", "'quorum'"), |table| {
            table.string("x-queue-type", "classic")
        }),
        again("no type", differs(kind, "none", "the value 'quorum' of type 'longstr'"), |table| table),
        again("x-queue-mode", SAME, |table| quorum_type(table).i32("x-queue-mode", 1)),
        again("x-max-priority", SAME, |table| quorum_type(table).i32("x-max-priority", 1)),
        gains("x-consumer-timeout", one, |table| quorum_type(table).i32("x-consumer-timeout", 1))
            .rabbitmq(SAME, "3.10 does not know it"),
        gains("x-max-in-memory-length", one, |table| quorum_type(table).i32("x-max-in-memory-length", 1)),
        gains("x-quorum-initial-group-size", one, |table| {
            quorum_type(table).i32("x-quorum-initial-group-size", 1)
        }),
        gains("x-dead-letter-strategy", one, |table| {
            quorum_type(table).i32("x-expires", 1).i32("x-dead-letter-strategy", 1)
        }),
        gains("x-expires", one, |table| quorum_type(table).i32("x-max-length", 1).i32("x-expires", 1)),
        gains("x-delivery-limit", one, |table| {
            quorum_type(table).i32("x-message-ttl", 1).i32("x-delivery-limit", 1)
        }),
        gains("x-message-ttl", one, |table| {
            quorum_type(table).i32("x-queue-leader-locator", 1).i32("x-message-ttl", 1)
        }),
    ]
}

//! The arguments of consumers, and of names that the server makes.

use super::arguments::{DURABLE, quorum_type};
use super::ask;
use super::case::{Case, Outcome, Scene, hard, soft};
use super::channel::{declared, row};
use crate::common::wire::{consume, short};
use haremq::amqp::{Method, Table, TableWriter, Value};

pub fn rows() -> Vec<Case> {
    [priorities(), others(), orders(), prefixes()].into_iter().flatten().collect()
}

type Write = fn(TableWriter) -> TableWriter;

const FAILOVER: &str = "x-cancel-on-ha-failover";

fn invalid(argument: &str, what: &str) -> Outcome {
    let text =
        format!("PRECONDITION_FAILED - invalid arg '{argument}' for queue '{{q}}' in vhost '/': {what}");
    soft(406, &text, (60, 20))
}

fn foreign(argument: &str, kind: &str) -> Outcome {
    let text = format!(
        "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{{q}}' in vhost '/' of queue type {kind}"
    );
    soft(406, &text, (60, 20))
}

fn consume_with(s: &mut Scene<'_>, queue: &str, tag: &str, table: TableWriter) {
    let bytes = table.finish();
    let arguments = Table::decode(&bytes).expect("a table that we wrote");
    let (queue, consumer_tag) = (short(queue), short(tag));
    let (no_local, no_ack, exclusive, nowait) = (false, true, false, false);
    s.wire.send(
        1,
        Method::BasicConsume { queue, consumer_tag, no_local, no_ack, exclusive, nowait, arguments },
    );
}

/// The answer is waited for, as RabbitMQ's comes from the queue and not in line with those of the channel.
fn consuming(name: &str, write: impl Fn(TableWriter) -> TableWriter + Send + Sync + 'static) -> Case {
    row(name, Outcome::Goes, move |s| {
        declared(s);
        consume_with(s, s.q, "", write(TableWriter::new()));
        s.wire.expect(1, "basic.consume-ok");
    })
}

fn good(argument: &'static str, value: Value<'static>) -> Case {
    consuming(&format!("a consumer with {argument} of {value:?}"), move |table| table.value(argument, value))
}

fn single(argument: &'static str, value: Value<'static>, outcome: Outcome) -> Case {
    row(&format!("a consumer with {argument} of {value:?}"), outcome, move |s| {
        declared(s);
        consume_with(s, s.q, "", TableWriter::new().value(argument, value));
    })
}

fn several(name: &str, outcome: Outcome, write: Write) -> Case {
    row(name, outcome, move |s| {
        declared(s);
        consume_with(s, s.q, "", write(TableWriter::new()));
    })
}

fn priorities() -> Vec<Case> {
    let argument = "x-priority";
    let integers = [
        Value::I8(-1),
        Value::U8(1),
        Value::I16(-1),
        Value::U16(1),
        Value::I32(0),
        Value::U32(1),
        Value::I64(i64::MIN),
        Value::I64(i64::MAX),
    ];
    let bad = [
        (Value::F32(1.0), "float"),
        (Value::F64(1.0), "double"),
        (Value::LongString(b"1"), "longstr"),
        (Value::Bytes(b"1"), "binary"),
        (Value::Bool(true), "bool"),
        (Value::Void, "void"),
        (Value::Timestamp(1), "timestamp"),
        (Value::Decimal { scale: 0, value: 1 }, "decimal"),
    ];
    let good = integers.into_iter().map(|value| good(argument, value));
    let bad = bad.into_iter().map(|(value, kind)| {
        single(argument, value, invalid(argument, &format!("\"expected integer, got {kind}\"")))
    });
    good.chain(bad).collect()
}

fn others() -> Vec<Case> {
    let of_quorum = |name: &str, outcome, write: Write| {
        row(&format!("a consumer of a quorum queue with {name}"), outcome, move |s| {
            DURABLE.declare(s, s.q, quorum_type);
            s.wire.expect(1, "queue.declare-ok");
            consume_with(s, s.q, "", write(TableWriter::new()));
        })
    };
    vec![
        good(FAILOVER, Value::Bool(true)),
        single(FAILOVER, Value::I32(1), invalid(FAILOVER, "{unacceptable_type,signedint}")),
        single(FAILOVER, Value::LongString(b"true"), invalid(FAILOVER, "{unacceptable_type,longstr}")),
        single("x-stream-offset", Value::I32(1), foreign("x-stream-offset", "rabbit_classic_queue")),
        good("x-riddle", Value::I32(1)),
        row("a consumer of a quorum queue with x-priority", Outcome::Goes, |s| {
            DURABLE.declare(s, s.q, quorum_type);
            s.wire.expect(1, "queue.declare-ok");
            consume_with(s, s.q, "", TableWriter::new().i32("x-priority", -1));
            s.wire.expect(1, "basic.consume-ok");
        }),
        of_quorum("a bad x-priority", invalid("x-priority", "\"expected integer, got longstr\""), |table| {
            table.string("x-priority", "1")
        }),
        of_quorum(FAILOVER, foreign(FAILOVER, "rabbit_quorum_queue"), |table| table.bool(FAILOVER, true)),
        of_quorum("x-stream-offset", foreign("x-stream-offset", "rabbit_quorum_queue"), |table| {
            table.i32("x-stream-offset", 1)
        }),
    ]
}

/// Of several errors, which one is told.
fn orders() -> Vec<Case> {
    let bad = |table: TableWriter| table.string("x-priority", "1");
    let no_integer = "\"expected integer, got longstr\"";
    vec![
        several("priority before failover", invalid("x-priority", no_integer), |table| {
            table.i32(FAILOVER, 1).string("x-priority", "1")
        }),
        several("priority before what only streams have", invalid("x-priority", no_integer), |table| {
            table.i32("x-stream-offset", 1).string("x-priority", "1")
        }),
        consuming("a priority twice, first well", |table| {
            table.i32("x-priority", 1).string("x-priority", "1")
        }),
        row(
            "no queue before a bad priority",
            soft(404, "NOT_FOUND - no queue '{q}' in vhost '/'", (60, 20)),
            move |s| consume_with(s, s.q, "", bad(TableWriter::new())),
        ),
        row("a bad priority before exclusive use", invalid("x-priority", no_integer), move |s| {
            declared(s);
            s.wire.call(2, ask::consume_exclusively(s.q), "basic.consume-ok");
            consume_with(s, s.q, "", bad(TableWriter::new()));
        }),
        row(
            "a tag in use before a bad priority",
            hard(530, "NOT_ALLOWED - attempt to reuse consumer tag 'tag'", (60, 20)),
            move |s| {
                declared(s);
                s.wire.call(1, consume(s.q, "tag", true), "basic.consume-ok");
                consume_with(s, s.q, "tag", bad(TableWriter::new()));
            },
        ),
        row("a bad priority of a consumer of direct replies", Outcome::Goes, move |s| {
            consume_with(s, "amq.rabbitmq.reply-to", "", bad(TableWriter::new()));
            s.wire.expect(1, "basic.consume-ok");
        }),
    ]
}

fn prefixes() -> Vec<Case> {
    let prefix = |value: Value<'static>, what: &str| {
        let text =
            format!("PRECONDITION_FAILED - invalid arg 'x-name-prefix' for queue '' in vhost '/': {what}");
        row(&format!("a name with a prefix of {value:?}"), soft(406, &text, (50, 10)), move |s| {
            let arguments = TableWriter::new().value("x-name-prefix", value).finish();
            s.wire.send(1, ask::declare_with("", &arguments));
        })
        .rabbitmq(Outcome::Answer("queue.declare-ok"), "prefixes come with 4.4")
    };
    vec![
        prefix(Value::LongString(&[b'p'; 65]), "{value_too_large,65}"),
        prefix(Value::LongString(b"amq.mine"), "reserved_prefix"),
        prefix(Value::I32(1), "{unacceptable_type,signedint}"),
    ]
}

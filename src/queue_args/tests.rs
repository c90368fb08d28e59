//! What is not in the error table of the conformance tests: what comes out of good arguments, and orders.

use super::*;
use crate::amqp::{Table, TableWriter, Value};
use crate::limits::EXPIRY_MS_MAX;
use crate::text::Vhost;

fn parse(write: impl FnOnce(TableWriter) -> TableWriter) -> Result<QueueArgs, String> {
    let bytes = write(TableWriter::new()).finish();
    QueueArgs::parse(&durable(Table::decode(&bytes).unwrap()))
}

fn durable(arguments: Table<'_>) -> Declaration<'_> {
    let (durable, exclusive, auto_delete) = (true, false, false);
    let vhost = Vhost(b"/");
    Declaration { vhost, name: b"q", server_named: false, durable, exclusive, auto_delete, arguments }
}

fn rules(write: impl FnOnce(TableWriter) -> TableWriter) -> QueueArgs {
    parse(write).expect("good arguments")
}

/// What is wrong, behind the queue's name.
fn wrong(write: impl FnOnce(TableWriter) -> TableWriter) -> String {
    let text = parse(write).expect_err("a bad argument");
    text.replace(" for queue 'q' in vhost '/'", "")
}

#[test]
fn every_argument_has_its_rule() {
    let parsed = rules(|table| {
        table
            .i32("x-message-ttl", 0)
            .value("x-expires", Value::U16(60_000))
            .i64("x-max-length", i64::MAX)
            .value("x-max-length-bytes", Value::U32(u32::MAX))
            .string("x-overflow", "reject-publish-dlx")
            .string("x-dead-letter-exchange", "")
            .string("x-dead-letter-routing-key", "dead")
            .value("x-max-priority", Value::U8(255))
            .bool("x-single-active-consumer", true)
            .i64("x-delivery-limit", 1 << 32)
            .value("x-consumer-timeout", Value::I16(1))
            .string("x-durability", "os")
    });
    let expected = QueueArgs {
        kind: QueueKind::Classic,
        message_ttl_ms: Some(0),
        expires_ms: Some(60_000),
        length_max: Some(i64::MAX as u64),
        length_bytes_max: Some(u64::from(u32::MAX)),
        overflow: Some(Overflow::RejectPublishDlx),
        dead_letter_exchange: Some(Name::from(&b""[..])),
        dead_letter_routing_key: Some(Name::from(&b"dead"[..])),
        priority_max: Some(255),
        single_active_consumer: true,
        delivery_limit: Some(u32::MAX),
        consumer_timeout_ms: Some(1),
        durability: Some(Durability::Os),
    };
    assert_eq!(parsed, expected);
}

#[test]
fn what_has_no_effect_here_leaves_no_rule() {
    let parsed = rules(|table| {
        table
            .string("x-queue-type", "classic")
            .string("x-queue-mode", "lazy")
            .i32("x-queue-version", 2)
            .string("x-queue-master-locator", "min-masters")
            .value("x-riddle", Value::Void)
    });
    assert_eq!(parsed, QueueArgs::default());
    let parsed = rules(|table| {
        table
            .string("x-queue-type", "quorum")
            .string("x-queue-leader-locator", "balanced")
            .string("x-dead-letter-strategy", "at-least-once")
            .i32("x-quorum-initial-group-size", 3)
            .i32("x-max-in-memory-length", 0)
    });
    let quorum = QueueArgs { kind: QueueKind::Quorum, ..QueueArgs::default() };
    assert_eq!(parsed, quorum);
}

#[test]
fn a_queue_with_a_durability_of_its_own_is_plain_otherwise() {
    for (name, durability) in
        [("fsync", Durability::Fsync), ("os", Durability::Os), ("none", Durability::None)]
    {
        let parsed = rules(|table| table.string("x-durability", name));
        assert_eq!(parsed.durability, Some(durability));
        assert!(parsed.is_plain());
    }
    assert!(!rules(|table| table.string("x-durability", "os").i32("x-max-length", 1)).is_plain());
    let invalid = |value, what: &str| {
        assert_eq!(
            wrong(|table| table.value("x-durability", value)),
            format!("invalid arg 'x-durability': {what}")
        );
    };
    invalid(Value::LongString(b"disk"), "invalid_durability");
    invalid(Value::LongString(b"Fsync"), "invalid_durability");
    invalid(Value::Bool(true), "{unacceptable_type,bool}");
}

#[test]
fn a_quorum_queue_has_the_delivery_limit_that_it_asks_for() {
    let parsed = rules(|table| table.string("x-queue-type", "quorum").i32("x-delivery-limit", 0));
    assert_eq!(parsed.delivery_limit, Some(0));
}

#[test]
fn of_an_argument_that_occurs_twice_the_first_counts() {
    let parsed = rules(|table| table.i32("x-expires", 5).i32("x-expires", 0));
    assert_eq!(parsed.expires_ms, Some(5));
    assert_eq!(
        wrong(|table| table.i32("x-expires", 0).i32("x-expires", 5)),
        "invalid arg 'x-expires': {value_zero,0}"
    );
}

#[test]
fn ten_years_are_the_longest_life() {
    let max = i64::try_from(EXPIRY_MS_MAX).unwrap();
    assert_eq!(rules(|table| table.i64("x-message-ttl", max)).message_ttl_ms, Some(EXPIRY_MS_MAX));
    for name in ["x-message-ttl", "x-expires", "x-consumer-timeout"] {
        assert_eq!(
            wrong(|table| table.i64(name, max + 1)),
            format!("invalid arg '{name}': {{value_too_large,{}}}", max + 1)
        );
    }
}

/// Each table has one more error than the one before it, and that is the one that is told.
#[test]
fn errors_are_told_in_rabbitmqs_order() {
    let last_first = [
        (
            "x-queue-leader-locator",
            Value::Void,
            "invalid arg 'x-queue-leader-locator' of queue type rabbit_classic_queue",
        ),
        (
            "x-single-active-consumer",
            Value::Void,
            "invalid arg 'x-single-active-consumer': {unacceptable_type,void}",
        ),
        ("x-queue-version", Value::I8(3), "invalid arg 'x-queue-version': \"unsupported queue version '3'\""),
        (
            "x-queue-mode",
            Value::LongString(b"eager"),
            "invalid arg 'x-queue-mode': \"unsupported queue mode 'eager'\"",
        ),
        ("x-overflow", Value::LongString(b"spill"), "invalid arg 'x-overflow': invalid_overflow"),
        ("x-max-priority", Value::U16(256), "invalid arg 'x-max-priority': {max_value_exceeded,256}"),
        ("x-max-length-bytes", Value::I8(-1), "invalid arg 'x-max-length-bytes': {value_negative,-1}"),
        ("x-max-length", Value::I8(-1), "invalid arg 'x-max-length': {value_negative,-1}"),
        (
            "x-dead-letter-routing-key",
            Value::LongString(b"k"),
            "invalid arg 'x-dead-letter-routing-key': routing_key_but_no_dlx_defined",
        ),
        ("x-message-ttl", Value::F32(1.0), "invalid arg 'x-message-ttl': \"expected integer, got float\""),
        ("x-expires", Value::I32(0), "invalid arg 'x-expires': {value_zero,0}"),
        (
            "x-queue-type",
            Value::LongString(b"stream"),
            "invalid arg 'x-queue-type': \"unsupported queue type 'stream'\"",
        ),
        (
            "x-dead-letter-exchange",
            Value::Bool(true),
            "invalid type 'bool' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'",
        ),
    ];
    for count in 1..=last_first.len() {
        let some = &last_first[..count];
        let write =
            |table| some.iter().fold(table, |table: TableWriter, (name, value, _)| table.value(name, *value));
        assert_eq!(wrong(write), some[count - 1].2);
    }
}

#[test]
fn quorum_queues_are_durable_shared_and_named_by_their_clients() {
    let bytes = TableWriter::new().string("x-queue-type", "quorum").finish();
    let good = durable(Table::decode(&bytes).unwrap());
    assert!(QueueArgs::parse(&good).is_ok());
    let property = |property| format!("invalid property '{property}' for queue 'q' in vhost '/'");
    let transient = Declaration { durable: false, ..good };
    let exclusive = Declaration { exclusive: true, ..transient };
    let auto_delete = Declaration { auto_delete: true, ..exclusive };
    assert_eq!(QueueArgs::parse(&transient), Err(property("non-durable")));
    assert_eq!(QueueArgs::parse(&exclusive), Err(property("exclusive-owner")));
    assert_eq!(QueueArgs::parse(&auto_delete), Err(property("auto-delete")));
    let unnamed = Declaration { server_named: true, ..good };
    let text = "Cannot declare a server-named queue for type rabbit_quorum_queue";
    assert_eq!(QueueArgs::parse(&unnamed), Err(text.to_owned()));
}

#[test]
fn consumers_have_a_priority() {
    let parse = |write: fn(TableWriter) -> TableWriter, kind| {
        let bytes = write(TableWriter::new()).finish();
        ConsumeArgs::parse(Table::decode(&bytes).unwrap(), Vhost(b"/"), b"q", kind)
    };
    let (classic, quorum) = (QueueKind::Classic, QueueKind::Quorum);
    assert_eq!(parse(|table| table, classic), Ok(ConsumeArgs { priority: 0 }));
    assert_eq!(
        parse(|table| table.i64("x-priority", i64::MIN), quorum),
        Ok(ConsumeArgs { priority: i64::MIN })
    );
    assert_eq!(
        parse(|table| table.string("x-priority", "1").string("x-stream-offset", "first"), quorum),
        Err("invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got longstr\""
            .to_owned())
    );
    let failover = |table: TableWriter| table.i32("x-cancel-on-ha-failover", 1);
    assert_eq!(
        parse(failover, classic),
        Err(
            "invalid arg 'x-cancel-on-ha-failover' for queue 'q' in vhost '/': {unacceptable_type,signedint}"
                .to_owned()
        )
    );
    assert_eq!(
        parse(failover, quorum),
        Err("invalid arg 'x-cancel-on-ha-failover' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue".to_owned())
    );
    assert_eq!(
        parse(|table| table.string("x-stream-offset", "first"), classic),
        Err("invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of queue type rabbit_classic_queue"
            .to_owned())
    );
}

#[test]
fn a_prefix_is_short_and_makes_a_name_that_a_client_may_have() {
    let prefix = |value| {
        let bytes = TableWriter::new().value("x-name-prefix", value).finish();
        name_prefix(Table::decode(&bytes).unwrap(), Vhost(b"/")).map(|prefix| prefix.map(<[u8]>::to_vec))
    };
    let refused = |what: &str| Err(format!("invalid arg 'x-name-prefix' for queue '' in vhost '/': {what}"));
    assert_eq!(name_prefix(Table::EMPTY, Vhost(b"/")), Ok(None));
    assert_eq!(prefix(Value::LongString(&[b'p'; 64])), Ok(Some(vec![b'p'; 64])));
    assert_eq!(prefix(Value::LongString(&[b'p'; 65])), refused("{value_too_large,65}"));
    assert_eq!(prefix(Value::I8(1)), refused("{unacceptable_type,byte}"));
    assert_eq!(prefix(Value::LongString(b"amq.mine")), refused("reserved_prefix"));
    assert_eq!(prefix(Value::LongString(b"\xFF")), refused("invalid_prefix"));
    assert_eq!(prefix(Value::LongString(b"a\nb")), refused("invalid_prefix"));
}

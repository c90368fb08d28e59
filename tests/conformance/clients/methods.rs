//! What no client library would send, or hides from its user: the order of frames, nowait, and reuse of tags. What is
//! refused stands in `errors`.

use super::Target;
use crate::common::wire::{Wire, consume, declare, declare_exclusive, encoded, look_at, publication, short};
use haremq::amqp::{FrameKind, Method, Table};
use std::collections::BTreeSet;

#[test]
fn a_returned_message_comes_before_its_confirm() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    for round in 1..=100_u64 {
        wire.publish(1, "amq.direct", "nowhere", true, b"come back");
        wire.expect(1, "basic.return");
        assert_eq!(wire.content().1, b"come back");
        let ack = wire.expect(1, "basic.ack");
        assert_eq!(ack.method(), Method::BasicAck { delivery_tag: round, multiple: false });
    }
}

#[test]
fn each_message_is_confirmed_once() {
    const COUNT: u64 = 5_000;
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    wire.call(1, declare_exclusive("confirmed"), "queue.declare-ok");
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    let batch: Vec<u8> = (0..COUNT)
        .flat_map(|n| publication(1, "", if n % 3 == 0 { "nowhere" } else { "confirmed" }, false, b"x"))
        .collect();
    wire.bytes(&batch);
    let mut waiting: BTreeSet<u64> = (1..=COUNT).collect();
    while !waiting.is_empty() {
        let reply = wire.expect(1, "basic.ack");
        let Method::BasicAck { delivery_tag, multiple } = reply.method() else {
            unreachable!("its name was checked")
        };
        assert!(waiting.contains(&delivery_tag), "{delivery_tag} is confirmed twice or was never published");
        waiting.retain(|tag| if multiple { *tag > delivery_tag } else { *tag != delivery_tag });
    }
    let ok = wire.call(1, look_at("confirmed"), "queue.declare-ok");
    let Method::QueueDeclareOk { message_count, .. } = ok.method() else {
        unreachable!("its name was checked")
    };
    assert_eq!(u64::from(message_count), COUNT - COUNT.div_ceil(3));
}

#[test]
fn what_asks_for_no_answer_gets_none() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    let (queue, exchange) = (short("silent"), short("silent-x"));
    let (exclusive, nowait, arguments) = (true, true, Table::EMPTY);
    let quiet = [
        Method::QueueDeclare {
            queue,
            passive: false,
            durable: false,
            exclusive,
            auto_delete: false,
            nowait,
            arguments,
        },
        Method::ExchangeDeclare {
            exchange,
            type_: "fanout".into(),
            passive: false,
            durable: false,
            auto_delete: false,
            internal: false,
            nowait,
            arguments,
        },
        Method::QueueBind { queue, exchange, routing_key: "".into(), nowait, arguments },
        Method::ConfirmSelect { nowait },
        Method::BasicConsume {
            queue,
            consumer_tag: "gone".into(),
            no_local: false,
            no_ack: true,
            exclusive: false,
            nowait,
            arguments,
        },
        Method::BasicCancel { consumer_tag: "gone".into(), nowait },
        Method::QueuePurge { queue, nowait },
    ];
    let mut bytes: Vec<u8> = quiet.into_iter().flat_map(|method| encoded(1, method)).collect();
    bytes.extend(publication(1, "silent-x", "", true, b"heard"));
    wire.bytes(&bytes);
    wire.expect(1, "basic.ack");
    wire.call(1, Method::BasicGet { queue, no_ack: true }, "basic.get-ok");
    assert_eq!(wire.content().1, b"heard");
    wire.send(1, Method::QueueDelete { queue, if_unused: false, if_empty: false, nowait });
    wire.send(1, Method::ExchangeDelete { exchange, if_unused: false, nowait });
    wire.send(1, look_at("silent"));
    let text = "NOT_FOUND - no queue 'silent' in vhost '/'";
    assert_eq!(wire.channel_closed(1), (404, text.to_owned()));
}

#[test]
fn a_consumer_tag_is_used_once() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    wire.call(1, declare_exclusive("tags"), "queue.declare-ok");
    wire.call(1, consume("tags", "t", true), "basic.consume-ok");
    wire.call(1, Method::BasicCancel { consumer_tag: "t".into(), nowait: false }, "basic.cancel-ok");
    wire.call(1, consume("tags", "t", true), "basic.consume-ok");
    wire.channel(2);
    wire.call(2, consume("tags", "t", true), "basic.consume-ok");
    wire.send(1, consume("tags", "t", true));
    assert_eq!(wire.closed(), (530, "NOT_ALLOWED - attempt to reuse consumer tag 't'".to_owned()));
}

#[test]
fn nothing_is_delivered_after_cancel_ok() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    wire.channel(2);
    wire.call(1, declare_exclusive("cancelled"), "queue.declare-ok");
    for round in 0..200 {
        let tag = format!("tag {round}");
        wire.send(1, consume("cancelled", &tag, true));
        // The 3.10 of the oracle crashes when a cancel overtakes its own consume-ok.
        if target.is_oracle() {
            wire.expect(1, "basic.consume-ok");
        }
        let mut bytes = Vec::new();
        bytes.extend((0..5).flat_map(|_| publication(2, "", "cancelled", false, b"x")));
        bytes.extend(encoded(1, Method::BasicCancel { consumer_tag: short(&tag), nowait: false }));
        wire.bytes(&bytes);
        if !target.is_oracle() {
            wire.expect(1, "basic.consume-ok");
        }
        loop {
            let reply = wire.frame().expect("an open connection");
            match reply.kind {
                FrameKind::Method if reply.name() == "basic.cancel-ok" => break,
                FrameKind::Method => assert_eq!(reply.name(), "basic.deliver", "{:?}", reply.method()),
                FrameKind::Header | FrameKind::Body => {}
                FrameKind::Heartbeat => unreachable!("not shown"),
            }
        }
    }
}

#[test]
fn nothing_is_delivered_after_the_channel_is_closed() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(2);
    wire.call(2, declare("channel-gone"), "queue.declare-ok");
    let close = Method::ChannelClose { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 };
    for _ in 0..200 {
        wire.channel(1);
        let mut bytes = encoded(1, consume("channel-gone", "", false));
        bytes.extend((0..5).flat_map(|_| publication(2, "", "channel-gone", false, b"x")));
        bytes.extend(encoded(1, close));
        wire.bytes(&bytes);
        while wire
            .frame()
            .is_some_and(|reply| reply.kind != FrameKind::Method || reply.name() != "channel.close-ok")
        {
        }
        wire.call(2, Method::QueuePurge { queue: "channel-gone".into(), nowait: false }, "queue.purge-ok");
    }
    let delete =
        Method::QueueDelete { queue: "channel-gone".into(), if_unused: true, if_empty: true, nowait: false };
    wire.call(2, delete, "queue.delete-ok");
}

#[test]
fn line_breaks_are_stripped_from_names() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    let ok = wire.call(1, declare_exclusive("one\r\nline\n"), "queue.declare-ok");
    let Method::QueueDeclareOk { queue, .. } = ok.method() else { unreachable!("its name was checked") };
    assert_eq!(queue.as_bytes(), b"oneline");
}

#[test]
fn an_access_request_of_old_clients_is_granted() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    let (exclusive, passive, active, write, read) = (false, true, true, true, true);
    let request = Method::AccessRequest { realm: "/data".into(), exclusive, passive, active, write, read };
    let ok = wire.call(1, request, "access.request-ok");
    assert_eq!(ok.method(), Method::AccessRequestOk { ticket: 1 });
}

#[test]
fn what_crosses_a_channel_error_is_ignored_until_close_ok() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    wire.channel(2);
    wire.call(2, declare_exclusive("crossed"), "queue.declare-ok");
    let mut bytes = encoded(1, look_at("no such queue"));
    bytes.extend(publication(1, "", "crossed", true, b"ignored"));
    bytes.extend(encoded(1, Method::QueuePurge { queue: "crossed".into(), nowait: false }));
    bytes.extend(encoded(1, Method::BasicAck { delivery_tag: 99, multiple: false }));
    wire.bytes(&bytes);
    assert_eq!(wire.channel_closed(1).0, 404);
    wire.channel(1);
    wire.call(1, Method::BasicGet { queue: "crossed".into(), no_ack: true }, "basic.get-empty");
}

#[test]
fn closes_that_cross_are_both_answered() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    let mut bytes = encoded(1, look_at("no such queue"));
    bytes.extend(encoded(
        1,
        Method::ChannelClose { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 },
    ));
    wire.bytes(&bytes);
    let mut names = BTreeSet::new();
    for _ in 0..2 {
        names.insert(wire.frame().expect("two answers").name());
    }
    assert_eq!(names, BTreeSet::from(["channel.close", "channel.close-ok"]));
    wire.bytes(&encoded(1, Method::ChannelCloseOk));
    wire.channel(2);
}

#[test]
fn what_waits_behind_another_method_is_done_before_a_close() {
    let target = Target::start();
    let mut watching = Wire::open(target.address);
    watching.channel(1);
    for round in 0..50 {
        let queue = format!("before-close-{round}");
        let mut wire = Wire::open(target.address);
        wire.channel(1);
        let mut bytes = encoded(1, declare(&queue));
        bytes.extend((0..10).flat_map(|_| publication(1, "", &queue, false, b"x")));
        let (reply_code, reply_text) = (200, short("bye"));
        let channels_first = round % 2 == 0;
        if channels_first {
            bytes.extend(encoded(
                1,
                Method::ChannelClose { reply_code, reply_text, class_id: 0, method_id: 0 },
            ));
        }
        bytes.extend(encoded(
            0,
            Method::ConnectionClose { reply_code, reply_text, class_id: 0, method_id: 0 },
        ));
        wire.bytes(&bytes);
        while wire.frame().expect("the answer comes first").name() != "connection.close-ok" {}
        let delete =
            Method::QueueDelete { queue: short(&queue), if_unused: true, if_empty: false, nowait: false };
        let ok = watching.call(1, delete, "queue.delete-ok");
        assert_eq!(ok.method(), Method::QueueDeleteOk { message_count: 10 }, "round {round}");
    }
}

//! Declares that disagree with what is there, and deletes that do not agree with its use.

use super::ask::{self, Exchange};
use super::case::{Case, Scene, hard, soft};
use super::channel::{auto_delete, declared, row};
use crate::common::wire::{consume, short};
use haremq::amqp::{Method, TableWriter};

pub fn rows() -> Vec<Case> {
    [inequivalent(), in_use()].into_iter().flatten().collect()
}

const UNKNOWN_TYPE: &str = "a typing error should not cost a connection: 4.x changed it, and we follow";

fn inequivalent() -> Vec<Case> {
    let differs = |kind: &str, argument: &str, received: &str, current: &str, method| {
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg '{argument}' for {kind} '{{q}}' in vhost '/': received {received} but \
             current is {current}"
        );
        soft(406, &text, method)
    };
    let queue = |name, argument, received, current, act: fn(&mut Scene<'_>)| {
        row(name, differs("queue", argument, received, current, (50, 10)), act)
    };
    let exchange = |name,
                    argument,
                    received,
                    current,
                    first: fn(&str) -> Exchange<'_>,
                    second: fn(&str) -> Exchange<'_>| {
        row(name, differs("exchange", argument, received, current, (40, 10)), move |s| {
            s.wire.call(1, first(s.q).declare(), "exchange.declare-ok");
            s.wire.send(1, second(s.q).declare());
        })
    };
    let plain: fn(&str) -> Exchange<'_> = |name| Exchange::new(name, "direct");
    vec![
        queue("a queue that becomes durable", "durable", "'true'", "'false'", |s| {
            s.wire.call(1, ask::declare(s.q), "queue.declare-ok");
            s.wire.send(1, ask::declare_durable(s.q));
        }),
        queue("a queue that is durable no more", "durable", "'false'", "'true'", |s| {
            s.wire.call(1, ask::declare_durable(s.q), "queue.declare-ok");
            s.wire.send(1, ask::declare(s.q));
        }),
        queue("a queue that becomes auto-delete", "auto_delete", "'true'", "'false'", |s| {
            s.wire.call(1, ask::declare(s.q), "queue.declare-ok");
            s.wire.send(1, auto_delete(s.q));
        }),
        queue(
            "a queue that loses an argument",
            "x-max-length",
            "none",
            "the value '10' of type 'signedint'",
            |s| {
                let arguments = TableWriter::new().i32("x-max-length", 10).finish();
                s.wire.call(1, ask::declare_with(s.q, &arguments), "queue.declare-ok");
                s.wire.send(1, ask::declare_exclusive(s.q));
            },
        ),
        queue(
            "a queue that gains an argument",
            "x-max-length",
            "the value '10' of type 'long'",
            "none",
            |s| {
                declared(s);
                let arguments = TableWriter::new().i64("x-max-length", 10).finish();
                s.wire.send(1, ask::declare_with(s.q, &arguments));
            },
        ),
        queue("a queue with another argument", "x-max-length", "'11'", "'10'", |s| {
            for length in [10, 11] {
                let arguments = TableWriter::new().i32("x-max-length", length).finish();
                s.wire.send(1, ask::declare_with(s.q, &arguments));
            }
            s.wire.expect(1, "queue.declare-ok");
        }),
        exchange("an exchange of another type", "type", "'fanout'", "'direct'", plain, |name| {
            Exchange::new(name, "fanout")
        }),
        exchange("an exchange that becomes durable", "durable", "'true'", "'false'", plain, |name| {
            Exchange { durable: true, ..Exchange::new(name, "direct") }
        }),
        exchange("an exchange that becomes auto-delete", "auto_delete", "'true'", "'false'", plain, |name| {
            Exchange { auto_delete: true, ..Exchange::new(name, "direct") }
        }),
        exchange("an exchange that becomes internal", "internal", "'true'", "'false'", plain, |name| {
            Exchange { internal: true, ..Exchange::new(name, "direct") }
        }),
        exchange(
            "an exchange that gains an alternate",
            "alternate-exchange",
            "the value 'spare' of type 'longstr'",
            "none",
            plain,
            |name| Exchange {
                arguments: b"\x12alternate-exchangeS\0\0\0\x05spare",
                ..Exchange::new(name, "direct")
            },
        ),
        row(
            "an exchange without a type",
            soft(406, "PRECONDITION_FAILED - unknown exchange type ''", (40, 10)),
            |s| s.wire.send(1, ask::exchange(s.q, "")),
        )
        .rabbitmq(
            hard(503, "COMMAND_INVALID - invalid exchange type ''", (40, 10)),
            "as below; and what Erlang has an atom for, it calls invalid instead of unknown",
        ),
        row(
            "an exchange of an unknown type",
            soft(406, "PRECONDITION_FAILED - unknown exchange type 'riddle'", (40, 10)),
            |s| {
                s.wire.send(1, ask::exchange(s.q, "riddle"));
            },
        )
        .rabbitmq(hard(503, "COMMAND_INVALID - unknown exchange type 'riddle'", (40, 10)), UNKNOWN_TYPE),
    ]
}

fn in_use() -> Vec<Case> {
    let delete = |name, text: &str, if_unused, if_empty, act: fn(&mut Scene<'_>)| {
        row(
            name,
            soft(406, &format!("PRECONDITION_FAILED - queue '{{q}}' in vhost '/' {text}"), (50, 40)),
            move |s| {
                declared(s);
                act(s);
                s.wire.send(1, Method::QueueDelete { queue: short(s.q), if_unused, if_empty, nowait: false });
            },
        )
    };
    vec![
        delete("delete of a queue, if unused, that has a consumer", "in use", true, false, |s| {
            s.wire.call(2, consume(s.q, "", true), "basic.consume-ok");
        }),
        delete("delete of a queue, if empty, that is not", "not empty", false, true, |s| {
            s.wire.publish(1, "", s.q, false, b"x");
        }),
        row(
            "delete of an exchange, if unused, that has a binding",
            soft(406, "PRECONDITION_FAILED - exchange '{q}' in vhost '/' in use", (40, 20)),
            |s| {
                declared(s);
                s.wire.call(1, ask::exchange(s.q, "direct"), "exchange.declare-ok");
                s.wire.call(1, ask::bind(s.q, s.q, "k"), "queue.bind-ok");
                s.wire
                    .send(1, Method::ExchangeDelete { exchange: short(s.q), if_unused: true, nowait: false });
            },
        ),
    ]
}

//! What costs a client its channel: what is not there, not allowed, locked, or not delivered.

use super::ask::{self, Exchange};
use super::case::{Case, Outcome, Scene, Stage, soft};
use crate::common::wire::{consume, short};
use haremq::amqp::Method;

pub fn rows() -> Vec<Case> {
    [not_found(), refused(), locked(), tags()].into_iter().flatten().collect()
}

pub fn row(name: &str, outcome: Outcome, act: impl Fn(&mut Scene<'_>) + Send + Sync + 'static) -> Case {
    Case::new(name, Stage::Channel, outcome, act)
}

/// An exclusive queue of the case's name.
pub fn declared(s: &mut Scene<'_>) {
    s.wire.call(1, ask::declare_exclusive(s.q), "queue.declare-ok");
}

const NO_QUEUE: &str = "NOT_FOUND - no queue '{q}' in vhost '/'";
const NO_EXCHANGE: &str = "NOT_FOUND - no exchange '{q}' in vhost '/'";
const NO_LAST_QUEUE: &str = "NOT_FOUND - no previously declared queue";

fn not_found() -> Vec<Case> {
    let queue = |name, method, act: fn(&mut Scene<'_>)| row(name, soft(404, NO_QUEUE, method), act);
    let exchange = |name, method, act: fn(&mut Scene<'_>)| row(name, soft(404, NO_EXCHANGE, method), act);
    let unnamed = |name, method, act: fn(&mut Scene<'_>)| row(name, soft(404, NO_LAST_QUEUE, method), act);
    vec![
        queue("passive declare of no queue", (50, 10), |s| s.wire.send(1, ask::passive(s.q))),
        queue("consume from no queue", (60, 20), |s| s.wire.send(1, consume(s.q, "", true))),
        queue("get from no queue", (60, 70), |s| s.wire.send(1, ask::get(s.q))),
        queue("purge of no queue", (50, 30), |s| s.wire.send(1, ask::purge(s.q))),
        queue("bind of no queue", (50, 20), |s| s.wire.send(1, ask::bind(s.q, "amq.direct", "k"))),
        exchange("passive declare of no exchange", (40, 10), |s| s.wire.send(1, ask::exchange_passive(s.q))),
        exchange("publish to no exchange", (60, 40), |s| s.wire.publish(1, s.q, "k", false, b"x")),
        exchange("bind to no exchange", (50, 20), |s| {
            s.wire.call(1, ask::declare_exclusive(&format!("{}-queue", s.q)), "queue.declare-ok");
            s.wire.send(1, ask::bind("", s.q, "k"));
        }),
        exchange("bind of no exchange", (40, 30), |s| s.wire.send(1, ask::exchange_bind(s.q, "amq.direct"))),
        exchange("bind of an exchange to none", (40, 30), |s| {
            s.wire.send(1, ask::exchange_bind("amq.direct", s.q))
        }),
        unnamed("consume from the last queue", (60, 20), |s| s.wire.send(1, consume("", "", true))),
        unnamed("get from the last queue", (60, 70), |s| s.wire.send(1, ask::get(""))),
        unnamed("purge of the last queue", (50, 30), |s| s.wire.send(1, ask::purge(""))),
        unnamed("delete of the last queue", (50, 40), |s| s.wire.send(1, ask::delete(""))),
        unnamed("bind of the last queue", (50, 20), |s| s.wire.send(1, ask::bind("", "amq.direct", "k"))),
        unnamed("unbind of the last queue", (50, 50), |s| s.wire.send(1, ask::unbind("", "amq.direct", "k"))),
        row(
            "passive declare of the last queue",
            soft(404, "NOT_FOUND - no queue '' in vhost '/'", (50, 10)),
            |s| s.wire.send(1, ask::passive("")),
        ),
    ]
}

const DEFAULT_EXCHANGE: &str = "ACCESS_REFUSED - operation not permitted on the default exchange";
const EXCLUSIVE_USE: &str = "ACCESS_REFUSED - queue '{q}' in vhost '/' in exclusive use";

fn refused() -> Vec<Case> {
    let default = |name, method, act: fn(&mut Scene<'_>)| row(name, soft(403, DEFAULT_EXCHANGE, method), act);
    let busy = |name, act: fn(&mut Scene<'_>)| row(name, soft(403, EXCLUSIVE_USE, (60, 20)), act);
    vec![
        row("a queue with a reserved name that is there", Outcome::Goes, |s| {
            let ok = s.wire.call(1, ask::declare_exclusive(""), "queue.declare-ok");
            let Method::QueueDeclareOk { queue, .. } = ok.method() else {
                unreachable!("its name was checked")
            };
            s.wire.send(1, ask::declare_exclusive(&queue.to_string()));
            let text = format!("ACCESS_REFUSED - queue name '{queue}' contains reserved prefix 'amq.*'");
            assert_eq!(s.wire.channel_closed(1), (403, text));
            s.wire.channel(1);
        }),
        row(
            "a queue with a reserved name",
            soft(403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'", (50, 10)),
            |s| s.wire.send(1, ask::declare("amq.mine")),
        ),
        row(
            "an exchange with a reserved name",
            soft(403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'", (40, 10)),
            |s| s.wire.send(1, ask::exchange("amq.mine", "direct")),
        ),
        row(
            "delete of a predeclared exchange",
            soft(
                403,
                "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
                (40, 20),
            ),
            |s| s.wire.send(1, ask::exchange_delete("amq.direct")),
        ),
        default("declare of the default exchange", (40, 10), |s| s.wire.send(1, ask::exchange("", "direct"))),
        default("passive declare of the default exchange", (40, 10), |s| {
            s.wire.send(1, ask::exchange_passive(""))
        }),
        default("delete of the default exchange", (40, 20), |s| s.wire.send(1, ask::exchange_delete(""))),
        default("bind to the default exchange", (50, 20), |s| {
            declared(s);
            s.wire.send(1, ask::bind(s.q, "", "k"));
        }),
        default("unbind from the default exchange", (50, 50), |s| {
            declared(s);
            s.wire.send(1, ask::unbind(s.q, "", s.q));
        }),
        default("bind of the default exchange", (40, 30), |s| {
            s.wire.send(1, ask::exchange_bind("", "amq.direct"))
        }),
        default("bind of an exchange to the default one", (40, 30), |s| {
            s.wire.send(1, ask::exchange_bind("amq.direct", ""));
        }),
        default("unbind of an exchange from the default one", (40, 40), |s| {
            s.wire.send(1, ask::exchange_unbind("amq.direct", ""));
        }),
        row(
            "publish to an internal exchange",
            soft(403, "ACCESS_REFUSED - cannot publish to internal exchange '{q}' in vhost '/'", (60, 40)),
            |s| {
                let exchange = Exchange { internal: true, ..Exchange::new(s.q, "direct") };
                s.wire.call(1, exchange.declare(), "exchange.declare-ok");
                s.wire.publish(1, s.q, "k", false, b"x");
            },
        ),
        busy("consume where another does exclusively", |s| {
            declared(s);
            s.wire.call(2, ask::consume_exclusively(s.q), "basic.consume-ok");
            s.wire.send(1, consume(s.q, "", true));
        }),
        busy("consume exclusively where another does", |s| {
            declared(s);
            s.wire.call(2, consume(s.q, "", true), "basic.consume-ok");
            s.wire.send(1, ask::consume_exclusively(s.q));
        }),
        busy("consume exclusively twice", |s| {
            declared(s);
            s.wire.call(1, ask::consume_exclusively(s.q), "basic.consume-ok");
            s.wire.send(1, ask::consume_exclusively(s.q));
        }),
    ]
}

const LOCKED: &str = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{q}' in vhost '/'. It could be \
                      originally declared on another connection or the exclusive property value does not match that of \
                      the original declaration.";

fn locked() -> Vec<Case> {
    let locked = |name, method, act: fn(&mut Scene<'_>)| {
        row(name, soft(405, LOCKED, method), move |s| {
            s.other.call(1, ask::declare_exclusive(s.q), "queue.declare-ok");
            act(s);
        })
    };
    vec![
        locked("declare of another's queue", (50, 10), |s| s.wire.send(1, ask::declare(s.q))),
        locked("exclusive declare of another's queue", (50, 10), |s| {
            s.wire.send(1, ask::declare_exclusive(s.q))
        }),
        locked("passive declare of another's queue", (50, 10), |s| s.wire.send(1, ask::passive(s.q))),
        locked("bind of another's queue", (50, 20), |s| s.wire.send(1, ask::bind(s.q, "amq.direct", "k"))),
        locked("unbind of another's queue", (50, 50), |s| {
            s.other.call(1, ask::bind(s.q, "amq.direct", "k"), "queue.bind-ok");
            s.wire.send(1, ask::unbind(s.q, "amq.direct", "k"));
        }),
        locked("consume from another's queue", (60, 20), |s| s.wire.send(1, consume(s.q, "", true))),
        locked("get from another's queue", (60, 70), |s| s.wire.send(1, ask::get(s.q))),
        locked("purge of another's queue", (50, 30), |s| s.wire.send(1, ask::purge(s.q))),
        locked("delete of another's queue", (50, 40), |s| s.wire.send(1, ask::delete(s.q))),
        row("declare of one's exclusive queue as a shared one", soft(405, LOCKED, (50, 10)), |s| {
            declared(s);
            s.wire.send(1, ask::declare(s.q));
        }),
        row("declare of a shared queue as an exclusive one", soft(405, LOCKED, (50, 10)), |s| {
            s.wire.call(1, auto_delete(s.q), "queue.declare-ok");
            s.wire.send(1, ask::declare_exclusive(s.q));
        }),
    ]
}

pub fn auto_delete(queue: &str) -> Method<'_> {
    Method::QueueDeclare {
        queue: short(queue),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: true,
        nowait: false,
        arguments: haremq::amqp::Table::EMPTY,
    }
}

fn tags() -> Vec<Case> {
    let unknown = |name, tag: u64, method, act: fn(&mut Scene<'_>)| {
        row(name, soft(406, &format!("PRECONDITION_FAILED - unknown delivery tag {tag}"), method), act)
    };
    vec![
        unknown("ack of nothing", 1, (60, 80), |s| s.wire.send(1, ask::ack(1, false))),
        unknown("ack of all up to nothing", 7, (60, 80), |s| s.wire.send(1, ask::ack(7, true))),
        unknown("ack of tag 0", 0, (60, 80), |s| s.wire.send(1, ask::ack(0, false))),
        unknown("ack of the last of all tags", u64::MAX, (60, 80), |s| {
            s.wire.send(1, ask::ack(u64::MAX, false))
        }),
        unknown("nack of nothing", 1, (60, 120), |s| {
            s.wire.send(1, Method::BasicNack { delivery_tag: 1, multiple: false, requeue: true });
        }),
        unknown("reject of nothing", 1, (60, 90), |s| {
            s.wire.send(1, Method::BasicReject { delivery_tag: 1, requeue: true });
        }),
        unknown("ack twice", 1, (60, 80), |s| {
            got(s);
            s.wire.send(1, ask::ack(1, false));
            s.wire.send(1, ask::ack(1, false));
        }),
        unknown("ack of what came without", 1, (60, 80), |s| {
            declared(s);
            s.wire.publish(1, "", s.q, false, b"x");
            s.wire.call(1, Method::BasicGet { queue: short(s.q), no_ack: true }, "basic.get-ok");
            s.wire.content();
            s.wire.send(1, ask::ack(1, false));
        }),
        unknown("ack of another channel's delivery", 1, (60, 80), |s| {
            got(s);
            s.wire.send(1, ask::ack(1, false));
            s.wire.call(2, ask::get(s.q), "basic.get-empty");
            s.wire.publish(2, "", s.q, false, b"x");
            s.wire.call(2, ask::get(s.q), "basic.get-ok");
            s.wire.content();
            s.wire.send(1, ask::ack(1, false));
        }),
        row("ack of all when there is nothing", Outcome::Goes, |s| s.wire.send(1, ask::ack(0, true))),
    ]
}

/// A delivery with tag 1 on channel 1.
fn got(s: &mut Scene<'_>) {
    declared(s);
    s.wire.publish(1, "", s.q, false, b"x");
    s.wire.call(1, ask::get(s.q), "basic.get-ok");
    s.wire.content();
}

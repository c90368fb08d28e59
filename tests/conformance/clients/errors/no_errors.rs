//! What looks like an error and is none.

use super::ask::{self, Exchange};
use super::case::{Case, Outcome, Scene};
use super::channel::{declared, row};
use crate::common::wire::publication;
use haremq::amqp::{Method, TableWriter};

pub fn rows() -> Vec<Case> {
    let answers = |name, answer, act: fn(&mut Scene<'_>)| row(name, Outcome::Answer(answer), act);
    vec![
        answers("delete of no queue", "queue.delete-ok", |s| s.wire.send(1, ask::delete(s.q))),
        answers("delete of no exchange", "exchange.delete-ok", |s| s.wire.send(1, ask::exchange_delete(s.q))),
        answers("unbind of no binding", "queue.unbind-ok", |s| {
            declared(s);
            s.wire.send(1, ask::unbind(s.q, "amq.direct", "k"));
        }),
        answers("unbind from no exchange", "queue.unbind-ok", |s| {
            declared(s);
            s.wire.send(1, ask::unbind(s.q, "nowhere", "k"));
        }),
        answers("unbind of no queue", "queue.unbind-ok", |s| {
            s.wire.send(1, ask::unbind(s.q, "amq.direct", "k"))
        }),
        answers("unbind of exchanges that are not there", "exchange.unbind-ok", |s| {
            s.wire.send(1, ask::exchange_unbind(s.q, "amq.direct"));
        }),
        answers("cancel of no consumer", "basic.cancel-ok", |s| {
            s.wire.send(1, Method::BasicCancel { consumer_tag: "nobody".into(), nowait: false });
        }),
        answers("the same argument in another width", "queue.declare-ok", |s| {
            let narrow = TableWriter::new().i32("x-max-length", 10).finish();
            s.wire.call(1, ask::declare_with(s.q, &narrow), "queue.declare-ok");
            let wide = TableWriter::new().i64("x-max-length", 10).finish();
            s.wire.send(1, ask::declare_with(s.q, &wide));
        }),
        answers("an argument that nobody knows", "queue.declare-ok", |s| {
            declared(s);
            let arguments = TableWriter::new().i32("x-unknown", 10).finish();
            s.wire.send(1, ask::declare_with(s.q, &arguments));
        }),
        answers("passive declare of a queue with a reserved name", "queue.declare-ok", |s| {
            let ok = s.wire.call(1, ask::declare_exclusive(""), "queue.declare-ok");
            let Method::QueueDeclareOk { queue, .. } = ok.method() else {
                unreachable!("its name was checked")
            };
            s.wire.send(1, ask::passive(&queue.to_string()));
        }),
        answers("declare of an exchange with a reserved name that is there", "exchange.declare-ok", |s| {
            let exchange = Exchange { durable: true, ..Exchange::new("amq.direct", "direct") };
            s.wire.send(1, exchange.declare());
        }),
        answers("a transient queue for all", "queue.declare-ok", |s| s.wire.send(1, ask::declare(s.q))),
        answers("two confirm.select", "confirm.select-ok", |s| {
            s.wire.call(1, ask::confirm_select(), "confirm.select-ok");
            s.wire.send(1, ask::confirm_select());
        }),
        answers("flow that goes on", "channel.flow-ok", |s| {
            s.wire.send(1, Method::ChannelFlow { active: true })
        }),
        answers("prefetch for the channel", "basic.qos-ok", |s| s.wire.send(1, ask::qos(10, true))),
        answers("recover", "basic.recover-ok", |s| s.wire.send(1, Method::BasicRecover { requeue: true })),
        row("recover without an answer", Outcome::Goes, |s| {
            s.wire.send(1, Method::BasicRecoverAsync { requeue: true });
        }),
        row("publish to nowhere", Outcome::Goes, |s| s.wire.publish(1, "", s.q, false, b"x")),
        row("a mandatory publish to nowhere", Outcome::Goes, |s| {
            s.wire.bytes(&publication(1, "", s.q, true, b"x"));
            let reply = s.wire.expect(1, "basic.return");
            let Method::BasicReturn { reply_code, reply_text, .. } = reply.method() else {
                unreachable!("its name was checked")
            };
            assert_eq!((reply_code, reply_text.as_bytes()), (312, &b"NO_ROUTE"[..]));
            s.wire.content();
        }),
        row("four wildcards in a binding of a topic exchange", Outcome::Answer("queue.bind-ok"), |s| {
            declared(s);
            s.wire.send(1, ask::bind(s.q, "amq.topic", "#.a.#.b.#.c.#"));
        }),
    ]
}

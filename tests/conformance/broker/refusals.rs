//! What is not implemented yet says so, by 540 and the method's name. A method that comes to work leaves this list and the
//! README's.

use crate::common::Broker;
use crate::common::wire::{Wire, declare_exclusive, short};
use haremq::amqp::{Method, Table};

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let broker = Broker::start();
    let arguments = Table::EMPTY;
    let (destination, source, routing_key) = (short("amq.fanout"), short("amq.direct"), short("key"));
    for method in [
        Method::ExchangeBind { destination, source, routing_key, nowait: false, arguments },
        Method::ExchangeUnbind { destination, source, routing_key, nowait: false, arguments },
        Method::BasicRecover { requeue: true },
        Method::BasicRecoverAsync { requeue: true },
        exchange("topic"),
        exchange("headers"),
        Method::QueueBind {
            queue: "mine".into(),
            exchange: "amq.topic".into(),
            routing_key,
            nowait: false,
            arguments,
        },
        Method::QueueBind {
            queue: "mine".into(),
            exchange: "amq.match".into(),
            routing_key,
            nowait: false,
            arguments,
        },
    ] {
        let mut wire = Wire::open(broker.amqp);
        wire.channel(1);
        wire.call(1, declare_exclusive("mine"), "queue.declare-ok");
        wire.send(1, method);
        let reply = wire.expect(0, "connection.close");
        let (code, text) = reply.close();
        assert_eq!(code, 540, "{text}");
        assert!(text.starts_with("NOT_IMPLEMENTED - ") && text.contains(method.name()), "{method:?}: {text}");
        let Method::ConnectionClose { class_id, method_id, .. } = reply.method() else {
            unreachable!("it is a close")
        };
        assert_eq!((class_id, method_id), method.ids());
        wire.send(0, Method::ConnectionCloseOk);
        assert!(wire.frame().is_none(), "the socket closes");
    }
}

fn exchange(kind: &str) -> Method<'_> {
    Method::ExchangeDeclare {
        exchange: "refused".into(),
        type_: short(kind),
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

#[test]
fn what_only_servers_send_is_refused_from_clients() {
    let broker = Broker::start();
    for method in [
        Method::QueueDeclareOk { queue: "q".into(), message_count: 0, consumer_count: 0 },
        Method::BasicGetEmpty,
        Method::ChannelOpenOk,
    ] {
        let mut wire = Wire::open(broker.amqp);
        wire.channel(1);
        wire.send(1, method);
        let (code, text) = wire.closed();
        assert!((500..=541).contains(&code), "{method:?}: {code} {text}");
    }
}

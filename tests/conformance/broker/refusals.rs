//! What is not implemented yet says so, by 540 and the method's name. A method that comes to work leaves this list and the
//! README's.

use crate::common::Broker;
use crate::common::wire::{Wire, declare_exclusive};
use haremq::amqp::Method;

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let broker = Broker::start();
    for method in [
        Method::TxSelect,
        Method::TxCommit,
        Method::TxRollback,
        Method::BasicRecover { requeue: true },
        Method::BasicRecoverAsync { requeue: true },
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

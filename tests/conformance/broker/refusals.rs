//! What a client cannot ask for.

use crate::common::Broker;
use crate::common::wire::Wire;
use haremq::amqp::Method;

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

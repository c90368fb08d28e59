//! Limits of vhosts and users: refused with RabbitMQ's codes and texts, on whatever shard, and counted down at once.

use haremq::amqp::method::Method;
use serde_json::json;

use super::policies::{delete, get, put};
use super::vhosts::enter;
use crate::common::Broker;
use crate::common::wire::{Wire, declare, short};

fn close(mut wire: Wire) {
    let close =
        Method::ConnectionClose { reply_code: 200, reply_text: short("bye"), class_id: 0, method_id: 0 };
    wire.call(0, close, "connection.close-ok");
}

fn entered(broker: &Broker, vhost: &str) -> Wire {
    let mut wire = enter(broker, vhost);
    wire.expect(0, "connection.open-ok");
    wire
}

fn limit(broker: &Broker, path: &str, value: i64) {
    assert_eq!(put(broker, path, json!({"value": value})), 204);
}

const IN_VHOST: &str = "/api/vhost-limits/v/max-connections";
const OF_GUEST: &str = "/api/user-limits/guest/max-connections";

#[test]
fn a_vhost_takes_so_many_connections_and_a_place_that_is_given_back_is_free_at_once() {
    let broker = Broker::start();
    assert_eq!(put(&broker, "/api/vhosts/v", json!({})), 201);
    limit(&broker, IN_VHOST, 3);
    let text = "NOT_ALLOWED - access to vhost 'v' refused for user 'guest': connection limit (3) is reached";
    let mut wires: Vec<Wire> = (0..3).map(|_| entered(&broker, "v")).collect();
    // The listener spreads connections over both shards.
    for _ in 0..4 {
        assert_eq!(enter(&broker, "v").closed(), (530, text.to_owned()));
    }
    for _ in 0..20 {
        close(wires.remove(0));
        wires.push(entered(&broker, "v"));
    }
    let _elsewhere = entered(&broker, "/");
    limit(&broker, IN_VHOST, 4);
    wires.push(entered(&broker, "v"));
    limit(&broker, IN_VHOST, 0);
    let none = "NOT_ALLOWED - access to vhost 'v' refused for user 'guest': connection limit (0) is reached";
    assert_eq!(enter(&broker, "v").closed(), (530, none.to_owned()));
    wires[0].channel(1);
    assert_eq!(put(&broker, "/api/queues/v/q", json!({})), 201, "the API comes in all the same");
    assert_eq!(delete(&broker, IN_VHOST), 204);
    entered(&broker, "v");
}

#[test]
fn a_user_has_so_many_connections_and_channels() {
    let broker = Broker::start();
    limit(&broker, OF_GUEST, 2);
    let mut wires = [entered(&broker, "/"), entered(&broker, "/")];
    let text = "NOT_ALLOWED - connection refused for user 'guest': user connection limit (2) is reached";
    assert_eq!(enter(&broker, "/").closed(), (530, text.to_owned()));
    assert_eq!(enter(&broker, "nowhere").closed().1, "NOT_ALLOWED - vhost nowhere not found");
    limit(&broker, OF_GUEST, -1);
    limit(&broker, "/api/user-limits/guest/max-channels", 3);
    wires[0].channel(1);
    wires[1].channel(1);
    wires[1].channel(2);
    wires[0].call(
        1,
        Method::ChannelClose { reply_code: 200, reply_text: short("bye"), class_id: 0, method_id: 0 },
        "channel.close-ok",
    );
    wires[0].channel(7);
    wires[0].send(2, Method::ChannelOpen {});
    let text = "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of (3)";
    assert_eq!(wires[0].closed(), (530, text.to_owned()));
    let mut third = entered(&broker, "/");
    third.channel(1);
}

#[test]
fn a_vhost_has_so_many_queues() {
    let broker = Broker::start();
    limit(&broker, "/api/vhost-limits/%2F/max-queues", 1);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.send(1, declare("r"));
    let text = "PRECONDITION_FAILED - cannot declare queue 'r': queue limit in vhost '/' (1) is reached";
    assert_eq!(wire.channel_closed(1), (406, text.to_owned()));
    wire.channel(1);
    let gone = Method::QueueDelete { queue: short("q"), if_unused: false, if_empty: false, nowait: false };
    wire.call(1, gone, "queue.delete-ok");
    wire.call(1, declare("r"), "queue.declare-ok");
    assert_eq!(delete(&broker, "/api/vhost-limits/%2F/max-queues"), 204);
    wire.call(1, declare("s"), "queue.declare-ok");
}

#[test]
fn limits_are_shown_and_outlive_the_server() {
    let mut broker = Broker::start();
    assert_eq!(get(&broker, "/api/vhost-limits/%2F"), (200, json!([])));
    assert_eq!(get(&broker, "/api/vhost-limits/nowhere").0, 404);
    assert_eq!(get(&broker, "/api/user-limits/nobody").0, 404);
    assert_eq!(put(&broker, "/api/vhost-limits/nowhere/max-queues", json!({"value": 1})), 404);
    assert_eq!(put(&broker, "/api/user-limits/nobody/max-channels", json!({"value": 1})), 400);
    for (path, value) in [
        ("/api/vhost-limits/%2F/max-foo", json!(1)),
        ("/api/vhost-limits/%2F/max-queues", json!("1")),
        ("/api/user-limits/guest/max-foo", json!(1)),
        ("/api/user-limits/guest/max-channels", json!("1")),
    ] {
        assert_eq!(put(&broker, path, json!({"value": value})), 400, "{path}");
        assert_eq!(put(&broker, path, json!({})), 400, "{path}");
    }
    limit(&broker, "/api/vhost-limits/%2F/max-queues", 6);
    limit(&broker, "/api/vhost-limits/%2F/max-connections", -1);
    limit(&broker, "/api/user-limits/guest/max-channels", 600);
    broker.kill();
    broker.restart();
    let of_vhost = json!([{"vhost": "/", "value": {"max-connections": -1, "max-queues": 6}}]);
    assert_eq!(get(&broker, "/api/vhost-limits"), (200, of_vhost.clone()));
    assert_eq!(get(&broker, "/api/vhost-limits/%2F"), (200, of_vhost));
    let parameter = get(&broker, "/api/parameters/vhost-limits/%2F/limits").1;
    assert_eq!(parameter["value"], json!({"max-connections": -1, "max-queues": 6}));
    let of_guest = json!([{"user": "guest", "value": {"max-channels": 600}}]);
    assert_eq!(get(&broker, "/api/user-limits"), (200, of_guest.clone()));
    assert_eq!(get(&broker, "/api/user-limits/guest"), (200, of_guest));
    assert_eq!(delete(&broker, "/api/user-limits/guest/max-channels"), 204);
    assert_eq!(get(&broker, "/api/user-limits"), (200, json!([])));
}

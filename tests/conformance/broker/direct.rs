//! Exchanges, queues and messages over HTTP. Codes and reasons are those of a RabbitMQ that was asked the same.

use haremq::amqp::Method;
use serde_json::{Value, json};

use crate::common::Broker;
use crate::common::http::{GUEST, Login, ask};
use crate::common::wire::{Wire, consume, declare, declare_exclusive};

const ANN: Login<'static> = ("ann", "secret");

pub fn call(broker: &Broker, verb: &str, path: &str, body: &Value) -> (u16, Value) {
    call_as(broker, GUEST, verb, path, body)
}

/// Null is no body, in the question as in the answer.
fn call_as(broker: &Broker, login: Login<'_>, verb: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = ask(broker.http, verb, path, Some(login), &body);
    (answer.status, answer.json())
}

/// Code and reason.
fn refused(broker: &Broker, verb: &str, path: &str, body: &Value) -> (u16, Value) {
    let (code, answer) = call(broker, verb, path, body);
    (code, answer["reason"].clone())
}

#[test]
fn queues_are_put_and_deleted() {
    let broker = Broker::start();
    let put = |path: &str, body: Value| refused(&broker, "PUT", path, &body);
    assert_eq!(put("/api/queues/%2F/q1", Value::Null).0, 201);
    assert_eq!(put("/api/queues/%2F/q1", Value::Null).0, 204);
    assert_eq!(put("/api/queues/%2F/a%2Fb%20c+d", json!({})).0, 201);
    let arguments = json!({"x-max-length": 10, "a": "b", "f": 1.5, "n": [1, "x", {"t": true}]});
    let body = json!({"durable": "true", "auto_delete": false, "arguments": arguments});
    assert_eq!(put("/api/queues/%2F/q2", body.clone()).0, 201);
    assert_eq!(put("/api/queues/%2F/q2", body).0, 204);
    assert_eq!(put("/api/queues/%2F/empty", json!({"arguments": []})).0, 201);
    let bad = |reason: Value| (400, reason);
    for (body, reason) in [
        (
            json!({}),
            json!(
                "inequivalent arg 'durable' for queue 'q2' in vhost '/': received 'false' but current is 'true'"
            ),
        ),
        (
            json!({"durable": true}),
            json!(
                "inequivalent arg 'x-max-length' for queue 'q2' in vhost '/': received none but current is the value '10' of type 'long'"
            ),
        ),
        (json!({"auto_delete": "maybe"}), json!(["not_boolean", "maybe"])),
        (json!({"durable": 1}), json!(["not_boolean", 1])),
        (json!({"arguments": {"x": null}}), json!("null_not_allowed")),
        (json!([1]), json!("not_json")),
    ] {
        assert_eq!(put("/api/queues/%2F/q2", body), bad(reason));
    }
    let negative = json!({"arguments": {"x-max-length": -1}});
    let reason = "invalid arg 'x-max-length' for queue 'q3' in vhost '/': {value_negative,-1}";
    assert_eq!(put("/api/queues/%2F/q3", negative), bad(json!(reason)));
    assert_eq!(put("/api/queues/%2F/q3", json!({"arguments": "x"})).0, 400);
    assert_eq!(put(&format!("/api/queues/%2F/{}", "x".repeat(256)), json!({})).0, 400);
    assert_eq!(put("/api/queues/%2F/amq.q", json!({})), (401, json!("Access refused.")));
    assert_eq!(put("/api/queues/nowhere/q", json!({})), (404, json!("vhost_not_found")));
    let passive = json!({"passive": true});
    assert_eq!(put("/api/queues/%2F/q1", passive.clone()).0, 204);
    assert_eq!(put("/api/queues/%2F/q3", passive), (404, json!("no queue 'q3' in vhost '/'")));

    let delete = |path: &str| refused(&broker, "DELETE", path, &Value::Null);
    assert_eq!(delete("/api/queues/%2F/q1?if-unused=true&if-empty=true").0, 204);
    for gone in ["/api/queues/%2F/q1", "/api/queues/nowhere/q1", "/api/queues/%2F/q1/contents"] {
        assert_eq!(delete(gone), (404, json!("Not Found")));
    }
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("q4"), "queue.declare-ok");
    wire.call(1, consume("q4", "c", false), "basic.consume-ok");
    wire.call(1, declare_exclusive("q5"), "queue.declare-ok");
    assert_eq!(delete("/api/queues/%2F/q4?if-unused=true"), bad(json!("queue 'q4' in vhost '/' in use")));
    let (code, reason) = delete("/api/queues/%2F/q5");
    assert_eq!(code, 400);
    assert!(reason.as_str().unwrap().starts_with("cannot obtain exclusive access to locked queue 'q5'"));
    assert_eq!(delete("/api/queues/%2F/q4?if-unused=1").0, 204);
}

#[test]
fn exchanges_are_put_and_deleted() {
    let broker = Broker::start();
    let put = |path: &str, body: Value| refused(&broker, "PUT", path, &body);
    assert_eq!(put("/api/exchanges/%2F/x1", json!({})).0, 201);
    assert_eq!(put("/api/exchanges/%2F/x1", json!({"type": "direct"})).0, 204);
    let x4 = json!({"type": "topic", "durable": "true", "internal": "true", "arguments": {"alternate-exchange": "x1"}});
    assert_eq!(put("/api/exchanges/%2F/x4", x4).0, 201);
    assert_eq!(put("/api/exchanges/%2F/amq.direct", json!({"type": "direct", "durable": true})).0, 204);
    for (path, body, reason) in [
        (
            "x1",
            json!({"type": "fanout"}),
            "inequivalent arg 'type' for exchange 'x1' in vhost '/': received 'fanout' but current is 'direct'",
        ),
        (
            "amq.direct",
            json!({}),
            "inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            "e3",
            json!({"arguments": {"alternate-exchange": 1}}),
            "invalid type 'long' for arg 'alternate-exchange' in exchange 'e3' in vhost '/'",
        ),
    ] {
        assert_eq!(put(&format!("/api/exchanges/%2F/{path}"), body), (400, json!(reason)));
    }
    assert_eq!(put("/api/exchanges/%2F/x3", json!({"type": 1})).0, 400);
    for path in ["amq.x", "amq.default"] {
        assert_eq!(put(&format!("/api/exchanges/%2F/{path}"), json!({})), (401, json!("Access refused.")));
    }
    let delete = |path: &str| refused(&broker, "DELETE", &format!("/api/exchanges/%2F/{path}"), &Value::Null);
    for path in ["amq.default", "amq.direct"] {
        assert_eq!(delete(path), (401, json!("Access refused.")));
    }
    assert_eq!(delete("none"), (404, json!("Not Found")));
    let bound = call(&broker, "POST", "/api/bindings/%2F/e/x4/e/amq.direct", &json!({"routing_key": "k"}));
    assert_eq!(bound.0, 201);
    assert_eq!(delete("x4?if-unused=true"), (400, json!("exchange 'x4' in vhost '/' in use")));
    assert_eq!(delete("x4").0, 204);
}

fn message(payload: &str) -> Value {
    json!({"routing_key": "q", "properties": {}, "payload": payload, "payload_encoding": "string"})
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

const PUBLISH: &str = "/api/exchanges/%2F/amq.default/publish";
const GET: &str = "/api/queues/%2F/q/get";

#[test]
fn a_message_is_published_and_told_whether_it_was_routed() {
    let broker = Broker::start();
    let publish = |body: Value| call(&broker, "POST", PUBLISH, &body);
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/q", &json!({"durable": true})).0, 201);
    assert_eq!(publish(message("p")), (200, json!({"routed": true})));
    assert_eq!(publish(with(message("p"), "routing_key", json!("none"))), (200, json!({"routed": false})));
    assert_eq!(
        publish(with(with(message(" AA\nH/ "), "payload_encoding", json!("base64")), "x", json!(1))).0,
        200
    );
    let keys = "[{key_missing,routing_key},\n {key_missing,properties},\n {key_missing,payload},\n {key_missing,payload_encoding}]";
    let with_property = |name: &str, value: Value| with(message("p"), "properties", json!({name: value}));
    for (body, reason) in [
        (json!({}), json!(keys)),
        (with(message("p"), "payload", json!(1)), json!("payload_not_string")),
        (with(message("p"), "payload_encoding", json!("x")), json!(["unsupported_encoding", "x"])),
        (with(message("!!"), "payload_encoding", json!("base64")), json!(["not_base64", "!!"])),
        (with_property("delivery_mode", json!("2")), json!(["not_int", "delivery_mode"])),
        (with_property("message_id", json!(2)), json!(["not_string", "message_id"])),
        (with_property("headers", json!({"a": null})), json!("null_not_allowed")),
        (
            with_property("expiration", json!("abc")),
            json!("406 PRECONDITION_FAILED - invalid expiration 'abc': no_integer"),
        ),
        (
            with_property("user_id", json!("ann")),
            json!(
                "406 PRECONDITION_FAILED - user_id property set to 'ann' but authenticated user was 'guest'"
            ),
        ),
    ] {
        let (code, answer) = publish(body);
        assert_eq!((code, &answer["reason"]), (400, &reason));
    }
    for (exchange, reason) in [
        ("none", "404 NOT_FOUND - no exchange 'none' in vhost '/'"),
        (
            "amq.rabbitmq.trace",
            "403 ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
        ),
    ] {
        let refused =
            refused(&broker, "POST", &format!("/api/exchanges/%2F/{exchange}/publish"), &message("p"));
        assert_eq!(refused, (400, json!(reason)));
    }
    let full = json!({"arguments": {"x-max-length": 0, "x-overflow": "reject-publish"}});
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/full", &full).0, 201);
    let rejected = publish(with(message("p"), "routing_key", json!("full")));
    let reason = "rejected Unable to publish message. Check queue limits.";
    assert_eq!((rejected.0, &rejected.1["reason"]), (400, &json!(reason)));
}

#[test]
fn a_large_message_comes_back_whole() {
    let broker = Broker::start_with(&["--shards", "3"]);
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/q", &Value::Null).0, 201);
    // Longer than a frame and than what a socket takes at a time.
    let payload: String = (0..300_000).map(|number| format!("{number:06} ")).collect();
    assert_eq!(call(&broker, "POST", PUBLISH, &message(&payload)), (200, json!({"routed": true})));
    let body = json!({"count": 5, "ackmode": "ack_requeue_false", "encoding": "auto"});
    let (code, got) = call(&broker, "POST", GET, &body);
    assert_eq!((code, got.as_array().map(Vec::len)), (200, Some(1)));
    assert_eq!(got[0]["payload_bytes"], payload.len());
    assert!(got[0]["payload"] == payload, "the payload differs");
}

#[test]
fn an_answer_of_endless_length_ends_and_the_next_one_goes_on() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    let body = vec![b'x'; 8 << 20];
    for _ in 0..10 {
        wire.publish(1, "", "q", false, &body);
        wire.expect(1, "basic.ack");
    }
    let all = json!({"count": -1, "ackmode": "ack_requeue_false", "encoding": "auto"});
    for count in [8, 2] {
        let (code, got) = call(&broker, "POST", GET, &all);
        assert_eq!((code, got.as_array().map(Vec::len)), (200, Some(count)));
    }
}

#[test]
fn messages_are_got_in_four_ways() {
    let broker = Broker::start_with(&["--shards", "3"]);
    let dead_letters =
        json!({"arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}});
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/dead", &Value::Null).0, 201);
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/q", &dead_letters).0, 201);
    for payload in ["a", "b", "c", "d"] {
        assert_eq!(call(&broker, "POST", PUBLISH, &message(payload)), (200, json!({"routed": true})));
    }
    // Payload, whether it was redelivered, and how many are left.
    let get = |queue: &str, mode: &str, count: i64| {
        let body = json!({"count": count, "ackmode": mode, "encoding": "auto"});
        let (code, got) = call(&broker, "POST", &format!("/api/queues/%2F/{queue}/get"), &body);
        assert_eq!(code, 200);
        let told = |message: &Value| {
            (message["payload"].clone(), message["redelivered"].clone(), message["message_count"].clone())
        };
        Value::Array(got.as_array().unwrap().iter().map(told).map(|told| json!(told)).collect())
    };
    assert_eq!(get("q", "ack_requeue_true", 2), json!([["a", false, 3], ["b", false, 2]]));
    assert_eq!(get("q", "reject_requeue_true", 1), json!([["a", true, 3]]));
    assert_eq!(
        get("q", "ack_requeue_true", -1),
        json!([["a", true, 3], ["b", true, 2], ["c", false, 1], ["d", false, 0]])
    );
    assert_eq!(get("q", "reject_requeue_false", 2), json!([["a", true, 3], ["b", true, 2]]));
    assert_eq!(get("q", "ack_requeue_false", 1), json!([["c", true, 1]]));
    assert_eq!(get("q", "ack_requeue_false", 0), json!([]));
    let body = json!({"count": "9", "requeue": "false", "encoding": "base64", "truncate": 0});
    let (_, got) = call(&broker, "POST", GET, &body);
    assert_eq!(
        (&got[0]["payload"], &got[0]["payload_bytes"], &got[1]),
        (&json!(""), &json!(1), &Value::Null)
    );
    assert_eq!(get("q", "ack_requeue_false", 9), json!([]));
    assert_eq!(get("dead", "ack_requeue_false", 9), json!([["a", false, 1], ["b", false, 0]]));
    let body = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
    for (body, reason) in [
        (json!({"count": 1}), json!("[{key_missing,ackmode},{key_missing,encoding}]")),
        (
            with(body.clone(), "encoding", json!("x")),
            json!("Unsupported encoding. Please use auto or base64."),
        ),
        (with(body.clone(), "count", json!("x")), json!(["not_integer", "x"])),
        (with(body.clone(), "truncate", json!("x")), json!(["not_integer", "x"])),
    ] {
        assert_eq!(refused(&broker, "POST", GET, &body), (400, reason));
    }
    let none = refused(&broker, "POST", "/api/queues/%2F/none/get", &body);
    assert_eq!(none, (404, json!("NOT_FOUND - no queue 'none' in vhost '/'")));
}

#[test]
fn properties_go_both_ways_and_foreign_bytes_are_base64() {
    let broker = Broker::start();
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/q", &Value::Null).0, 201);
    let properties = json!({
        "content_type": "a/b", "content_encoding": "ce", "delivery_mode": 2, "priority": 3, "correlation_id": "ci",
        "headers": {"a": 1, "b": "x", "c": 1.5, "d": true, "e": [1, "x"], "f": {"g": {}}}, "reply_to": "rt",
        "expiration": "60000", "message_id": "mi", "timestamp": 1_700_000_000, "type": "t", "user_id": "guest",
        "app_id": "ai", "cluster_id": "cl",
    });
    let mut body = with(message("p"), "properties", properties.clone());
    assert_eq!(call(&broker, "POST", PUBLISH, &body), (200, json!({"routed": true})));
    body = with(with(message("AAH/"), "payload_encoding", json!("base64")), "properties", json!([]));
    assert_eq!(call(&broker, "POST", PUBLISH, &body), (200, json!({"routed": true})));
    let body = json!({"count": 2, "ackmode": "ack_requeue_false", "encoding": "auto"});
    let (_, got) = call(&broker, "POST", GET, &body);
    assert_eq!(got[0]["properties"], properties);
    let expected = json!({
        "payload_bytes": 3, "redelivered": false, "exchange": "", "routing_key": "q", "message_count": 0,
        "properties": [], "payload": "AAH/", "payload_encoding": "base64",
    });
    assert_eq!(got[1], expected);
}

#[test]
fn queues_are_purged_and_tried() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    let count = |wire: &mut Wire| {
        let found = wire.call(1, declare("q"), "queue.declare-ok");
        let Method::QueueDeclareOk { message_count, .. } = found.method() else { unreachable!() };
        message_count
    };
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    for _ in 0..5 {
        wire.publish(1, "", "q", false, b"x");
        wire.expect(1, "basic.ack");
    }
    assert_eq!(call(&broker, "DELETE", "/api/queues/%2F/q/contents?count=2", &Value::Null).0, 204);
    assert_eq!(count(&mut wire), 3);
    assert_eq!(call(&broker, "DELETE", "/api/queues/%2F/q/contents", &Value::Null).0, 204);
    assert_eq!(count(&mut wire), 0);
    for (action, code) in [("sync", 204), ("cancel_sync", 204), ("x", 400)] {
        let body = json!({"action": action});
        assert_eq!(call(&broker, "POST", "/api/queues/%2F/q/actions", &body).0, code);
    }
    assert_eq!(call(&broker, "GET", "/api/aliveness-test/%2F", &Value::Null), (200, json!({"status": "ok"})));
    assert_eq!(call(&broker, "GET", "/api/aliveness-test/nowhere", &Value::Null).0, 404);
}

#[test]
fn users_do_what_they_are_permitted_to() {
    let broker = Broker::start();
    let put = |path: &str, body: Value| assert_eq!(call(&broker, "PUT", path, &body).0, 201);
    put("/api/users/ann", json!({"password": "secret", "tags": "management"}));
    put("/api/queues/%2F/q", json!({}));
    let ann = |verb: &str, path: &str, body: Value| {
        let (code, answer) = call_as(&broker, ANN, verb, path, &body);
        (code, answer["reason"].clone())
    };
    let outside = (401, json!("User not authorised to access virtual host"));
    assert_eq!(ann("PUT", "/api/queues/%2F/own", json!({})), outside);
    put(
        "/api/permissions/%2F/ann",
        json!({"configure": "^own", "write": "^own|amq.default", "read": "^own"}),
    );
    assert_eq!(ann("PUT", "/api/queues/%2F/own", json!({})).0, 201);
    let get = json!({"ackmode": "ack_requeue_true", "count": 1, "encoding": "auto"});
    let refused = json!("Access refused.");
    for (verb, path, body) in [
        ("PUT", "/api/queues/%2F/other", json!({})),
        ("PUT", "/api/queues/%2F/own2", json!({"arguments": {"x-dead-letter-exchange": "amq.direct"}})),
        ("DELETE", "/api/queues/%2F/q", Value::Null),
        ("DELETE", "/api/queues/%2F/q/contents", Value::Null),
        ("POST", "/api/bindings/%2F/e/amq.direct/q/own", json!({})),
    ] {
        assert_eq!(ann(verb, path, body), (401, refused.clone()), "{verb} {path}");
    }
    let text = |what: &str, operation: &str| {
        format!("ACCESS_REFUSED - {operation} access to {what} in vhost '/' refused for user 'ann'")
    };
    assert_eq!(ann("POST", "/api/queues/%2F/q/get", get), (401, json!(text("queue 'q'", "read"))));
    let publish = "/api/exchanges/%2F/amq.direct/publish";
    let reason = format!("403 {}", text("exchange 'amq.direct'", "write"));
    assert_eq!(ann("POST", publish, message("p")), (400, json!(reason)));
    assert_eq!(ann("POST", PUBLISH, with(message("p"), "routing_key", json!("own"))).0, 200);
    assert_eq!(ann("POST", "/api/queues/%2F/own/actions", json!({})), (401, json!("Not administrator user")));
}

#[test]
fn limits_on_connections_and_channels_are_not_the_apis() {
    let broker = Broker::start();
    for limit in ["vhost-limits/%2F/max-connections", "user-limits/guest/max-channels"] {
        let put = call(&broker, "PUT", &format!("/api/{limit}"), &json!({"value": 0}));
        assert_eq!(put.0, 204, "{limit}");
    }
    assert_eq!(super::vhosts::enter(&broker, "/").closed().0, 530);
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/q", &Value::Null).0, 201);
    assert_eq!(call(&broker, "POST", PUBLISH, &message("p")), (200, json!({"routed": true})));
}

#[test]
fn what_the_api_does_counts_as_no_connection() {
    let broker = Broker::start();
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/q", &Value::Null).0, 201);
    for payload in ["a", "b", "c"] {
        assert_eq!(call(&broker, "POST", PUBLISH, &message(payload)).0, 200);
    }
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    let counted = |key: &str| {
        let (_, shards) = call(&broker, "GET", "/debug/shards", &Value::Null);
        shards
            .as_array()
            .unwrap()
            .iter()
            .map(|shard| shard.pointer(key).unwrap().as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(counted("/connections"), 1);
    // Shards tell their counters now and then.
    while counted("/counters/connections_opened") == 0 {}
    assert_eq!(counted("/counters/connections_opened"), 1);
    assert_eq!(counted("/counters/channels_opened"), 1);
    assert_eq!(counted("/counters/channels_closed"), 0);
}

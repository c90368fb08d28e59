//! Bindings over HTTP.

use serde_json::{Value, json};

use super::direct::call;
use crate::common::Broker;
use crate::common::http::{GUEST, ask};
use crate::common::wire::{Wire, bind};

const ENDS: &str = "/api/bindings/%2F/e/bx/q/bq";

fn start() -> Broker {
    let broker = Broker::start();
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/bq", &json!({})).0, 201);
    assert_eq!(call(&broker, "PUT", "/api/exchanges/%2F/bx", &json!({"type": "topic"})).0, 201);
    broker
}

fn get(broker: &Broker, path: &str) -> Value {
    let (code, answer) = call(broker, "GET", path, &Value::Null);
    assert_eq!(code, 200, "{path}");
    answer
}

fn binding(source: &str, destination: [&str; 2], key: &str, arguments: Value, properties_key: &str) -> Value {
    json!({
        "source": source, "vhost": "/", "destination": destination[1], "destination_type": destination[0],
        "routing_key": key, "arguments": arguments, "properties_key": properties_key,
    })
}

/// Where the new binding is.
fn location(broker: &Broker, path: &str, body: Value) -> String {
    let head = ask(broker.http, "POST", path, Some(GUEST), &body.to_string()).head;
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    let line = head.lines().find_map(|line| line.strip_prefix("location: "));
    line.expect("a location").to_owned()
}

#[test]
fn bindings_are_made_found_and_undone() {
    let broker = start();
    assert_eq!(get(&broker, ENDS), json!([]));
    assert_eq!(location(&broker, ENDS, json!({})), "bq/~");
    assert_eq!(location(&broker, ENDS, json!({})), "bq/~");
    let key = json!({"routing_key": "a~b/c d+%é"});
    assert_eq!(location(&broker, ENDS, key), "bq/a%257Eb%252Fc%2Bd%252B%2525%25C3%25A9");
    let with_arguments =
        location(&broker, ENDS, json!({"routing_key": "k", "arguments": {"x": 1, "y": "z"}}));
    assert_eq!(
        location(&broker, ENDS, json!({"routing_key": "k", "arguments": {"y": "z", "x": 1}})),
        with_arguments
    );
    let hash = with_arguments.strip_prefix("bq/k~").unwrap();
    let queue = ["queue", "bq"];
    let all = json!([
        binding("bx", queue, "", json!({}), "~"),
        binding("bx", queue, "a~b/c d+%é", json!({}), "a%7Eb%2Fc+d%2B%25%C3%A9"),
        binding("bx", queue, "k", json!({"x": 1, "y": "z"}), &format!("k~{hash}")),
    ]);
    assert_eq!(get(&broker, ENDS), all);
    let parent = "/api/bindings/%2F/e/bx/q";
    for (location, binding) in [
        ("bq/~", &all[0]),
        ("bq/a%257Eb%252Fc%2Bd%252B%2525%25C3%25A9", &all[1]),
        (with_arguments.as_str(), &all[2]),
    ] {
        let path = format!("{parent}/{location}");
        assert_eq!(get(&broker, &path), *binding);
        assert_eq!(call(&broker, "DELETE", &path, &Value::Null).0, 204);
        assert_eq!(call(&broker, "DELETE", &path, &Value::Null).0, 404);
    }
    assert_eq!(get(&broker, ENDS), json!([]));
}

#[test]
fn a_binding_that_cannot_be_is_refused() {
    let broker = start();
    let refused = |path: &str, body: Value| {
        let (code, answer) = call(&broker, "POST", &format!("/api/bindings/{path}"), &body);
        (code, answer["reason"].clone())
    };
    let no = |what: &str| (404, json!(format!("no {what} in vhost '/'")));
    assert_eq!(refused("%2F/e/none/q/bq", json!({})), no("exchange 'none'"));
    assert_eq!(refused("%2F/e/bx/q/none", json!({})), no("queue 'none'"));
    assert_eq!(refused("%2F/e/bx/e/none", json!({})), no("exchange 'none'"));
    assert_eq!(refused("%2F/e/amq.default/q/bq", json!({})), (401, json!("Access refused.")));
    assert_eq!(refused("nowhere/e/bx/q/bq", json!({})), (404, json!("vhost_not_found")));
    let match_foo = json!({"arguments": {"x-match": "foo"}});
    let reason = "Invalid x-match field value <<\"foo\">>; expected all, any, all-with-x, or any-with-x";
    assert_eq!(refused("%2F/e/amq.headers/q/bq", match_foo), (400, json!(reason)));
    assert_eq!(refused("%2F/e/bx/q/bq", json!({"routing_key": 1})).0, 400);
    assert_eq!(refused("%2F/e/bx/q/bq", json!({"arguments": {"a": null}})), (400, json!("null_not_allowed")));
    for path in ["none", "k~zzz", "a~b~c"] {
        assert_eq!(call(&broker, "GET", &format!("{ENDS}/{path}"), &Value::Null).0, 404);
    }
    assert_eq!(call(&broker, "GET", "/api/bindings/%2F/e/bx/z/bq", &Value::Null).0, 404);
    assert_eq!(call(&broker, "GET", "/api/bindings/nowhere", &Value::Null).0, 404);
    let default = "/api/bindings/%2F/e/amq.default/q/bq/bq";
    assert_eq!(get(&broker, default), binding("", ["queue", "bq"], "bq", json!({}), "bq"));
    assert_eq!(call(&broker, "DELETE", default, &Value::Null).0, 401);
}

#[test]
fn bindings_are_listed_from_either_end_with_those_of_the_default_exchange() {
    let broker = start();
    assert_eq!(call(&broker, "PUT", "/api/queues/%2F/other", &json!({})).0, 201);
    location(&broker, ENDS, json!({"routing_key": "k"}));
    assert_eq!(location(&broker, "/api/bindings/%2F/e/bx/e/amq.fanout", json!({})), "amq.fanout/~");
    let default = |queue| binding("", ["queue", queue], queue, json!({}), queue);
    let to_queue = binding("bx", ["queue", "bq"], "k", json!({}), "k");
    let to_exchange = binding("bx", ["exchange", "amq.fanout"], "", json!({}), "~");
    for (path, expected) in [
        ("queues/%2F/bq/bindings", json!([default("bq"), to_queue])),
        ("exchanges/%2F/bx/bindings/source", json!([to_exchange, to_queue])),
        ("exchanges/%2F/amq.fanout/bindings/destination", json!([to_exchange])),
        ("exchanges/%2F/bx/bindings/destination", json!([])),
        ("exchanges/%2F/amq.default/bindings/source", json!([default("bq"), default("other")])),
        ("bindings/%2F/e/bx/e/amq.fanout", json!([to_exchange])),
        ("bindings/%2F/e/amq.default/q/bq", json!([default("bq")])),
        ("bindings/%2F", json!([default("bq"), default("other"), to_exchange, to_queue])),
        ("bindings", json!([default("bq"), default("other"), to_exchange, to_queue])),
    ] {
        assert_eq!(get(&broker, &format!("/api/{path}")), expected, "{path}");
    }
    let keys = get(&broker, "/api/bindings/%2F?columns=routing_key&sort=routing_key&sort_reverse=true");
    let keys_of = |keys: &[&str]| keys.iter().map(|key| json!({"routing_key": key})).collect::<Value>();
    assert_eq!(keys, keys_of(&["other", "k", "bq", ""]));
    assert_eq!(get(&broker, "/api/bindings/%2F/e/bx/q/bq/k?columns=routing_key"), keys_of(&["k"])[0]);
}

#[test]
fn many_bindings_are_listed_to_the_last() {
    let broker = start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    // More than fit into a piece.
    let keys: Vec<String> = (0..1_500).map(|number| format!("{number:04}")).collect();
    for key in &keys {
        wire.call(1, bind("bq", "bx", key), "queue.bind-ok");
    }
    let listed = get(&broker, ENDS);
    let listed: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|it| it["routing_key"].as_str()).collect();
    assert_eq!(listed, keys);
    assert_eq!(get(&broker, "/api/bindings").as_array().unwrap().len(), keys.len() + 1);
}

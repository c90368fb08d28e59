//! `/api/haremq/`: shards, how long messages took, where a message would go, what waits in a queue, pauses, consumers and connections that wait.

use std::thread;
use std::time::{Duration, Instant};

use haremq::amqp::{Method, Properties, PropertiesWriter, Table};
use serde_json::{Value, json};

use super::alarm;
use crate::common::Broker;
use crate::common::http::{GUEST, Login, ask};
use crate::common::wire::{
    Wire, consume, declare, declare_durable, declare_exclusive, look_at, publication_with, short,
};

/// Status and body; null is no body.
fn call(broker: &Broker, verb: &str, path: &str, body: &Value) -> (u16, Value) {
    call_as(broker, GUEST, verb, path, body)
}

fn call_as(broker: &Broker, login: Login<'_>, verb: &str, path: &str, body: &Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let answer = ask(broker.http, verb, path, Some(login), &text);
    (answer.status, answer.json())
}

fn get(broker: &Broker, path: &str) -> Value {
    let (code, answer) = call(broker, "GET", path, &Value::Null);
    assert_eq!(code, 200, "{path}: {answer}");
    answer
}

fn done(broker: &Broker, verb: &str, path: &str, body: Value) {
    let (code, answer) = call(broker, verb, path, &body);
    assert!(matches!(code, 201 | 204), "{verb} {path}: {code} {answer}");
}

/// Publishes over HTTP with headers; it is in its queues when this returns.
fn publish(broker: &Broker, [exchange, key, payload]: [&str; 3], headers: &Value) {
    let body = json!({
        "routing_key": key, "properties": {"headers": headers}, "payload": payload, "payload_encoding": "string",
    });
    let (code, answer) = call(broker, "POST", &format!("/api/exchanges/%2F/{exchange}/publish"), &body);
    assert_eq!(code, 200, "{answer}");
}

fn ready(wire: &mut Wire, queue: &str) -> u32 {
    match wire.call(1, look_at(queue), "queue.declare-ok").method() {
        Method::QueueDeclareOk { message_count, .. } => message_count,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn every_shard_tells_what_lives_there() {
    let broker = Broker::start();
    for number in 0..6 {
        done(&broker, "PUT", &format!("/api/queues/%2F/q{number}"), json!({}));
    }
    let queues = |shards: &[Value]| shards.iter().map(|shard| shard["queues"].as_u64().unwrap()).sum::<u64>();
    // A shard publishes at the end of its turn, which may come behind the answer.
    let shards = loop {
        let shards: Vec<Value> = serde_json::from_value(get(&broker, "/api/haremq/shards")).unwrap();
        assert!(queues(&shards) <= 6, "{shards:?}");
        if queues(&shards) == 6 {
            break shards;
        }
    };
    assert_eq!(shards.iter().map(|shard| shard["shard"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1]);
    for shard in shards {
        assert!(shard["up"].as_bool().unwrap() && shard["turns"]["count"].as_u64().unwrap() > 0, "{shard}");
        assert!(shard["connections"].is_u64() && shard["io"]["reads"].is_u64(), "{shard}");
        assert!(shard["processor_us"].as_u64().unwrap() > 0, "{shard}");
    }
}

const MESSAGES: &str = "/api/haremq/queues/%2F/q/messages";

/// Positions, and the cursor.
fn peeked(broker: &Broker, query: &str) -> (Vec<u64>, Value) {
    let answer = get(broker, &format!("{MESSAGES}?{query}"));
    let messages = answer["messages"].as_array().expect("a list");
    let position = |message: &Value| message["position"].as_u64().expect("a number");
    (messages.iter().map(position).collect(), answer["cursor"].clone())
}

#[test]
fn what_waits_in_a_queue_is_shown_and_stays_there() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    done(&broker, "POST", "/api/bindings/%2F/e/amq.topic/q/q", json!({"routing_key": "#"}));
    publish(&broker, ["amq.topic", "k.1", "first"], &json!({"n": 1, "s": "x:y", "BCC": ["hidden"]}));
    for number in 2..=250 {
        wire.publish(1, "", "q", false, format!("body {number}").as_bytes());
    }
    assert_eq!(ready(&mut wire, "q"), 250);

    let first = &get(&broker, &format!("{MESSAGES}?count=1&truncate=3"))["messages"][0];
    assert_eq!(
        *first,
        json!({
            "position": 1, "priority": 0, "state": "ready", "redelivered": false, "exchange": "amq.topic",
            "routing_key": "k.1", "properties": {"headers": {"n": 1, "s": "x:y"}},
            "payload_bytes": 5, "payload": "fir", "payload_encoding": "string",
        })
    );
    let (mut all, mut query) = (Vec::new(), "count=120".to_owned());
    loop {
        let (positions, cursor) = peeked(&broker, &query);
        all.extend(positions);
        let Some(cursor) = cursor.as_str() else { break };
        query = format!("count=120&cursor={cursor}");
    }
    assert_eq!(all, (1..=250).collect::<Vec<_>>());
    for (query, positions) in [
        ("key=k.1", vec![1]),
        ("key=k", vec![]),
        ("body=body%20249", vec![249]),
        ("header=n:1", vec![1]),
        ("header=s:x:y", vec![1]),
        ("header=n:2", vec![]),
        (
            "key=q&body=0&from=200",
            vec![200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 220, 230, 240, 250],
        ),
        ("from=249", vec![249, 250]),
        ("from=251", vec![]),
    ] {
        assert_eq!(peeked(&broker, query), (positions, Value::Null), "{query}");
    }
    assert_eq!(ready(&mut wire, "q"), 250);
    match wire.call(1, Method::BasicGet { queue: "q".into(), no_ack: true }, "basic.get-ok").method() {
        Method::BasicGetOk { redelivered, .. } => assert!(!redelivered, "it was only looked at"),
        other => unreachable!("{other:?}"),
    }
    wire.content();
    assert_eq!(peeked(&broker, "count=1").0, [2]);
}

#[test]
fn who_may_not_get_from_a_queue_may_not_look_into_it() {
    let broker = Broker::start();
    done(&broker, "PUT", "/api/queues/%2F/q", json!({}));
    done(&broker, "PUT", "/api/users/ann", json!({"password": "secret", "tags": "management"}));
    let looked = |path: &str| {
        let (code, answer) = call_as(&broker, ("ann", "secret"), "GET", path, &Value::Null);
        (code, answer["reason"].clone())
    };
    assert_eq!(looked(MESSAGES).0, 401);
    done(&broker, "PUT", "/api/permissions/%2F/ann", json!({"configure": "", "write": ".*", "read": "^own"}));
    let reason = "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'ann'";
    assert_eq!(looked(MESSAGES), (401, json!(reason)));
    assert_eq!(looked("/api/haremq/queues/%2F/own/messages"), (404, json!("Not Found")));
    assert_eq!(call(&broker, "GET", "/api/haremq/queues/none/q/messages", &Value::Null).0, 404);
    for query in ["cursor=1", "header=n", "count=-1"] {
        assert_eq!(call(&broker, "GET", &format!("{MESSAGES}?{query}"), &Value::Null).0, 400, "{query}");
    }
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare_exclusive("mine"), "queue.declare-ok");
    let (code, answer) = call(&broker, "GET", "/api/haremq/queues/%2F/mine/messages", &Value::Null);
    let reason = answer["reason"].as_str().unwrap();
    assert!(
        code == 400 && reason.starts_with("405 RESOURCE_LOCKED - cannot obtain exclusive access"),
        "{answer}"
    );
}

fn explained(broker: &Broker, body: Value) -> Value {
    let (code, answer) = call(broker, "POST", "/api/haremq/explain/%2F", &body);
    assert_eq!(code, 200, "{answer}");
    answer
}

#[test]
fn it_is_told_where_a_message_would_go_and_by_which_bindings() {
    let broker = Broker::start();
    for queue in ["a", "b", "c", "d"] {
        done(&broker, "PUT", &format!("/api/queues/%2F/{queue}"), json!({}));
    }
    let alternate = json!({"alternate-exchange": "amq.fanout"});
    done(&broker, "PUT", "/api/exchanges/%2F/news", json!({"type": "topic", "arguments": alternate}));
    done(&broker, "PUT", "/api/exchanges/%2F/inner", json!({"type": "headers", "internal": true}));
    done(&broker, "PUT", "/api/exchanges/%2F/nowhere", json!({"type": "fanout"}));
    let bind = |path: &str, body: Value| done(&broker, "POST", &format!("/api/bindings/%2F/e/{path}"), body);
    bind("news/q/a", json!({"routing_key": "stock.*.nyse"}));
    bind("news/q/b", json!({"routing_key": "#.nyse"}));
    bind("news/e/inner", json!({"routing_key": "stock.#"}));
    bind("inner/q/c", json!({"arguments": {"x-match": "any", "big": true, "n": 1}}));
    bind("amq.fanout/q/d", json!({}));
    bind("nowhere/e/inner", json!({}));

    let queues = |body: Value| explained(&broker, body)["queues"].clone();
    let told =
        explained(&broker, json!({"exchange": "news", "routing_key": "stock.ibm.nyse", "headers": {"n": 1}}));
    assert_eq!((&told["routed"], &told["why_not"]), (&json!(true), &Value::Null));
    assert_eq!(told["queues"], json!(["a", "b", "c"]));
    let news = &told["exchanges"][0];
    let passed: Vec<&str> =
        news["bindings"].as_array().unwrap().iter().map(|it| it["routing_key"].as_str().unwrap()).collect();
    assert_eq!(passed.len(), 3, "{news}");
    assert!(["stock.*.nyse", "#.nyse", "stock.#"].iter().all(|key| passed.contains(key)), "{news}");
    assert_eq!(
        (&news["alternate_exchange"], &news["alternate_taken"]),
        (&json!("amq.fanout"), &json!(false))
    );
    let inner = &told["exchanges"][1];
    assert_eq!((&inner["exchange"], &inner["type"]), (&json!("inner"), &json!("headers")));
    assert_eq!(inner["bindings"][0]["arguments"]["x-match"], "any");
    assert_eq!(queues(json!({"exchange": "news", "routing_key": "sport"})), json!(["d"]));
    assert_eq!(
        queues(json!({"exchange": "news", "routing_key": "x", "headers": {"CC": ["y.nyse"]}})),
        json!(["b"])
    );
    assert_eq!(queues(json!({"exchange": "amq.default", "routing_key": "a"})), json!(["a"]));
    assert_eq!(
        queues(json!({"exchange": "", "routing_key": "a", "headers": {"BCC": ["d", "z"]}})),
        json!(["a", "d"])
    );
    for (body, why_not) in [
        (json!({"exchange": "none"}), "no_exchange"),
        (json!({"exchange": "inner"}), "internal_exchange"),
        (json!({"exchange": "news", "headers": {"CC": "x"}}), "unacceptable_header"),
        (json!({"exchange": "nowhere"}), "no_queue_reached"),
        (json!({"exchange": "amq.direct", "routing_key": "a"}), "no_binding_matches"),
        (json!({"exchange": "", "routing_key": "z"}), "no_binding_matches"),
    ] {
        let told = explained(&broker, body.clone());
        assert_eq!((&told["routed"], &told["why_not"]), (&json!(false), &json!(why_not)), "{body}: {told}");
        assert!(told["explanation"].is_string() && told["queues"] == json!([]));
    }
    assert_eq!(
        explained(&broker, json!({"exchange": "none"}))["explanation"],
        "no exchange 'none' in vhost '/'"
    );
    assert_eq!(call(&broker, "POST", "/api/haremq/explain/%2F", &json!({})).0, 400);
    assert_eq!(call(&broker, "POST", "/api/haremq/explain/none", &json!({"exchange": ""})).0, 404);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    assert_eq!(["a", "b", "c", "d"].map(|queue| ready(&mut wire, queue)), [0; 4], "nothing was published");
}

#[test]
fn a_paused_queue_takes_messages_and_delivers_them_when_it_goes_on() {
    let broker = Broker::start();
    // On each shard, as seen from the connection.
    for queue in ["q0", "q1", "q2"] {
        let mut wire = Wire::open(broker.amqp);
        wire.channel(1);
        wire.call(1, declare(queue), "queue.declare-ok");
        wire.call(1, consume(queue, "c", true), "basic.consume-ok");
        let state = || get(&broker, &format!("/api/queues/%2F/{queue}"))["state"].clone();
        done(&broker, "PUT", &format!("/api/haremq/queues/%2F/{queue}/pause"), Value::Null);
        assert_eq!(state(), "paused");
        wire.publish(1, "", queue, false, b"one");
        wire.publish(1, "", queue, false, b"two");
        assert_eq!(ready(&mut wire, queue), 2);
        wire.call(1, Method::BasicGet { queue: queue.into(), no_ack: true }, "basic.get-ok");
        assert_eq!(wire.content().1, b"one");
        done(&broker, "PUT", &format!("/api/haremq/queues/%2F/{queue}/resume"), Value::Null);
        wire.expect(1, "basic.deliver");
        assert_eq!(wire.content().1, b"two");
        assert_eq!(state(), "running");
        wire.publish(1, "", queue, false, b"three");
        wire.expect(1, "basic.deliver");
        assert_eq!(wire.content().1, b"three");
    }
    assert_eq!(call(&broker, "PUT", "/api/haremq/queues/%2F/none/pause", &Value::Null).0, 404);
}

fn quoted(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_consumer_is_cancelled_and_its_client_told() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    for queue in ["q0", "q1"] {
        wire.call(1, declare(queue), "queue.declare-ok");
        wire.call(1, consume(queue, "my tag", false), "basic.consume-ok");
        wire.publish(1, "", queue, false, b"held");
        wire.expect(1, "basic.deliver");
        wire.content();
        let consumers = get(&broker, "/api/consumers");
        let name = quoted(consumers[0]["channel_details"]["connection_name"].as_str().unwrap());
        let cancel = |rest: &str| {
            call(&broker, "DELETE", &format!("/api/haremq/consumers/{name}/{rest}"), &Value::Null).0
        };
        assert_eq!(["2/my%20tag", "1/other"].map(cancel), [404; 2]);
        assert_eq!(cancel("1/my%20tag"), 204);
        match wire.expect(1, "basic.cancel").method() {
            Method::BasicCancel { consumer_tag, .. } => assert_eq!(&*consumer_tag, b"my tag"),
            other => unreachable!("{other:?}"),
        }
        assert_eq!(cancel("1/my%20tag"), 404);
        wire.publish(1, "", queue, false, b"stays");
        assert_eq!(ready(&mut wire, queue), 1, "nobody is there any more, and what was delivered stays so");
        // The tag is free again.
        wire.call(1, consume(queue, "my tag", true), "basic.consume-ok");
        wire.expect(1, "basic.deliver");
        assert_eq!(wire.content().1, b"stays");
        wire.call(1, Method::BasicCancel { consumer_tag: "my tag".into(), nowait: false }, "basic.cancel-ok");
    }
}

#[test]
fn a_connection_that_waits_says_why_and_since_when() {
    let broker = alarm::start();
    let mut publisher = Wire::open(broker.amqp);
    let name = quoted(get(&broker, "/api/connections")[0]["name"].as_str().unwrap());
    let held = || get(&broker, &format!("/api/haremq/connections/{name}/held"));
    let none = json!({"held": false, "held_because": null, "held_since_ms": null});
    assert_eq!(held(), none);
    let confirmed = alarm::fill(&mut publisher, "q");
    let told = held();
    assert_eq!((&told["held"], &told["held_because"]), (&json!(true), &json!("low on memory")));
    let listed = get(&broker, &format!("/api/connections/{name}"));
    assert_eq!(listed["held_because"], "low on memory");
    let since = told["held_since_ms"].as_u64().unwrap();
    assert!(
        since >= listed["connected_at"].as_u64().unwrap() && told["held_since_ms"] == listed["held_since_ms"]
    );
    alarm::drain(&broker, "q", confirmed + 1);
    publisher.expect(0, "connection.unblocked");
    assert_eq!(held(), none);
    assert_eq!(call(&broker, "GET", "/api/haremq/connections/none/held", &Value::Null).0, 404);
}

#[test]
fn chosen_messages_are_deleted() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    done(&broker, "PUT", "/api/queues/%2F/q", json!({"durable": true}));
    (0..300).for_each(|_| wire.publish(1, "", "q", false, b"x"));
    assert_eq!(ready(&mut wire, "q"), 300);
    let positions: Vec<u64> = (1..=300).filter(|it| it % 2 == 0).chain([7, 7, 999]).collect();
    let (code, answer) = call(&broker, "DELETE", MESSAGES, &json!({"positions": positions}));
    assert_eq!((code, answer), (200, json!({"deleted": 151, "missing": [999]})));
    let left: Vec<u64> = (1..=300).filter(|it| it % 2 == 1 && *it != 7).collect();
    assert_eq!(peeked(&broker, "count=1000"), (left, Value::Null));
    assert_eq!(ready(&mut wire, "q"), 149);
    let first = call(&broker, "DELETE", MESSAGES, &json!({"first": 120}));
    assert_eq!(first, (200, json!({"deleted": 120, "missing": []})));
    assert_eq!(peeked(&broker, "count=1").0, [243], "from the front");
    assert_eq!(call(&broker, "DELETE", MESSAGES, &json!({"first": 1_000})).1["deleted"], 29);
    for body in [json!({}), json!({"positions": 1}), json!({"positions": ["1"]}), json!({"first": 20_001})] {
        assert_eq!(call(&broker, "DELETE", MESSAGES, &body).0, 400, "{body}");
    }
}

#[test]
fn chosen_messages_move_and_those_that_cannot_stay() {
    let broker = Broker::start();
    for queue in ["q", "to", "copy"] {
        done(&broker, "PUT", &format!("/api/queues/%2F/{queue}"), json!({}));
    }
    let one = json!({"arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}});
    done(&broker, "PUT", "/api/queues/%2F/full", one);
    done(&broker, "POST", "/api/bindings/%2F/e/amq.direct/q/to", json!({"routing_key": "q"}));
    publish(&broker, ["amq.default", "q", "1"], &json!({"n": 1, "CC": ["copy"]}));
    (2..=5).for_each(|it| publish(&broker, ["amq.default", "q", &it.to_string()], &json!({"n": it})));
    let moved = |body: Value| {
        let (code, answer) = call(&broker, "POST", &format!("{MESSAGES}/move"), &body);
        assert_eq!(code, 200, "{answer}");
        answer
    };
    assert_eq!(
        moved(json!({"positions": [1, 9], "queue": "to"}))["failed"],
        json!([{"position": 9, "reason": "missing"}])
    );
    assert_eq!(moved(json!({"positions": [3], "exchange": "amq.direct"})), json!({"moved": 1, "failed": []}));
    let unroutable = json!({"moved": 0, "failed": [{"position": 2, "reason": "unroutable"}]});
    assert_eq!(moved(json!({"positions": [2], "exchange": "amq.direct", "routing_key": "z"})), unroutable);
    let rejected = json!({"moved": 1, "failed": [{"position": 5, "reason": "rejected"}]});
    assert_eq!(moved(json!({"positions": [4, 5], "queue": "full"})), rejected);
    assert_eq!(peeked(&broker, ""), (vec![2, 5], Value::Null));
    assert_eq!(moved(json!({"first": 1, "queue": "copy"})), json!({"moved": 1, "failed": []}));
    assert_eq!(peeked(&broker, ""), (vec![5], Value::Null));
    let to = get(&broker, "/api/haremq/queues/%2F/to/messages");
    let payloads = to["messages"].as_array().unwrap().iter().map(|it| it["payload"].as_str().unwrap());
    assert_eq!(payloads.collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(to["messages"][0]["properties"], json!({"headers": {"n": 1}}));
    assert_eq!(
        (&to["messages"][1]["exchange"], &to["messages"][1]["routing_key"]),
        (&json!("amq.direct"), &json!("q"))
    );
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    assert_eq!(ready(&mut wire, "copy"), 2, "CC counted when it was published, and no more");
    for body in [json!({"positions": [2]}), json!({"positions": [2], "queue": "a", "exchange": "b"})] {
        assert_eq!(call(&broker, "POST", &format!("{MESSAGES}/move"), &body).0, 400, "{body}");
    }
}

#[test]
fn it_is_told_how_busy_a_shard_is() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("busy"), "queue.declare-ok");
    let until = Instant::now() + Duration::from_secs(30);
    let mut busiest = 0.0;
    while busiest < 0.01 {
        assert!(Instant::now() < until, "a shard that works is busy");
        (0..1000).for_each(|_| wire.publish(1, "", "busy", false, b"x"));
        wire.call(1, Method::QueuePurge { queue: short("busy"), nowait: false }, "queue.purge-ok");
        for shard in get(&broker, "/api/haremq/shards").as_array().unwrap() {
            busiest = shard["busy_share"].as_f64().unwrap_or(0.0).max(busiest);
        }
    }
    assert!(busiest < 1.1, "a thread has one core: {busiest}");
}

/// Of a distribution: how many there were, and the longest in us.
fn count_and_max(latency: &Value, name: &str) -> (u64, u64) {
    let of = &latency[name];
    let sum: u64 =
        of["counts"].as_array().expect("a list").iter().map(|step| step[1].as_u64().expect("a count")).sum();
    assert_eq!(of["count"].as_u64(), Some(sum), "{latency}");
    (sum, of["max_us"].as_u64().expect("a time"))
}

#[test]
fn it_is_told_how_long_messages_took() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare_durable("slow", Table::EMPTY), "queue.declare-ok");
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    let path = "/api/haremq/queues/%2F/slow/latency";
    assert_eq!(get(&broker, path)["oldest_ready_us"], Value::Null);
    let persistent = PropertiesWriter { delivery_mode: Some(2), ..PropertiesWriter::default() }.finish();
    for body in 0..3 {
        let properties = Properties::decode(&persistent).unwrap();
        wire.bytes(&publication_with(1, "", "slow", false, properties, &[body]));
        wire.expect(1, "basic.ack");
    }
    thread::sleep(Duration::from_millis(50));
    let waiting = get(&broker, path);
    assert!(waiting["oldest_ready_us"].as_u64().unwrap() >= 50_000, "{waiting}");
    wire.call(1, consume("slow", "c", false), "basic.consume-ok");
    for _ in 0..3 {
        wire.expect(1, "basic.deliver");
        wire.content();
    }
    thread::sleep(Duration::from_millis(20));
    wire.send(1, Method::BasicAck { delivery_tag: 0, multiple: true });
    // Behind the ack.
    assert_eq!(ready(&mut wire, "slow"), 0);
    let latency = get(&broker, path);
    let (waited, longest) = count_and_max(&latency, "time_in_queue");
    assert!(waited == 3 && (50_000..10_000_000).contains(&longest), "{latency}");
    let (acked, longest) = count_and_max(&latency, "deliver_to_ack");
    assert!(acked == 3 && longest >= 19_000, "{latency}");
    let (kept, longest) = count_and_max(&latency, "arrival_to_safe");
    assert!(kept == 3 && longest > 0, "no disk is that fast: {latency}");
    let shards: Vec<Value> = serde_json::from_value(get(&broker, "/api/haremq/latency")).unwrap();
    let confirmed = shards.iter().map(|shard| count_and_max(shard, "publish_to_confirm").0).sum::<u64>();
    assert_eq!(confirmed, 3, "{shards:?}");
    let metrics = ask(broker.http, "GET", "/metrics", Some(GUEST), "").body;
    for name in ["queue_wait", "queue_safe", "ack", "confirm"] {
        let name = format!("haremq_shard_{name}_seconds_count");
        let lines = metrics.lines().filter(|line| line.starts_with(&name));
        let count: u64 = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(count, 3, "{name}");
    }
}

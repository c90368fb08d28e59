//! What the API lists: connections, channels, consumers, queues and exchanges as they are, and metrics.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use haremq::amqp::{Method, Properties};
use serde_json::{Value, json};

use crate::common::Broker;
use crate::common::http::{GUEST, ask};
use crate::common::wire::{
    Wire, bind, consume, declare, declare_durable, declare_exchange, publication_with, short,
};

fn call(broker: &Broker, verb: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = ask(broker.http, verb, path, Some(GUEST), &body);
    (answer.status, answer.json())
}

fn get(broker: &Broker, path: &str) -> Value {
    let (code, answer) = call(broker, "GET", path, &Value::Null);
    assert_eq!(code, 200, "{path}: {answer}");
    answer
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|item| item["name"].as_str().expect("a name")).collect()
}

/// Deliveries are counted where they are made, shortly before they are seen here.
fn eventually(broker: &Broker, path: &str, is_true: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let answer = get(broker, path);
        if is_true(&answer) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{path}: {answer}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_connection_is_listed_the_moment_it_opens_and_closed_on_demand() {
    let broker = Broker::start();
    assert_eq!(get(&broker, "/api/connections"), json!([]));
    let mut wire = Wire::open(broker.amqp);
    let listed = get(&broker, "/api/connections");
    let name = names(&listed).join("");
    assert_eq!(name, format!("127.0.0.1:{} -> {}", listed[0]["peer_port"], broker.amqp));
    let connection = &listed[0];
    assert_eq!((&connection["user"], &connection["vhost"]), (&json!("guest"), &json!("/")));
    assert_eq!((&connection["state"], &connection["auth_mechanism"]), (&json!("running"), &json!("PLAIN")));
    assert!(connection["client_properties"].is_object());
    assert!(connection["recv_oct"].as_u64() > Some(0));
    wire.channel(7);
    let path = name.replace(' ', "%20").replace('>', "%3E");
    let channels = get(&broker, &format!("/api/connections/{path}/channels"));
    assert_eq!(names(&channels), [format!("{name} (7)")]);
    assert_eq!(get(&broker, "/api/channels"), channels);
    assert_eq!(get(&broker, "/api/vhosts/%2F/connections")[0]["name"], name);
    assert_eq!(get(&broker, "/api/connections/username/guest")[0]["name"], name);
    assert_eq!(get(&broker, "/api/connections/username/nobody"), json!([]));

    let one = format!("/api/connections/{path}");
    assert_eq!(call(&broker, "DELETE", &one, &Value::Null).0, 204);
    let closed = (320, "CONNECTION_FORCED - Closed via management plugin".to_owned());
    assert_eq!(wire.closed(), closed);
    drop(wire);
    eventually(&broker, "/api/connections", |listed| *listed == json!([]));
    assert_eq!(call(&broker, "DELETE", &one, &Value::Null).0, 404);
}

#[test]
fn the_bytes_of_a_queue_are_those_of_its_messages_ready_or_not() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare_durable("q", Default::default()), "queue.declare-ok");
    // Larger ones behind many small ones, and two that have memory of their own.
    for bytes in [1; 40].into_iter().chain([1_000, 100_000, 3_000]) {
        wire.publish(1, "", "q", false, &vec![7; bytes]);
    }
    let properties = Properties::decode(&[0x10, 0, 2]).expect("a delivery mode");
    wire.bytes(&publication_with(1, "", "q", false, properties, &[7; 500]));
    let bytes = |queue: &Value| {
        ["", "_ready", "_unacknowledged", "_persistent"].map(|of| queue[format!("message_bytes{of}")].clone())
    };
    let queue = eventually(&broker, "/api/queues/%2F/q", |queue| queue["messages"] == 44);
    assert_eq!(bytes(&queue), [104_540, 104_540, 0, 500].map(Value::from));
    assert_eq!(queue["messages_persistent"], 1);

    wire.call(1, Method::BasicQos { prefetch_size: 0, prefetch_count: 42, global: false }, "basic.qos-ok");
    wire.call(1, consume("q", "tag", false), "basic.consume-ok");
    for _ in 0..42 {
        wire.expect(1, "basic.deliver");
        wire.content();
    }
    let queue = get(&broker, "/api/queues/%2F/q");
    assert_eq!(bytes(&queue), [104_540, 3_500, 101_040, 500].map(Value::from));
    // The last goes back to its place, the others are gone.
    wire.call(1, Method::BasicCancel { consumer_tag: short("tag"), nowait: false }, "basic.cancel-ok");
    wire.send(1, Method::BasicReject { delivery_tag: 42, requeue: true });
    wire.send(1, Method::BasicAck { delivery_tag: 41, multiple: true });
    let queue = eventually(&broker, "/api/queues/%2F/q", |queue| queue["messages"] == 3);
    assert_eq!(bytes(&queue), [103_500, 103_500, 0, 500].map(Value::from));
    let scraped = ask(broker.http, "GET", "/metrics/per-object", None, "").body;
    assert!(
        scraped.contains("rabbitmq_queue_messages_ready_bytes{vhost=\"/\",queue=\"q\"} 103500\n"),
        "{scraped}"
    );
    wire.call(1, Method::QueuePurge { queue: short("q"), nowait: false }, "queue.purge-ok");
    assert_eq!(bytes(&get(&broker, "/api/queues/%2F/q")), [0; 4].map(Value::from));
}

#[test]
fn what_passed_is_counted_where_it_passed() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare_durable("q", Default::default()), "queue.declare-ok");
    wire.call(1, declare_exchange("x", "direct", false), "exchange.declare-ok");
    wire.call(1, bind("q", "x", "k"), "queue.bind-ok");
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    for _ in 0..5 {
        wire.publish(1, "x", "k", false, b"four");
        wire.expect(1, "basic.ack");
    }
    wire.publish(1, "x", "nowhere", false, b"four");
    wire.expect(1, "basic.ack");
    let queue = eventually(&broker, "/api/queues/%2F/q", |queue| queue["message_stats"]["publish"] == 5);
    assert_eq!((&queue["messages"], &queue["messages_ready"]), (&json!(5), &json!(5)));
    assert_eq!((&queue["message_bytes"], &queue["messages_unacknowledged"]), (&json!(20), &json!(0)));
    let exchange = get(&broker, "/api/exchanges/%2F/x");
    let stats = &exchange["message_stats"];
    assert_eq!((&stats["publish_in"], &stats["publish_out"]), (&json!(6), &json!(5)));
    let channel = &get(&broker, "/api/channels")[0];
    let stats = &channel["message_stats"];
    assert_eq!((&stats["publish"], &stats["confirm"]), (&json!(6), &json!(6)));
    assert_eq!((&stats["drop_unroutable"], &channel["confirm"]), (&json!(1), &json!(true)));

    wire.call(1, consume("q", "tag", false), "basic.consume-ok");
    for _ in 0..5 {
        wire.expect(1, "basic.deliver");
        wire.content();
    }
    let consumer = &eventually(&broker, "/api/consumers", |listed| listed[0]["active"] == true)[0];
    assert_eq!((&consumer["consumer_tag"], &consumer["queue"]["name"]), (&json!("tag"), &json!("q")));
    assert_eq!((&consumer["ack_required"], &consumer["exclusive"]), (&json!(true), &json!(false)));
    let queue = get(&broker, "/api/queues/%2F/q");
    assert_eq!((&queue["messages_unacknowledged"], &queue["consumers"]), (&json!(5), &json!(1)));
    assert_eq!(queue["consumer_details"][0]["consumer_tag"], "tag");
    wire.send(1, Method::BasicAck { delivery_tag: 0, multiple: true });
    let queue = eventually(&broker, "/api/queues/%2F/q", |queue| queue["message_stats"]["ack"] == 5);
    assert_eq!((&queue["messages"], &queue["message_stats"]["deliver"]), (&json!(0), &json!(5)));
    assert_eq!(queue["message_stats"]["deliver_get"], 5);
}

/// As RabbitMQ: it is there while nothing happens, and the state stays what it is.
#[test]
fn who_is_idle_is_shown_since_when_until_something_happens() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.publish(1, "", "q", false, b"x");
    let is_idle = |listed: &Value| listed[0]["idle_since"].is_string();
    let queue = &eventually(&broker, "/api/queues", is_idle)[0];
    let channel = &eventually(&broker, "/api/channels", is_idle)[0];
    for idle in [queue, channel] {
        let since = idle["idle_since"].as_str().expect("a time");
        assert!(since.starts_with("20") && since.len() == 29 && since.ends_with("+00:00"), "{since}");
        assert_eq!(idle["state"], "running");
    }
    assert_eq!(get(&broker, "/api/queues/%2F/q")["idle_since"], queue["idle_since"]);
    wire.publish(1, "", "q", false, b"x");
    let queue = eventually(&broker, "/api/queues/%2F/q", |queue| queue["messages"] == 2);
    assert_eq!(queue.get("idle_since"), None);
    assert_eq!(get(&broker, "/api/channels")[0].get("idle_since"), None);
}

/// RabbitMQ tells them with rates_mode detailed alone.
#[test]
fn by_whom_and_to_whom_messages_pass_is_an_empty_list() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.call(1, bind("q", "amq.direct", "k"), "queue.bind-ok");
    wire.publish(1, "amq.direct", "k", false, b"x");
    wire.call(1, consume("q", "tag", false), "basic.consume-ok");
    let queue = eventually(&broker, "/api/queues/%2F/q", |queue| queue["message_stats"]["deliver"] == 1);
    let exchange = get(&broker, "/api/exchanges/%2F/amq.direct");
    let name = get(&broker, "/api/channels")[0]["name"].as_str().expect("a name").replace(' ', "%20");
    let channel = get(&broker, &format!("/api/channels/{}", name.replace('>', "%3E")));
    for (one, lists) in [
        (queue, ["incoming", "deliveries"]),
        (exchange, ["incoming", "outgoing"]),
        (channel, ["publishes", "deliveries"]),
    ] {
        assert_eq!(lists.map(|list| &one[list]), [&json!([]), &json!([])], "{one}");
    }
}

#[test]
fn who_asks_for_a_single_object_over_time_gets_its_samples() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.call(1, declare_exchange("x", "direct", false), "exchange.declare-ok");
    wire.call(1, bind("q", "x", "k"), "queue.bind-ok");
    wire.publish(1, "x", "k", false, b"four");
    let listed = get(&broker, "/api/channels");
    let [channel, connection] = [&listed[0]["name"], &listed[0]["connection_details"]["name"]]
        .map(|name| name.as_str().expect("a name").replace(' ', "%20").replace('>', "%3E"));
    let ages =
        "lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5&data_rates_age=60&data_rates_incr=5";
    let [channel, connection] =
        [format!("/api/channels/{channel}"), format!("/api/connections/{connection}")];
    for path in ["/api/queues/%2F/q", "/api/exchanges/%2F/x", &channel, &connection, "/api/vhosts/%2F"] {
        get(&broker, &format!("{path}?{ages}"));
    }
    let asked = |path: &str, details: &str| {
        let grown = |one: &Value| {
            let samples = one.pointer(details).expect("details")["samples"].as_array().expect("samples");
            // Newest first; there were two samples at most when it was asked for, and more come.
            samples.len() >= 3 && samples[0]["sample"].as_u64() > Some(0)
        };
        let one = eventually(&broker, &format!("{path}?{ages}"), grown);
        let details = one.pointer(details).expect("details");
        let times: Vec<u64> = details["samples"]
            .as_array()
            .expect("samples")
            .iter()
            .map(|sample| sample["timestamp"].as_u64().expect("a time"))
            .collect();
        assert!(times.is_sorted_by(|one, other| one >= &(other + 4_000)), "{times:?}");
        assert!(details["avg"].is_number() && details["avg_rate"].is_number(), "{details}");
        one
    };
    let queue = asked("/api/queues/%2F/q", "/messages_details");
    assert_eq!(queue["messages_ready_details"]["samples"], queue["messages_details"]["samples"]);
    asked("/api/queues/%2F/q", "/message_stats/publish_details");
    asked("/api/exchanges/%2F/x", "/message_stats/publish_in_details");
    asked("/api/exchanges/%2F/x", "/message_stats/publish_out_details");
    asked(&channel, "/message_stats/publish_details");
    asked(&connection, "/recv_oct_details");
    asked("/api/vhosts/%2F", "/messages_details");
    let vhost = asked("/api/vhosts/%2F", "/message_stats/publish_details");
    assert_eq!((&vhost["messages"], &vhost["message_stats"]["publish"]), (&json!(1), &json!(1)));
    assert_eq!(get(&broker, "/api/vhosts")[0]["messages_ready"], 1);
    assert_eq!(get(&broker, "/api/queues/%2F/q")["messages_details"].get("samples"), None);

    let (code, answer) =
        call(&broker, "GET", "/api/queues/%2F/q?lengths_age=60&lengths_incr=0", &Value::Null);
    assert_eq!((code, &answer["reason"]), (400, &json!("Invalid range parameters: age 60, incr 0")));
}

#[test]
fn lists_are_paged_and_what_is_the_api_s_own_is_not_in_them() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    for number in 0..7 {
        wire.call(1, declare(&format!("page-{number}")), "queue.declare-ok");
    }
    drop(wire);
    let page = get(&broker, "/api/queues?page=2&page_size=3&name=page&pagination=false&columns=name,vhost");
    let expected = ["page-3", "page-4", "page-5"].map(|name| json!({"name": name, "vhost": "/"}));
    assert_eq!(page["items"], json!(expected));
    assert_eq!((&page["page_count"], &page["filtered_count"]), (&json!(3), &json!(7)));
    let (code, answer) = call(&broker, "GET", "/api/queues/%2F?page=4&page_size=3", &Value::Null);
    assert_eq!((code, &answer["error"]), (400, &json!("page_out_of_range")));
    let published =
        json!({"routing_key": "page-1", "payload": "x", "payload_encoding": "string", "properties": {}});
    assert_eq!(call(&broker, "POST", "/api/exchanges/%2F/amq.default/publish", &published).0, 200);
    let sorted = get(&broker, "/api/queues?sort=messages&sort_reverse=true&columns=name");
    assert_eq!(names(&sorted)[0], "page-1");
    eventually(&broker, "/api/connections", |listed| *listed == json!([]));
    eventually(&broker, "/api/overview", |shown| shown["churn_rates"]["connection_created"] == 1);
    let exchanges = get(&broker, "/api/exchanges/%2F/");
    assert_eq!(names(&exchanges)[..2], ["", "amq.direct"]);
}

#[test]
fn who_has_not_entered_a_vhost_is_passed_over_also_where_the_first_one_is_gone() {
    let broker = Broker::start();
    assert_eq!(call(&broker, "PUT", "/api/vhosts/only", &Value::Null).0, 201);
    assert_eq!(call(&broker, "DELETE", "/api/vhosts/%2F", &Value::Null).0, 204);
    let waiting: Vec<Wire> = (0..4).map(|_| Wire::connect(broker.amqp)).collect();
    for _ in 0..20 {
        assert_eq!(get(&broker, "/api/exchanges/only").as_array().map(Vec::len), Some(7));
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(get(&broker, "/api/connections"), json!([]));
    drop(waiting);
}

const OWN_DASHBOARD: &str = include_str!("../../../packaging/grafana/haremq-shards.json");

/// Those of its Overview dashboard.
const DASHBOARD: &str = include_str!("../../fixtures/overview-dashboard-metrics.txt");

#[test]
fn metrics_are_those_that_the_dashboard_asks_for() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.publish(1, "", "q", false, &[0; 500]);
    let metrics = |path: &str| {
        let answer = ask(broker.http, "GET", path, None, "");
        assert_eq!(answer.status, 200, "{path}");
        check_format(&answer.body);
        answer.body
    };
    let began = Instant::now();
    // Of the samples that are taken every few seconds the first came before.
    while !metrics("/metrics").contains("\nrabbitmq_queue_messages_ready 1\n") {
        assert!(began.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(200));
    }
    let text = metrics("/metrics");
    let known: BTreeSet<&str> = text.lines().filter_map(|line| line.split([' ', '{']).next()).collect();
    let missing: Vec<&str> = DASHBOARD.lines().filter(|name| !known.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    let own = asked_for(OWN_DASHBOARD);
    assert!(own.len() > 30, "{own:?}");
    assert_eq!(own.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert!(text.contains("rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"100.0\"} 0\n"));
    assert!(text.contains("rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"1.0e3\"} 1\n"));
    assert!(
        metrics("/metrics/per-object").contains("rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"q\"} 1\n")
    );
    let detailed = metrics("/metrics/detailed?family=queue_coarse_metrics&vhost=/");
    assert!(detailed.contains("rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"q\"} 1\n"), "{detailed}");
    assert!(!detailed.contains("rabbitmq_detailed_connection"));
}

/// The metrics that the queries of a dashboard name.
fn asked_for(dashboard: &str) -> BTreeSet<&str> {
    let words = dashboard.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("haremq_") || word.starts_with("rabbitmq_")).collect()
}

/// Prometheus' rules of its text format: each family once, with its type and all its samples behind that.
fn check_format(text: &str) {
    let mut families = BTreeSet::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            family = name.to_owned();
        } else if !line.starts_with("# HELP ") {
            let name = line.split([' ', '{']).next().expect("a name");
            let part = name.strip_prefix(&*family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            assert!(["", "_bucket", "_count", "_sum"].contains(&part), "{line}");
            let value = line.rsplit(' ').next().expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[test]
fn health_is_told_in_rabbitmq_s_words() {
    let broker = Broker::start();
    let check = |path: &str| call(&broker, "GET", &format!("/api/health/checks/{path}"), &Value::Null);
    for sound in
        ["alarms", "local-alarms", "virtual-hosts", "node-is-quorum-critical", "protocol-listener/amqp"]
    {
        let (code, answer) = check(sound);
        assert_eq!((code, &answer["status"]), (200, &json!("ok")), "{sound}");
    }
    assert_eq!(check(&format!("port-listener/{}", broker.amqp.port())).0, 200);
    let (code, answer) = check("port-listener/1");
    assert_eq!((code, &answer["status"], &answer["missing"]), (503, &json!("failed"), &json!(1)));
    let (code, answer) = check("protocol-listener/mqtt");
    assert_eq!((code, &answer["missing"]), (503, &json!("mqtt")));
    assert_eq!(call(&broker, "GET", "/api/nodes/rabbit@nowhere", &Value::Null).0, 404);
}

#[test]
fn the_openapi_file_has_every_route_and_no_other() {
    let broker = Broker::start();
    let api: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("JSON");
    let routes = get(&broker, "/api/haremq/routes");
    let text = |route: &Value, key: &str| route[key].as_str().expect("a text").to_owned();
    let routes: BTreeSet<(String, String, bool)> = routes
        .as_array()
        .expect("a list")
        .iter()
        // OpenAPI has no sign for a name that has slashes in it.
        .map(|it| {
            (text(it, "path").replace("{*", "{"), text(it, "method").to_lowercase(), it["need"] == "nothing")
        })
        .collect();
    let mut described = BTreeSet::new();
    for (path, operations) in api["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            described.insert((path.clone(), method.clone(), operation["security"] == json!([])));
            let named: BTreeSet<String> =
                path.split('{').skip(1).filter_map(|it| Some(it.split_once('}')?.0.to_owned())).collect();
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let in_path = parameters.iter().filter(|it| it["in"] == "path").map(|it| text(it, "name"));
            assert_eq!(in_path.collect::<BTreeSet<_>>(), named, "{path}");
        }
    }
    assert_eq!(routes.difference(&described).collect::<Vec<_>>(), Vec::<&(String, String, bool)>::new());
    assert_eq!(described.difference(&routes).collect::<Vec<_>>(), Vec::<&(String, String, bool)>::new());
}

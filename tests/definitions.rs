//! Definitions between RabbitMQ and HareMQ, both ways: what comes in goes out again, but for its order.

mod common;

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use common::Broker;
use common::http::{Answer, GUEST, ask, send};
use common::rabbit::Rabbit;

/// RabbitMQ's, before and after.
const PORT: u16 = 5694;
const OTHER_PORT: u16 = 5696;
const QUEUES: usize = 1_000;

#[test]
fn definitions_go_to_haremq_and_back_to_rabbitmq() {
    if !Rabbit::is_installed() {
        return;
    }
    let first = {
        let rabbit = Rabbit::start_managed(PORT);
        import(rabbit.http(), &plentiful());
        export(rabbit.http())
    };
    let haremq = Broker::start();
    import(haremq.http, &first);
    let ours = export(haremq.http);
    assert_same(&first, &ours);
    // It changes nothing, and is no error, to bring them twice.
    import(haremq.http, &first);
    assert_same(&first, &export(haremq.http));
    let again = {
        let rabbit = Rabbit::start_managed(OTHER_PORT);
        import(rabbit.http(), &ours);
        refuses_argon2id(&haremq, rabbit.http());
        export(rabbit.http())
    };
    assert_same(&first, &again);
}

/// As docs/configuration.md says; with HareMQ it goes round.
fn refuses_argon2id(haremq: &Broker, rabbit: SocketAddr) {
    let hash =
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let user = json!({"name": "argon", "password_hash": hash, "tags": [], "limits": {},
        "hashing_algorithm": "haremq_password_hashing_argon2id"});
    let definitions = json!({"users": [user], "vhosts": [{"name": "behind"}]});
    let answer = ask(rabbit, "POST", "/api/definitions", Some(GUEST), &definitions.to_string());
    assert_eq!((answer.status, answer.json()["reason"][0].as_str()), (400, Some("not_base64")));
    assert_eq!(ask(rabbit, "GET", "/api/vhosts/behind", Some(GUEST), "").status, 404);
    import(haremq.http, &definitions);
    assert!(export(haremq.http)["users"].as_array().is_some_and(|users| users.contains(&user)));
}

#[test]
fn the_definitions_of_a_vhost_go_into_any_other() {
    let haremq = Broker::start();
    import(haremq.http, &plentiful());
    let path = "/api/definitions/v%201";
    let exported = ask(haremq.http, "GET", path, Some(GUEST), "").json();
    assert_eq!(exported["queues"].as_array().map(Vec::len), Some(QUEUES / 2));
    assert!(exported["queues"][0].get("vhost").is_none(), "{}", exported["queues"][0]);
    assert_eq!(ask(haremq.http, "PUT", "/api/vhosts/copy", Some(GUEST), "").status, 201);
    let posted = ask(haremq.http, "POST", "/api/definitions/copy", Some(GUEST), &exported.to_string());
    assert_eq!(posted.status, 204, "{}", posted.body);
    let copied = ask(haremq.http, "GET", "/api/definitions/copy", Some(GUEST), "").json();
    for of in ["queues", "exchanges", "bindings", "policies", "parameters"] {
        assert_eq!(sorted(&copied[of]), sorted(&exported[of]), "{of}");
    }
}

#[test]
fn definitions_that_make_no_sense_are_refused() {
    let haremq = Broker::start();
    for (body, reason) in [
        ("nonsense", "not_json"),
        ("[1]", "not_json"),
        (r#"{"queues": [{"name": "q", "durable": true}]}"#, "[{key_missing,vhost}]"),
        (r#"{"queues": [{"name": "q", "vhost": "none"}]}"#, "vhost_not_found"),
        (r#"{"queues": 1}"#, "queues is not a list"),
    ] {
        let answer = ask(haremq.http, "POST", "/api/definitions", Some(GUEST), body);
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (400, Some(reason)), "{body}");
    }
}

/// A form with these fields, as a browser sends it.
fn upload(http: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
    let parts = fields.iter().map(|(name, value)| {
        let file =
            if *name == "file" { "; filename=\"d.json\"\r\nContent-Type: application/json" } else { "" };
        format!("--line\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
    });
    let body = parts.collect::<String>() + "--line--\r\n";
    let headers =
        "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nContent-Type: multipart/form-data; boundary=line\r\n";
    send(http, "POST", path, headers, body.as_bytes())
}

#[test]
fn definitions_are_uploaded_by_a_form() {
    let haremq = Broker::start_with(&["--shards", "2", "--http-body-bytes-max", "4096"]);
    let is_there = |path: &str| ask(haremq.http, "GET", path, Some(GUEST), "").status == 200;
    let vhost = r#"{"vhosts": [{"name": "uploaded"}]}"#;
    assert_eq!(upload(haremq.http, "/api/definitions", &[("other", "x"), ("file", vhost)]).status, 204);
    assert!(is_there("/api/vhosts/uploaded"));
    let queue = r#"{"queues": [{"name": "q", "durable": true}]}"#;
    let into =
        upload(haremq.http, "/api/definitions/uploaded", &[("file", queue), ("redirect", "../#/import")]);
    assert_eq!(into.status, 303);
    assert!(into.head.contains("location: ../#/import\r\n"), "{}", into.head);
    assert!(is_there("/api/queues/uploaded/q"));
    for elsewhere in ["https://elsewhere/", "//elsewhere/", "../#/\u{1}"] {
        let answer = upload(haremq.http, "/api/definitions", &[("file", vhost), ("redirect", elsewhere)]);
        assert_eq!(answer.status, 204, "{elsewhere}");
    }
    for fields in [&[("other", vhost)][..], &[("file", "nonsense")]] {
        assert_eq!(upload(haremq.http, "/api/definitions", fields).status, 400, "{fields:?}");
    }
    let long = format!(r#"{{"x": "{}", "vhosts": [{{"name": "long"}}]}}"#, "x".repeat(4096));
    assert_eq!(upload(haremq.http, "/api/definitions", &[("file", &long)]).status, 413);
    assert!(!is_there("/api/vhosts/long"));
}

fn import(http: SocketAddr, definitions: &Value) {
    let answer = ask(http, "POST", "/api/definitions", Some(GUEST), &definitions.to_string());
    assert!((200..300).contains(&answer.status), "{}: {}", answer.status, answer.body);
}

fn export(http: SocketAddr) -> Value {
    ask(http, "GET", "/api/definitions", Some(GUEST), "").json()
}

/// Users, policies and the like, and many queues in two vhosts.
fn plentiful() -> Value {
    let vhost = |number: usize| if number.is_multiple_of(2) { "/" } else { "v 1" };
    let queues = (0..QUEUES).map(|number| {
        let arguments = match number % 4 {
            0 => json!({}),
            1 => json!({"x-max-length": number, "x-overflow": "reject-publish"}),
            2 => json!({"x-message-ttl": 60_000, "x-dead-letter-exchange": "x-0"}),
            _ => json!({"x-queue-type": "classic", "x-max-priority": 5}),
        };
        let name = format!("queue/{number}");
        json!({"name": name, "vhost": vhost(number), "durable": true, "auto_delete": number % 7 == 0, "arguments": arguments})
    });
    let exchanges = (0..20).map(|number| {
        let kind = ["direct", "fanout", "topic", "headers"][number % 4];
        let arguments = if number % 5 == 0 { json!({"alternate-exchange": "amq.fanout"}) } else { json!({}) };
        json!({"name": format!("x-{number}"), "vhost": vhost(number / 2), "type": kind, "durable": true,
            "auto_delete": false, "internal": number % 6 == 5, "arguments": arguments})
    });
    let bindings = (0..QUEUES).map(|number| {
        let arguments = if number % 3 == 0 { json!({"x-match": "all", "n": number}) } else { json!({}) };
        json!({"source": "amq.topic", "vhost": vhost(number), "destination": format!("queue/{number}"),
            "destination_type": "queue", "routing_key": format!("key.{number}"), "arguments": arguments})
    });
    let between = json!({"source": "amq.direct", "vhost": "/", "destination": "x-0", "destination_type": "exchange",
        "routing_key": "", "arguments": {}});
    let users = (0..20).map(|number| {
        let tags = [json!([]), json!(["management"]), json!(["policymaker", "monitoring"])][number % 3].clone();
        let limits = if number % 4 == 0 { json!({"max-channels": number}) } else { json!({}) };
        json!({"name": format!("user {number}"), "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
            "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": tags, "limits": limits})
    });
    let permissions = (0..20).map(|number| {
        json!({"user": format!("user {number}"), "vhost": vhost(number), "configure": "^$", "write": ".*", "read": "^q"})
    });
    let policies = (0..20).map(|number| {
        json!({"vhost": vhost(number), "name": format!("policy {number}"), "pattern": format!("^queue/{number}"),
            "apply-to": "queues", "priority": number, "definition": {"max-length": 1_000 + number, "message-ttl": 5_000}})
    });
    json!({
        "users": users.collect::<Vec<_>>(),
        "vhosts": [{"name": "/"}, {"name": "v 1"}],
        "permissions": permissions.collect::<Vec<_>>(),
        "topic_permissions": [{"user": "user 1", "vhost": "v 1", "exchange": "amq.topic", "write": "^a", "read": "^b"}],
        "parameters": [
            {"component": "vhost-limits", "vhost": "v 1", "name": "limits", "value": {"max-queues": 5_000}},
            {"component": "operator_policy", "vhost": "/", "name": "cap",
                "value": {"pattern": "^capped", "apply-to": "queues", "priority": 1, "definition": {"max-length": 9}}},
        ],
        "global_parameters": [{"name": "mine", "value": {"a": [1, "b"]}}],
        "policies": policies.collect::<Vec<_>>(),
        "queues": queues.collect::<Vec<_>>(),
        "exchanges": exchanges.collect::<Vec<_>>(),
        "bindings": bindings.chain([between]).collect::<Vec<_>>(),
    })
}

fn assert_same(one: &Value, other: &Value) {
    for of in [
        "users",
        "vhosts",
        "permissions",
        "topic_permissions",
        "parameters",
        "global_parameters",
        "policies",
        "queues",
        "exchanges",
        "bindings",
    ] {
        let (one, other) = (sorted(&one[of]), sorted(&other[of]));
        let lacks: Vec<_> = one.iter().filter(|item| !other.contains(item)).take(3).collect();
        let more: Vec<_> = other.iter().filter(|item| !one.contains(item)).take(3).collect();
        assert!(
            lacks.is_empty() && more.is_empty() && one.len() == other.len(),
            "{of}: {lacks:#?} {more:#?}"
        );
    }
}

/// In one order, and without what a server says of itself.
fn sorted(items: &Value) -> Vec<String> {
    let items = items.as_array().map_or(&[][..], Vec::as_slice);
    let is_own = |item: &Value| {
        let own = ["cluster_name", "internal_cluster_id", "cluster_tags"];
        item["name"].as_str().is_some_and(|name| own.contains(&name)) && item.get("value").is_some()
    };
    let mut items: Vec<String> =
        items.iter().filter(|item| !is_own(item)).map(|item| bare(item).to_string()).collect();
    items.sort();
    items
}

/// Of a vhost RabbitMQ 3.10 tells the name alone, and later ones more.
fn bare(item: &Value) -> Value {
    let Value::Object(item) = item else { return item.clone() };
    let is_vhost = item.contains_key("name") && !item.contains_key("vhost") && !item.contains_key("value");
    if is_vhost && !item.contains_key("password_hash") {
        return json!({"name": item["name"]});
    }
    let mut item: Map<String, Value> = item.clone();
    item.retain(|_, value| !value.is_null());
    Value::Object(item)
}

//! Parameters and policies over HTTP, and what policies make of the queues and exchanges that they apply to.

use haremq::amqp::Method;
use haremq::amqp::frame::PROTOCOL_HEADER;
use serde_json::{Value, json};

use super::vhosts::{GUEST, ask};
use crate::common::Broker;
use crate::common::wire::Wire;

/// pat:secret
const PAT: &str = "Basic cGF0OnNlY3JldA==";

pub fn put(broker: &Broker, path: &str, body: Value) -> u16 {
    ask(broker.http, "PUT", path, Some(GUEST), &body.to_string()).0
}

pub fn delete(broker: &Broker, path: &str) -> u16 {
    ask(broker.http, "DELETE", path, Some(GUEST), "").0
}

pub fn get(broker: &Broker, path: &str) -> (u16, Value) {
    let (code, body) = ask(broker.http, "GET", path, Some(GUEST), "");
    (code, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// The reason why a body is refused.
fn refused(broker: &Broker, path: &str, body: &str) -> String {
    let (code, answer) = ask(broker.http, "PUT", path, Some(GUEST), body);
    assert_eq!(code, 400, "{path} {body}: {answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["error"], "bad_request");
    answer["reason"].as_str().expect("a reason").to_owned()
}

#[test]
fn a_policy_is_put_shown_and_deleted_and_outlives_the_server() {
    let mut broker = Broker::start();
    let body = json!({"pattern": "^a", "definition": {"message-ttl": 5, "ha-mode": "all"}, "priority": 1.5, "apply-to": "queues"});
    let shown = json!({
        "vhost": "/", "name": "p", "pattern": "^a", "apply-to": "queues",
        "definition": {"message-ttl": 5, "ha-mode": "all"}, "priority": 1.5,
    });
    for path in ["policies", "operator-policies"] {
        let one = format!("/api/{path}/%2F/p");
        assert_eq!(get(&broker, &one).0, 404);
        assert_eq!(get(&broker, &format!("/api/{path}/nowhere")).0, 404);
    }
    assert_eq!(put(&broker, "/api/policies/%2F/p", body.clone()), 201);
    assert_eq!(put(&broker, "/api/policies/%2F/p", body), 204);
    let limits = json!({"pattern": ".*", "definition": {"max-length": 3}});
    assert_eq!(put(&broker, "/api/operator-policies/%2F/o", limits), 201);
    let (code, answer) = ask(broker.http, "PUT", "/api/policies/nowhere/p", Some(GUEST), "{}");
    assert_eq!((code, &*answer), (404, r#"{"error":"not_found","reason":"vhost_not_found"}"#));
    broker.kill();
    broker.restart();
    assert_eq!(get(&broker, "/api/policies/%2F/p"), (200, shown.clone()));
    assert_eq!(get(&broker, "/api/policies/%2F"), (200, json!([shown])));
    assert_eq!(get(&broker, "/api/policies"), (200, json!([shown])));
    let operators = json!({
        "vhost": "/", "name": "o", "pattern": ".*", "apply-to": "all", "definition": {"max-length": 3}, "priority": 0,
    });
    assert_eq!(get(&broker, "/api/operator-policies"), (200, json!([operators])));
    assert_eq!(delete(&broker, "/api/policies/%2F/p"), 204);
    assert_eq!(delete(&broker, "/api/policies/%2F/p"), 404);
    broker.kill();
    broker.restart();
    assert_eq!(get(&broker, "/api/policies"), (200, json!([])));
    assert_eq!(get(&broker, "/api/operator-policies/%2F/o"), (200, operators));
}

/// The texts are RabbitMQ 3.10's; of parameters and policies they are made for pages.
#[test]
fn what_is_wrong_with_a_policy_or_parameter_is_told_in_rabbitmqs_words() {
    let broker = Broker::start();
    for (path, body, reason) in [
        ("policies/%2F/p", "", "[{key_missing,pattern},{key_missing,definition}]"),
        ("policies/%2F/p", "xx", "not_json"),
        ("policies/%2F/p", "[]", "not_json"),
        (
            "policies/%2F/p",
            r#"{"pattern": "x", "definition": {"foo": 1}}"#,
            "Validation failed\n\n[{&lt;&lt;\"foo\"&gt;&gt;,1}] are not recognised policy settings\n",
        ),
        (
            "operator-policies/%2F/p",
            r#"{"pattern": "x", "definition": {"queue-mode": "lazy"}}"#,
            "Validation failed\n\n[{<<\"queue-mode\">>,<<\"lazy\">>}] are not recognised policy settings\n",
        ),
        ("parameters/nope/%2F/x", r#"{"value": 1}"#, "Validation failed\n\ncomponent nope not found\n"),
        ("parameters/operator_policy/%2F/x", "{}", "[{key_missing,value}]"),
        ("parameters/policy/%2F/x", r#"{"value": {}}"#, "policies may not be set using this method"),
        (
            "parameters/vhost-limits/%2F/limits",
            r#"{"value": {"max-queues": "x"}}"#,
            "Validation failed\n\nmax-queues should be a number, actually was &lt;&lt;\"x\"&gt;&gt;\n",
        ),
        ("global-parameters/x", "{}", "[{key_missing,value}]"),
        ("cluster-name", "{}", "[{key_missing,name}]"),
    ] {
        assert_eq!(refused(&broker, &format!("/api/{path}"), body), reason, "{path} {body}");
    }
}

#[test]
fn operator_policies_and_limits_are_parameters_and_policies_have_a_place_of_their_own() {
    let broker = Broker::start();
    let policy = json!({"pattern": "x", "definition": {"max-length": 1}, "priority": 0, "apply-to": "all"});
    assert_eq!(put(&broker, "/api/policies/%2F/p", policy.clone()), 201);
    assert_eq!(put(&broker, "/api/parameters/operator_policy/%2F/o", json!({"value": policy})), 201);
    assert_eq!(get(&broker, "/api/operator-policies/%2F/o").1["definition"], json!({"max-length": 1}));
    let shown = json!({"component": "operator_policy", "vhost": "/", "name": "o", "value": policy});
    for path in ["", "/operator_policy", "/operator_policy/%2F"] {
        assert_eq!(get(&broker, &format!("/api/parameters{path}")), (200, json!([shown])), "{path}");
    }
    assert_eq!(get(&broker, "/api/parameters/operator_policy/%2F/o"), (200, shown));
    assert_eq!(get(&broker, "/api/parameters/policy/%2F/p").0, 404);
    assert_eq!(get(&broker, "/api/parameters/nope"), (200, json!([])));
    assert_eq!(get(&broker, "/api/parameters/nope/nowhere").0, 404);
    assert_eq!(delete(&broker, "/api/parameters/policy/%2F/p"), 404);
    assert_eq!(delete(&broker, "/api/parameters/operator_policy/%2F/o"), 204);
    assert_eq!(get(&broker, "/api/operator-policies/%2F/o").0, 404);
}

/// What the server calls its cluster to a client that connects.
fn greeting(broker: &Broker) -> String {
    let mut wire = Wire::connect(broker.amqp);
    wire.bytes(&PROTOCOL_HEADER);
    let start = wire.expect(0, "connection.start");
    let Method::ConnectionStart { server_properties, .. } = start.method() else { unreachable!("expected") };
    let name = server_properties.find(b"cluster_name").and_then(|value| value.as_str());
    String::from_utf8_lossy(name.expect("it is told")).into_owned()
}

#[test]
fn global_parameters_are_any_json_and_the_name_of_the_cluster_is_one() {
    let mut broker = Broker::start();
    assert_eq!(put(&broker, "/api/global-parameters/x", json!({"value": {"a": [1, null, "x"]}})), 201);
    assert_eq!(put(&broker, "/api/global-parameters/x", json!({"value": 7})), 204);
    let named = |broker: &Broker| {
        let name = get(broker, "/api/cluster-name").1["name"].clone();
        assert_eq!(get(broker, "/api/overview").1["cluster_name"], name);
        assert_eq!(get(broker, "/api/definitions").1["original_cluster_name"], name);
        assert_eq!(greeting(broker), name);
        name
    };
    assert_eq!(named(&broker), "haremq", "as long as nobody has named it");
    assert_eq!(put(&broker, "/api/cluster-name", json!({"name": "shop"})), 204);
    assert_eq!(named(&broker), "shop");
    broker.kill();
    broker.restart();
    assert_eq!(named(&broker), "shop");
    let all = json!([{"name": "cluster_name", "value": "shop"}, {"name": "x", "value": 7}]);
    assert_eq!(get(&broker, "/api/global-parameters"), (200, all));
    assert_eq!(get(&broker, "/api/global-parameters/x"), (200, json!({"name": "x", "value": 7})));
    assert_eq!(delete(&broker, "/api/global-parameters/x"), 204);
    assert_eq!(delete(&broker, "/api/global-parameters/x"), 404);
}

#[test]
fn policymakers_make_policies_where_they_may_enter() {
    let broker = Broker::start();
    assert_eq!(put(&broker, "/api/users/pat", json!({"password": "secret", "tags": "policymaker"})), 201);
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    assert_eq!(put(&broker, "/api/permissions/%2F/pat", all), 201);
    assert_eq!(put(&broker, "/api/vhosts/v", json!({})), 201);
    let body = json!({"pattern": "x", "definition": {"max-length": 1}}).to_string();
    let by_pat = |verb: &str, path: &str| ask(broker.http, verb, path, Some(PAT), &body);
    assert_eq!(by_pat("PUT", "/api/policies/%2F/p").0, 201);
    assert_eq!(by_pat("GET", "/api/policies/%2F/p").0, 200);
    assert_eq!(
        put(&broker, "/api/policies/v/p", json!({"pattern": "x", "definition": {"max-length": 1}})),
        201
    );
    let object = r#"{"error":"not_authorised","reason":"User not authorised to access object"}"#;
    let vhost = r#"{"error":"not_authorised","reason":"User not authorised to access virtual host"}"#;
    let administrator = r#"{"error":"not_authorised","reason":"Not administrator user"}"#;
    for (verb, path, reason) in [
        ("PUT", "/api/policies/v/p", object),
        ("GET", "/api/policies/v/p", object),
        ("GET", "/api/policies/v", vhost),
        ("GET", "/api/operator-policies/%2F/p", administrator),
        ("PUT", "/api/operator-policies/%2F/p", administrator),
        ("PUT", "/api/cluster-name", administrator),
    ] {
        assert_eq!(by_pat(verb, path), (401, reason.to_owned()), "{verb} {path}");
    }
    let names: Value = serde_json::from_str(&by_pat("GET", "/api/policies").1).unwrap();
    assert_eq!(names.as_array().map(Vec::len), Some(1), "what lies where pat may not enter is not listed");
    assert_eq!(by_pat("GET", "/api/parameters").0, 200);
    assert_eq!(by_pat("DELETE", "/api/policies/%2F/p").0, 204);
}

#[test]
fn with_a_vhost_go_its_policies() {
    let broker = Broker::start();
    assert_eq!(put(&broker, "/api/vhosts/v", json!({})), 201);
    assert_eq!(
        put(&broker, "/api/policies/v/p", json!({"pattern": "x", "definition": {"max-length": 1}})),
        201
    );
    assert_eq!(delete(&broker, "/api/vhosts/v"), 204);
    assert_eq!(put(&broker, "/api/vhosts/v", json!({})), 201);
    assert_eq!(get(&broker, "/api/policies/v"), (200, json!([])));
}

//! Nothing is federated; upstreams and policies that ask for it are kept for those who bring them, and the log says so.

use serde_json::{Value, json};

use super::log::line;
use super::policies::{delete, get, put};
use super::vhosts::{GUEST, ask};
use crate::common::Broker;

const UPSTREAM: &str = "/api/parameters/federation-upstream/%2F/up";
const SET: &str = "/api/parameters/federation-upstream-set/%2F/all-of-them";

fn upstream() -> Value {
    json!({"uri": "amqp://user:opensesame@elsewhere/%2f", "ack-mode": "on-publish"})
}

fn told(broker: &Broker, what: &str) {
    line(|| broker.log(), &[" WARN ", "nothing is federated here", what]);
    assert!(!broker.log().contains("opensesame"));
}

#[test]
fn an_upstream_is_put_shown_and_deleted_and_outlives_the_server_and_no_link_comes_of_it() {
    let mut broker = Broker::start();
    assert_eq!(put(&broker, UPSTREAM, json!({"value": upstream()})), 201);
    assert_eq!(put(&broker, UPSTREAM, json!({"value": upstream()})), 204);
    assert_eq!(put(&broker, SET, json!({"value": [{"upstream": "up"}]})), 201);
    told(&broker, "component=federation-upstream name=up");
    told(&broker, "component=federation-upstream-set name=all-of-them");
    broker.kill();
    broker.restart();
    let shown = json!({"value": upstream(), "vhost": "/", "component": "federation-upstream", "name": "up"});
    assert_eq!(get(&broker, UPSTREAM), (200, shown.clone()));
    assert_eq!(get(&broker, "/api/parameters/federation-upstream"), (200, json!([shown])));
    assert_eq!(get(&broker, "/api/federation-links"), (200, json!([])));
    assert_eq!([delete(&broker, UPSTREAM), delete(&broker, SET)], [204, 204]);
    assert_eq!(get(&broker, "/api/parameters"), (200, json!([])));
}

#[test]
fn definitions_with_upstreams_come_in_and_go_out_and_the_log_tells() {
    let broker = Broker::start();
    let parameter =
        json!({"vhost": "/", "component": "federation-upstream", "name": "brought", "value": upstream()});
    let policy = json!({
        "vhost": "/", "name": "federate", "pattern": "^fed", "apply-to": "all", "priority": 0,
        "definition": {"federation-upstream-set": "all"},
    });
    let definitions = json!({"parameters": [parameter], "policies": [policy]});
    let (code, answer) = ask(broker.http, "POST", "/api/definitions", Some(GUEST), &definitions.to_string());
    assert_eq!(code, 204, "{answer}");
    told(&broker, "component=federation-upstream name=brought");
    told(&broker, "component=policy name=federate");
    let (_, exported) = get(&broker, "/api/definitions");
    assert_eq!([&exported["parameters"], &exported["policies"]], [&json!([parameter]), &json!([policy])]);
}

#[test]
fn a_shovel_is_refused_rather_than_stand_still() {
    let broker = Broker::start();
    let shovel =
        json!({"value": {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}});
    let path = "/api/parameters/shovel/%2F/s";
    let (code, answer) = ask(broker.http, "PUT", path, Some(GUEST), &shovel.to_string());
    assert_eq!(code, 400);
    assert!(answer.contains("no messages are shovelled here"), "{answer}");
}

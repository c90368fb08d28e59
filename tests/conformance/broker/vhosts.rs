//! Vhosts are made, listed and deleted over HTTP, and each has a world of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use haremq::amqp::method::Method;
use serde_json::Value;

use crate::common::Broker;
use crate::common::wire::{Tune, Wire, bind, declare, declare_durable, declare_exchange, short};
use haremq::amqp::Table;

/// guest:guest
pub const GUEST: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

pub fn ask(address: SocketAddr, verb: &str, path: &str, login: Option<&str>, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("HTTP is listened for");
    let login = login.map(|login| format!("Authorization: {login}\r\n")).unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{verb} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{login}Content-Length: {length}\r\n\r\n{body}"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, body.to_owned())
}

fn names(broker: &Broker) -> Vec<String> {
    let (code, body) = ask(broker.http, "GET", "/api/vhosts", Some(GUEST), "");
    assert_eq!(code, 200);
    let all: Vec<Value> = serde_json::from_str(&body).expect("a list");
    all.iter().map(|vhost| vhost["name"].as_str().expect("a name").to_owned()).collect()
}

pub fn enter(broker: &Broker, vhost: &str) -> Wire {
    let mut wire = Wire::tuned(broker.amqp, Tune::default());
    wire.send(0, Method::ConnectionOpen { virtual_host: short(vhost) });
    wire
}

fn inside(broker: &Broker, vhost: &str) -> Wire {
    let mut wire = enter(broker, vhost);
    wire.expect(0, "connection.open-ok");
    wire.channel(1);
    wire
}

#[test]
fn a_vhost_is_made_and_is_a_world_of_its_own() {
    let broker = Broker::start();
    assert_eq!(enter(&broker, "shop").closed(), (530, "NOT_ALLOWED - vhost shop not found".to_owned()));
    let made = ask(
        broker.http,
        "PUT",
        "/api/vhosts/shop",
        Some(GUEST),
        r#"{"description": "a shop", "tags": "a,b"}"#,
    );
    assert_eq!(made.0, 201);
    assert_eq!(ask(broker.http, "PUT", "/api/vhosts/shop", Some(GUEST), "").0, 204);
    assert_eq!(ask(broker.http, "PUT", "/api/vhosts/a%2Fb", Some(GUEST), "").0, 201);
    assert_eq!(names(&broker), ["/", "a/b", "shop"]);
    let (mut here, mut there) = (inside(&broker, "shop"), inside(&broker, "/"));
    here.call(1, declare("q"), "queue.declare-ok");
    here.call(1, declare_exchange("x", "fanout", false), "exchange.declare-ok");
    here.call(1, bind("q", "x", ""), "queue.bind-ok");
    there.call(1, declare_exchange("x", "topic", false), "exchange.declare-ok");
    here.publish(1, "x", "k", false, b"hello");
    there.publish(1, "x", "k", false, b"nobody hears this");
    let get = || Method::BasicGet { queue: "q".into(), no_ack: true };
    here.call(1, get(), "basic.get-ok");
    assert_eq!(here.content().1, b"hello");
    here.call(1, get(), "basic.get-empty");
    there.send(1, get());
    assert_eq!(there.channel_closed(1).1, "NOT_FOUND - no queue 'q' in vhost '/'");
    here.send(1, Method::BasicGet { queue: "p".into(), no_ack: true });
    assert_eq!(here.channel_closed(1).1, "NOT_FOUND - no queue 'p' in vhost 'shop'");
}

#[test]
fn a_vhost_goes_with_its_queues_and_connections_and_may_be_made_again() {
    let broker = Broker::start();
    let path = "/api/vhosts/shop";
    for _ in 0..3 {
        assert_eq!(ask(broker.http, "PUT", path, Some(GUEST), "").0, 201);
        let mut wire = inside(&broker, "shop");
        for name in ["a", "b", "c"] {
            wire.call(1, declare_durable(name, Table::EMPTY), "queue.declare-ok");
            wire.publish(1, "", name, false, b"lost with it");
        }
        assert_eq!(ask(broker.http, "DELETE", path, Some(GUEST), "").0, 204);
        assert_eq!(wire.closed(), (320, "CONNECTION_FORCED - vhost 'shop' is deleted".to_owned()));
        assert_eq!(ask(broker.http, "DELETE", path, Some(GUEST), "").0, 404);
        assert_eq!(enter(&broker, "shop").closed().0, 530);
        assert_eq!(names(&broker), ["/"]);
    }
    let mut wire = inside(&broker, "/");
    wire.call(1, declare("q"), "queue.declare-ok");
}

#[test]
fn vhosts_and_what_lies_in_them_outlive_the_server() {
    let mut broker = Broker::start();
    assert_eq!(ask(broker.http, "PUT", "/api/vhosts/kept", Some(GUEST), r#"{"description": "d"}"#).0, 201);
    assert_eq!(ask(broker.http, "PUT", "/api/vhosts/gone", Some(GUEST), "").0, 201);
    let mut wire = inside(&broker, "kept");
    wire.call(1, declare_durable("q", Table::EMPTY), "queue.declare-ok");
    assert_eq!(ask(broker.http, "DELETE", "/api/vhosts/gone", Some(GUEST), "").0, 204);
    broker.kill();
    broker.restart();
    assert_eq!(names(&broker), ["/", "kept"]);
    let (_, about) = ask(broker.http, "GET", "/api/vhosts/kept", Some(GUEST), "");
    assert_eq!(serde_json::from_str::<Value>(&about).unwrap()["description"], "d");
    let passive = |queue| {
        let Method::QueueDeclare { queue, durable, exclusive, auto_delete, nowait, arguments, .. } = queue
        else {
            unreachable!("it declares a queue")
        };
        Method::QueueDeclare { queue, passive: true, durable, exclusive, auto_delete, nowait, arguments }
    };
    inside(&broker, "kept").call(1, passive(declare("q")), "queue.declare-ok");
    inside(&broker, "/").send(1, passive(declare("q")));
}

#[test]
fn nobody_is_served_without_a_login() {
    let broker = Broker::start();
    for path in ["/api/vhosts", "/api/vhosts/%2F", "/api/whoami"] {
        assert_eq!(ask(broker.http, "GET", path, None, "").0, 401);
        let (code, body) = ask(broker.http, "GET", path, Some("Basic Z3Vlc3Q6d3Jvbmc="), "");
        assert_eq!((code, &*body), (401, r#"{"error":"not_authorized","reason":"Login failed"}"#));
    }
    assert_eq!(ask(broker.http, "DELETE", "/api/vhosts/%2F", None, "").0, 401);
    assert_eq!(names(&broker), ["/"]);
    let (_, body) = ask(broker.http, "GET", "/api/whoami", Some(GUEST), "");
    assert_eq!(body, r#"{"name":"guest","tags":["administrator"]}"#);
}

/// As with RabbitMQ 4: what is not there can be neither protected nor deleted.
#[test]
fn a_vhost_that_is_protected_is_not_deleted_until_it_is_not() {
    let mut broker = Broker::start();
    let ask =
        |broker: &Broker, verb: &str, path: &str, body: &str| ask(broker.http, verb, path, Some(GUEST), body);
    let protection = "/api/vhosts/v/deletion/protection";
    assert_eq!(ask(&broker, "POST", protection, "").0, 404);
    assert_eq!(ask(&broker, "PUT", "/api/vhosts/v", r#"{"description": "kept"}"#).0, 201);
    assert_eq!(ask(&broker, "POST", protection, "").0, 204);
    let refused = ask(&broker, "DELETE", "/api/vhosts/v", "");
    let reason = "Refusing to delete virtual host 'v' because it is protected from deletion";
    assert_eq!(refused, (412, format!(r#"{{"error":"precondition_failed","reason":"{reason}"}}"#)));
    assert_eq!(
        ask(&broker, "PUT", "/api/vhosts/v", r#"{"description": "still kept", "tags": "a,b"}"#).0,
        204
    );
    broker.kill();
    broker.restart();
    let shown: Value = serde_json::from_str(&ask(&broker, "GET", "/api/vhosts/v", "").1).unwrap();
    assert_eq!(
        (&shown["protected_from_deletion"], &shown["description"]),
        (&true.into(), &"still kept".into())
    );
    assert_eq!(shown["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(ask(&broker, "DELETE", "/api/vhosts/v", "").0, 412);
    assert_eq!(ask(&broker, "DELETE", protection, "").0, 204);
    assert_eq!(ask(&broker, "DELETE", "/api/vhosts/v", "").0, 204);
}

//! Users and permissions over HTTP, and what they let a client do.

use haremq::amqp::frame::PROTOCOL_HEADER;
use haremq::amqp::method::Method;
use haremq::amqp::{Table, TableWriter};
use serde_json::{Value, json};

use super::vhosts::{GUEST, ask};
use crate::common::Broker;
use crate::common::wire::{Tune, Wire, bind, consume, declare, declare_durable, declare_exchange, short};

/// ann:secret
const ANN: &str = "Basic YW5uOnNlY3JldA==";
const ANN_PLAIN: &[u8] = b"\0ann\0secret";

fn put(broker: &Broker, path: &str, body: Value) -> u16 {
    ask(broker.http, "PUT", path, Some(GUEST), &body.to_string()).0
}

/// A broker whose user ann may do so much.
fn with_ann(configure: &str, write: &str, read: &str) -> Broker {
    let broker = Broker::start();
    assert_eq!(put(&broker, "/api/users/ann", json!({"password": "secret", "tags": "management"})), 201);
    let patterns = json!({"configure": configure, "write": write, "read": read});
    assert_eq!(put(&broker, "/api/permissions/%2F/ann", patterns), 201);
    broker
}

fn logged_in(broker: &Broker, response: &[u8]) -> Wire {
    let mut wire = Wire::connect(broker.amqp);
    wire.bytes(&PROTOCOL_HEADER);
    wire.expect(0, "connection.start");
    wire.login("PLAIN", response, true);
    wire
}

fn ann(broker: &Broker) -> Wire {
    let mut wire = logged_in(broker, ANN_PLAIN);
    let Tune { channel_max, frame_max, heartbeat } = Tune::default();
    wire.expect(0, "connection.tune");
    wire.send(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat });
    wire.send(0, Method::ConnectionOpen { virtual_host: short("/") });
    wire
}

fn ann_inside(broker: &Broker) -> Wire {
    let mut wire = ann(broker);
    wire.expect(0, "connection.open-ok");
    wire.channel(1);
    wire
}

/// The close that a method costs; its channel is opened again.
fn refused(wire: &mut Wire, method: Method<'_>) -> String {
    wire.send(1, method);
    let (code, text) = wire.channel_closed(1);
    assert_eq!(code, 403);
    wire.channel(1);
    text
}

fn get(queue: &str) -> Method<'_> {
    Method::BasicGet { queue: short(queue), no_ack: true }
}

#[test]
fn users_are_deleted_together_or_not_at_all() {
    let broker = Broker::start();
    for name in ["a", "b"] {
        assert_eq!(put(&broker, &format!("/api/users/{name}"), json!({"password": "x", "tags": ""})), 201);
    }
    let delete = |users: Value| {
        ask(broker.http, "POST", "/api/users/bulk-delete", Some(GUEST), &json!({"users": users}).to_string())
    };
    let is_there = |user| ask(broker.http, "GET", &format!("/api/users/{user}"), Some(GUEST), "").0 == 200;
    let (code, answer) = delete(json!(["a", "nobody", "b"]));
    assert_eq!((code, &*answer), (400, r#"{"error":"bad_request","reason":["no_such_user","nobody"]}"#));
    assert!(is_there("a"));
    assert_eq!(delete(json!(["a", "b"])).0, 204);
    assert!(!is_there("a") && !is_there("b"));
}

#[test]
fn what_a_user_may_not_do_costs_the_channel_and_says_why() {
    let broker = with_ann("^own-", "^(own-|in$|amq\\.default$)", "^(own-|out$)");
    let mut guest = Wire::open(broker.amqp);
    guest.channel(1);
    for name in ["in", "out", "secret"] {
        guest.call(1, declare(name), "queue.declare-ok");
        guest.call(1, declare_exchange(name, "topic", false), "exchange.declare-ok");
    }
    let mut wire = ann_inside(&broker);
    let refused_text = |operation: &str, kind: &str, name: &str| {
        format!("ACCESS_REFUSED - {operation} access to {kind} '{name}' in vhost '/' refused for user 'ann'")
    };
    wire.call(1, declare_durable("own-q", Table::EMPTY), "queue.declare-ok");
    wire.call(1, declare_exchange("own-x", "fanout", false), "exchange.declare-ok");
    wire.call(1, bind("own-q", "own-x", ""), "queue.bind-ok");
    wire.call(1, bind("in", "out", "k"), "queue.bind-ok");
    let delete = |queue| Method::QueueDelete { queue, if_unused: false, if_empty: false, nowait: false };
    let purge = |queue| Method::QueuePurge { queue, nowait: false };
    let passive = Method::QueueDeclare {
        queue: "secret".into(),
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Table::EMPTY,
    };
    let letters = TableWriter::new().string("x-dead-letter-exchange", "secret").finish();
    for (method, text) in [
        (declare("new"), refused_text("configure", "queue", "new")),
        (declare_exchange("new", "direct", false), refused_text("configure", "exchange", "new")),
        (delete("in".into()), refused_text("configure", "queue", "in")),
        (delete("nowhere".into()), refused_text("configure", "queue", "nowhere")),
        (purge("in".into()), refused_text("read", "queue", "in")),
        (get("in"), refused_text("read", "queue", "in")),
        (consume("secret", "", true), refused_text("read", "queue", "secret")),
        (bind("secret", "own-x", ""), refused_text("write", "queue", "secret")),
        (bind("own-q", "secret", ""), refused_text("read", "exchange", "secret")),
        (passive, refused_text("configure", "queue", "secret")),
        (
            declare_durable("own-l", Table::decode(&letters).unwrap()),
            refused_text("write", "exchange", "secret"),
        ),
    ] {
        assert_eq!(refused(&mut wire, method), text);
    }
    for (exchange, key) in [("secret", "k"), ("out", "k")] {
        wire.publish(1, exchange, key, false, b"no");
        assert_eq!(wire.channel_closed(1), (403, refused_text("write", "exchange", exchange)));
        wire.channel(1);
    }
    wire.publish(1, "own-x", "", false, b"one");
    wire.publish(1, "", "own-q", false, b"two");
    for body in ["one", "two"] {
        wire.call(1, get("own-q"), "basic.get-ok");
        assert_eq!(wire.content().1, body.as_bytes());
    }
}

#[test]
fn permissions_count_at_once_for_whoever_is_connected() {
    let broker = with_ann(".*", ".*", ".*");
    let mut wire = ann_inside(&broker);
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.publish(1, "", "q", false, b"first");
    wire.call(1, get("q"), "basic.get-ok");
    wire.content();
    assert_eq!(
        put(&broker, "/api/permissions/%2F/ann", json!({"configure": "", "write": "", "read": ".*"})),
        204
    );
    wire.publish(1, "", "q", false, b"second");
    let text = "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'ann'";
    assert_eq!(wire.channel_closed(1), (403, text.to_owned()));
    wire.channel(1);
    wire.call(1, get("q"), "basic.get-empty");
    assert_eq!(ask(broker.http, "DELETE", "/api/users/ann", Some(GUEST), "").0, 204);
    assert_eq!(wire.closed(), (320, "CONNECTION_FORCED - user 'ann' is deleted".to_owned()));
    assert_eq!(logged_in(&broker, ANN_PLAIN).closed().0, 403);
}

#[test]
fn a_topic_permission_counts_beside_that_of_the_exchange() {
    let broker = with_ann(".*", ".*", ".*");
    let topic = json!({"exchange": "amq.topic", "write": "^{username}\\.", "read": "^news\\."});
    assert_eq!(put(&broker, "/api/topic-permissions/%2F/ann", topic), 201);
    let mut wire = ann_inside(&broker);
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.call(1, bind("q", "amq.topic", "news.*"), "queue.bind-ok");
    let text = "ACCESS_REFUSED - read access to topic 'other' in exchange 'amq.topic' in vhost '/' refused for user 'ann'";
    assert_eq!(refused(&mut wire, bind("q", "amq.topic", "other")), text);
    wire.publish(1, "amq.topic", "ann.x", false, b"yes");
    wire.publish(1, "amq.topic", "bob.x", false, b"no");
    let text = "ACCESS_REFUSED - write access to topic 'bob.x' in exchange 'amq.topic' in vhost '/' refused for user 'ann'";
    assert_eq!(wire.channel_closed(1), (403, text.to_owned()));
}

#[test]
fn who_may_not_enter_is_told_so_and_users_outlive_the_server() {
    let mut broker = Broker::start();
    assert_eq!(put(&broker, "/api/users/ann", json!({"password": "secret", "tags": ["monitoring"]})), 201);
    let text = "NOT_ALLOWED - access to vhost '/' refused for user 'ann'";
    assert_eq!(ann(&broker).closed(), (530, text.to_owned()));
    assert_eq!(
        put(&broker, "/api/permissions/%2F/ann", json!({"configure": "", "write": "", "read": ""})),
        201
    );
    assert_eq!(ask(broker.http, "DELETE", "/api/users/guest", Some(GUEST), "").0, 204);
    broker.kill();
    broker.restart();
    ann(&broker).expect(0, "connection.open-ok");
    assert_eq!(logged_in(&broker, b"\0guest\0guest").closed().0, 403);
    assert_eq!(ask(broker.http, "GET", "/api/whoami", Some(GUEST), "").0, 401);
    let (code, body) = ask(broker.http, "GET", "/api/whoami", Some(ANN), "");
    assert_eq!((code, &*body), (200, r#"{"name":"ann","tags":["monitoring"]}"#));
    let (code, body) = ask(broker.http, "GET", "/api/users", Some(ANN), "");
    assert_eq!((code, &*body), (401, r#"{"error":"not_authorised","reason":"Not administrator user"}"#));
}

/// With a password in the path or in a body, as with one over AMQP, it is hashed beside what goes on.
#[test]
fn a_password_that_is_kept_by_argon2id_lets_in_and_outlives_the_server_and_moves_to_another() {
    let mut broker = Broker::start_with(&["--shards", "2", "--password-hashing", "argon2id"]);
    assert_eq!(put(&broker, "/api/users/ann", json!({"password": "secret", "tags": "management"})), 201);
    let patterns = json!({"configure": ".*", "write": ".*", "read": ".*"});
    assert_eq!(put(&broker, "/api/permissions/%2F/ann", patterns), 201);
    let (_, hash) = ask(broker.http, "GET", "/api/auth/hash_password/word", Some(GUEST), "");
    let hash: Value = serde_json::from_str(&hash).unwrap();
    assert_eq!(put(&broker, "/api/users/bob", json!({"password_hash": hash["ok"], "tags": ""})), 201);
    let is_let_in = |broker: &Broker, who: &str| {
        logged_in(broker, who.as_bytes()).expect(0, "connection.tune");
    };
    let is_refused = |broker: &Broker, who: &str| {
        let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
        assert_eq!(logged_in(broker, who.as_bytes()).closed(), (403, text.to_owned()), "{who:?}");
    };
    let judges = |broker: &Broker| {
        ann_inside(broker).call(1, declare("q"), "queue.declare-ok");
        // What comes while the password is judged is read when it was.
        let mut at_once = Wire::connect(broker.amqp);
        at_once.bytes(&PROTOCOL_HEADER);
        at_once.login("PLAIN", ANN_PLAIN, true);
        let Tune { channel_max, frame_max, heartbeat } = Tune::default();
        at_once.send(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat });
        at_once.send(0, Method::ConnectionOpen { virtual_host: short("/") });
        for name in ["connection.start", "connection.tune", "connection.open-ok"] {
            at_once.expect(0, name);
        }
        is_let_in(broker, "\0bob\0word");
        for wrong in ["\0ann\0word", "\0nobody\0secret"] {
            is_refused(broker, wrong);
        }
        for _ in 0..2 {
            assert_eq!(ask(broker.http, "GET", "/api/whoami", Some(ANN), "").0, 200);
        }
        assert_eq!(ask(broker.http, "GET", "/api/whoami", Some("Basic YW5uOndvcmQ="), "").0, 401);
        // Done in her name over AMQP.
        assert_eq!(ask(broker.http, "DELETE", "/api/queues/%2F/q", Some(ANN), "").0, 204);
    };
    judges(&broker);
    broker.kill();
    broker.restart();
    judges(&broker);

    let (_, definitions) = ask(broker.http, "GET", "/api/definitions", Some(GUEST), "");
    let of_ann: Value = serde_json::from_str(&definitions).unwrap();
    let of_ann = of_ann["users"].as_array().unwrap().iter().find(|user| user["name"] == "ann").unwrap();
    assert_eq!(of_ann["hashing_algorithm"], "haremq_password_hashing_argon2id");
    let hash = of_ann["password_hash"].as_str().unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    let other = Broker::start();
    assert_eq!(ask(other.http, "POST", "/api/definitions", Some(GUEST), &definitions).0, 204);
    judges(&other);
    // What was remembered of the old password does not count.
    assert_eq!(put(&other, "/api/users/ann", json!({"password": "other", "tags": "management"})), 204);
    assert_eq!(ask(other.http, "GET", "/api/whoami", Some(ANN), "").0, 401);
}

#[test]
fn users_are_told_with_the_hashes_that_rabbitmq_makes() {
    let broker = Broker::start();
    // Salt 0x908DC60A, password test12: RabbitMQ's documentation.
    let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
    let body =
        json!({"password_hash": hash, "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""});
    assert_eq!(put(&broker, "/api/users/bob", body), 201);
    let (_, bob) = ask(broker.http, "GET", "/api/users/bob", Some(GUEST), "");
    let bob: Value = serde_json::from_str(&bob).unwrap();
    assert_eq!((&bob["password_hash"], &bob["tags"]), (&json!(hash), &json!([])));
    logged_in(&broker, b"\0bob\0test12").expect(0, "connection.tune");
    assert_eq!(logged_in(&broker, b"\0bob\0test13").closed().0, 403);
    for (path, body) in [
        ("/api/users/x", json!({"password": "p"})),
        ("/api/permissions/%2F/nobody", json!({"configure": "", "write": "", "read": ""})),
        ("/api/permissions/nowhere/bob", json!({"configure": "", "write": "", "read": ""})),
        ("/api/permissions/%2F/bob", json!({"configure": "", "write": ""})),
        ("/api/permissions/%2F/bob", json!({"configure": "(", "write": "", "read": ""})),
    ] {
        assert_eq!(put(&broker, path, body), 400, "{path}");
    }
    assert_eq!(ask(broker.http, "GET", "/api/permissions/%2F/bob", Some(GUEST), "").0, 404);
}

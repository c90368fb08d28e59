//! What files, variables and flags make of the server.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Output;

use haremq::amqp::Method;
use haremq::amqp::frame::PROTOCOL_HEADER;

use super::vhosts::{GUEST, ask};
use crate::common::wire::{Next, Wire, declare, short};
use crate::common::{Broker, haremq, scratch_folder};

/// A folder of one test, with a file in it.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, text: &str) -> Folder {
        let folder = Folder(scratch_folder());
        fs::write(folder.0.join(name), text).expect("a folder of our own");
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn configured(text: &str) -> Broker {
    let folder = Folder::with("rabbitmq.conf", text);
    Broker::start_with(&["--shards", "2", "--config", &folder.path("rabbitmq.conf")])
}

/// Up to connection.start.
fn greeted(address: SocketAddr) -> Wire {
    let mut wire = Wire::connect(address);
    wire.bytes(&PROTOCOL_HEADER);
    wire
}

/// A connection of that user to that vhost, or how it ended.
fn entered(address: SocketAddr, login: &[u8], vhost: &str) -> Result<Wire, (u16, String)> {
    let mut wire = greeted(address);
    wire.expect(0, "connection.start");
    wire.login("PLAIN", login, true);
    let reply = wire.frame().expect("an answer to the login");
    if reply.name() == "connection.close" {
        return Err(reply.close());
    }
    wire.send(0, Method::ConnectionTuneOk { channel_max: 10, frame_max: 4096, heartbeat: 0 });
    wire.send(0, Method::ConnectionOpen { virtual_host: short(vhost) });
    let reply = wire.frame().expect("an answer to connection.open");
    if reply.name() == "connection.close" { Err(reply.close()) } else { Ok(wire) }
}

fn check_config(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        haremq(arguments).output().expect("the binary is built before its tests");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn check_config_prints_what_is_in_force_and_from_where() {
    let folder = Folder::with("r.conf", "# mine\nheartbeat = 30\ncluster_formation.node_type = disc\n");
    let file = folder.path("r.conf");
    let (code, out, err) = check_config(&["--shards", "3", "check-config", &file]);
    assert_eq!(code, Some(0), "{err}");
    for line in [
        format!("heartbeat = \"30\"  # {file}:2"),
        "shards = \"3\"  # --shards".to_owned(),
        "amqp-listen = \"5672\"  # default".to_owned(),
        "default-pass = \"********\"  # default".to_owned(),
        "# load-definitions is not set".to_owned(),
    ] {
        assert!(out.lines().any(|it| it == line), "no line {line}\n{out}");
    }
    assert!(err.contains(&format!("{file}:3: cluster_formation.node_type: ")), "{err}");
}

#[test]
fn check_config_and_a_start_end_with_78_and_all_that_is_wrong() {
    let folder = Folder::with("r.conf", "heartbeat = soon\nhartbeat = 1\nlisteners.ssl.default = 5671\n");
    let file = folder.path("r.conf");
    for arguments in [&["check-config", &*file][..], &["--config", &file]] {
        let (code, out, err) = check_config(arguments);
        assert_eq!((code, out.as_str()), (Some(78), ""), "{err}");
        assert_eq!(err.lines().count(), 3, "{err}");
        assert!(err.contains("r.conf:2: unknown key `hartbeat`; is it `heartbeat`?"), "{err}");
    }
    let (code, ..) = check_config(&["check-config", &folder.path("missing.conf")]);
    assert_eq!(code, Some(78));
}

#[test]
fn definitions_with_users_keep_the_default_user_out() {
    let with = r#"{"users": [{"name": "ada", "password": "x", "tags": "administrator"}],
        "permissions": [{"user": "ada", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]}"#;
    let without = r#"{"queues": [{"name": "q", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}}]}"#;
    for (definitions, there, absent) in [(with, "ada", "guest"), (without, "guest", "ada")] {
        let folder = Folder::with("d.json", definitions);
        let broker = Broker::start_with(&["--load-definitions", &folder.path("d.json")]);
        let enters = |name: &str| {
            let password = if name == "ada" { "x" } else { name };
            entered(broker.amqp, format!("\0{name}\0{password}").as_bytes(), "/").map(drop)
        };
        assert_eq!(enters(there), Ok(()));
        assert_eq!(enters(absent).unwrap_err().0, 403);
    }
}

#[test]
fn it_listens_wherever_it_is_told_to() {
    let broker = Broker::start_with(&["--amqp-listen", "127.0.0.1:0,127.0.0.2:0"]);
    let all = broker.amqp_addresses();
    // The first is what every broker under test is given.
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[2].ip().to_string() == "127.0.0.2", "{all:?}");
    for address in all {
        Wire::open(address).channel(1);
    }
}

#[test]
fn what_connections_are_offered_is_set() {
    let broker = configured(
        "heartbeat = 7\nchannel_max = 5\nframe_max = 8192\nauth_mechanisms.1 = PLAIN\ncluster_name = shop\n\
         product.version = 4.1.0\n",
    );
    let mut wire = greeted(broker.amqp);
    let start = wire.expect(0, "connection.start");
    let Method::ConnectionStart { mechanisms, server_properties, .. } = start.method() else { panic!() };
    assert_eq!(&mechanisms[..], b"PLAIN");
    let told = |name: &str| server_properties.find(name.as_bytes()).and_then(|value| value.as_str());
    assert_eq!((told("cluster_name"), told("version")), (Some(&b"shop"[..]), Some(&b"4.1.0"[..])));
    wire.login("PLAIN", b"\0guest\0guest", true);
    let tune = wire.expect(0, "connection.tune");
    assert_eq!(tune.method(), Method::ConnectionTune { channel_max: 5, frame_max: 8192, heartbeat: 7 });
    let mut other = greeted(broker.amqp);
    other.expect(0, "connection.start");
    other.login("AMQPLAIN", b"", true);
    let (code, text) = other.expect(0, "connection.close").close();
    assert_eq!((code, text.as_str()), (503, "COMMAND_INVALID - unknown authentication mechanism 'AMQPLAIN'"));
}

#[test]
fn a_message_beyond_the_largest_is_refused_however_it_comes() {
    let broker = configured("max_message_size = 1000\n");
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("small"), "queue.declare-ok");
    for size in [1_001, 40_000, 200_000] {
        wire.publish(1, "", "small", false, &vec![1; 1_000]);
        wire.publish(1, "", "small", false, &vec![1; size]);
        let (code, text) = wire.channel_closed(1);
        let expected =
            format!("PRECONDITION_FAILED - message size {size} is larger than configured max size 1000");
        assert_eq!((code, text), (406, expected));
        wire.channel(1);
    }
    let ok = wire.call(1, declare("small"), "queue.declare-ok");
    let Method::QueueDeclareOk { message_count, .. } = ok.method() else { panic!() };
    assert_eq!(message_count, 3);
}

#[test]
fn beyond_the_most_connections_nobody_is_let_in() {
    let broker = configured("connection_max = 3\n");
    let _within: Vec<Wire> = (0..3).map(|_| Wire::open(broker.amqp)).collect();
    let mut beyond = Wire::connect(broker.amqp);
    assert!(matches!(beyond.next(), Next::Closed));
}

#[test]
fn the_handshake_may_be_given_less_time() {
    let broker = configured("handshake_timeout = 300\n");
    let mut silent = Wire::connect(broker.amqp);
    // The usual ten seconds are beyond a wire's patience.
    assert!(matches!(silent.next(), Next::Closed));
}

#[test]
fn a_consumer_timeout_of_the_server_counts_for_queues_without_their_own() {
    let broker = configured("consumer_timeout = 200\n");
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("slow"), "queue.declare-ok");
    wire.publish(1, "", "slow", false, b"m");
    wire.call(1, crate::common::wire::consume("slow", "c", false), "basic.consume-ok");
    wire.expect(1, "basic.deliver");
    wire.content();
    wire.expect(1, "basic.cancel");
}

#[test]
fn the_first_start_makes_the_user_and_the_vhost_and_no_later_one_does() {
    let folder = Folder::with(
        "r.conf",
        "default_user = ann\ndefault_pass = secret\ndefault_vhost = shop\ndefault_user_tags.management = true\n\
         default_permissions.configure = ^a\n",
    );
    let file = folder.path("r.conf");
    let arguments = ["--config".to_owned(), file];
    let login = "Basic YW5uOnNlY3JldA==";
    for _ in 0..2 {
        let broker = Broker::start_on(&folder.0, &arguments);
        let mut wire = entered(broker.amqp, b"\0ann\0secret", "shop").expect("the user may enter the vhost");
        wire.channel(1);
        wire.call(1, declare("a1"), "queue.declare-ok");
        wire.send(1, declare("b1"));
        assert_eq!(wire.channel_closed(1).0, 403);
        let (code, _) = entered(broker.amqp, b"\0ann\0secret", "/").err().expect("there is no other vhost");
        assert_eq!(code, 530);
        assert_eq!(entered(broker.amqp, b"\0guest\0guest", "shop").err().expect("there is no guest").0, 403);
        let (_, body) = ask(broker.http, "GET", "/api/whoami", Some(login), "");
        let whoami: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(whoami["tags"], serde_json::json!(["management"]));
        drop(broker);
        // What the next start is told comes too late.
        fs::write(folder.path("r.conf"), "default_user = bob\ndefault_vhost = other\n").expect("our folder");
    }
}

#[test]
fn rabbitmqs_variables_make_the_user_and_our_flags_count_more() {
    let folder = Folder::with("password", "s3cret\n");
    let out = haremq(["--default-vhost", "mine", "check-config"])
        .env("HAREMQ_CONFIG", "none")
        .env("RABBITMQ_DEFAULT_USER", "ann")
        .env("RABBITMQ_DEFAULT_PASS_FILE", folder.path("password"))
        .env("RABBITMQ_DEFAULT_VHOST", "theirs")
        .env("RABBITMQ_NODE_PORT", "5673")
        .env("HAREMQ_AMQP_LISTEN", "5674")
        .output()
        .expect("the binary is built before its tests");
    let out = String::from_utf8(out.stdout).expect("text");
    for line in [
        "default-user = \"ann\"  # RABBITMQ_DEFAULT_USER",
        "default-pass = \"********\"  # RABBITMQ_DEFAULT_PASS_FILE",
        "default-vhost = \"mine\"  # --default-vhost",
        "amqp-listen = \"5674\"  # HAREMQ_AMQP_LISTEN",
    ] {
        assert!(out.lines().any(|it| it == line), "no line {line}\n{out}");
    }
    assert!(!out.contains("s3cret"), "{out}");
}

#[test]
fn guest_comes_from_this_machine_only_unless_it_is_set_otherwise() {
    let Some(address) = address_of_this_machine() else {
        eprintln!("this machine has no address but the loopback's");
        return;
    };
    let elsewhere = |conf: &str| {
        let folder = Folder::with("r.conf", conf);
        let amqp = format!("{address}:0");
        let broker = Broker::start_with(&["--config", &folder.path("r.conf"), "--amqp-listen", &amqp]);
        let by = *broker.amqp_addresses().last().expect("it listens");
        let entered = entered(by, b"\0guest\0guest", "/").map(drop).map_err(|(code, _)| code);
        (entered, broker)
    };
    let (result, broker) = elsewhere("heartbeat = 60\n");
    assert_eq!(result, Err(403));
    drop(broker);
    for conf in ["loopback_users = none\n", "loopback_users.guest = false\n"] {
        assert_eq!(elsewhere(conf).0, Ok(()), "{conf}");
    }
}

/// One that is not the loopback's, if there is a network.
fn address_of_this_machine() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel only chooses the address it would send from.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[test]
fn the_http_api_may_lie_under_a_prefix() {
    let broker = configured("management.path_prefix = /rabbit\nmanagement.http.max_body_size = 2048\n");
    assert_eq!(ask(broker.http, "GET", "/rabbit/api/whoami", Some(GUEST), "").0, 200);
    assert_eq!(ask(broker.http, "GET", "/api/whoami", Some(GUEST), "").0, 404);
    let long = format!(r#"{{"description": "{}"}}"#, "x".repeat(3_000));
    assert_ne!(ask(broker.http, "PUT", "/rabbit/api/vhosts/v", Some(GUEST), &long).0, 201);
    assert_eq!(ask(broker.http, "PUT", "/rabbit/api/vhosts/v", Some(GUEST), "").0, 201);
}

#[test]
fn what_changes_nothing_is_logged() {
    let broker = configured("raft.segment_max_entries = 100\n");
    let log = broker.log();
    assert!(log.contains("changes nothing: ") && log.contains("raft.segment_max_entries"), "{log}");
}

//! `haremq ctl`, and the names of RabbitMQ's tools for it, on a server that runs and on one that does not.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use haremq::amqp::Method;
use serde_json::{Value, json};

use crate::common::http::{self, ask};
use crate::common::wire::{Next, Wire, consume, declare, declare_exclusive, look_at};
use crate::common::{Broker, haremq, scratch_folder};

/// A broker whose folder is known, and goes at the end.
struct House {
    broker: Option<Broker>,
    folder: PathBuf,
}

/// What a command answered.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl House {
    fn start() -> House {
        let mut house = House::empty();
        let arguments = ["--shards", "2"].map(str::to_owned);
        house.broker = Some(Broker::start_on(&house.folder, &arguments));
        house
    }

    fn empty() -> House {
        House { broker: None, folder: scratch_folder() }
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("it was started")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self) -> Command {
        let mut command = haremq(["ctl"]);
        command.env("HAREMQ_DATA_DIR", self.data());
        command
    }

    fn ctl(&self, arguments: &[&str]) -> Said {
        said(self.command().args(arguments))
    }

    /// Of a command that succeeds.
    fn out(&self, arguments: &[&str]) -> String {
        let said = self.ctl(arguments);
        assert_eq!((said.code, &*said.err), (Some(0), ""), "{arguments:?}: {said:?}");
        said.out
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let out = self.out(&[arguments, &["--formatter", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // The broker may still write into it.
        drop(self.broker.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().expect("the binary is built before its tests");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn users_come_change_and_go() {
    let house = House::start();
    let added = house.out(&["add_user", "alice", "secret"]);
    assert!(added.starts_with("Adding user \"alice\" ...\nDone. Don't forget to grant"), "{added}");
    let again = house.ctl(&["add_user", "alice", "other"]);
    assert_eq!((again.code, &*again.err), (Some(70), "Error:\nUser \"alice\" already exists\n"));
    let tags = "Setting tags for user \"alice\" to [monitoring, policymaker] ...\n";
    assert_eq!(house.out(&["set_user_tags", "alice", "monitoring", "policymaker"]), tags);
    let rows = "alice\t[monitoring, policymaker]\nguest\t[administrator]\n";
    assert_eq!(house.out(&["list_users"]), format!("Listing users ...\nuser\ttags\n{rows}"));
    assert_eq!(house.out(&["-q", "list_users"]), format!("user\ttags\n{rows}"));
    assert_eq!(house.out(&["list_users", "-s"]), rows);
    assert_eq!(house.json(&["list_users"])[1], json!({"user": "guest", "tags": ["administrator"]}));

    // A change of the tags has left the password alone.
    assert!(house.out(&["authenticate_user", "alice", "secret"]).ends_with("Success\n"));
    house.out(&["change_password", "alice", "new"]);
    assert_eq!(house.ctl(&["authenticate_user", "alice", "secret"]).code, Some(65));
    house.out(&["set_user_tags", "alice"]);
    house.out(&["authenticate_user", "alice", "new"]);
    assert_eq!(house.json(&["list_users"])[0], json!({"user": "alice", "tags": []}));
    house.out(&["clear_password", "alice"]);
    assert_eq!(house.ctl(&["authenticate_user", "alice", "new"]).code, Some(65));

    house.out(&["set_user_limits", "alice", r#"{"max-connections": 5}"#]);
    assert_eq!(house.out(&["-q", "list_user_limits", "--user", "alice"]), "{\"max-connections\":5}\n");
    house.out(&["clear_user_limits", "alice", "all"]);
    assert_eq!(house.out(&["-q", "list_user_limits", "--user", "alice"]), "{}\n");
    house.out(&["delete_user", "alice"]);
    let gone = house.ctl(&["delete_user", "alice"]);
    assert_eq!((gone.code, &*gone.err), (Some(67), "Error:\nUser \"alice\" does not exist\n"));
}

#[test]
fn vhosts_permissions_and_limits_are_set_and_cleared() {
    let house = House::start();
    house.out(&["add_vhost", "v/1", "--description", "a shop", "--tags", "a,b"]);
    house.out(&["add_vhost", "v/1"]);
    let listed = house.json(&["list_vhosts", "name", "description", "tags"]);
    assert_eq!(listed[1], json!({"name": "v/1", "description": "a shop", "tags": ["a", "b"]}));
    // Nobody may enter it because of who made it.
    assert_eq!(house.out(&["-q", "list_permissions", "-p", "v/1"]), "");
    house.out(&["add_user", "alice", "secret"]);
    let set = house.out(&["set_permissions", "-p", "v/1", "alice", "^a", ".*", ""]);
    assert_eq!(set, "Setting permissions for user \"alice\" in vhost \"v/1\" ...\n");
    let rows = "user\tconfigure\twrite\tread\nalice\t^a\t.*\t\n";
    assert_eq!(house.out(&["list_permissions", "-q", "-p", "v/1"]), rows);
    let of_user = house.json(&["list_user_permissions", "alice"]);
    assert_eq!(of_user, json!([{"vhost": "v/1", "configure": "^a", "write": ".*", "read": ""}]));
    for (vhost, user, code, text) in [
        ("nope", "alice", 69, "Virtual host nope does not exist"),
        ("v/1", "nobody", 67, "User nobody does not exist"),
    ] {
        let refused = house.ctl(&["set_permissions", "-p", vhost, user, "", "", ""]);
        assert_eq!((refused.code, refused.err), (Some(code), format!("Error:\n{text}\n")));
    }
    house.out(&["set_topic_permissions", "-p", "v/1", "alice", "amq.topic", "a", "b"]);
    let topics = house.json(&["list_topic_permissions", "-p", "v/1"]);
    assert_eq!(topics, json!([{"user": "alice", "exchange": "amq.topic", "write": "a", "read": "b"}]));
    house.out(&["clear_topic_permissions", "-p", "v/1", "alice"]);
    house.out(&["clear_permissions", "-p", "v/1", "alice"]);
    assert_eq!(house.json(&["list_permissions", "-p", "v/1"]), json!([]));
    assert_eq!(house.json(&["list_topic_permissions", "-p", "v/1"]), json!([]));

    house.out(&["set_vhost_limits", "-p", "v/1", r#"{"max-queues": 7}"#]);
    assert_eq!(house.out(&["-q", "list_vhost_limits", "-p", "v/1"]), "{\"max-queues\":7}\n");
    house.out(&["clear_vhost_limits", "-p", "v/1"]);
    assert_eq!(house.out(&["-q", "list_vhost_limits", "-p", "v/1"]), "{}\n");
    house.out(&["delete_vhost", "v/1"]);
    assert_eq!(house.ctl(&["delete_vhost", "v/1"]).code, Some(65));
}

#[test]
fn policies_and_parameters_are_set_and_cleared() {
    let house = House::start();
    // guest must not be needed to see them.
    house.out(&["clear_permissions", "guest"]);
    let set = ["set_policy", "p1", "^q", r#"{"max-length":5}"#, "--apply-to", "queues", "--priority", "-3"];
    house.out(&set);
    let rows =
        "vhost\tname\tpattern\tapply-to\tdefinition\tpriority\n/\tp1\t^q\tqueues\t{\"max-length\":5}\t-3\n";
    assert_eq!(house.out(&["-q", "list_policies"]), rows);
    let refused = house.ctl(&["set_policy", "p2", "^q", r#"{"maxx-length":5}"#]);
    assert_eq!(refused.code, Some(69));
    assert!(
        refused.err.contains("[{<<\"maxx-length\">>,5}] are not recognised policy settings"),
        "{refused:?}"
    );
    assert_eq!(house.ctl(&["set_policy", "p2", "^q", "{bad"]).code, Some(65));
    let missing = house.ctl(&["clear_policy", "nope"]);
    assert_eq!((missing.code, &*missing.err), (Some(69), "Error:\nParameter does not exist\n"));
    house.out(&["clear_policy", "p1"]);
    assert_eq!(house.json(&["list_policies"]), json!([]));

    house.out(&["set_operator_policy", "o", ".*", r#"{"max-length":9}"#, "--apply-to", "queues"]);
    assert_eq!(house.json(&["list_operator_policies"])[0]["name"], "o");
    let component = json!("operator_policy");
    assert_eq!(house.json(&["list_parameters"])[0]["component"], component);
    house.out(&["clear_operator_policy", "o"]);
    assert_eq!(house.json(&["list_parameters"]), json!([]));
    house.out(&["set_global_parameter", "g", r#"{"a":1}"#]);
    assert_eq!(house.json(&["list_global_parameters"]), json!([{"name": "g", "value": "{\"a\":1}"}]));
    house.out(&["clear_global_parameter", "g"]);
    assert_eq!(house.json(&["list_global_parameters"]), json!([]));
}

#[test]
fn queues_are_listed_purged_and_deleted() {
    let house = House::start();
    let mut wire = Wire::open(house.broker().amqp);
    wire.channel(1);
    wire.call(1, declare("some queue"), "queue.declare-ok");
    for _ in 0..3 {
        wire.publish(1, "", "some queue", false, b"x");
    }
    let lengths = |wire: &mut Wire| {
        let reply = wire.call(1, look_at("some queue"), "queue.declare-ok");
        let Method::QueueDeclareOk { message_count, .. } = reply.method() else { panic!("{}", reply.name()) };
        message_count
    };
    assert_eq!(lengths(&mut wire), 3);
    let banner = "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\nname\tmessages\n";
    assert_eq!(house.out(&["list_queues"]), format!("{banner}some queue\t3\n"));
    let row =
        json!([{"name": "some queue", "durable": false, "messages_ready": 3, "arguments": {}, "pid": null}]);
    assert_eq!(house.json(&["list_queues", "name", "durable", "messages_ready", "arguments", "pid"]), row);
    let unknown = house.ctl(&["list_queues", "nope"]);
    assert_eq!(unknown.code, Some(64));
    assert!(unknown.err.contains("Info key(s) nope are not supported"), "{unknown:?}");
    assert_eq!(house.ctl(&["list_queues", "-p", "nope"]).code, Some(69));
    let exchanges = house.json(&["list_exchanges"]);
    assert!(exchanges.as_array().expect("a list").contains(&json!({"name": "amq.topic", "type": "topic"})));
    assert_eq!(
        house.json(&["list_bindings", "source_kind", "destination_name"])[0]["source_kind"],
        "exchange"
    );

    // It is done by AMQP, and nobody's permissions are asked for.
    house.out(&["clear_permissions", "guest"]);
    assert_eq!(house.out(&["purge_queue", "some queue"]), "Purging queue 'some queue' in vhost '/' ...\n");
    let missing = house.ctl(&["purge_queue", "nope"]);
    assert_eq!((missing.code, &*missing.err), (Some(69), "Error:\nnot_found\n"));
    assert_eq!(house.json(&["list_queues"]), json!([{"name": "some queue", "messages": 0}]));
    house.out(&["delete_queue", "some queue", "--if-empty"]);
    assert_eq!(house.json(&["list_queues"]), json!([]));
    let gone = house.ctl(&["delete_queue", "some queue"]);
    assert_eq!((gone.code, &*gone.err), (Some(64), "Error:\nQueue not found\n"));
}

#[test]
fn a_connection_is_closed_for_a_reason() {
    let house = House::start();
    let mut wires = [(); 3].map(|()| Wire::open(house.broker().amqp));
    wires[0].channel(1);
    let listed = house.json(&["list_connections", "pid", "channels", "user", "state"]);
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.len(), wires.len());
    let own = listed.iter().find(|one| one["channels"] == 1).expect("the one with a channel");
    assert_eq!((&own["user"], &own["state"]), (&json!("guest"), &json!("running")));
    let channels = house.json(&["list_channels", "connection", "number"]);
    assert_eq!(channels, json!([{"connection": own["pid"], "number": 1}]));
    house.out(&["close_connection", own["pid"].as_str().expect("a name"), "go home"]);
    assert_eq!(wires[0].closed(), (320, "CONNECTION_FORCED - go home".to_owned()));
    let closed = house.out(&["-q", "close_all_connections", "bye"]);
    assert!(matches!(closed.as_str(), "Closed 2 connections\n" | "Closed 3 connections\n"), "{closed}");
    for wire in &mut wires[1..] {
        assert_eq!(wire.closed(), (320, "CONNECTION_FORCED - bye".to_owned()));
    }
}

#[test]
fn the_server_tells_how_it_is() {
    let house = House::start();
    let broker = house.broker();
    assert_eq!(house.out(&["-q", "ping"]), "Ping succeeded\n");
    assert_eq!(house.out(&["version"]), "3.13.7\n");
    assert_eq!(house.out(&["await_startup"]), "");
    let status = house.out(&["status", "-n", "rabbit@somewhere"]);
    assert!(status.contains(&format!("OS PID: {}\n", broker.pid())), "{status}");
    assert!(status.contains(&format!("port: {}, protocol: amqp", broker.amqp.port())), "{status}");
    assert_eq!(house.json(&["status"])["pid"], broker.pid());
    assert!(house.out(&["cluster_status"]).contains("Running Nodes\n\nrabbit@"));
    for check in ["check_running", "check_local_alarms", "check_port_connectivity", "check_virtual_hosts"] {
        house.out(&[check]);
    }
    house.out(&["check_port_listener", &broker.amqp.port().to_string()]);
    assert_eq!(house.ctl(&["check_port_listener", "1"]).code, Some(69));
    assert_eq!(house.json(&["list_feature_flags"])[0]["state"], "enabled");
    assert!(house.out(&["environment"]).contains("shards = \"2\"  # --shards\n"));
    assert_eq!(house.ctl(&["frobnicate"]).code, Some(64));
    assert_eq!(house.ctl(&["add_user"]).code, Some(64));
}

#[test]
fn definitions_go_out_and_come_in() {
    let house = House::start();
    house.out(&["add_vhost", "exported"]);
    let file = house.folder.join("definitions.json");
    let name = file.to_str().expect("a path of ours");
    house.out(&["export_definitions", name]);
    house.out(&["delete_vhost", "exported"]);
    house.out(&["import_definitions", name]);
    assert_eq!(house.json(&["list_vhosts"]), json!([{"name": "/"}, {"name": "exported"}]));
    fs::write(&file, "{").expect("our own file");
    assert_eq!(house.ctl(&["import_definitions", name]).code, Some(65));
}

#[test]
fn limits_that_are_set_count_at_once_and_until_the_server_ends() {
    let mut house = House::start();
    let mut wire = Wire::open(house.broker().amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    let node = |house: &House| {
        ask(house.broker().http, "GET", "/api/nodes", Some(http::GUEST), "").json()[0].clone()
    };
    let before = node(&house);

    let none = house.out(&["set_vm_memory_high_watermark", "0"]);
    assert_eq!(none, "Setting memory threshold on the server to 0 ...\n");
    wire.publish(1, "", "q", false, b"waits");
    wire.expect(0, "connection.blocked");
    assert_eq!((&node(&house)["mem_limit"], &node(&house)["mem_alarm"]), (&json!(0), &json!(true)));
    house.out(&["set_vm_memory_high_watermark", "absolute", "100MiB"]);
    wire.expect(0, "connection.unblocked");
    let status = house.json(&["status"]);
    assert_eq!((&status["vm_memory_limit"], &status["alarms"]), (&json!(100 << 20), &json!([])));

    house.out(&["set_disk_free_limit", "1000TiB"]);
    assert_eq!(node(&house)["disk_free_limit"], json!(1000_u64 << 40));
    // The journal looks once a second, and whoever publishes then is told.
    wire.set_patience(Duration::from_millis(100));
    while !matches!(wire.next(), Next::Frame(reply) if reply.name() == "connection.blocked") {
        wire.publish(1, "", "q", false, b"more");
    }
    wire.set_patience(TIME_TO_STOP);
    house.out(&["set_disk_free_limit", "mem_relative", "0"]);
    wire.expect(0, "connection.unblocked");

    for (wrong, code, why) in [
        (
            &["set_vm_memory_high_watermark", "1.5"][..],
            65,
            ": The threshold should be a fraction between 0.0 and 1.0",
        ),
        (&["set_vm_memory_high_watermark", "absolute", "much"], 65, "."),
        (&["set_vm_memory_high_watermark", "absolute"], 64, "not enough arguments"),
        (&["set_disk_free_limit", "1.5"], 65, "."),
        (&["set_disk_free_limit", "mem_relative"], 64, "not enough arguments"),
    ] {
        let refused = house.ctl(wrong);
        assert!(refused.code == Some(code) && refused.err.contains(why), "{wrong:?}: {refused:?}");
    }
    let broker = house.broker.as_mut().expect("it was started");
    broker.kill();
    broker.restart();
    let after = node(&house);
    assert_eq!(
        ["mem_limit", "disk_free_limit"].map(|it| &after[it]),
        ["mem_limit", "disk_free_limit"].map(|it| &before[it])
    );
}

#[test]
fn a_stopped_application_lets_nobody_in_until_it_is_started() {
    let house = House::start();
    let (amqp, http) = (house.broker().amqp, house.broker().http);
    let mut wire = Wire::open(amqp);
    wire.channel(1);
    wire.call(1, declare("q"), "queue.declare-ok");
    wire.call(1, declare_exclusive("mine"), "queue.declare-ok");
    wire.publish(1, "", "q", false, b"stays");
    let mut silent = Wire::open(amqp);
    let stopping = "Stopping rabbit application on the server ...\n";
    let started = Instant::now();
    assert_eq!(house.out(&["stop_app"]), stopping);
    assert!(started.elapsed() >= Duration::from_secs(1), "one of them does not answer the close");
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    assert_eq!(wire.closed(), (320, text.to_owned()));
    assert_eq!(silent.closed().0, 320);
    assert!(TcpStream::connect(amqp).is_err());
    assert_eq!(house.out(&["stop_app"]), stopping, "it is stopped already");

    let needs = "Error:\nthis command requires the 'rabbit' app to be running on the target node. Start it with \
                 'rabbitmqctl start_app'.\n";
    for command in ["list_queues", "status", "list_users", "check_local_alarms", "check_port_connectivity"] {
        let refused = house.ctl(&[command]);
        assert_eq!((refused.code, &*refused.err), (Some(64), needs), "{command}");
    }
    assert_eq!(house.ctl(&["check_running"]).code, Some(69));
    assert_eq!(house.json(&["is_running"])["result"], false);
    assert_eq!(house.ctl(&["await_startup", "-t", "1"]).code, Some(75));
    for command in ["ping", "environment", "is_booting"] {
        house.out(&[command]);
    }
    for path in ["/health/ready", "/api/health/checks/is-in-service", "/api/overview"] {
        assert_eq!(ask(http, "GET", path, Some(http::GUEST), "").status, 503, "{path}");
    }
    assert_eq!(ask(http, "GET", "/metrics", None, "").status, 200);

    assert_eq!(house.out(&["start_app"]), "Starting the server ...\n");
    house.out(&["check_running"]);
    house.out(&["start_app"]);
    assert_eq!(house.json(&["list_queues"]), json!([{"name": "q", "messages": 1}]));
    let mut again = Wire::open(amqp);
    again.channel(1);
    again.call(1, consume("q", "c", true), "basic.consume-ok");
    again.expect(1, "basic.deliver");
    assert_eq!(again.content().1, b"stays");
    house.out(&["stop_app"]);
    house.out(&["stop"]);
}

#[test]
fn suspended_listeners_refuse_whoever_is_new() {
    let house = House::start();
    let amqp = house.broker().amqp;
    let mut wire = Wire::open(amqp);
    house.out(&["suspend_listeners"]);
    house.out(&["-q", "suspend_listeners"]);
    assert!(TcpStream::connect(amqp).is_err());
    assert_eq!(house.ctl(&["check_port_connectivity"]).code, Some(69));
    wire.channel(1);
    house.out(&["resume_listeners"]);
    Wire::open(amqp).channel(1);
    house.out(&["check_port_connectivity"]);
}

#[test]
fn what_scripts_ask_of_a_node_is_answered_for_the_server() {
    let house = House::start();
    assert_eq!(house.out(&["-q", "server_version"]), "3.13.7\n");
    assert_eq!(house.json(&["server_version"]), json!({"result": "ok", "value": "3.13.7"}));
    assert_eq!(house.json(&["alarms"])["alarms"], json!([]));
    assert_eq!(house.json(&["check_local_alarms"]), json!({"result": "ok"}));
    house.out(&["set_vm_memory_high_watermark", "0"]);
    assert_eq!(house.out(&["-q", "alarms"]), "memory alarm\n");
    assert_eq!(house.ctl(&["check_local_alarms"]).code, Some(69));
    assert_eq!(house.ctl(&["node_health_check"]).code, Some(69));
    house.out(&["set_vm_memory_high_watermark", "0.5"]);
    assert!(house.out(&["node_health_check"]).ends_with("Health check passed\n"));
    for command in [
        &["check_certificate_expiration", "--within", "2", "--unit", "weeks"][..],
        &["check_if_node_is_mirror_sync_critical"],
        &["check_if_node_is_quorum_critical"],
        &["await_online_nodes", "1"],
        &["restart_vhost"],
        &["force_gc"],
        &["erlang_version"],
    ] {
        house.out(command);
    }
    assert_eq!(house.ctl(&["await_online_nodes", "2"]).code, Some(70));
    assert_eq!(house.ctl(&["restart_vhost", "-p", "nope"]).code, Some(70));
    let refused = house.ctl(&["eval", "rabbit:status()."]);
    assert!(refused.code == Some(69) && refused.err.contains("not written in Erlang"), "{refused:?}");
    assert_eq!(house.json(&["list_unresponsive_queues"]), json!([]));
    assert_eq!(house.ctl(&["list_unresponsive_queues", "-p", "nope"]).code, Some(69));
    assert!(house.json(&["memory_breakdown"])["other_system"]["bytes"].as_u64() > Some(0));
    assert!(house.out(&["-q", "hash_password", "secret"]).trim().len() > 40);

    house.out(&["set_cluster_name", "mine"]);
    assert_eq!(house.json(&["cluster_status"])["cluster_name"], "mine");
    house.out(&["add_vhost", "v", "--description", "a shop"]);
    house.out(&["set_vhost_tags", "v", "a", "b"]);
    let vhost = json!({"name": "v", "description": "a shop", "tags": ["a", "b"]});
    assert_eq!(house.json(&["list_vhosts", "name", "description", "tags"])[1], vhost);
    assert_eq!(house.ctl(&["set_vhost_tags", "nope", "a"]).code, Some(65));
    let report = house.out(&["report"]);
    for part in ["Status of node", "Cluster name: mine", "Listing queues for vhost v", "amq.topic"] {
        assert!(report.contains(part), "{part}: {report}");
    }

    let mut wire = Wire::open(house.broker().amqp);
    house.out(&["close_all_user_connections", "nobody", "bye"]);
    wire.channel(1);
    house.out(&["close_all_user_connections", "guest", "bye"]);
    assert_eq!(wire.closed(), (320, "CONNECTION_FORCED - bye".to_owned()));
}

#[test]
fn only_the_owner_of_the_folder_may_open_the_socket_and_a_user_may_stop_the_server_over_http() {
    let mut house = House::start();
    let socket = house.data().join("ctl.sock");
    assert_eq!(fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o600);
    // A stale one is in nobody's way.
    let broker = house.broker.as_mut().expect("it was started");
    broker.kill();
    assert!(socket.exists());
    broker.restart();
    house.out(&["await_startup"]);
    let http = house.broker().http;
    assert_eq!(ask(http, "POST", "/api/haremq/stop", None, "").status, 401);
    assert_eq!(ask(http, "POST", "/api/haremq/stop", Some(http::GUEST), "").status, 204);
    let broker = house.broker.as_mut().expect("it was started");
    assert_eq!(broker.wait(TIME_TO_STOP).and_then(|status| status.code()), Some(0));
    assert!(!socket.exists());
}

#[test]
fn stop_ends_the_server_and_then_there_is_none() {
    let mut house = House::start();
    let mut wire = Wire::open(house.broker().amqp);
    house.out(&["stop"]);
    assert_eq!(wire.closed().0, 320);
    let broker = house.broker.as_mut().expect("it was started");
    assert_eq!(broker.wait(TIME_TO_STOP).and_then(|status| status.code()), Some(0));
    let status = house.ctl(&["status"]);
    assert_eq!(status.code, Some(69));
    assert!(status.err.starts_with("Error:\nunable to perform an operation"), "{status:?}");
    let waited = house.ctl(&["await_startup", "--timeout", "1"]);
    assert_eq!(waited.code, Some(75), "{waited:?}");
    // Whoever waits is let go when it is there.
    let mut waiting = house.command();
    let waiting = waiting.args(["await_startup"]).stdout(Stdio::null()).spawn();
    let mut waiting = waiting.expect("the binary is built before its tests");
    house.broker.as_mut().expect("it was started").restart();
    assert!(waiting.wait().expect("our child").success());
}

#[test]
fn called_by_the_name_of_a_tool_it_is_ctl() {
    let house = House::start();
    let tool = |name: &str| {
        let path = house.folder.join(name);
        symlink(Path::new(haremq([""]).get_program()), &path).expect("our own folder");
        let mut command = Command::new(path);
        command.env("HAREMQ_CONFIG", "none").stdin(Stdio::null());
        command
    };
    let data = house.data();
    let data = data.to_str().expect("a path of ours");
    let ping = said(tool("rabbitmq-diagnostics").args(["-q", "ping", "--data-dir", data]));
    assert_eq!((ping.code, &*ping.out), (Some(0), "Ping succeeded\n"), "{ping:?}");
    let users = said(tool("rabbitmqctl").env("RABBITMQ_MNESIA_DIR", data).args(["-s", "list_users"]));
    assert_eq!(users.out, "guest\t[administrator]\n", "{users:?}");
    let mut plugins = tool("rabbitmq-plugins");
    let enabled = said(plugins.args(["enable", "--offline", "rabbitmq_management"]));
    assert_eq!(enabled.code, Some(0), "{enabled:?}");
    let listed =
        said(Command::new(plugins.get_program()).env("HAREMQ_CONFIG", "none").args(["list", "-m", "-q"]));
    assert!(listed.out.contains("rabbitmq_management\n"), "{listed:?}");
}

const TIME_TO_STOP: Duration = Duration::from_secs(10);

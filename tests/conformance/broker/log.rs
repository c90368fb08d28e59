//! What the log says, in the words that people look for in RabbitMQ's.

use std::fs;
use std::time::{Duration, Instant};

use haremq::amqp::Method;
use haremq::amqp::frame::PROTOCOL_HEADER;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::http::{GUEST, ask, put};
use crate::common::wire::{Tune, Wire, consume};
use crate::common::{Broker, scratch_folder};

/// The line that holds all of these, once it is there: the log is written behind what it tells of.
pub fn line(log: impl Fn() -> String, parts: &[&str]) -> String {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let log = log();
        if let Some(line) = log.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
            return line.to_owned();
        }
        assert!(Instant::now() < end, "no line with {parts:?} in\n{log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn login(broker: &Broker, response: &'static [u8]) -> Wire {
    let mut wire = Wire::connect(broker.amqp);
    wire.bytes(&PROTOCOL_HEADER);
    wire.expect(0, "connection.start");
    wire.login("PLAIN", response, true);
    wire
}

#[test]
fn a_connection_is_told_of_from_its_beginning_to_its_end() {
    let broker = Broker::start();
    let log = || broker.log();
    let mut wire = Wire::open(broker.amqp);
    let local = format!("-> {}", broker.amqp);
    line(log, &[" INFO ", "accepting AMQP connection <", &local]);
    line(log, &["connection <", &local, "): user 'guest' authenticated and granted access to vhost '/'"]);
    let close =
        Method::ConnectionClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    wire.call(0, close, "connection.close-ok");
    line(log, &[" INFO ", "closing AMQP connection <", &local, ", vhost: '/', user: 'guest')"]);
    drop(Wire::open(broker.amqp));
    line(log, &[" WARN ", "closing AMQP connection <", "client unexpectedly closed TCP connection"]);
}

#[test]
fn what_went_wrong_is_told_without_passwords() {
    let broker = Broker::start();
    let log = || broker.log();
    let mut stranger = Wire::connect(broker.amqp);
    stranger.bytes(b"GET / HTTP/1.1\r\n\r\n");
    line(log, &["ERROR", "closing AMQP connection <", "bad_header"]);
    let (code, _) = login(&broker, b"\0guest\0opensesame").expect(0, "connection.close").close();
    assert_eq!(code, 403);
    line(
        log,
        &["ERROR", "Error on AMQP connection <", "PLAIN login refused: user 'guest' - invalid credentials"],
    );
    let (code, _) = login(&broker, b"guest\0opensesame").expect(0, "connection.close").close();
    assert_eq!(code, 502);
    line(log, &["Error on AMQP connection <", "state: starting), channel 0: SYNTAX_ERROR - response ..."]);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(3);
    wire.send(3, consume("nowhere", "c", true));
    wire.channel_closed(3);
    line(
        log,
        &["ERROR", "Channel error on connection <", "channel 3: NOT_FOUND - no queue 'nowhere' in vhost '/'"],
    );
    wire.send(3, Method::ChannelOpen);
    wire.expect(3, "channel.open-ok");
    wire.send(3, Method::ChannelOpen);
    wire.closed();
    line(log, &["Error on AMQP connection <", "user: 'guest', state: running), channel 3: "]);
    assert!(!broker.log().contains("opensesame"), "{}", broker.log());
}

#[test]
fn a_client_without_heartbeats_is_told_of() {
    let broker = Broker::start();
    let _silent = Wire::open_with(broker.amqp, Tune { heartbeat: 1, ..Tune::default() });
    line(|| broker.log(), &["closing AMQP connection <", "missed heartbeats from client, timeout: 1s"]);
}

#[test]
fn the_disk_alarm_is_told_of() {
    let broker = Broker::start_with(&["--disk-free-min", "1000TB", "--node-name", "rabbit@test"]);
    line(|| broker.log(), &[" WARN ", "disk resource limit alarm set on node rabbit@test"]);
}

#[test]
fn lines_go_to_a_file_as_json_and_connections_may_be_left_out() {
    let folder = scratch_folder();
    let file = folder.join("haremq.log");
    let conf = folder.join("r.conf");
    let text = format!(
        "log.dir = {}\nlog.file = haremq.log\nlog.file.formatter = json\nlog.console = false\n\
         log.connection.level = error\n",
        folder.display()
    );
    fs::write(&conf, text).expect("a folder of our own");
    let mut broker = Broker::start_with(&["--config", &conf.display().to_string()]);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.send(1, consume("nowhere", "c", true));
    wire.channel_closed(1);
    let log = || fs::read_to_string(&file).unwrap_or_default();
    let error = line(log, &["Channel error on connection <"]);
    let error: serde_json::Value = serde_json::from_str(&error).expect("each line is JSON");
    assert_eq!((&error["level"], &error["target"]), (&"ERROR".into(), &"haremq::channel".into()));
    broker.signal(Signal::TERM);
    wire.closed();
    broker.wait(Duration::from_secs(5)).expect("it ends");
    let log = log();
    assert!(log.contains("Server startup complete") && log.contains("stopped"), "{log}");
    assert!(!log.contains("accepting AMQP connection"), "{log}");
    assert_eq!(broker.log(), "");
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn the_last_lines_are_shown_over_http_to_monitors_and_have_no_passwords() {
    let broker = Broker::start();
    let (code, _) = login(&broker, b"\0guest\0opensesame").expect(0, "connection.close").close();
    assert_eq!(code, 403);
    let refused = line(|| broker.log(), &["ERROR", "PLAIN login refused"]);
    let lines = |query: &str| {
        let answer = ask(broker.http, "GET", &format!("/api/haremq/log{query}"), Some(GUEST), "");
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        assert!(!answer.body.contains("opensesame"), "{}", answer.body);
        answer.json()["lines"].as_array().expect("a list").clone()
    };
    let of = |line: &Value, key: &str| line[key].as_str().expect("a text").to_owned();
    let all = lines("");
    let numbers: Vec<u64> = all.iter().map(|line| line["seq"].as_u64().expect("a number")).collect();
    assert!(numbers.first() == Some(&1) && numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    for line in &all {
        let said = format!("{}: {}", of(line, "target"), of(line, "text"));
        assert!(broker.log().contains(&said), "{said}");
    }
    let error = lines("?level=warning&text=login%20refused&last=1").pop().expect("a line");
    assert_eq!(
        (of(&error, "level"), of(&error, "target")),
        ("error".to_owned(), "haremq::connection".to_owned())
    );
    assert!(refused.ends_with(&of(&error, "text")), "{refused}: {error}");
    assert!(lines("?level=warning").iter().all(|line| of(line, "level") != "info"));
    assert_eq!(lines("?text=nobody%20says%20this"), Vec::<Value>::new());
    assert_eq!(lines("?last=2"), all[all.len() - 2..]);
    put(broker.http, "/api/users/m", &json!({"password": "p", "tags": "management"}));
    assert_eq!(ask(broker.http, "GET", "/api/haremq/log", Some(("m", "p")), "").status, 401);
}

//! The process: how it starts, what it answers besides AMQP, and how it ends.

use crate::common::wire::{Wire, consume, declare, declare_exclusive};
use crate::common::{Broker, haremq, scratch_folder};
use haremq::amqp::Method;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::time::{Duration, Instant};

/// From SIGTERM to the end, whatever the clients do.
const TIME_TO_STOP: Duration = Duration::from_secs(5);
/// More than this would mean that somebody is waited for who has left.
const TIME_TO_STOP_ALONE: Duration = Duration::from_secs(2);

#[test]
fn it_is_ready_when_it_says_so() {
    let broker = Broker::start();
    Wire::open(broker.amqp).channel(1);
    let answer = http(broker.http, "/health/ready");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(http(broker.http, "/nothing/here").starts_with("HTTP/1.1 404"));
}

#[test]
fn the_shards_share_the_work_and_say_how() {
    let broker = Broker::start_with(&["--shards", "3"]);
    let mut wires: Vec<Wire> = (0..6).map(|_| Wire::open(broker.amqp)).collect();
    for (number, wire) in wires.iter_mut().enumerate() {
        wire.channel(1);
        wire.call(1, declare_exclusive(&format!("shared-{number}")), "queue.declare-ok");
        wire.publish(1, "", &format!("shared-{number}"), false, b"x");
        wire.call(1, declare_exclusive(""), "queue.declare-ok");
    }
    // Shards publish their counters between turns.
    std::thread::sleep(Duration::from_millis(300));
    let answer = http(broker.http, "/debug/shards");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).expect("a body");
    let shards: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let shards = shards.as_array().or_else(|| shards["shards"].as_array()).expect("a list of shards");
    let connections: Vec<u64> = shards.iter().filter_map(|shard| shard["connections"].as_u64()).collect();
    assert_eq!(connections, [2, 2, 2], "{body}");
}

#[test]
fn sigterm_and_sigint_tell_clients_and_end_it_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut broker = Broker::start();
        let mut wires: Vec<Wire> = (0..4).map(|_| Wire::open(broker.amqp)).collect();
        wires.iter_mut().for_each(|wire| wire.channel(1));
        broker.signal(signal);
        for wire in &mut wires {
            let (code, text) = wire.closed();
            assert_eq!(code, 320);
            assert!(text.starts_with("CONNECTION_FORCED - "), "{text}");
        }
        assert_eq!(broker.wait(TIME_TO_STOP_ALONE).and_then(|status| status.code()), Some(0));
    }
}

#[test]
fn sigterm_does_not_wait_long_for_clients_that_do_not_answer() {
    let mut broker = Broker::start();
    let mut deaf: Vec<Wire> = (0..3).map(|_| Wire::open(broker.amqp)).collect();
    let _strangers: Vec<Wire> = (0..3).map(|_| Wire::connect(broker.amqp)).collect();
    // One does not even read: its socket is full of deliveries.
    let full = &mut deaf[0];
    full.channel(1);
    full.call(1, declare_exclusive("full"), "queue.declare-ok");
    full.send(1, consume("full", "c", true));
    let mut feeding = Wire::open(broker.amqp);
    feeding.channel(1);
    for _ in 0..20 {
        feeding.publish(1, "", "full", false, &vec![0; 1 << 20]);
    }
    assert_eq!(broker.terminate(TIME_TO_STOP).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut broker = Broker::start();
    let _deaf = Wire::open(broker.amqp);
    broker.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    let status = broker.terminate(TIME_TO_STOP).expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_ne!(status.code(), Some(0), "it did not end well");
}

#[test]
fn after_kill_9_it_starts_again_on_its_ports_and_folder() {
    let mut broker = Broker::start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("before"), "queue.declare-ok");
    broker.kill();
    broker.restart();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare("after"), "queue.declare-ok");
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_the_handshake_timeout() {
    let broker = Broker::start();
    let mut silent = Wire::connect(broker.amqp);
    silent.set_patience(Duration::from_secs(20));
    let began = Instant::now();
    assert!(silent.frame().is_none());
    let waited = began.elapsed();
    assert!((9..13).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn a_port_in_use_is_exit_69() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    for (amqp, http) in [(taken.as_str(), "127.0.0.1:0"), ("127.0.0.1:0", taken.as_str())] {
        let output = ended(&["--amqp-listen", amqp, "--http-listen", http]);
        assert_eq!(output.status.code(), Some(69));
        assert!(String::from_utf8_lossy(&output.stderr).contains(&taken), "the message names the port");
    }
}

#[test]
fn a_wrong_command_line_is_exit_64() {
    for arguments in
        [&["--no-such-flag"][..], &["--shards", "0"], &["--shards", "many"], &["--amqp-listen", "nowhere"]]
    {
        let output = ended(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for argument in ["--help", "--version"] {
        let output = ended(&[argument]);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn variables_stand_in_for_flags() {
    let output = haremq(["--http-listen", "127.0.0.1:0"]).env("HAREMQ_SHARDS", "none").output();
    assert_eq!(output.expect("it runs").status.code(), Some(64));
}

/// A run that ends by itself.
fn ended(arguments: &[&str]) -> Output {
    let folder = scratch_folder();
    let output = haremq(arguments).arg("--data-dir").arg(folder.join("data")).output();
    let _ = std::fs::remove_dir_all(folder);
    output.expect("the binary is built before its tests")
}

fn http(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("HTTP is listened for");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_frame_is_forgotten() {
    let broker = Broker::start();
    for cut in [4, 9, 20] {
        let mut wire = Wire::open(broker.amqp);
        wire.channel(1);
        let whole = crate::common::wire::encoded(1, declare("cut short"));
        wire.bytes(&whole[..cut]);
    }
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    let delete =
        Method::QueueDelete { queue: "cut short".into(), if_unused: false, if_empty: false, nowait: false };
    let ok = wire.call(1, delete, "queue.delete-ok");
    assert_eq!(ok.method(), Method::QueueDeleteOk { message_count: 0 });
}

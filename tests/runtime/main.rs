//! The process: how it starts, refuses to start, spreads connections, pushes back, keeps time under load, ends.
#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod client;
mod log_file;
mod reference;
mod server;
mod service_manager;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use client::{Client, publish};
use haremq::amqp::frame::PROTOCOL_HEADER;
use haremq::amqp::method::Method;
use rustix::process::Signal;
use server::{Server, command, command_by, refusal};

#[test]
fn a_server_that_said_it_is_ready_is() {
    let server = Server::start(&["--shards", "2"]);
    assert_eq!(server.get("/health/ready").0, 200);
    assert_eq!(server.get("/health").0, 404);
    let shards = server.shards();
    assert_eq!(shards.len(), 2);
    for (index, shard) in shards.iter().enumerate() {
        assert_eq!(shard["shard"], index);
        assert!(shard["counters"]["published"].is_u64() && shard["turns"]["p99_9_us"].is_f64());
    }
    server.stop();
}

#[test]
fn what_does_not_parse_is_64_and_help_is_not_an_error() {
    assert_eq!(refusal(command(&["--shards", "none"])).0, Some(64));
    assert_eq!(refusal(command(&["--frobnicate"])).0, Some(64));
    let (code, text) = refusal(command(&["--version"]));
    assert_eq!((code, text.trim()), (Some(0), concat!("haremq ", env!("CARGO_PKG_VERSION"))));
    let (code, text) = refusal(command(&["--help"]));
    assert!(code == Some(0) && text.contains("HAREMQ_MEMORY_HIGH"), "{text}");
}

#[test]
fn a_port_in_use_is_69_and_an_address_that_is_not_ours_is_78() {
    let server = Server::start(&["--shards", "1"]);
    let taken = server.amqp.to_string();
    let (code, text) = refusal(command(&["--amqp-listen", &taken]));
    assert!(code == Some(69) && text.contains(&taken), "{text}");
    assert_eq!(refusal(command(&["--http-listen", &taken])).0, Some(69));
    // TEST-NET-1 belongs to nobody.
    assert_eq!(refusal(command(&["--amqp-listen", "192.0.2.1:0"])).0, Some(78));
    server.stop();
}

#[test]
fn too_little_locked_memory_is_78_and_says_what_to_set() {
    let (code, text) = refusal(command_by("ulimit -l 64 && exec \"$0\"", &[]));
    assert!(code == Some(78) && text.contains("LimitMEMLOCK"), "{text}");
}

/// A mount namespace without /sys, as in a chroot that has none.
#[test]
fn cores_that_nobody_tells_of_are_78_unless_shards_need_not_stay_on_them() {
    let script = "exec unshare --user --map-root-user --mount sh -c \
                  'mount -t tmpfs tmpfs /sys && exec \"$0\" \"$@\"' \"$0\" \"$@\"";
    let (code, text) = refusal(command_by(script, &["--pin", "on"]));
    assert!(code == Some(78) && text.contains("--pin off"), "{text}");
    Server::start_by(script, &["--shards", "1", "--pin", "off"]).stop();
}

#[test]
fn connections_are_spread_evenly_over_the_shards() {
    let server = Server::start(&["--shards", "2", "--pin", "off"]);
    let clients: Vec<_> = (0..10).map(|_| Client::connect(server.amqp)).collect();
    assert!(server.shards().iter().all(|shard| shard["connections"] == 5));
    drop(clients);
    within(Duration::from_secs(5), || server.shards().iter().all(|shard| shard["connections"] == 0));
    server.stop();
}

#[test]
fn without_descriptors_it_waits_and_goes_on_when_there_are_some() {
    let server = Server::start_by("ulimit -n 40 && exec \"$0\" \"$@\"", &["--shards", "1"]);
    let address = server.amqp;
    // The kernel completes connects that nobody accepts.
    let many: Vec<_> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    thread::sleep(Duration::from_millis(200));
    drop(many);
    Client::connect(address).declare("q");
    server.stop();
}

#[test]
fn a_peer_that_does_not_speak_amqp_sees_our_header_before_the_end() {
    let server = Server::start(&["--shards", "1"]);
    // More than one read of it, so that bytes are unread when the server has said its last.
    let noise = [b'x'; 300_000];
    let mut socket = TcpStream::connect(server.amqp).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut writer = socket.try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&noise));
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, PROTOCOL_HEADER);
    // It may be cut off or not: what counts is that the answer was not.
    let _ = writing.join().unwrap();
    server.stop();
}

#[test]
fn a_client_that_does_not_read_is_bounded_and_loses_nothing() {
    const MESSAGES: u32 = 6_000;
    let server = Server::start(&["--shards", "1"]);
    let mut client = Client::connect(server.amqp);
    client.declare("q");
    client.consume("q");
    let body = |n: u32| [n.to_be_bytes().as_slice(), &[n as u8; 4_000]].concat();
    let mut writer = client.socket.try_clone().unwrap();
    let writing = thread::spawn(move || {
        for n in 0..MESSAGES {
            writer.write_all(&publish("q", &body(n))).unwrap();
        }
    });
    // All is published while nothing is read: what the socket does not take waits in the queue.
    writing.join().unwrap();
    within(Duration::from_secs(10), || server.shards()[0]["counters"]["published"] == MESSAGES);
    let io = &server.shards()[0]["io"];
    assert!(io["short_sends"].as_u64() > Some(0), "the socket was never full: {io}");
    (0..MESSAGES).for_each(|n| assert_eq!(client.delivery(), body(n)));
    server.stop();
}

#[test]
fn a_trickle_is_served_beside_a_firehose_on_the_same_shard() {
    let server = Server::start(&["--shards", "1"]);
    let mut hose = Client::connect(server.amqp);
    hose.declare("hose");
    let block = publish("nowhere", &[0; 16]).repeat(2_000);
    let until = Instant::now() + Duration::from_secs(3);
    let hosing = thread::spawn(move || {
        while Instant::now() < until {
            hose.socket.write_all(&block).unwrap();
        }
    });
    let mut trickle = Client::connect(server.amqp);
    trickle.declare("trickle");
    trickle.consume("trickle");
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        let began = Instant::now();
        trickle.socket.write_all(&publish("trickle", b"drop")).unwrap();
        assert_eq!(trickle.delivery(), b"drop");
        slowest = slowest.max(began.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    hosing.join().unwrap();
    let turns = &server.shards()[0]["turns"];
    // How often depends on how much of the machine it got beside other tests.
    assert!(turns["gated"].as_u64() > Some(0), "the shard was not busy: {turns}");
    // Without the gate it is the executor's preemption tick, 100 ms, each time; frozen, it is for ever. The
    // machine may be busy with other tests, so the bound is no measure of latency.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    server.stop();
}

#[test]
fn a_stop_closes_connections_with_320_and_ends_well() {
    let server = Server::start(&["--shards", "2"]);
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(server.amqp)).collect();
    server.signal(Signal::TERM);
    for client in &mut clients {
        let (_, name, payload) = client.next();
        assert_eq!(name, "connection.close");
        let Ok(Method::ConnectionClose { reply_code, .. }) = Method::decode(&payload) else { unreachable!() };
        assert_eq!(reply_code, 320);
        client.send(&Method::ConnectionCloseOk {});
    }
    let (status, took) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(3), "nobody was left to wait for: {took:?}");
}

#[test]
fn a_stop_does_not_wait_for_a_client_that_does_not_answer() {
    let server = Server::start(&["--shards", "2"]);
    let mut silent = Client::connect(server.amqp);
    server.signal(Signal::INT);
    silent.expect("connection.close");
    within(Duration::from_secs(3), || refuses_connections(&server));
    let (status, took) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Server::start(&["--shards", "1"]);
    let mut silent = Client::connect(server.amqp);
    server.signal(Signal::TERM);
    silent.expect("connection.close");
    server.signal(Signal::TERM);
    let (status, took) = server.wait();
    assert_ne!(status.code(), Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

fn refuses_connections(server: &Server) -> bool {
    TcpStream::connect(server.amqp).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[track_caller]
fn within(time: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "did not come to pass within {time:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

//! rabbitmq_http_client, the Rust client of the HTTP API, whose crate holds its tests: they are compiled as those of the package
//! in `http_client/`, with the ports below in place of RabbitMQ's own.

mod exceptions;

use crate::common::Broker;
use crate::common::http::put;
use crate::crates::{case_line, programs};
use crate::foreign::{Outcomes, Suite, folder, missing, needs_a_broker_at, output_within, passes_on};
use exceptions::EXCEPTIONS;
use serde_json::json;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

pub const TESTS: &[(&str, fn())] = &[("http_client", http_client)];

/// Constants of the suite: install-node-and-c.sh writes them.
const AMQP: SocketAddr = local(5688);
const HTTP: SocketAddr = local(15688);

/// Without those that need TLS, which the crate marks as ignored.
const HTTP_CLIENT: Suite = Suite { name: "rabbitmq_http_client", cases: 281, exceptions: EXCEPTIONS, run };

/// First where no broker listens yet: there is one pair of ports for both.
fn http_client() {
    needs_a_broker_at(&HTTP_CLIENT, AMQP);
    passes_on(&HTTP_CLIENT, || {
        let broker = Broker::start_at(AMQP, HTTP);
        // They look for the name that a cluster of RabbitMQ has unless told otherwise.
        put(HTTP, "/api/cluster-name", &json!({"name": "rabbit@localhost"}));
        broker
    });
}

const TIME_FOR_ALL: Duration = Duration::from_secs(300);

fn run(broker: SocketAddr) -> Option<Outcomes> {
    if !folder("http_client/shipped").exists() {
        missing("the tests of rabbitmq_http_client");
        return None;
    }
    assert_eq!(broker, AMQP, "the suite has that address inside");
    let mut outcomes = Outcomes::default();
    for program in programs("http_client") {
        let mut command = Command::new(&program.path);
        // They count and list what others of them make.
        command.arg("--test-threads=1").env("RUST_BACKTRACE", "0");
        let text = output_within(command, TIME_FOR_ALL);
        let lines: String = text.lines().filter_map(|line| case_line("", line)).collect();
        outcomes.join(Outcomes::from_lines(lines + &text));
    }
    Some(outcomes)
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

//! Foreign clients, and our own raw connection where none of them would send what must be tested.

mod errors;
mod examples;
mod handshake;
mod heartbeats;
mod holding;
mod lapin;
mod malformed;
mod methods;
mod rounds;
mod scripts;
mod tools;

use crate::common::Broker;
use crate::common::wire::Wire;
use std::net::{SocketAddr, ToSocketAddrs};

/// The broker under test: the one that HAREMQ_TEST_URI names, else a `haremq` of the test's own.
pub struct Target {
    pub uri: String,
    pub address: SocketAddr,
    /// Kept for its life. None: it is somebody else's broker.
    ours: Option<Broker>,
}

impl Target {
    pub fn start() -> Target {
        Target::start_with(&["--shards", "2"])
    }

    /// A `haremq` of the test's own has these arguments.
    pub fn start_with(arguments: &[&str]) -> Target {
        match std::env::var("HAREMQ_TEST_URI") {
            Ok(uri) => Target { address: address_of(&uri), uri, ours: None },
            Err(_) => {
                let broker = Broker::start_with(arguments);
                Target { uri: broker.uri(), address: broker.amqp, ours: Some(broker) }
            }
        }
    }

    /// RabbitMQ, whose release from Debian is older than the one we follow.
    pub fn is_oracle(&self) -> bool {
        self.ours.is_none()
    }

    /// It lives, and nothing in it has panicked.
    pub fn is_unharmed(&self) {
        Wire::open(self.address).channel(1);
        if let Some(broker) = &self.ours {
            assert!(!broker.log().contains("panicked"), "{}", broker.log());
        }
    }
}

fn address_of(uri: &str) -> SocketAddr {
    let host = uri.rsplit('@').next().unwrap_or(uri).trim_end_matches('/');
    host.to_socket_addrs()
        .ok()
        .and_then(|mut them| them.next())
        .expect("HAREMQ_TEST_URI is amqp://USER:PASSWORD@HOST:PORT")
}

/// For what a test needs and did not find: a failure in CI, else a word and a skip.
pub fn missing(what: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{what} was not found, and CI is to test everything"
    );
    eprintln!("SKIPPED: {what} was not found");
}

//! A RabbitMQ that tells when nothing is under way in it.

use crate::common::rabbit::Rabbit;
use std::net::SocketAddr;
use std::path::Path;

pub struct Quiet {
    rabbit: Rabbit,
    /// Answers when nothing is under way.
    pub quiet: SocketAddr,
}

impl Quiet {
    pub fn start(port: u16) -> Quiet {
        let rabbit = Rabbit::start(port);
        let watcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/quiet.erl");
        let load = format!(
            "{{ok, M, B}} = compile:file({watcher:?}, [binary]), {{module, M}} = code:load_binary(M, \"quiet\", B), \
             spawn(M, start, [self()]), receive {{port, Port}} -> Port end."
        );
        let port = rabbit.run(&["ctl", "eval", &load]);
        let port: u16 = port.trim().parse().expect("eval prints the port");
        Quiet { rabbit, quiet: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    pub fn amqp(&self) -> SocketAddr {
        self.rabbit.amqp
    }
}

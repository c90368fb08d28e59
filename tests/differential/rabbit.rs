//! RabbitMQ from Debian on a port of its own, for as long as this lives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Rabbit {
    port: u16,
    folder: PathBuf,
    pub amqp: SocketAddr,
    /// Answers when nothing is under way.
    pub quiet: SocketAddr,
}

impl Rabbit {
    pub fn is_installed() -> bool {
        Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists()
    }

    pub fn start(port: u16) -> Rabbit {
        // In memory, if there is a place: what is durable would wait for the disk.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let folder = parent.join(format!("haremq-differential-{port}"));
        let mut rabbit = Rabbit { port, folder, amqp: local(port), quiet: local(0) };
        // What an earlier run has left, if it was killed.
        rabbit.run(&["stop"]);
        rabbit.run(&["start"]);
        let watcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/quiet.erl");
        let load = format!(
            "{{ok, M, B}} = compile:file({watcher:?}, [binary]), {{module, M}} = code:load_binary(M, \"quiet\", B), \
             spawn(M, start, [self()]), receive {{port, Port}} -> Port end."
        );
        let port = rabbit.run(&["ctl", "eval", &load]);
        rabbit.quiet = local(port.trim().parse().expect("eval prints the port"));
        rabbit
    }

    fn run(&self, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/rabbitmq.sh");
        let mut command = Command::new(script);
        command.args(arguments).env("RABBIT_PORT", self.port.to_string()).env("RABBIT_DIR", &self.folder);
        let output = command.stdin(Stdio::null()).output().expect("the script can be run");
        let [out, err] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "rabbitmq.sh {}: {}\n{out}{err}", arguments[0], output.status);
        out
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.run(&["stop"]);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

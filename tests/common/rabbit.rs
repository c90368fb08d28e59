//! RabbitMQ from Debian on ports of its own, for as long as this lives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Rabbit {
    pub amqp: SocketAddr,
    http: Option<SocketAddr>,
    /// Besides that of management, with commas between.
    plugins: &'static str,
    folder: PathBuf,
}

impl Rabbit {
    /// Says so if it is not; in CI it must be.
    pub fn is_installed() -> bool {
        let is_there = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists();
        if !is_there {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "RabbitMQ was not found, and CI is to test everything"
            );
            eprintln!("SKIPPED: RabbitMQ was not found (Debian, Ubuntu: apt install rabbitmq-server)");
        }
        is_there
    }

    /// With the core alone.
    pub fn start(port: u16) -> Rabbit {
        Rabbit::start_with(port, None, "")
    }

    /// With the core and these plugins.
    pub fn start_plugged(port: u16, plugins: &'static str) -> Rabbit {
        Rabbit::start_with(port, None, plugins)
    }

    /// With the management plugin, 10000 above the port of AMQP.
    pub fn start_managed(port: u16) -> Rabbit {
        Rabbit::start_with(port, Some(port + 10_000), "")
    }

    fn start_with(port: u16, http: Option<u16>, plugins: &'static str) -> Rabbit {
        // In memory, if there is a place: what is durable would wait for the disk.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let folder = parent.join(format!("haremq-rabbit-{port}"));
        let rabbit = Rabbit { amqp: local(port), http: http.map(local), plugins, folder };
        // What an earlier run has left, if it was killed.
        rabbit.run(&["stop"]);
        rabbit.run(&["start"]);
        rabbit.run(&["ctl", "--quiet", "await_startup"]);
        rabbit
    }

    pub fn http(&self) -> SocketAddr {
        self.http.expect("it was started with the plugin")
    }

    /// What rabbitmq.sh prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/rabbitmq.sh");
        let mut command = Command::new(script);
        command.args(arguments).env("RABBIT_PORT", self.amqp.port().to_string());
        command.env("RABBIT_DIR", &self.folder).env("RABBIT_PLUGINS", self.plugins);
        if let Some(http) = self.http {
            command.env("RABBIT_HTTP_PORT", http.port().to_string());
        }
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

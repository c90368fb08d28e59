//! A command line for the HTTP API, and what the API says after its commands.

use crate::common::http::{GUEST, ask};
use crate::common::{Broker, scratch_folder};
use crate::foreign::{missing, named_broker, output_within};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The tool, and the broker that it is used on: the one that HAREMQ_TEST_URI names, else a `haremq`.
pub struct Admin {
    program: PathBuf,
    /// None: all, where that makes a difference.
    vhost: Option<&'static str>,
    pub amqp: SocketAddr,
    pub http: SocketAddr,
    pub folder: PathBuf,
    ours: Option<Broker>,
}

const TIME_FOR_A_COMMAND: Duration = Duration::from_secs(60);
/// Of RabbitMQ's ports.
const HTTP_ABOVE_AMQP: u16 = 10_000;

const TIME_TO_BE_LISTED: Duration = Duration::from_secs(30);

impl Admin {
    /// None: it is not there, and who misses it was told so under that name.
    pub fn new(program: PathBuf, vhost: Option<&'static str>, name: &str) -> Option<Admin> {
        if Command::new(&program).arg("--version").output().is_err() {
            missing(name);
            return None;
        }
        let folder = scratch_folder();
        Some(match named_broker() {
            Some(amqp) => {
                let http = SocketAddr::new(amqp.ip(), amqp.port() + HTTP_ABOVE_AMQP);
                Admin { program, vhost, amqp, http, folder, ours: None }
            }
            None => {
                let broker = Broker::start();
                Admin { program, vhost, amqp: broker.amqp, http: broker.http, folder, ours: Some(broker) }
            }
        })
    }

    pub fn is_on_rabbitmq(&self) -> bool {
        self.ours.is_none()
    }

    /// Its exit code and all that it wrote.
    pub fn run(&self, command: &str) -> (i32, String) {
        self.run_all(&command.split(' ').collect::<Vec<_>>())
    }

    pub fn run_all(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new("sh");
        command.args(["-c", "\"$0\" \"$@\"; echo \"exit $?\""]).arg(&self.program);
        command.args(["-H", &self.http.ip().to_string(), "-P", &self.http.port().to_string()]);
        if let Some(vhost) = self.vhost {
            command.args(["-V", vhost]);
        }
        command.args(arguments);
        let said = output_within(command, TIME_FOR_A_COMMAND);
        let (said, code) = said.rsplit_once("exit ").unwrap_or((&said, ""));
        (code.trim().parse().unwrap_or(-1), said.to_owned())
    }

    /// What succeeds.
    pub fn does(&self, command: &str) {
        let (code, said) = self.run(command);
        assert_eq!(code, 0, "{command}: {said}");
    }

    pub fn json(&self, command: &str) -> Value {
        let (code, said) = self.run(&format!("-f raw_json {command}"));
        let json = serde_json::from_str(&said);
        json.unwrap_or_else(|error| panic!("{command}: exit {code}, {error}\n{said}"))
    }

    pub fn status(&self, path: &str) -> u16 {
        ask(self.http, "GET", &format!("/api/{path}"), Some(GUEST), "").status
    }

    pub fn api(&self, path: &str) -> Value {
        ask(self.http, "GET", &format!("/api/{path}"), Some(GUEST), "").json()
    }

    pub fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        let end = Instant::now() + TIME_TO_BE_LISTED;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < end, "it never came");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether each of these entries is in the whole, or is all that it is.
pub fn includes(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| includes(whole, part)))
        }
        // The list of vhosts and users shows tags as text.
        (Value::String(whole), Value::Array(part)) => {
            part.iter().all(|one| one.as_str().is_some_and(|one| whole.contains(one)))
        }
        _ => whole == part,
    }
}

//! The binary as a child process on free ports.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub struct Server {
    child: Child,
    /// Of its data; goes with it.
    folder: TempDir,
    pub amqp: SocketAddr,
    http: SocketAddr,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Server {
        Server::of(command(arguments))
    }

    /// By way of a shell script that ends in `exec "$0" "$@"`.
    pub fn start_by(script: &str, arguments: &[&str]) -> Server {
        Server::of(command_by(script, arguments))
    }

    pub fn of(mut command: Command) -> Server {
        let folder = TempDir::new();
        command.env("HAREMQ_DATA_DIR", &folder.0);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("Server startup complete"), "{line}");
        let address = |name: &str| {
            let rest = line.split_once(name).unwrap().1;
            rest.split([',', '\n']).next().unwrap().trim().parse().unwrap()
        };
        Server { child, folder, amqp: address("amqp "), http: address("http ") }
    }

    /// The status code and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut http = TcpStream::connect(self.http).unwrap();
        write!(http, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// `GET /debug/shards`, an element per shard.
    pub fn shards(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.get("/debug/shards").1).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// `haremq ctl` with these arguments, which ends well.
    pub fn ctl(&self, arguments: &[&str]) {
        let mut ctl = command(&["ctl"]);
        let status = ctl.args(arguments).env("HAREMQ_DATA_DIR", &self.folder.0).status().unwrap();
        assert!(status.success(), "{arguments:?}: {status}");
    }

    /// By which the operating system knows the thread whose name begins so: glommio adds a number.
    pub fn thread(&self, name: &str) -> i32 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let mut tasks = tasks.map(|task| task.unwrap().path());
        let is_called =
            |task: &PathBuf| std::fs::read_to_string(task.join("comm")).unwrap().starts_with(name);
        let task = tasks.find(is_called).unwrap();
        task.file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    /// How it ended, and how long that took.
    pub fn wait(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        (self.child.wait().unwrap(), began.elapsed())
    }

    pub fn stop(self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().0.code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// On free ports, unless `arguments` say otherwise.
pub fn command(arguments: &[&str]) -> Command {
    on_free_ports(Command::new(env!("CARGO_BIN_EXE_haremq")), arguments)
}

pub fn command_by(script: &str, arguments: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_haremq")]);
    on_free_ports(shell, arguments)
}

fn on_free_ports(mut command: Command, arguments: &[&str]) -> Command {
    command.env("HAREMQ_AMQP_LISTEN", "127.0.0.1:0").env("HAREMQ_HTTP_LISTEN", "127.0.0.1:0");
    command.env("HAREMQ_CONFIG", "none");
    command.env("HAREMQ_LOG_LEVEL", "warn").args(arguments);
    command
}

/// It is not made, and goes with this value.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("haremq-runtime-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        TempDir(std::env::temp_dir().join(name))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// For a start that fails: the exit code and what was written to both outputs.
pub fn refusal(mut command: Command) -> (Option<i32>, String) {
    let folder = TempDir::new();
    let output = command.env("HAREMQ_DATA_DIR", &folder.0).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

//! The `haremq` binary as a process under test, and a raw AMQP connection to drive it (or another broker) with.

// Each test target uses a part of this.
#![allow(dead_code)]

pub mod http;
pub mod rabbit;
pub mod wire;

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A running `haremq` with two shards on free ports; its data and its log lie in a folder that goes with it.
pub struct Broker {
    child: Child,
    pub amqp: SocketAddr,
    pub http: SocketAddr,
    folder: PathBuf,
    lines: Receiver<String>,
    /// The line that says that it is ready.
    ready: String,
    arguments: Vec<String>,
    /// Whoever named the folder looks after it.
    folder_stays: bool,
}

/// The line that says that the broker is ready.
const READY: &str = "Server startup complete";
const TIME_TO_START: Duration = Duration::from_secs(20);
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const TIME_TO_DIE: Duration = Duration::from_secs(10);

impl Broker {
    pub fn start() -> Broker {
        Broker::start_with(&["--shards", "2"])
    }

    /// With arguments besides the addresses and the folder.
    pub fn start_with(arguments: &[&str]) -> Broker {
        Broker::launch(ANY_PORT, ANY_PORT, arguments)
    }

    /// For clients that have the addresses inside.
    pub fn start_at(amqp: SocketAddr, http: SocketAddr) -> Broker {
        Broker::launch(amqp, http, &["--shards", "2"])
    }

    fn launch(amqp: SocketAddr, http: SocketAddr, arguments: &[&str]) -> Broker {
        let folder = scratch_folder();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (child, lines, ready) = launch(&folder, amqp, http, &arguments);
        let (amqp, http) = (address_after(&ready, "amqp "), address_after(&ready, "http "));
        Broker { child, amqp, http, folder, lines, ready, arguments, folder_stays: false }
    }

    /// On what another left in the folder `data` of `folder`, or on nothing.
    pub fn start_on(folder: &Path, arguments: &[String]) -> Broker {
        let arguments = arguments.to_vec();
        let (child, lines, ready) = launch(folder, ANY_PORT, ANY_PORT, &arguments);
        let (amqp, http) = (address_after(&ready, "amqp "), address_after(&ready, "http "));
        let folder = folder.to_owned();
        Broker { child, amqp, http, folder, lines, ready, arguments, folder_stays: true }
    }

    /// The same, killed so long after it was started.
    pub fn killed_while_starting(folder: &Path, arguments: &[String], life: Duration) {
        let mut child = spawn(folder, ANY_PORT, ANY_PORT, arguments);
        thread::sleep(life);
        child.kill().expect("the broker is our child and not yet waited for");
        child.wait().expect("nothing survives SIGKILL");
    }

    /// All the addresses where it listens for AMQP.
    pub fn amqp_addresses(&self) -> Vec<SocketAddr> {
        self.ready
            .split("amqp ")
            .skip(1)
            .map(|rest| address_after(&format!("amqp {rest}"), "amqp "))
            .collect()
    }

    /// The address as clients take it.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@{}", self.amqp)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the broker is our child and not yet waited for");
    }

    /// Ends it by SIGTERM; None if it lives on after `within`.
    pub fn terminate(&mut self, within: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        self.wait(within)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(TIME_TO_DIE).expect("nothing survives SIGKILL");
    }

    /// Starts it again after it ended: same ports, same folder.
    pub fn restart(&mut self) {
        let (child, lines, _) = launch(&self.folder, self.amqp, self.http, &self.arguments);
        self.child = child;
        self.lines = lines;
    }

    /// How it ended; None if it lives on after `within`.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + within;
        loop {
            match self.child.try_wait().expect("the broker is our child") {
                None if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
                ended => return ended,
            }
        }
    }

    /// What it wrote to standard error, also before it was restarted.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        if thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(80).map(|line| format!("{line:.200}")).collect::<Vec<_>>();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            eprintln!(
                "--- the broker ({}) said last:\n{tail}\n---",
                ended.map_or("running".into(), |it| it.to_string())
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.folder_stays {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The command line of a broker that is not started yet, without variables that could change it. `HAREMQ_TEST_SERVER`
/// names another build: an optimised one, or one with a fault that tests are to see.
pub fn haremq<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let server = std::env::var_os("HAREMQ_TEST_SERVER");
    let mut command = Command::new(server.unwrap_or_else(|| env!("CARGO_BIN_EXE_haremq").into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("HAREMQ_") || text.starts_with("RABBITMQ_") {
            command.env_remove(&name);
        }
    }
    // RabbitMQ's own settings may be on the machine.
    command.env("HAREMQ_CONFIG", "none");
    // There is one port for it, and many servers.
    command.env("HAREMQ_PROMETHEUS_LISTEN", "none");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a line of the log complains of is the server's own trouble, not what a client did.
pub fn is_own_trouble(line: &str) -> bool {
    let is_trouble = line.contains(" ERROR ") || line.contains(" WARN ");
    is_trouble && !line.contains(" haremq::channel: ") && !line.contains(" haremq::connection: ")
}

/// A folder that no other test has.
pub fn scratch_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("haremq-test-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("the folder for temporary files can be written to");
    folder
}

/// Logs into the folder, keeps its data there.
fn spawn(folder: &Path, amqp: SocketAddr, http: SocketAddr, arguments: &[String]) -> Child {
    let log =
        File::options().create(true).append(true).open(folder.join("log")).expect("a log in our own folder");
    // Several brokers run at once in the tests: pinned, they would all sit on the first cores.
    haremq(["--pin", "off"])
        .args([format!("--amqp-listen={amqp}"), format!("--http-listen={http}")])
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the binary is built before its tests")
}

fn launch(
    folder: &Path,
    amqp: SocketAddr,
    http: SocketAddr,
    arguments: &[String],
) -> (Child, Receiver<String>, String) {
    let mut child = spawn(folder, amqp, http, arguments);
    let lines = lines_of(child.stdout.take().expect("standard output is piped"));
    let Some(ready) = ready_line(&lines) else {
        let _ = child.kill();
        let ended = child.wait();
        panic!(
            "no `{READY}` line; {ended:?}\n{}",
            fs::read_to_string(folder.join("log")).unwrap_or_default()
        );
    };
    (child, lines, ready)
}

/// The lines of a process as they come; reading them on keeps it from blocking on a full pipe.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (to, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
    lines
}

fn ready_line(lines: &Receiver<String>) -> Option<String> {
    let end = Instant::now() + TIME_TO_START;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(READY) => return Some(line),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// The address that follows `word`: `amqp 127.0.0.1:5672, http ..`.
fn address_after(line: &str, word: &str) -> SocketAddr {
    let address = line.split_once(word).map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or(rest));
    let address = address.and_then(|address| address.parse().ok());
    address.unwrap_or_else(|| panic!("the ready line names no address after `{word}`: {line}"))
}

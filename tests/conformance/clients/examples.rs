//! The programs in `docs/examples`: what one side publishes the other one takes, or rejects into the queue for that, and
//! consumers come back after a restart of the server.

use super::scripts::{amqplib_folder, output_within, pika_python, runs};
use super::{Target, missing};
use crate::common::scratch_folder;
use crate::common::wire::{Wire, short};
use haremq::amqp::method::Method;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// One after the other: somebody else's broker has each queue once only.
#[test]
fn the_examples_do_what_they_say() {
    python();
    javascript();
    rust();
    java();
}

fn python() {
    let Some(python) = pika_python() else { return };
    check(|| {
        let mut command = Command::new(&python);
        command.arg(examples().join("python/orders.py"));
        command
    });
}

/// As a module it takes amqplib from the folders above its own, and nothing else tells it where.
fn javascript() {
    let Some(installed) = amqplib_folder() else { return };
    let folder = scratch_folder();
    fs::copy(examples().join("javascript/orders.mjs"), folder.join("orders.mjs")).expect("the example");
    let modules = installed.join("node_modules");
    std::os::unix::fs::symlink(modules, folder.join("node_modules")).expect("our own folder");
    check(|| {
        let mut command = Command::new("node");
        command.arg(folder.join("orders.mjs"));
        command
    });
    fs::remove_dir_all(folder).expect("our own folder");
}

fn rust() {
    let folder = Path::new(env!("CARGO_BIN_EXE_haremq")).parent().expect("target/PROFILE/haremq");
    let program = folder.join("examples/orders");
    if !is_younger(&program, &examples().join("rust/orders.rs")) {
        build_rust_example(folder);
    }
    check(|| Command::new(&program));
}

/// Whoever runs all tests has built it already, with the features of the whole workspace.
fn build_rust_example(folder: &Path) {
    let profile = folder.file_name().expect("target/PROFILE").to_string_lossy();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--locked", "--example", "orders", "--profile"]);
    build.arg(if profile == "debug" { "dev" } else { &*profile });
    build.arg("--target-dir").arg(folder.parent().expect("target")).current_dir(env!("CARGO_MANIFEST_DIR"));
    let built = output_within(build, TIME_TO_BUILD);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

fn is_younger(program: &Path, source: &Path) -> bool {
    let age = |path: &Path| fs::metadata(path).and_then(|it| it.modified());
    age(program).is_ok_and(|program| program > age(source).expect("the example's source"))
}

fn java() {
    let jars = ["amqp-client", "slf4j-api"].map(|name| format!("/usr/share/java/{name}.jar"));
    if !runs(Command::new("javac").arg("-version")) {
        return missing("javac (Debian: default-jdk-headless)");
    }
    if !jars.iter().all(|jar| Path::new(jar).exists()) {
        return missing("RabbitMQ's Java client (Debian: librabbitmq-client-java)");
    }
    check(|| {
        let mut command = Command::new("java");
        command.args(["-cp", &jars.join(":")]).arg(examples().join("java/Orders.java"));
        command
    });
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples")
}

const TIME_TO_BUILD: Duration = Duration::from_secs(600);
const TIME_FOR_AN_EXAMPLE: Duration = Duration::from_secs(60);
const ORDERS: usize = 100;
/// Every tenth has no pieces.
const REJECTED: usize = 10;

fn check(program: impl Fn() -> Command) {
    let mut target = Target::start();
    forget_orders(&target);
    let mut consumer = Running::start(program(), &["consume", &ORDERS.to_string()], &target);
    assert_eq!(consumer.line(), "waiting");
    if let Some(broker) = &mut target.ours {
        broker.terminate(TIME_FOR_AN_EXAMPLE).expect("it ends");
        broker.restart();
    }
    let mut publish = program();
    publish.args(["publish", &ORDERS.to_string()]).env("AMQP_URI", &target.uri);
    let published = output_within(publish, TIME_FOR_AN_EXAMPLE);
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    let published = String::from_utf8(published.stdout).expect("text");
    let confirmed = with(published.lines(), "confirmed ");
    assert_eq!((confirmed.len(), published.lines().count()), (ORDERS, ORDERS), "{published}");

    let consumed = consumer.rest();
    let lines = || consumed.iter().map(String::as_str);
    let settled = lines().filter_map(|line| line.split_once(' ')).filter(|(word, _)| *word != "waiting");
    assert_eq!(settled.map(|(_, order)| order).collect::<Vec<_>>(), confirmed, "all of it, once, in order");
    let (took, rejected) = (with(lines(), "took "), with(lines(), "rejected "));
    assert_eq!((took.len(), rejected.len()), (ORDERS - REJECTED, REJECTED), "{consumed:?}");
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    assert_eq!(wire.take_all(1, "orders"), Vec::<Vec<u8>>::new());
    let rejected: Vec<&[u8]> = rejected.into_iter().map(str::as_bytes).collect();
    assert_eq!(wire.take_all(1, "orders.rejected"), rejected);
    target.is_unharmed();
}

/// Somebody else's broker may have some of before.
fn forget_orders(target: &Target) {
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    for queue in ["orders", "orders.rejected"] {
        let queue = short(queue);
        let delete = Method::QueueDelete { queue, if_unused: false, if_empty: false, nowait: false };
        wire.call(1, delete, "queue.delete-ok");
    }
}

fn with<'a>(lines: impl Iterator<Item = &'a str>, word: &str) -> Vec<&'a str> {
    lines.filter_map(|line| line.strip_prefix(word)).collect()
}

/// A program whose lines are read as they come; it ends with the test.
struct Running {
    child: Child,
    lines: Receiver<String>,
    end: Instant,
}

impl Running {
    fn start(mut command: Command, arguments: &[&str], target: &Target) -> Running {
        command.args(arguments).env("AMQP_URI", &target.uri);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = child.stdout.take().expect("it is piped");
        let (to, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = to.send(line);
            }
        });
        Running { child, lines, end: Instant::now() + TIME_FOR_AN_EXAMPLE }
    }

    fn line(&mut self) -> String {
        self.next().expect("it ended without a line")
    }

    /// None at the end of its lines.
    fn next(&mut self) -> Option<String> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.lines.recv_timeout(self.end.saturating_duration_since(Instant::now())) {
            Ok(line) => Some(line),
            Err(Disconnected) => None,
            Err(Timeout) => panic!("it neither wrote a line nor ended"),
        }
    }

    /// The lines until it ends, which it does by itself and well.
    fn rest(mut self) -> Vec<String> {
        let lines = std::iter::from_fn(|| self.next()).collect();
        let status = self.child.wait().expect("our child");
        assert!(status.success(), "{status}: {lines:?}");
        lines
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

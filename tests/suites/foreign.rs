//! What suites in other languages have in common: how they are run, what they say, and what they must say.

use crate::common::{Broker, scratch_folder};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub struct Suite {
    pub name: &'static str,
    /// How many cases there are, so that none is lost unseen.
    pub cases: usize,
    pub exceptions: &'static [Exception],
    pub run: Run,
}

/// Runs all cases against the broker at this address. None: it lacks something, and has told `missing` so.
pub type Run = fn(SocketAddr) -> Option<Outcomes>;

/// A case that is not simply to pass.
pub struct Exception {
    pub case: &'static str,
    pub what: What,
    pub because: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
pub enum What {
    /// It tests the client alone: it passes when there is no broker, and does not count.
    NeedsNoBroker,
    /// What it does is none of a broker's business, and how it ends is not looked at.
    Deselected,
    /// RabbitMQ 3.10.8 does otherwise.
    FailsOnRabbitmq,
    /// It asks for what we have not.
    FailsOnHaremq,
}

/// What became of each case, by its name, and all that the suite has written.
#[derive(Default)]
pub struct Outcomes {
    passed: BTreeMap<String, bool>,
    text: String,
}

impl Outcomes {
    /// From lines `case pass NAME` and `case fail NAME`.
    pub fn from_lines(text: String) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for line in text.lines() {
            match line.strip_prefix("case ").and_then(|rest| rest.split_once(' ')) {
                Some(("pass", name)) => outcomes.add(name, true),
                Some(("fail", name)) => outcomes.add(name, false),
                _ => {}
            }
        }
        outcomes.text = text;
        outcomes
    }

    pub fn add(&mut self, case: &str, passed: bool) {
        let twice = self.passed.insert(case.to_owned(), passed);
        assert_eq!(twice, None, "two cases are named {case}");
    }

    /// Takes in what another program of the same suite did.
    pub fn join(&mut self, other: Outcomes) {
        for (case, passed) in other.passed {
            self.add(&case, passed);
        }
        self.text += &other.text;
    }
}

/// All cases pass, besides those that are said not to, against the broker that HAREMQ_TEST_URI names, else a `haremq`.
pub fn passes(suite: &Suite) {
    passes_on(suite, Broker::start);
}

/// The same on a `haremq` that is started so.
pub fn passes_on(suite: &Suite, start: impl FnOnce() -> Broker) {
    let theirs = named_broker();
    let ours = theirs.is_none().then(start);
    let address = theirs.or(ours.as_ref().map(|broker| broker.amqp)).expect("one of the two");
    let Some(outcomes) = (suite.run)(address) else { return };
    let must_pass = |case: &str| match suite.exception(case) {
        None | Some(What::NeedsNoBroker) => Some(true),
        Some(What::FailsOnRabbitmq) => Some(ours.is_some()),
        Some(What::FailsOnHaremq) => Some(ours.is_none()),
        Some(What::Deselected) => None,
    };
    suite.compare(&outcomes, must_pass);
    if let Some(broker) = &ours {
        assert!(!broker.log().contains("panicked"), "{}", broker.log());
    }
}

/// Where no broker listens, no case passes but those that are said to need none: what passes there says nothing of us.
pub fn needs_a_broker(suite: &Suite) {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    needs_a_broker_at(suite, closed.expect("some port is free"));
}

/// The same for a suite that has the address of its broker inside, where none listens now.
pub fn needs_a_broker_at(suite: &Suite, closed: SocketAddr) {
    // It is the same whatever broker the others ask.
    if named_broker().is_some() {
        return;
    }
    let Some(outcomes) = (suite.run)(closed) else { return };
    suite.compare(&outcomes, |case| match suite.exception(case) {
        Some(What::NeedsNoBroker) => Some(true),
        Some(What::Deselected) => None,
        Some(What::FailsOnRabbitmq | What::FailsOnHaremq) | None => Some(false),
    });
}

impl Suite {
    fn exception(&self, case: &str) -> Option<What> {
        self.exceptions.iter().find(|exception| exception.case == case).map(|exception| exception.what)
    }

    fn compare(&self, outcomes: &Outcomes, must_pass: impl Fn(&str) -> Option<bool>) {
        let passed = outcomes.passed.values().filter(|passed| **passed).count();
        eprintln!("{}: {passed} of {} cases passed", self.name, outcomes.passed.len());
        let mut wrong = Vec::new();
        for (case, passed) in &outcomes.passed {
            match (must_pass(case), passed) {
                (Some(true), false) => wrong.push(format!("failed: {case}")),
                (Some(false), true) => wrong.push(format!("passed: {case}")),
                (Some(true), true) | (Some(false), false) | (None, _) => {}
            }
        }
        for exception in self.exceptions {
            if !outcomes.passed.contains_key(exception.case) {
                wrong.push(format!("not there: {} ({})", exception.case, exception.because));
            }
        }
        if outcomes.passed.len() != self.cases {
            wrong.push(format!("{} cases, not {}", outcomes.passed.len(), self.cases));
        }
        assert!(wrong.is_empty(), "{}\n{}\n\n{}", self.name, wrong.join("\n"), outcomes.text);
    }
}

/// Runs a program to its end, or kills it and all that it started when its time is over; what it wrote.
pub fn output_within(mut command: Command, limit: Duration) -> String {
    let folder = scratch_folder();
    // A file, for children that outlive it would keep a pipe open.
    let path = folder.join("output");
    let output = File::create(&path).and_then(|file| Ok((file.try_clone()?, file)));
    let (out, err) = output.expect("a file in our own folder");
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let ended = ends_within(child, limit);
    let mut text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
    if !ended {
        text += &format!("killed after {} s\n", limit.as_secs());
    }
    let _ = fs::remove_dir_all(folder);
    text
}

fn ends_within(mut child: Child, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while child.try_wait().expect("our child").is_none() {
        if Instant::now() >= end {
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// For what a suite needs and did not find: a failure in CI, else a word and a skip.
pub fn missing(what: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{what} was not found, and CI is to test everything"
    );
    eprintln!("SKIPPED: {what} was not found (tests/suites/install-node-and-c.sh)");
}

/// A folder of this test target: `node`, `lapin`, `c`.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites").join(name)
}

/// The broker that HAREMQ_TEST_URI names.
pub fn named_broker() -> Option<SocketAddr> {
    let uri = std::env::var("HAREMQ_TEST_URI").ok()?;
    Some(address_of(&uri))
}

fn address_of(uri: &str) -> SocketAddr {
    let host = uri.rsplit('@').next().unwrap_or(uri).trim_end_matches('/');
    let address = host.to_socket_addrs().ok().and_then(|mut them| them.next());
    address.expect("HAREMQ_TEST_URI is amqp://USER:PASSWORD@HOST:PORT")
}

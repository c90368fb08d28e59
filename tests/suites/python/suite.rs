//! One suite: where its tests are, how they find the broker, and what must have passed in the end.

use super::outcomes::Outcomes;
use super::redis::Redis;
use crate::common::{Broker, scratch_folder};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub struct Suite {
    /// Names its two lists: `deselected/NAME.txt` and `needs-broker/NAME.txt`.
    name: &'static str,
    folder: Folder,
    files: Vec<String>,
    /// pytest's expression for a part of their tests.
    only: Option<&'static str>,
    plugins: Vec<&'static str>,
    variables: fn(&Target) -> Vec<(&'static str, String)>,
    needs_redis: bool,
    reruns: bool,
}

pub enum Folder {
    /// `tests/suites/python`.
    Ours,
    /// What `install-suites.sh` unpacked.
    Sdist(&'static str),
}

/// The broker under test: the one that HAREMQ_TEST_URI names, else a `haremq` of the test's own.
pub struct Target {
    pub uri: String,
    pub address: SocketAddr,
    /// As the path of a URI. RabbitMQ, which all suites share, has one for each that another could disturb: they are its
    /// own if HAREMQ_SUITES_VHOSTS says that they are there.
    pub vhost: String,
    ours: Option<Broker>,
}

/// A client that waits for what never comes ends with its test, and that soon, for a wrong broker must not cost an hour.
const SECONDS_FOR_A_TEST: u64 = 40;
const TIME_FOR_A_SUITE: Duration = Duration::from_secs(360);
/// Without a broker many a test waits until its time is over.
const TIME_TO_LEARN: Duration = Duration::from_secs(3600);

impl Suite {
    pub fn new(name: &'static str, folder: Folder) -> Suite {
        Suite {
            name,
            folder,
            files: Vec::new(),
            only: None,
            plugins: vec!["haremq_suite"],
            variables: |_| Vec::new(),
            needs_redis: false,
            reruns: false,
        }
    }

    /// Where pytest looks for tests, from the suite's folder on.
    pub fn files<F: AsRef<str>>(mut self, files: &[F]) -> Suite {
        self.files.extend(files.iter().map(|file| file.as_ref().to_owned()));
        self
    }

    pub fn only(mut self, expression: &'static str) -> Suite {
        self.only = Some(expression);
        self
    }

    pub fn plugin(mut self, plugin: &'static str) -> Suite {
        self.plugins.push(plugin);
        self
    }

    /// How its tests are told of the broker; HAREMQ_TEST_URI they all have.
    pub fn variables(mut self, variables: fn(&Target) -> Vec<(&'static str, String)>) -> Suite {
        self.variables = variables;
        self
    }

    /// Its results lie in a Redis of its own, which its tests find by TEST_BACKEND.
    pub fn with_redis(mut self) -> Suite {
        self.needs_redis = true;
        self
    }

    /// Runs it, and holds it to its list of what must pass.
    ///
    /// With HAREMQ_SUITES_OUTCOMES=FOLDER it only leaves there how each test ended: `learn.sh` makes the lists of that.
    pub fn run(self) {
        let python = ours().join(".venv/bin/python");
        let (folder, scratch) = (self.place(), scratch_folder());
        if !python.exists() || !folder.exists() {
            return missing(&format!("{}'s suite (tests/suites/install-suites.sh)", self.name));
        }
        let redis = self.needs_redis.then(|| Redis::start(&scratch));
        if redis.as_ref().is_some_and(Option::is_none) {
            return missing("redis-server (Debian: redis-server)");
        }
        let target = Target::start(self.name);
        let began = Instant::now();
        let mut command = self.pytest(&python, &folder, &scratch, &target);
        if let Some(redis) = redis.as_ref().and_then(Option::as_ref) {
            command.envs(redis.variables());
        }
        let limit = if learning().is_some() { TIME_TO_LEARN } else { TIME_FOR_A_SUITE };
        let status = status_within(command, limit, &scratch.join("output"));
        let outcomes = Outcomes::read(&scratch.join("outcomes"));
        let output = fs::read_to_string(scratch.join("output")).unwrap_or_default();
        eprintln!("{}: {} in {:.0} s", self.name, outcomes.summary(), began.elapsed().as_secs_f32());
        if let Some(folder) = learning() {
            for file in ["outcomes", "output"] {
                let kept = Path::new(&folder).join(format!("{}.{file}", self.name));
                fs::copy(scratch.join(file), kept).expect("the folder for outcomes can be written to");
            }
        } else {
            self.judge(status, &outcomes, &output);
        }
        if let Some(broker) = &target.ours {
            assert!(!broker.log().contains("panicked"), "{}", broker.log());
        }
        let _ = fs::remove_dir_all(scratch);
    }

    /// A test that fails is run again, once: its authors mark it as one that may fail and want five times.
    pub fn with_reruns(mut self) -> Suite {
        self.reruns = true;
        self
    }

    fn place(&self) -> PathBuf {
        match self.folder {
            Folder::Ours => ours(),
            Folder::Sdist(name) => ours().join("sdists").join(name),
        }
    }

    /// The command that leaves the outcomes in `scratch`.
    fn pytest(&self, python: &Path, folder: &Path, scratch: &Path, target: &Target) -> Command {
        let (outcomes, deselected) = (scratch.join("outcomes"), self.list("deselected"));
        let mut command = Command::new(python);
        command.current_dir(folder).args([
            "-m",
            "pytest",
            "--tb=short",
            "-q",
            "-ra",
            "-p",
            "no:cacheprovider",
        ]);
        command.args(["-o", "xfail_strict=false", "--rootdir"]).arg(folder);
        let seconds = std::env::var("HAREMQ_SUITES_SECONDS").unwrap_or(SECONDS_FOR_A_TEST.to_string());
        command.arg(format!("--timeout={seconds}"));
        command.args(self.plugins.iter().flat_map(|plugin| ["-p", plugin]));
        command.arg(argument("--outcomes=", &outcomes));
        if deselected.exists() {
            command.arg(argument("--deselected=", &deselected));
        }
        if self.reruns && learning().is_none() {
            command.arg("--force-reruns=1");
        } else {
            command.args(["-p", "no:rerunfailures"]);
        }
        command.args(&self.files).args(self.only.iter().flat_map(|expression| ["-k", expression]));
        command.env("PYTHONPATH", ours().join("plugins")).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PATH", path_with(python.parent().expect("a file in a folder")));
        command.env("HAREMQ_TEST_URI", &target.uri).envs((self.variables)(target)).env("TMPDIR", scratch);
        command.env("HAREMQ_TEST_VHOST", &target.vhost);
        command
    }

    fn list(&self, kind: &str) -> PathBuf {
        ours().join(kind).join(format!("{}.txt", self.name))
    }

    /// Nothing may fail, and what needs a broker and passes on RabbitMQ must have passed.
    fn judge(&self, status: Option<ExitStatus>, outcomes: &Outcomes, output: &str) {
        let list =
            fs::read_to_string(self.list("needs-broker")).expect("a suite has a list of what needs a broker");
        let wanted: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(!wanted.is_empty(), "{}: nothing needs a broker", self.name);
        let lacking: Vec<_> = wanted.iter().filter(|test| !outcomes.passed(test)).collect();
        let failed = outcomes.failed();
        let tail = output.len().saturating_sub(OUTPUT_SHOWN_BYTES);
        let tail = output.get(tail..).unwrap_or(output);
        assert!(status.is_some(), "{}: not over after {TIME_FOR_A_SUITE:?}\n{tail}", self.name);
        assert!(
            failed.is_empty() && lacking.is_empty(),
            "{tail}\n{}: failed: {failed:#?}; must pass and did not: {lacking:#?}",
            self.name
        );
        eprintln!("{}: all {} that need a broker passed", self.name, wanted.len());
    }
}

const OUTPUT_SHOWN_BYTES: usize = 20_000;

impl Target {
    fn start(suite: &str) -> Target {
        let own_vhost = std::env::var_os("HAREMQ_SUITES_VHOSTS").is_some();
        let vhost = if own_vhost { suite } else { "/" }.to_owned();
        match std::env::var("HAREMQ_TEST_URI") {
            Ok(uri) => Target { address: address_of(&uri), uri, vhost, ours: None },
            Err(_) => {
                let broker = Broker::start();
                Target { uri: broker.uri(), address: broker.amqp, vhost, ours: Some(broker) }
            }
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

/// For what a suite needs and did not find: a failure in CI, else a word and a skip.
pub fn missing(what: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{what} was not found, and CI is to test everything"
    );
    eprintln!("SKIPPED: {what} was not found");
}

fn learning() -> Option<std::ffi::OsString> {
    std::env::var_os("HAREMQ_SUITES_OUTCOMES")
}

pub fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites/python")
}

fn argument(name: &str, path: &Path) -> String {
    format!("{name}{}", path.display())
}

/// The clients' own programs stand before others of their name.
fn path_with(folder: &Path) -> std::ffi::OsString {
    let mut path = folder.as_os_str().to_owned();
    path.push(OsStr::new(":"));
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

/// None: its time was over and it was killed, with all that it started.
fn status_within(mut command: Command, limit: Duration, output: &Path) -> Option<ExitStatus> {
    use rustix::process::{Pid, Signal, kill_process_group};
    use std::os::unix::process::CommandExt;
    let file = File::create(output).expect("a file in our own folder");
    command
        .stdin(Stdio::null())
        .stderr(file.try_clone().expect("a file handle"))
        .stdout(file)
        .process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let end = Instant::now() + limit;
    loop {
        match child.try_wait().expect("our child") {
            Some(status) => return Some(status),
            None if Instant::now() < end => thread::sleep(Duration::from_millis(50)),
            None => {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                return None;
            }
        }
    }
}

//! Starts a haremq for one run, on free ports and with a scratch folder, and stops it again.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::interrupt;
use crate::uri::Uri;

/// A broker of our own. Dropping it stops it and removes its folder.
pub struct Broker {
    child: Child,
    _folder: Scratch,
    port: u16,
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Broker {
    /// Returns when it says that it is ready. `Err` is a sentence for the user.
    pub fn start(binary: &Path, arguments: &str) -> Result<Broker, String> {
        let port = free_port().map_err(|error| format!("no free port: {error}"))?;
        let mut broker = Broker::spawn(binary, arguments, port)?;
        broker.wait_until_ready()?;
        Ok(broker)
    }

    /// Returns at once; the broker is not ready yet.
    pub fn spawn(binary: &Path, arguments: &str, port: u16) -> Result<Broker, String> {
        let failed = |error: io::Error| format!("{}: {error}", binary.display());
        let folder = Scratch::new(port).map_err(failed)?;
        let http_port = free_port().map_err(failed)?;
        let mut command = Command::new(binary);
        command
            .args(["--amqp-listen", &format!("127.0.0.1:{port}")])
            .args(["--http-listen", &format!("127.0.0.1:{http_port}")])
            .arg("--data-dir")
            .arg(&folder.0)
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // An interrupt from the terminal is for us: we end the run, then the broker.
            .process_group(0);
        if env::var_os(LOG_LEVEL).is_none() {
            command.env(LOG_LEVEL, "warn");
        }
        let child = command.spawn().map_err(failed)?;
        interrupt::protect(Some(child.id()));
        Ok(Broker { child, _folder: folder, port })
    }

    pub fn uri(&self) -> Uri {
        Uri::local(self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and insists if it does not.
    pub fn stop(mut self) -> Result<ExitStatus, String> {
        self.end().map_err(|error| format!("haremq did not stop: {error}"))
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let stdout = self.child.stdout.take().ok_or("haremq has no standard output")?;
        let (ready_in, ready) = mpsc::channel();
        // Read to the end, or a full pipe would stop the broker in the middle of the run.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.contains(READY) {
                    _ = ready_in.send(());
                }
            }
        });
        ready.recv_timeout(READY_TIMEOUT).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("haremq was not ready within {READY_TIMEOUT:?}"),
            RecvTimeoutError::Disconnected => match self.end() {
                Ok(status) => format!("haremq ended before it was ready: {status}"),
                Err(error) => format!("haremq closed its standard output: {error}"),
            },
        })
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            kill_process(pid, Signal::TERM)?;
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nothing is left to be told: a run that matters has called `stop`.
        _ = self.end();
        interrupt::protect(None);
    }
}

impl Scratch {
    fn new(port: u16) -> io::Result<Scratch> {
        let folder = env::temp_dir().join(format!("loadgen-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// The haremq binary beside our own. It is built if it is not there, and made current when cargo started us: numbers of
/// yesterday's broker would mislead whoever changes it.
pub fn binary() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| format!("cannot find myself: {error}"))?;
    let beside = own.with_file_name("haremq");
    let cargo = env::var_os("CARGO");
    if beside.is_file() && cargo.is_none() {
        return Ok(beside);
    }
    build(cargo.unwrap_or_else(|| "cargo".into()))?;
    // A debug loadgen has the release build as its neighbour, and perhaps an older debug build beside it.
    let release = own.parent().map(|folder| folder.with_file_name("release").join("haremq"));
    let built = [release, Some(beside)].into_iter().flatten().find(|path| path.is_file());
    built.ok_or_else(|| "haremq was built, but not beside me; give the broker with --uri".to_owned())
}

fn build(cargo: OsString) -> Result<(), String> {
    eprintln!("loadgen: building haremq, if it is not current");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let arguments = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "haremq",
        "--bin",
        "haremq",
        "--manifest-path",
        manifest,
    ];
    match Command::new(cargo).args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("haremq could not be built; give the broker with --uri".to_owned()),
        Err(error) => Err(format!("cannot run cargo: {error}; give the broker with --uri")),
    }
}

/// A port that nobody listened on a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

const LOG_LEVEL: &str = "HAREMQ_LOG_LEVEL";
/// What RabbitMQ says and scripts wait for.
const READY: &str = "Server startup complete";
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The broker promises 5 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

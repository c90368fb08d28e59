//! A broker that is a child of ours and says on its standard output when it is ready.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::scratch::Scratch;
use crate::interrupt;

pub struct Child {
    child: process::Child,
    name: String,
    /// How it ended, once it did.
    status: Option<ExitStatus>,
    folder: Option<Scratch>,
}

impl Child {
    pub fn spawn(program: &Path, arguments: &[String], folder: Option<Scratch>) -> Result<Child, String> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // An interrupt from the terminal is for us: we end the run, then the broker.
            .process_group(0);
        // Settings that are on the machine for another server must not change the numbers.
        command.env("HAREMQ_CONFIG", "none");
        if env::var_os(LOG_LEVEL).is_none() {
            command.env(LOG_LEVEL, "warn");
        }
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        interrupt::protect(Some(child.id()));
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Child { child, name, status: None, folder })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(Scratch::path)
    }

    pub fn wait_until_ready(&mut self) -> Result<(), String> {
        let stdout = self.child.stdout.take().ok_or("the broker has no standard output")?;
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
            RecvTimeoutError::Timeout => format!("{} was not ready within {READY_TIMEOUT:?}", self.name),
            RecvTimeoutError::Disconnected => match self.terminate() {
                Ok(status) => format!("{} ended before it was ready: {status}", self.name),
                Err(error) => format!("{} closed its standard output: {error}", self.name),
            },
        })
    }

    pub fn end(&mut self) -> Result<(), String> {
        match self.terminate() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{} did not end well: {status}", self.name)),
            Err(error) => Err(format!("{} did not stop: {error}", self.name)),
        }
    }

    fn terminate(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.wait_for_end()?;
        self.status = Some(status);
        Ok(status)
    }

    fn wait_for_end(&mut self) -> io::Result<ExitStatus> {
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

const LOG_LEVEL: &str = "HAREMQ_LOG_LEVEL";
/// What RabbitMQ says and scripts wait for.
pub const READY: &str = "Server startup complete";
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The broker promises 5 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

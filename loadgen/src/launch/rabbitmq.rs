//! A RabbitMQ with a node name, ports and folders of its own, by the script that the conformance tests use too.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::scratch::Scratch;

/// From spawn to end. The script starts the server and waits for it; the server is nobody's child.
pub struct RabbitMq {
    port: u16,
    /// The script, until it said that the server answers.
    starting: Option<Child>,
    ended: bool,
    folder: Scratch,
}

impl RabbitMq {
    pub fn spawn(port: u16) -> Result<RabbitMq, String> {
        let folder = Scratch::new(port).map_err(|error| format!("no scratch folder: {error}"))?;
        let mut command = script(port, &folder, "start");
        // It shall go on when the terminal interrupts us: only then we know what to stop.
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped());
        let starting = command.spawn().map_err(|error| format!("bash: {error}"))?;
        Ok(RabbitMq { port, starting: Some(starting), ended: false, folder })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn wait_until_ready(&mut self) -> Result<(), String> {
        let Some(starting) = self.starting.take() else { return Ok(()) };
        let output = starting.wait_with_output().map_err(|error| format!("bash: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            // The folder with the log goes with us, so what it says last is told here.
            false => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let log = fs::read_to_string(self.folder.path().join("log/console")).unwrap_or_default();
                let last = log.lines().rev().take(LOG_LINES_TOLD).collect::<Vec<_>>();
                let lines = said.trim().lines().chain(last.into_iter().rev());
                Err(lines.collect::<Vec<_>>().join("\n"))
            }
        }
    }

    /// Of the Erlang VM.
    pub fn pid(&self) -> Result<u32, String> {
        let file = self.folder.path().join("pid");
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        text.trim().parse().map_err(|_| format!("{}: no process id", file.display()))
    }

    pub fn end(&mut self) -> Result<(), String> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        // Whether it came up or not, something may run.
        _ = self.wait_until_ready();
        let status = script(self.port, &self.folder, "stop").stdout(Stdio::null()).status();
        match status.map_err(|error| format!("bash: {error}"))? {
            status if status.success() => Ok(()),
            status => Err(format!("RabbitMQ did not stop: {status}")),
        }
    }
}

/// What one that is started for this purpose says of itself: version, runtime, settings in effect, a line each.
pub fn settings() -> Result<String, String> {
    let mut rabbitmq = RabbitMq::spawn(free_port()?)?;
    rabbitmq.wait_until_ready()?;
    let output = script(rabbitmq.port, &rabbitmq.folder, "settings").output();
    rabbitmq.end()?;
    let output = output.map_err(|error| format!("bash: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// A port for AMQP whose two companions, which the script puts above it, are free as well.
pub fn free_port() -> Result<u16, String> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = PORTS.start + (std::process::id() % 1000) as u16;
    let mut ports = (first..PORTS.end).chain(PORTS.start..first);
    ports
        .find(|&port| [0, DISTRIBUTION_ABOVE, EPMD_ABOVE].iter().all(|above| is_free(port + above)))
        .ok_or_else(|| "no free ports for RabbitMQ".to_owned())
}

fn script(port: u16, folder: &Scratch, what: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT, "rabbitmq.sh", what]).stdin(Stdio::null());
    command.env("RABBIT_PORT", port.to_string()).env("RABBIT_DIR", folder.path());
    command
}

const SCRIPT: &str = include_str!("../../../tests/conformance/rabbitmq.sh");
/// Below the ports that the system gives to clients, and their companions too.
const PORTS: std::ops::Range<u16> = 6000..10_000;
const LOG_LINES_TOLD: usize = 10;
const DISTRIBUTION_ABOVE: u16 = 20_000;
const EPMD_ABOVE: u16 = 21_000;
const _: () = assert!(PORTS.end + EPMD_ABOVE < 32_768);

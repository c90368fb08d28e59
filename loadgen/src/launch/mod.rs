//! Starts a broker for one run, on free ports and with a scratch folder, and stops it again.

mod child;
mod own;
mod rabbitmq;
mod scratch;

use std::env;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::interrupt;
use crate::options::RunOptions;
use crate::uri::Uri;
use child::Child;
use rabbitmq::RabbitMq;

pub use child::READY;
pub use own::binary;
pub use rabbitmq::settings as rabbitmq_settings;
pub use scratch::remove_folders;

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Kind {
    /// The one beside loadgen, or the one that --haremq names.
    #[default]
    Haremq,
    /// Debian's, tuned for throughput.
    Rabbitmq,
    /// No broker: a process that reads what is published and writes as many deliveries made before, for the share of
    /// the kernel. What arrives cannot be verified. For one producer with one routing key.
    Null,
}

/// How to start one.
pub enum Recipe {
    Haremq { binary: PathBuf, arguments: Vec<String> },
    RabbitMq,
    Null,
}

/// A broker of our own. Dropping it stops it and removes its folder.
pub struct Broker {
    process: Process,
    port: u16,
}

enum Process {
    Child(Child),
    RabbitMq(RabbitMq),
}

impl Recipe {
    /// `Err` is a sentence for the user, here and below.
    pub fn of(options: &RunOptions) -> Result<Recipe, String> {
        Ok(match options.broker {
            Kind::Haremq => Recipe::Haremq {
                binary: options.haremq.clone().map_or_else(own::binary, Ok)?,
                arguments: options
                    .broker_args
                    .iter()
                    .flat_map(|line| line.split_whitespace())
                    .map(str::to_owned)
                    .collect(),
            },
            Kind::Rabbitmq => Recipe::RabbitMq,
            Kind::Null => Recipe::Null,
        })
    }

    /// Returns when it says that it is ready.
    pub fn start(&self) -> Result<Broker, String> {
        let mut broker = self.spawn()?;
        match &mut broker.process {
            Process::Child(child) => child.wait_until_ready()?,
            Process::RabbitMq(rabbitmq) => rabbitmq.wait_until_ready()?,
        }
        interrupt::protect(Some(broker.pid()?));
        Ok(broker)
    }

    /// Returns at once; the broker is not ready yet.
    pub fn spawn(&self) -> Result<Broker, String> {
        let (port, process) = match self {
            Recipe::Haremq { binary, arguments } => {
                let port = free_port()?;
                (port, Process::Child(own::spawn(binary, arguments, port)?))
            }
            Recipe::RabbitMq => {
                let port = rabbitmq::free_port()?;
                (port, Process::RabbitMq(RabbitMq::spawn(port)?))
            }
            Recipe::Null => {
                let port = free_port()?;
                let own = env::current_exe().map_err(|error| format!("cannot find myself: {error}"))?;
                let arguments = ["null-peer".to_owned(), "--port".to_owned(), port.to_string()];
                (port, Process::Child(Child::spawn(&own, &arguments, None)?))
            }
        };
        Ok(Broker { process, port })
    }
}

impl Broker {
    pub fn uri(&self) -> Uri {
        Uri::local(self.port)
    }

    pub fn pid(&self) -> Result<u32, String> {
        match &self.process {
            Process::Child(child) => Ok(child.pid()),
            Process::RabbitMq(rabbitmq) => rabbitmq.pid(),
        }
    }

    /// Where it keeps what it is to keep; the null peer keeps nothing.
    pub fn folder(&self) -> Option<&Path> {
        match &self.process {
            Process::Child(child) => child.folder(),
            Process::RabbitMq(rabbitmq) => Some(rabbitmq.folder()),
        }
    }

    /// Asks it to end, and insists if it does not. `Err` also if it did not end well.
    pub fn stop(mut self) -> Result<(), String> {
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        let ended = match &mut self.process {
            Process::Child(child) => child.end(),
            Process::RabbitMq(rabbitmq) => rabbitmq.end(),
        };
        interrupt::protect(None);
        ended
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nothing is left to be told: a run that matters has called `stop`.
        _ = self.end();
    }
}

/// A port that nobody listened on a moment ago.
fn free_port() -> Result<u16, String> {
    let port = || -> io::Result<u16> { Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port()) };
    port().map_err(|error| format!("no free port: {error}"))
}

//! `haremq ctl`: what RabbitMQ's `rabbitmqctl` and `rabbitmq-diagnostics` do, in their words and with their exit codes.
//!
//! ```text
//! command line -> a command -> requests of the HTTP API over data-dir/ctl.sock -> text, exit code
//! ```
//! There are no users here: whoever may open the socket is an administrator.

mod diagnostics;
mod lists;
mod node;
mod permissions;
mod policies;
mod print;
mod queues;
mod running;
mod server;
mod users;
mod vhosts;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use print::Formatter;
pub use server::{Failure, Server};

/// What follows `haremq ctl`.
#[derive(Args, Clone, Debug)]
pub struct Line {
    #[command(flatten)]
    options: Options,

    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone, Debug)]
struct Options {
    /// Says no more than was asked for
    #[arg(short, long, global = true)]
    quiet: bool,

    /// As --quiet, and tables have no headers
    #[arg(short, long, global = true)]
    silent: bool,

    /// Tables have no headers
    #[arg(long, global = true)]
    no_table_headers: bool,

    /// Of what is in a vhost: which
    #[arg(short = 'p', long, value_name = "VHOST", default_value = "/", global = true)]
    vhost: String,

    /// How what is listed is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Formatter::Table, global = true)]
    formatter: Formatter,

    /// How long to wait for the server, in seconds; by default 300 for await_startup, and otherwise 60
    #[arg(short, long, value_name = "SECONDS", global = true)]
    timeout: Option<u64>,

    /// The folder of the server, as its --data-dir
    #[arg(long = "data-dir", id = "ctl_data_dir", value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,

    /// Changes nothing: the server is the one of the data folder
    #[arg(short, long, value_name = "NODE", global = true)]
    node: Option<String>,

    /// Changes nothing
    #[arg(short, long, global = true)]
    longnames: bool,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    #[command(flatten)]
    Node(node::Command),
    #[command(flatten)]
    Users(users::Command),
    #[command(flatten)]
    Permissions(permissions::Command),
    #[command(flatten)]
    Vhosts(vhosts::Command),
    #[command(flatten)]
    Policies(policies::Command),
    #[command(flatten)]
    Lists(lists::Command),
    #[command(flatten)]
    Queues(queues::Command),
    #[command(flatten)]
    Running(running::Command),
    #[command(flatten)]
    Diagnostics(diagnostics::Command),
}

/// Where the server is, as its configuration says.
pub struct Place {
    pub data_dir: PathBuf,
    pub product_version: String,
}

/// What commands work with.
#[derive(Clone)]
struct Ctl {
    server: Server,
    options: Options,
    product_version: String,
}

/// The names of RabbitMQ's tools: called by one of them, we are `haremq ctl`.
const TOOLS: [&str; 3] = ["rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-plugins"];

/// The arguments of the process as if it had been called `haremq`.
pub fn arguments(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| TOOLS.iter().any(|tool| name == *tool)) {
        arguments[0] = "haremq".into();
        arguments.insert(1, "ctl".into());
    }
    arguments
}

/// Answers the exit code.
pub fn run(line: Line, place: Place) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return told(&Failure { code: SOFTWARE, text: error.to_string() }),
    };
    let Line { options, command } = line;
    let data_dir = options.data_dir.clone().unwrap_or(place.data_dir);
    let ctl = Ctl { server: Server::of(&data_dir), options, product_version: place.product_version };
    let patience = ctl.options.timeout.unwrap_or(if command.is_patient() { 300 } else { 60 });
    let done = runtime.block_on(async {
        // A timer needs the runtime that runs it.
        tokio::time::timeout(Duration::from_secs(patience), command.run(&ctl)).await
    });
    match done {
        Ok(Ok(())) => 0,
        Ok(Err(failure)) => told(&failure),
        Err(_) => told(&Failure {
            code: TEMPORARY,
            text: format!("operation timed out. Timeout value used: {} ms", u128::from(patience) * 1_000),
        }),
    }
}

fn told(failure: &Failure) -> u8 {
    eprintln!("Error:\n{}", failure.text);
    failure.code
}

impl Command {
    /// Whether it is there to wait.
    fn is_patient(&self) -> bool {
        matches!(self, Command::Node(node::Command::AwaitStartup | node::Command::Wait { .. }))
    }

    async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        match self {
            Command::Node(command) => command.run(ctl).await,
            Command::Users(command) => command.run(ctl).await,
            Command::Permissions(command) => command.run(ctl).await,
            Command::Vhosts(command) => command.run(ctl).await,
            Command::Policies(command) => command.run(ctl).await,
            Command::Lists(command) => command.run(ctl).await,
            Command::Queues(command) => command.run(ctl).await,
            Command::Running(command) => command.run(ctl).await,
            Command::Diagnostics(command) => command.run(ctl).await,
        }
    }
}

impl Ctl {
    /// The same for another vhost.
    fn of_vhost(&self, vhost: &str) -> Ctl {
        let mut ctl = self.clone();
        vhost.clone_into(&mut ctl.options.vhost);
        ctl
    }

    fn vhost(&self) -> &str {
        &self.options.vhost
    }

    /// What is going on; not for who will read the answer as JSON or CSV.
    fn say(&self, text: &str) {
        let Options { quiet, silent, formatter, .. } = &self.options;
        if !quiet && !silent && formatter.is_for_people() {
            print::line(text);
        }
    }

    /// What came of it.
    fn tell(&self, text: &str) {
        if !self.options.silent {
            print::line(text);
        }
    }

    /// Yes or no, and how people say it.
    fn answer(&self, yes: bool, text: &str) {
        if self.is_json() {
            print::line(&serde_json::json!({"result": yes, "message": text}).to_string());
        } else {
            print::line(text);
        }
    }

    fn print(&self, table: &print::Table) {
        let headers = !self.options.silent && !self.options.no_table_headers;
        print::text(&table.format(self.options.formatter, headers));
    }

    fn is_json(&self) -> bool {
        self.options.formatter == Formatter::Json
    }
}

/// The codes of sysexits.h, as RabbitMQ's tools use them.
const USAGE: u8 = 64;
const DATA: u8 = 65;
const NO_USER: u8 = 67;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const TEMPORARY: u8 = 75;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn called_by_the_name_of_a_tool_it_is_ctl() {
        let given = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for tool in ["rabbitmqctl", "/usr/sbin/rabbitmq-diagnostics", "./rabbitmq-plugins"] {
            assert_eq!(arguments(given(&format!("{tool} -q list"))), given("haremq ctl -q list"));
        }
        for own in ["haremq ctl status", "/opt/haremq --shards 2", "rabbitmq-server"] {
            assert_eq!(arguments(given(own)), given(own));
        }
        assert_eq!(arguments(Vec::new()), Vec::<OsString>::new());
    }
}

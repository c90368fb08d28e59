//! What is done to queues and connections, and definitions in and out.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Method;
use clap::Subcommand;
use serde_json::Value;

use super::print;
use super::server::{With, path};
use super::{Ctl, DATA, Failure, UNAVAILABLE, USAGE};

#[derive(Subcommand, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub enum Command {
    /// Drops all messages of a queue that nobody holds
    PurgeQueue { queue: String },
    /// Deletes a queue
    DeleteQueue {
        queue: String,
        /// Only if it has no messages
        #[arg(long = "if-empty", short = 'e')]
        if_empty: bool,
        /// Only if it has no consumers
        #[arg(long = "if-unused", short = 'u')]
        if_unused: bool,
    },
    /// Closes a connection, by the name or pid that list_connections shows; its client is told the reason
    CloseConnection { connection: String, reason: String },
    /// Closes the connections of the vhost, or all
    CloseAllConnections {
        reason: String,
        #[arg(long)]
        global: bool,
        /// How long to wait after each, ms
        #[arg(long = "per-connection-delay", default_value_t = 0)]
        delay_ms: u64,
        /// At most so many; 0 is all
        #[arg(long, default_value_t = 0)]
        limit: usize,
    },
    /// Closes the connections of a user
    CloseAllUserConnections { username: String, reason: String },
    /// Writes all definitions as JSON into a file, or to standard output
    ExportDefinitions {
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Reads definitions as JSON from a file, or from standard input
    ImportDefinitions {
        #[arg(default_value = "-")]
        file: PathBuf,
    },
}

impl Command {
    pub async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        let vhost = ctl.vhost();
        match self {
            Command::PurgeQueue { queue } => {
                ctl.say(&format!("Purging queue '{queue}' in vhost '{vhost}' ..."));
                let purged = ctl.server.delete(&path(&["queues", vhost, &queue, "contents"])).await?;
                purged.found(UNAVAILABLE, "not_found").map(drop)
            }
            Command::DeleteQueue { queue, if_empty, if_unused } => {
                ctl.say(&format!("Deleting queue '{queue}' on vhost '{vhost}' ..."));
                let path = path(&["queues", vhost, &queue]);
                let path = format!("{path}?if-empty={if_empty}&if-unused={if_unused}");
                ctl.server.delete(&path).await?.found(USAGE, "Queue not found").map(drop)
            }
            Command::CloseConnection { connection, reason } => {
                ctl.say(&format!("Closing connection {connection}, reason: {reason}..."));
                close(ctl, &connection, &reason).await
            }
            Command::CloseAllConnections { reason, global, limit, delay_ms } => {
                close_all(ctl, &reason, if global { None } else { Some(vhost) }, limit, delay_ms).await
            }
            Command::CloseAllUserConnections { username, reason } => {
                ctl.say(&format!("Closing connections of user {username}, reason: {reason}..."));
                let with = With { reason: Some(&reason), ..With::default() };
                let path = path(&["connections", "username", &username]);
                ctl.server.ask(Method::DELETE, &path, with).await?.sound().map(drop)
            }
            Command::ExportDefinitions { file } => export(ctl, &file).await,
            Command::ImportDefinitions { file } => import(ctl, &file).await,
        }
    }
}

/// One that is gone is closed.
async fn close(ctl: &Ctl, connection: &str, reason: &str) -> Result<(), Failure> {
    let with = With { reason: Some(reason), ..With::default() };
    let closed = ctl.server.ask(Method::DELETE, &path(&["connections", connection]), with).await?;
    if closed.status == 404 { Ok(()) } else { closed.sound().map(drop) }
}

/// Of one vhost, or of all.
async fn close_all(
    ctl: &Ctl,
    reason: &str,
    vhost: Option<&str>,
    limit: usize,
    delay_ms: u64,
) -> Result<(), Failure> {
    let of = vhost.map_or_else(|| "in all vhosts".to_owned(), |vhost| format!("in vhost {vhost}"));
    ctl.say(&format!("Closing all connections {of}, reason: {reason}..."));
    let connections = ctl.server.get("/api/connections").await?;
    let connections = connections.as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted =
        connections.iter().filter(|connection| vhost.is_none_or(|vhost| connection["vhost"] == vhost));
    let names = wanted.filter_map(|connection| connection["name"].as_str());
    let names: Vec<_> = names.take(if limit == 0 { usize::MAX } else { limit }).collect();
    for name in &names {
        close(ctl, name, reason).await?;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    ctl.tell(&format!("Closed {} connections", names.len()));
    Ok(())
}

async fn export(ctl: &Ctl, file: &Path) -> Result<(), Failure> {
    let definitions = ctl.server.get("/api/definitions").await?;
    if is_standard(file) {
        print::line(&definitions.to_string());
        return Ok(());
    }
    ctl.say(&format!("Exporting definitions in JSON to a file at \"{}\" ...", file.display()));
    fs::write(file, definitions.to_string()).map_err(|error| of_file(file, &error))
}

async fn import(ctl: &Ctl, file: &Path) -> Result<(), Failure> {
    let text = if is_standard(file) {
        ctl.say("Importing definitions in JSON from standard input ...");
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text).map(|_| text)
    } else {
        ctl.say(&format!("Importing definitions in JSON from a file at \"{}\" ...", file.display()));
        fs::read(file)
    };
    let text = text.map_err(|error| of_file(file, &error))?;
    let definitions: Value = serde_json::from_slice(&text)
        .map_err(|error| Failure { code: DATA, text: format!("{}: no JSON: {error}", file.display()) })?;
    let with = With { body: Some(definitions.to_string().into()), ..With::default() };
    ctl.server.ask(Method::POST, "/api/definitions", with).await?.sound().map(drop)
}

fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn of_file(file: &Path, error: &io::Error) -> Failure {
    Failure { code: DATA, text: format!("{}: {error}", file.display()) }
}

//! What users may do in a vhost.

use clap::Subcommand;
use serde_json::{Value, json};

use super::print::Table;
use super::server::path;
use super::{Ctl, Failure, NO_USER, UNAVAILABLE};

#[derive(Subcommand, Clone, Debug)]
#[command(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names, reason = "they are RabbitMQ's names")]
pub enum Command {
    /// Lists who may do what in the vhost
    ListPermissions,
    /// Lists what a user may do, in all vhosts
    ListUserPermissions { username: String },
    /// Sets what a user may do in the vhost: a regular expression for each, of the names it may configure, write and read
    SetPermissions { username: String, configure: String, write: String, read: String },
    /// Takes from a user all that it may do in the vhost
    ClearPermissions { username: String },
    /// Lists who may publish and bind by which routing keys of topic exchanges
    ListTopicPermissions,
    /// Lists the same of a user, in all vhosts
    ListUserTopicPermissions { username: String },
    /// Sets the routing keys that a user may publish and bind by
    SetTopicPermissions { username: String, exchange: String, write: String, read: String },
    /// Takes them away, of one exchange or of all in the vhost
    ClearTopicPermissions { username: String, exchange: Option<String> },
}

impl Command {
    pub async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        let vhost = ctl.vhost();
        match self {
            Command::ListPermissions => {
                ctl.say(&format!("Listing permissions for vhost \"{vhost}\" ..."));
                list_of_vhost(ctl, "permissions", &[USER, CONFIGURE, WRITE, READ]).await
            }
            Command::ListUserPermissions { username } => {
                ctl.say(&format!("Listing permissions for user \"{username}\" ..."));
                list_of_user(ctl, &username, "permissions", &[VHOST, CONFIGURE, WRITE, READ]).await
            }
            Command::ListTopicPermissions => {
                ctl.say(&format!("Listing topic permissions for vhost \"{vhost}\" ..."));
                list_of_vhost(ctl, "topic-permissions", &[USER, EXCHANGE, WRITE, READ]).await
            }
            Command::ListUserTopicPermissions { username } => {
                ctl.say(&format!("Listing topic permissions for user \"{username}\" ..."));
                list_of_user(ctl, &username, "topic-permissions", &[VHOST, EXCHANGE, WRITE, READ]).await
            }
            Command::SetPermissions { username, configure, write, read } => {
                ctl.say(&format!("Setting permissions for user \"{username}\" in vhost \"{vhost}\" ..."));
                let body = json!({"configure": configure, "write": write, "read": read});
                set(ctl, "permissions", &username, &body).await
            }
            Command::SetTopicPermissions { username, exchange, write, read } => {
                ctl.say(&format!(
                    "Setting topic permissions on \"{exchange}\" for user \"{username}\" in vhost \"{vhost}\" ..."
                ));
                let body = json!({"exchange": exchange, "write": write, "read": read});
                set(ctl, "topic-permissions", &username, &body).await
            }
            Command::ClearPermissions { username } => {
                ctl.say(&format!("Clearing permissions for user \"{username}\" in vhost \"{vhost}\" ..."));
                clear(ctl, &username, &["permissions", vhost, &username]).await
            }
            Command::ClearTopicPermissions { username, exchange } => {
                let of = exchange.as_ref().map(|exchange| format!(" on \"{exchange}\"")).unwrap_or_default();
                ctl.say(&format!(
                    "Clearing topic permissions{of} for user \"{username}\" in vhost \"{vhost}\" ..."
                ));
                let mut names = vec!["topic-permissions", vhost, &username];
                names.extend(exchange.as_deref());
                clear(ctl, &username, &names).await
            }
        }
    }
}

type Column = (&'static str, &'static str);

const USER: Column = ("user", "user");
const VHOST: Column = ("vhost", "vhost");
const EXCHANGE: Column = ("exchange", "exchange");
const CONFIGURE: Column = ("configure", "configure");
const WRITE: Column = ("write", "write");
const READ: Column = ("read", "read");

async fn list_of_vhost(ctl: &Ctl, kind: &str, columns: &[Column]) -> Result<(), Failure> {
    let vhost = ctl.vhost();
    let listed = ctl.server.find(&path(&["vhosts", vhost, kind])).await?;
    let listed = listed.ok_or_else(|| no_vhost(vhost))?;
    print(ctl, columns, &listed);
    Ok(())
}

async fn list_of_user(ctl: &Ctl, username: &str, kind: &str, columns: &[Column]) -> Result<(), Failure> {
    let listed = ctl.server.find(&path(&["users", username, kind])).await?;
    let listed = listed.ok_or_else(|| no_user(username))?;
    print(ctl, columns, &listed);
    Ok(())
}

fn print(ctl: &Ctl, columns: &[Column], listed: &Value) {
    let listed = listed.as_array().map(Vec::as_slice).unwrap_or_default();
    ctl.print(&Table::of(columns, listed));
}

async fn set(ctl: &Ctl, kind: &str, username: &str, body: &Value) -> Result<(), Failure> {
    check(ctl, username).await?;
    ctl.server.put(&path(&[kind, ctl.vhost(), username]), body).await?.sound().map(drop)
}

/// There may be nothing to clear.
async fn clear(ctl: &Ctl, username: &str, names: &[&str]) -> Result<(), Failure> {
    check(ctl, username).await?;
    let cleared = ctl.server.delete(&path(names)).await?;
    if cleared.status == 404 { Ok(()) } else { cleared.sound().map(drop) }
}

/// Both are there.
async fn check(ctl: &Ctl, username: &str) -> Result<(), Failure> {
    let vhost = ctl.vhost();
    ctl.server.find(&path(&["vhosts", vhost])).await?.ok_or_else(|| no_vhost(vhost))?;
    ctl.server.find(&path(&["users", username])).await?.ok_or_else(|| no_user(username))?;
    Ok(())
}

pub fn no_vhost(vhost: &str) -> Failure {
    Failure { code: UNAVAILABLE, text: format!("Virtual host {vhost} does not exist") }
}

fn no_user(username: &str) -> Failure {
    Failure { code: NO_USER, text: format!("User {username} does not exist") }
}

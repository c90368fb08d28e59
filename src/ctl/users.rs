//! Users, their passwords and tags, and their limits.

use axum::http::Method;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::print::{self, Table, at};
use super::server::{Answer, With, path};
use super::{Ctl, DATA, Failure, NO_USER, SOFTWARE, vhosts};

#[derive(Subcommand, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub enum Command {
    /// Lists users and their tags
    ListUsers,
    /// Makes a user; without a password it is read from standard input
    AddUser {
        username: String,
        password: Option<String>,
        /// The password is a hash already: base64 of a salt and what RabbitMQ makes of both
        #[arg(long = "pre-hashed-password")]
        pre_hashed_password: bool,
    },
    /// Deletes a user and all that it may do
    DeleteUser { username: String },
    /// Changes a password; without one it is read from standard input
    ChangePassword { username: String, password: Option<String> },
    /// Takes the password away: the user cannot log in by one any more
    ClearPassword { username: String },
    /// Tries a name and a password
    AuthenticateUser { username: String, password: Option<String> },
    /// Sets the tags of a user, instead of those it has
    SetUserTags { username: String, tags: Vec<String> },
    /// Sets limits of a user, as JSON: {"max-connections": 10, "max-channels": 100}
    SetUserLimits { username: String, definition: String },
    /// Takes a limit of a user away, or all
    ClearUserLimits { username: String, limit: String },
    /// Lists the limits of a user, or of all
    ListUserLimits {
        #[arg(long, default_value = "guest")]
        user: String,
        #[arg(long)]
        global: bool,
    },
}

impl Command {
    pub async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        match self {
            Command::ListUsers => list(ctl).await,
            Command::AddUser { username, password, pre_hashed_password } => {
                let kind = if pre_hashed_password { "password_hash" } else { "password" };
                add(ctl, &username, kind, password).await
            }
            Command::DeleteUser { username } => {
                ctl.say(&format!("Deleting user \"{username}\" ..."));
                let deleted = ctl.server.delete(&path(&["users", &username])).await?;
                deleted.found(NO_USER, format!("User \"{username}\" does not exist")).map(drop)
            }
            Command::ChangePassword { username, password } => {
                ctl.say(&format!("Changing password for user \"{username}\" ..."));
                let password = given(password)?;
                change(ctl, &username, [("password", password.into())]).await
            }
            Command::ClearPassword { username } => {
                ctl.say(&format!("Clearing password for user \"{username}\" ..."));
                change(ctl, &username, [("password_hash", "".into())]).await
            }
            Command::AuthenticateUser { username, password } => authenticate(ctl, &username, password).await,
            Command::SetUserTags { username, tags } => {
                ctl.say(&format!("Setting tags for user \"{username}\" to [{}] ...", tags.join(", ")));
                let user = find(ctl, &username).await?;
                let kept = ["password_hash", "hashing_algorithm"].map(|name| (name, at(&user, name)));
                put(ctl, &username, kept.into_iter().chain([("tags", json!(tags))])).await
            }
            Command::SetUserLimits { username, definition } => {
                let text = format!("Setting user limits to \"{definition}\" for user \"{username}\" ...");
                ctl.say(&text);
                find(ctl, &username).await?;
                vhosts::set_limits(ctl, &["user-limits", &username], &definition).await
            }
            Command::ClearUserLimits { username, limit } => clear_limits(ctl, &username, &limit).await,
            Command::ListUserLimits { user, global } => list_limits(ctl, &user, global).await,
        }
    }
}

async fn list(ctl: &Ctl) -> Result<(), Failure> {
    ctl.say("Listing users ...");
    let users = ctl.server.get("/api/users").await?;
    let users = users.as_array().map(Vec::as_slice).unwrap_or_default();
    ctl.print(&Table::of(&[("user", "name"), ("tags", "tags")], users));
    Ok(())
}

/// `kind`: what the password is called in a body.
async fn add(ctl: &Ctl, username: &str, kind: &str, password: Option<String>) -> Result<(), Failure> {
    ctl.say(&format!("Adding user \"{username}\" ..."));
    let password = given(password)?;
    if ctl.server.find(&path(&["users", username])).await?.is_some() {
        return Err(Failure { code: SOFTWARE, text: format!("User \"{username}\" already exists") });
    }
    put(ctl, username, [(kind, password.into()), ("tags", json!([]))]).await?;
    ctl.say(
        "Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help \
         set_permissions' to learn more.",
    );
    Ok(())
}

/// Or what comes in, which is how scripts keep it out of the list of processes.
fn given(password: Option<String>) -> Result<String, Failure> {
    if let Some(password) = password {
        return Ok(password);
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|error| Failure { code: DATA, text: format!("no password came: {error}") })?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure { code: DATA, text: "Password cannot be an empty string".to_owned() });
    }
    Ok(password.to_owned())
}

/// With its tags.
async fn change(ctl: &Ctl, username: &str, fields: [(&str, Value); 1]) -> Result<(), Failure> {
    let user = find(ctl, username).await?;
    put(ctl, username, fields.into_iter().chain([("tags", at(&user, "tags"))])).await
}

async fn put<'a>(
    ctl: &Ctl,
    username: &str,
    fields: impl IntoIterator<Item = (&'a str, Value)>,
) -> Result<(), Failure> {
    let body: Map<_, _> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    ctl.server.put(&path(&["users", username]), &Value::Object(body)).await?.sound().map(drop)
}

async fn find(ctl: &Ctl, username: &str) -> Result<Value, Failure> {
    let user = ctl.server.find(&path(&["users", username])).await?;
    user.ok_or_else(|| Failure { code: NO_USER, text: format!("User \"{username}\" does not exist") })
}

async fn authenticate(ctl: &Ctl, username: &str, password: Option<String>) -> Result<(), Failure> {
    ctl.say(&format!("Authenticating user \"{username}\" ..."));
    let password = given(password)?;
    let with = With { login: Some((username, &password)), ..With::default() };
    let answer = ctl.server.ask(Method::GET, "/api/whoami", with).await?;
    if is_admitted(&answer) {
        ctl.tell("Success");
        return Ok(());
    }
    let text =
        format!("Error: failed to authenticate user \"{username}\"\nuser '{username}' - invalid credentials");
    Err(Failure { code: DATA, text })
}

/// Whoever may not use the API is told so once the password is right.
fn is_admitted(answer: &Answer) -> bool {
    answer.status == 200 || answer.reason() == "Not management user"
}

async fn clear_limits(ctl: &Ctl, username: &str, limit: &str) -> Result<(), Failure> {
    let all = ["max-connections", "max-channels"];
    let (what, limits) = if limit == "all" {
        ("all limits".to_owned(), &all[..])
    } else {
        (format!("\"{limit}\" limit"), &[limit][..])
    };
    ctl.say(&format!("Clearing {what} for user \"{username}\" ..."));
    for limit in limits {
        let cleared = ctl.server.delete(&path(&["user-limits", username, limit])).await?;
        cleared.found(NO_USER, format!("User \"{username}\" does not exist"))?;
    }
    Ok(())
}

async fn list_limits(ctl: &Ctl, user: &str, global: bool) -> Result<(), Failure> {
    if global {
        ctl.say("Listing limits for all users ...");
        let limits = ctl.server.get("/api/user-limits").await?;
        let limits = limits.as_array().map(Vec::as_slice).unwrap_or_default();
        ctl.print(&Table::of(&[("user", "user"), ("limits", "value")], limits));
        return Ok(());
    }
    ctl.say(&format!("Listing limits for user \"{user}\" ..."));
    find(ctl, user).await?;
    let limits = ctl.server.get(&path(&["user-limits", user])).await?;
    let limits = limits.get(0).map_or_else(|| json!({}), |limits| at(limits, "value"));
    print::line(&limits.to_string());
    Ok(())
}

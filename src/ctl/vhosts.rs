//! Vhosts and their limits.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::permissions::no_vhost;
use super::print::{self, Table, at};
use super::server::path;
use super::{Ctl, DATA, Failure, USAGE};

#[derive(Subcommand, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub enum Command {
    /// Lists vhosts: their names, or these columns
    ListVhosts {
        /// name, description, tags, tracing, default_queue_type, cluster_state
        columns: Vec<String>,
    },
    /// Makes a vhost
    AddVhost {
        name: String,
        #[arg(long, default_value = "")]
        description: String,
        /// Names with commas between
        #[arg(long, default_value = "")]
        tags: String,
        #[arg(long = "default-queue-type")]
        default_queue_type: Option<String>,
    },
    /// Sets the tags of a vhost, instead of those it has
    SetVhostTags { name: String, tags: Vec<String> },
    /// Deletes a vhost and all that is in it
    DeleteVhost { name: String },
    /// Sets limits of the vhost, as JSON: {"max-connections": 10, "max-queues": 100}
    SetVhostLimits { definition: String },
    /// Takes all limits of the vhost away
    ClearVhostLimits,
    /// Lists the limits of the vhost, or of all
    ListVhostLimits {
        #[arg(long)]
        global: bool,
    },
}

impl Command {
    pub async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        let vhost = ctl.vhost();
        match self {
            Command::ListVhosts { columns } => list(ctl, columns).await,
            Command::AddVhost { name, description, tags, default_queue_type } => {
                ctl.say(&format!("Adding vhost \"{name}\" ..."));
                let path = path(&["vhosts", &name]);
                // To what is there nothing is done.
                if ctl.server.find(&path).await?.is_some() {
                    return Ok(());
                }
                let mut body = json!({"description": description, "tags": tags});
                if let Some(kind) = default_queue_type {
                    body["defaultqueuetype"] = kind.into();
                }
                ctl.server.put(&path, &body).await?.sound().map(drop)
            }
            Command::SetVhostTags { name, tags } => set_tags(ctl, &name, tags).await,
            Command::DeleteVhost { name } => {
                ctl.say(&format!("Deleting vhost \"{name}\" ..."));
                let deleted = ctl.server.delete(&path(&["vhosts", &name])).await?;
                deleted.found(DATA, format!("Virtual host '{name}' does not exist")).map(drop)
            }
            Command::SetVhostLimits { definition } => {
                ctl.say(&format!("Setting vhost limits to \"{definition}\" for vhost \"{vhost}\" ..."));
                check(ctl).await?;
                set_limits(ctl, &["vhost-limits", vhost], &definition).await
            }
            Command::ClearVhostLimits => {
                ctl.say(&format!("Clearing vhost \"{vhost}\" limits ..."));
                check(ctl).await?;
                for limit in ["max-connections", "max-queues"] {
                    ctl.server.delete(&path(&["vhost-limits", vhost, limit])).await?.sound()?;
                }
                Ok(())
            }
            Command::ListVhostLimits { global } => list_limits(ctl, global).await,
        }
    }
}

async fn list(ctl: &Ctl, columns: Vec<String>) -> Result<(), Failure> {
    const KNOWN: [&str; 6] =
        ["name", "description", "tags", "tracing", "default_queue_type", "cluster_state"];
    let columns = if columns.is_empty() { vec!["name".to_owned()] } else { columns };
    if let Some(unknown) = columns.iter().find(|column| !KNOWN.contains(&column.as_str())) {
        let text = format!("(argument validation): Info key(s) {unknown} are not supported");
        return Err(Failure { code: USAGE, text });
    }
    ctl.say("Listing vhosts ...");
    let vhosts = ctl.server.get("/api/vhosts").await?;
    let columns: Vec<_> = columns.iter().map(|column| (&**column, &**column)).collect();
    ctl.print(&Table::of(&columns, vhosts.as_array().map(Vec::as_slice).unwrap_or_default()));
    Ok(())
}

async fn set_tags(ctl: &Ctl, name: &str, tags: Vec<String>) -> Result<(), Failure> {
    ctl.say(&format!("Setting tags for virtual host \"{name}\" to [{}] ...", tags.join(", ")));
    let path = path(&["vhosts", name]);
    let found = ctl.server.find(&path).await?;
    let missing = || Failure { code: DATA, text: format!("Virtual host \"{name}\" does not exist") };
    let vhost = found.ok_or_else(missing)?;
    let kept = ["description", "default_queue_type", "tracing", "protected_from_deletion"];
    let mut body: Map<_, _> = kept.into_iter().map(|field| (field.to_owned(), at(&vhost, field))).collect();
    body.retain(|_, value| !value.is_null());
    body.insert("tags".to_owned(), json!(tags));
    ctl.server.put(&path, &Value::Object(body)).await?.sound().map(drop)
}

async fn check(ctl: &Ctl) -> Result<(), Failure> {
    let vhost = ctl.vhost();
    ctl.server.find(&path(&["vhosts", vhost])).await?.map(drop).ok_or_else(|| no_vhost(vhost))
}

/// Each limit of `definition` is set below the path `of`.
pub async fn set_limits(ctl: &Ctl, of: &[&str], definition: &str) -> Result<(), Failure> {
    let Value::Object(limits) = parsed(definition)? else {
        return Err(Failure { code: DATA, text: "limits are a JSON object".to_owned() });
    };
    for (limit, value) in limits {
        let path = path(&[of, &[&*limit]].concat());
        ctl.server.put(&path, &json!({"value": value})).await?.sound()?;
    }
    Ok(())
}

pub fn parsed(json: &str) -> Result<Value, Failure> {
    let parsed = serde_json::from_str(json);
    parsed.map_err(|error| Failure { code: DATA, text: format!("JSON decoding error. Reason: {error}") })
}

async fn list_limits(ctl: &Ctl, global: bool) -> Result<(), Failure> {
    if global {
        ctl.say("Listing limits for all vhosts ...");
        let limits = ctl.server.get("/api/vhost-limits").await?;
        let limits = limits.as_array().map(Vec::as_slice).unwrap_or_default();
        ctl.print(&Table::of(&[("vhost", "vhost"), ("limits", "value")], limits));
        return Ok(());
    }
    ctl.say(&format!("Listing limits for vhost \"{}\" ...", ctl.vhost()));
    check(ctl).await?;
    let limits = ctl.server.get(&path(&["vhost-limits", ctl.vhost()])).await?;
    let limits = limits.get(0).map_or_else(|| json!({}), |limits| at(limits, "value"));
    print::line(&limits.to_string());
    Ok(())
}

//! Policies, operator policies, and parameters of vhosts and of the server.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::print::{Table, at};
use super::server::path;
use super::vhosts::parsed;
use super::{Ctl, Failure, UNAVAILABLE};

#[derive(Subcommand, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub enum Command {
    /// Lists the policies of the vhost
    ListPolicies,
    /// Sets a policy for the queues and exchanges whose names match a regular expression
    SetPolicy(Policy),
    /// Deletes a policy
    ClearPolicy { name: String },
    /// Lists the operator policies of the vhost
    ListOperatorPolicies,
    /// Sets an operator policy, whose numbers are upper bounds for those of policies
    SetOperatorPolicy(Policy),
    /// Deletes an operator policy
    ClearOperatorPolicy { name: String },
    /// Lists the parameters of the vhost
    ListParameters,
    /// Sets a parameter, as JSON
    SetParameter { component: String, name: String, value: String },
    /// Deletes a parameter
    ClearParameter { component: String, name: String },
    /// Lists parameters of no vhost
    ListGlobalParameters,
    /// Sets such a parameter, as JSON
    SetGlobalParameter { name: String, value: String },
    /// Deletes such a parameter
    ClearGlobalParameter { name: String },
}

#[derive(Args, Clone, Debug)]
pub struct Policy {
    name: String,
    pattern: String,
    /// Such as {"max-length": 1000}
    definition: String,
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i64,
    /// queues, exchanges, all, classic_queues, quorum_queues or streams
    #[arg(long = "apply-to", default_value = "all")]
    apply_to: String,
}

impl Command {
    pub async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        let vhost = ctl.vhost();
        match self {
            Command::ListPolicies => {
                ctl.say(&format!("Listing policies for vhost \"{vhost}\" ..."));
                list_policies(ctl, "policies").await
            }
            Command::ListOperatorPolicies => {
                ctl.say(&format!("Listing operator policy overrides for vhost \"{vhost}\" ..."));
                list_policies(ctl, "operator-policies").await
            }
            Command::SetPolicy(policy) => policy.set(ctl, "policy", "policies").await,
            Command::SetOperatorPolicy(policy) => {
                policy.set(ctl, "operator policy override", "operator-policies").await
            }
            Command::ClearPolicy { name } => {
                ctl.say(&format!("Clearing policy \"{name}\" on vhost \"{vhost}\" ..."));
                clear(ctl, &["policies", vhost, &name]).await
            }
            Command::ClearOperatorPolicy { name } => {
                ctl.say(&format!("Clearing operator policy override \"{name}\" on vhost \"{vhost}\" ..."));
                clear(ctl, &["operator-policies", vhost, &name]).await
            }
            Command::ListParameters => {
                ctl.say(&format!("Listing runtime parameters for vhost \"{vhost}\" ..."));
                list_parameters(ctl).await
            }
            Command::SetParameter { component, name, value } => {
                ctl.say(&format!(
                    "Setting runtime parameter \"{name}\" for component \"{component}\" to \"{value}\" in vhost \
                     \"{vhost}\" ..."
                ));
                let body = json!({"value": parsed(&value)?});
                let path = path(&["parameters", &component, vhost, &name]);
                ctl.server.put(&path, &body).await?.sound().map(drop)
            }
            Command::ClearParameter { component, name } => {
                ctl.say(&format!(
                    "Clearing runtime parameter \"{name}\" for component \"{component}\" on vhost \"{vhost}\" ..."
                ));
                clear(ctl, &["parameters", &component, vhost, &name]).await
            }
            Command::ListGlobalParameters => {
                ctl.say("Listing global runtime parameters ...");
                let all = ctl.server.get("/api/global-parameters").await?;
                let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
                ctl.print(&with_texts(&["name", "value"], all));
                Ok(())
            }
            Command::SetGlobalParameter { name, value } => {
                ctl.say(&format!("Setting global runtime parameter \"{name}\" to \"{value}\" ..."));
                let body = json!({"value": parsed(&value)?});
                ctl.server.put(&path(&["global-parameters", &name]), &body).await?.sound().map(drop)
            }
            Command::ClearGlobalParameter { name } => {
                ctl.say(&format!("Clearing global runtime parameter \"{name}\" ..."));
                clear(ctl, &["global-parameters", &name]).await
            }
        }
    }
}

impl Policy {
    /// `what` it is called, and in the paths of the API.
    async fn set(self, ctl: &Ctl, what: &str, kind: &str) -> Result<(), Failure> {
        let Policy { name, pattern, definition, priority, apply_to } = self;
        let vhost = ctl.vhost();
        ctl.say(&format!(
            "Setting {what} \"{name}\" for pattern \"{pattern}\" to \"{definition}\" with priority \"{priority}\" for \
             vhost \"{vhost}\" ..."
        ));
        let definition = parsed(&definition)?;
        let body =
            json!({"pattern": pattern, "definition": definition, "priority": priority, "apply-to": apply_to});
        ctl.server.put(&path(&[kind, vhost, &name]), &body).await?.sound().map(drop)
    }
}

async fn list_policies(ctl: &Ctl, kind: &str) -> Result<(), Failure> {
    let policies = ctl.server.get(&path(&[kind, ctl.vhost()])).await?;
    let policies = policies.as_array().map(Vec::as_slice).unwrap_or_default();
    let columns = ["vhost", "name", "pattern", "apply-to", "definition", "priority"];
    ctl.print(&with_texts(&columns, policies));
    Ok(())
}

/// RabbitMQ's lists have what was given as JSON as a text of it, also within JSON.
fn with_texts(columns: &[&str], objects: &[Value]) -> Table {
    let mut table = Table::new(columns);
    for object in objects {
        let value = |column: &&str| match (*column, at(object, column)) {
            ("definition" | "value", value) => Value::String(value.to_string()),
            (_, value) => value,
        };
        table.add(columns.iter().map(value).collect());
    }
    table
}

async fn list_parameters(ctl: &Ctl) -> Result<(), Failure> {
    let all = ctl.server.get("/api/parameters").await?;
    let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
    let of_vhost: Vec<_> =
        all.iter().filter(|parameter| parameter["vhost"] == ctl.vhost()).cloned().collect();
    ctl.print(&with_texts(&["component", "name", "value"], &of_vhost));
    Ok(())
}

async fn clear(ctl: &Ctl, names: &[&str]) -> Result<(), Failure> {
    ctl.server.delete(&path(names)).await?.found(UNAVAILABLE, "Parameter does not exist").map(drop)
}

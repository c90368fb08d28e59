//! What else `rabbitmq-diagnostics` tells and checks, and what there is no counterpart of here.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::print::{self, Table};
use super::server::path;
use super::{Ctl, Failure, SOFTWARE, UNAVAILABLE, lists, node, permissions, policies};

#[derive(Subcommand, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub enum Command {
    /// Lists the alarms that hold publishers back
    Alarms,
    /// Prints the version that clients are told
    ServerVersion,
    /// Tells that there is no Erlang
    ErlangVersion,
    /// Tells what takes memory
    MemoryBreakdown,
    /// Prints all that the server tells of itself, and all lists
    Report,
    /// Lists queues that do not answer: a queue here answers, or the whole server does not
    ListUnresponsiveQueues { columns: Vec<String> },
    /// Checks that the server is ready, that no alarm is on, and that it answers
    #[command(hide = true)]
    NodeHealthCheck,
    /// Ends well if no certificate is about to expire: there are none
    CheckCertificateExpiration {
        #[arg(long)]
        within: u32,
        #[arg(long, default_value = "weeks")]
        unit: String,
    },
    /// Ends well: there is one node
    CheckIfNodeIsMirrorSyncCritical,
    /// Ends well: there is one node
    CheckIfNodeIsQuorumCritical,
    /// Waits for so many nodes: there is one
    AwaitOnlineNodes { count: u32 },
    /// Tells that the vhost runs: it does if it is there
    RestartVhost,
    /// Hashes a password as the server keeps it
    HashPassword { password: String },
    /// Changes nothing: memory is given back as it becomes free
    ForceGc,
    /// There is no Erlang that could do it
    #[command(
        hide = true,
        aliases = ["eval_file", "exec", "encode", "decode", "list_ciphers", "list_hashes", "remote_shell", "observer"]
    )]
    Eval {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

impl Command {
    pub async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        match self {
            Command::Alarms => alarms(ctl).await,
            Command::ServerVersion => {
                ctl.say("Asking the server for its RabbitMQ version...");
                let overview = ctl.server.get("/api/overview").await?;
                let version = overview["rabbitmq_version"].as_str().unwrap_or_default();
                if ctl.is_json() {
                    print::line(&json!({"result": "ok", "value": version}).to_string());
                } else {
                    print::line(version);
                }
                Ok(())
            }
            Command::ErlangVersion => {
                ctl.say("Asking the server for its Erlang/OTP version...");
                ctl.tell("none: this server is not written in Erlang");
                Ok(())
            }
            Command::MemoryBreakdown => memory_breakdown(ctl).await,
            Command::Report => report(ctl).await,
            Command::ListUnresponsiveQueues { columns } => {
                let vhost = ctl.vhost();
                ctl.say(&format!("Listing unresponsive queues for vhost {vhost} ..."));
                ctl.server
                    .find(&path(&["vhosts", vhost]))
                    .await?
                    .ok_or_else(|| permissions::no_vhost(vhost))?;
                let columns = columns.iter().map(String::as_str).collect::<Vec<_>>();
                ctl.print(&Table::new(if columns.is_empty() { &["name"] } else { &columns }));
                Ok(())
            }
            Command::NodeHealthCheck => {
                ctl.say(
                    "This command is DEPRECATED and will be removed in a future version.\n\
                     It performs intrusive, opinionated health checks and requires a fully booted node.\n\
                     Use one of the options covered in https://www.rabbitmq.com/monitoring.html#health-checks instead.",
                );
                ctl.server.get("/api/health/checks/is-in-service").await?;
                node::check(ctl, "local-alarms", "Health check passed").await
            }
            Command::CheckCertificateExpiration { within, unit } => {
                ctl.say("Checking certificate expiration on the server ...");
                let within = within.to_string();
                let sound = format!("No certificates are expiring within {within} {unit}.");
                let path = path(&["health", "checks", "certificate-expiration", &within, &unit]);
                node::check_at(ctl, &path, &sound).await
            }
            Command::CheckIfNodeIsMirrorSyncCritical => {
                ctl.say(
                    "Checking if the server is critical for data safety of any classic mirrored queues ...",
                );
                node::check(ctl, "node-is-mirror-sync-critical", SINGLE).await
            }
            Command::CheckIfNodeIsQuorumCritical => {
                ctl.say("Checking if the server is critical for quorum of any quorum queues ...");
                node::check(ctl, "node-is-quorum-critical", SINGLE).await
            }
            Command::AwaitOnlineNodes { count } => {
                ctl.say(&format!("Will wait for at least {count} nodes to join the cluster of the server."));
                if count > 1 {
                    let text =
                        "timed out while waiting. Not enough nodes joined the server's cluster.".to_owned();
                    return Err(Failure { code: SOFTWARE, text });
                }
                node::await_startup(ctl).await
            }
            Command::RestartVhost => {
                let vhost = ctl.vhost();
                ctl.say(&format!("Trying to restart vhost '{vhost}' on the server ..."));
                let found = ctl.server.find(&path(&["vhosts", vhost])).await?;
                found.ok_or_else(|| Failure {
                    code: SOFTWARE,
                    text: format!("Failed to start vhost '{vhost}': no such vhost"),
                })?;
                ctl.tell(&format!("Vhost '{vhost}' is already running on the server"));
                Ok(())
            }
            Command::HashPassword { password } => {
                ctl.say("Will hash the password.");
                let hashed = ctl.server.get(&path(&["auth", "hash_password", &password])).await?;
                print::line(hashed["ok"].as_str().unwrap_or_default());
                Ok(())
            }
            Command::ForceGc => {
                ctl.say("Nothing to be done: memory is given back as it becomes free.");
                ctl.server.get("/api/overview").await.map(drop)
            }
            Command::Eval { .. } => {
                let text = "this server is not written in Erlang, and has neither its terms nor its ciphers"
                    .to_owned();
                Err(Failure { code: UNAVAILABLE, text })
            }
        }
    }
}

const SINGLE: &str = "The server seems to be the only one in a single node cluster, the check does not apply";

async fn alarms(ctl: &Ctl) -> Result<(), Failure> {
    ctl.say("Asking the server to report any known resource alarms ...");
    let node = node::node(ctl).await?;
    let alarms = node::alarms(&node);
    if ctl.is_json() {
        print::line(&json!({"result": "ok", "node": node["name"], "alarms": alarms}).to_string());
    } else if alarms.is_empty() {
        ctl.tell("The server reported no alarms, local or clusterwide");
    } else {
        alarms.iter().for_each(|alarm| print::line(&format!("{alarm} alarm")));
    }
    Ok(())
}

/// The greatest first; what there is nothing of is left out.
async fn memory_breakdown(ctl: &Ctl) -> Result<(), Failure> {
    ctl.say("Reporting memory breakdown on the server...");
    let node = node::node(ctl).await?;
    let name = node["name"].as_str().unwrap_or_default();
    let memory = ctl.server.get(&path(&["nodes", name, "memory"])).await?;
    let total = memory["memory"]["total"]["rss"].as_f64().unwrap_or(0.0).max(1.0);
    let kinds = memory["memory"].as_object().into_iter().flatten();
    let mut kinds: Vec<_> = kinds.filter_map(|(kind, bytes)| Some((kind, bytes.as_u64()?))).collect();
    kinds.retain(|(_, bytes)| *bytes > 0);
    kinds.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let percentage = |bytes: u64| (bytes as f64 / total * 10_000.0).round() / 100.0;
    if ctl.is_json() {
        let shown = kinds.iter().map(|(kind, bytes)| {
            ((*kind).clone(), json!({"bytes": bytes, "percentage": percentage(*bytes)}))
        });
        print::line(&Value::Object(shown.collect::<Map<_, _>>()).to_string());
        return Ok(());
    }
    for (kind, bytes) in kinds {
        print::line(&format!("{kind}: {:.4} gb ({}%)", bytes as f64 / 1e9, percentage(bytes)));
    }
    Ok(())
}

async fn report(ctl: &Ctl) -> Result<(), Failure> {
    ctl.say("Reporting server status ...\n");
    for command in [node::Command::Status, node::Command::ClusterStatus, node::Command::Environment] {
        command.run(ctl).await?;
        print::line("");
    }
    let all = Vec::new;
    for command in
        [lists::Command::ListConnections { columns: all() }, lists::Command::ListChannels { columns: all() }]
    {
        command.run(ctl).await?;
        print::line("");
    }
    policies::Command::ListGlobalParameters.run(ctl).await?;
    print::line("");
    let vhosts = ctl.server.get("/api/vhosts").await?;
    for vhost in vhosts.as_array().into_iter().flatten().filter_map(|vhost| vhost["name"].as_str()) {
        let ctl = &ctl.of_vhost(vhost);
        for command in [
            lists::Command::ListQueues { columns: all(), which: lists::Which::default() },
            lists::Command::ListExchanges { columns: all() },
            lists::Command::ListBindings { columns: all() },
            lists::Command::ListConsumers { columns: all() },
        ] {
            command.run(ctl).await?;
            print::line("");
        }
        permissions::Command::ListPermissions.run(ctl).await?;
        print::line("");
        for command in [policies::Command::ListPolicies, policies::Command::ListParameters] {
            command.run(ctl).await?;
            print::line("");
        }
    }
    Ok(())
}

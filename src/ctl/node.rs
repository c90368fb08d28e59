//! The server itself: how it is, whether it is well, and its end.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::Method;
use clap::Subcommand;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::print::{self, Table, at};
use super::server::{With, path};
use super::{Ctl, Failure, UNAVAILABLE};

#[derive(Subcommand, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub enum Command {
    /// Tells how the server is
    Status,
    /// Asks the server for an answer
    Ping,
    /// Prints the version that clients are told
    Version,
    /// Waits until the server is ready, at most --timeout
    AwaitStartup,
    /// The same
    Wait {
        #[arg(hide = true)]
        pidfile: Option<String>,
        #[arg(long, short = 'P', hide = true)]
        pid: Option<u32>,
    },
    /// Ends well if the server is ready
    CheckRunning,
    /// Tells whether the server is ready
    IsRunning,
    /// Tells whether the server is about to be ready: here it is when it answers
    IsBooting,
    /// Ends well if no alarm of memory or disk holds publishers back
    #[command(alias = "check_alarms")]
    CheckLocalAlarms,
    /// Ends well if each port that the server listens on takes a connection
    CheckPortConnectivity,
    /// Ends well if the server listens on this port
    CheckPortListener { port: u16 },
    /// Ends well if the server listens for this protocol: amqp, http, http/prometheus
    CheckProtocolListener { protocol: String },
    /// Ends well if all vhosts are up
    CheckVirtualHosts,
    /// Lists what the server listens on
    Listeners,
    /// Lists RabbitMQ's feature flags, as far as they are here
    ListFeatureFlags,
    /// Enables one: all are
    EnableFeatureFlag { flag: String },
    /// Tells of the cluster, which is this one server
    ClusterStatus,
    /// Sets the name of the cluster, which clients are told
    SetClusterName { name: String },
    /// Prints the settings that the server goes by, and where it has them from
    Environment,
    /// Has the server open the file of its log anew, as SIGHUP does
    RotateLogs,
    /// Ends the server, as SIGTERM does, and waits for its end
    #[command(alias = "shutdown", alias = "stop_node")]
    Stop {
        #[arg(hide = true)]
        pidfile: Option<String>,
    },
    /// Of rabbitmq-plugins: lists what is always on here
    #[command(hide = true)]
    List {
        #[command(flatten)]
        flags: Plugins,
    },
    /// Of rabbitmq-plugins: what there is of plugins is always on
    #[command(hide = true)]
    Enable {
        #[command(flatten)]
        flags: Plugins,
    },
    /// Of rabbitmq-plugins: what there is of plugins is always on
    #[command(hide = true)]
    Disable {
        #[command(flatten)]
        flags: Plugins,
    },
}

/// None of them matters.
#[derive(clap::Args, Clone, Debug)]
pub struct Plugins {
    plugins: Vec<String>,
    #[arg(long)]
    offline: bool,
    #[arg(long)]
    online: bool,
    #[arg(long)]
    all: bool,
    #[arg(long, short = 'E')]
    enabled: bool,
    #[arg(long, short = 'm')]
    minimal: bool,
    #[arg(long, short = 'v')]
    verbose: bool,
}

impl Command {
    pub async fn run(self, ctl: &Ctl) -> Result<(), Failure> {
        match self {
            Command::Status => status(ctl).await,
            Command::Ping => ping(ctl).await,
            Command::Version => {
                print::line(&ctl.product_version);
                Ok(())
            }
            Command::AwaitStartup | Command::Wait { .. } => await_startup(ctl).await,
            Command::CheckRunning => {
                ctl.say("Checking if RabbitMQ is running ...");
                if !is_ready(ctl).await? {
                    return Err(Failure { code: UNAVAILABLE, text: NOT_RUNNING.to_owned() });
                }
                ctl.tell(RUNNING);
                Ok(())
            }
            Command::IsRunning => {
                ctl.say("Asking the server for its status ...");
                let ready = is_ready(ctl).await?;
                ctl.answer(ready, if ready { RUNNING } else { NOT_RUNNING });
                Ok(())
            }
            Command::IsBooting => {
                ctl.say("Asking the server for its boot status ...");
                ctl.server.get("/api/haremq/app").await?;
                ctl.answer(false, "RabbitMQ is fully booted (check with is_running), stopped or has not started booting yet");
                Ok(())
            }
            Command::CheckLocalAlarms => {
                ctl.say("Asking the server to report any local resource alarms ...");
                check(ctl, "local-alarms", "The server reported no local alarms").await
            }
            Command::CheckPortConnectivity => check_ports(ctl).await,
            Command::CheckPortListener { port } => {
                ctl.say(&format!("Asking the server if there's an active listener on port {port} ..."));
                let sound = format!("A listener for port {port} is running.");
                check(ctl, &format!("port-listener/{port}"), &sound).await
            }
            Command::CheckProtocolListener { protocol } => {
                ctl.say(&format!(
                    "Asking the server if there's an active listener for protocol {protocol} ..."
                ));
                let path = path(&["health", "checks", "protocol-listener", &protocol]);
                let sound = format!("A listener for protocol {protocol} is running.");
                check_at(ctl, &path, &sound).await
            }
            Command::CheckVirtualHosts => {
                ctl.say("Checking if all vhosts are running ...");
                check(ctl, "virtual-hosts", "The server reported all vhosts as running").await
            }
            Command::Listeners => listeners(ctl).await,
            Command::ListFeatureFlags => {
                ctl.say("Listing feature flags ...");
                let flags = ctl.server.get("/api/feature-flags").await?;
                ctl.print(&Table::of(&[("name", "name"), ("state", "state")], items(&flags)));
                Ok(())
            }
            Command::EnableFeatureFlag { flag } => {
                ctl.say(&format!("Enabling feature flag \"{flag}\" ..."));
                let path = path(&["feature-flags", &flag, "enable"]);
                // `all` is none of them.
                if flag == "all" {
                    return Ok(());
                }
                ctl.server.put(&path, &json!({})).await?.sound().map(drop)
            }
            Command::ClusterStatus => cluster_status(ctl).await,
            Command::SetClusterName { name } => {
                ctl.say(&format!("Setting cluster name to {name} ..."));
                ctl.server.put("/api/cluster-name", &json!({"name": name})).await?.sound().map(drop)
            }
            Command::Environment => {
                let settings = ctl.server.get("/api/haremq/settings").await?;
                items(&settings).iter().filter_map(Value::as_str).for_each(print::line);
                Ok(())
            }
            Command::RotateLogs => {
                ctl.say("Rotating logs ...");
                ctl.server
                    .ask(Method::POST, "/api/haremq/rotate-logs", With::default())
                    .await?
                    .sound()
                    .map(drop)
            }
            Command::Stop { .. } => stop(ctl).await,
            Command::List { flags } => {
                list_plugins(ctl, flags.minimal);
                Ok(())
            }
            Command::Enable { .. } => {
                ctl.say("There are no plugins: the HTTP API and Prometheus' metrics are always on.");
                Ok(())
            }
            Command::Disable { .. } => {
                ctl.say("There are no plugins, and what is always on cannot be disabled.");
                Ok(())
            }
        }
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The one node that there is.
pub async fn node(ctl: &Ctl) -> Result<Value, Failure> {
    Ok(at(&json!({"first": ctl.server.get("/api/nodes").await?.get(0)}), "first"))
}

async fn ping(ctl: &Ctl) -> Result<(), Failure> {
    ctl.say("Will ping the server.");
    ctl.server.get("/api/haremq/app").await?;
    ctl.tell("Ping succeeded");
    Ok(())
}

/// For as long as somebody waits.
pub async fn await_startup(ctl: &Ctl) -> Result<(), Failure> {
    while !is_ready(ctl).await.unwrap_or(false) {
        sleep(POLL).await;
    }
    Ok(())
}

async fn is_ready(ctl: &Ctl) -> Result<bool, Failure> {
    Ok(ctl.server.ask(Method::GET, "/health/ready", With::default()).await?.status == 200)
}

const RUNNING: &str = "RabbitMQ is fully booted and running";
const NOT_RUNNING: &str = "RabbitMQ is not running or has not fully booted yet (check with is_booting)";

pub async fn check(ctl: &Ctl, what: &str, sound: &str) -> Result<(), Failure> {
    check_at(ctl, &format!("/api/health/checks/{what}"), sound).await
}

pub async fn check_at(ctl: &Ctl, path: &str, sound: &str) -> Result<(), Failure> {
    ctl.server.ask(Method::GET, path, With::default()).await?.sound()?;
    if ctl.is_json() {
        print::line(&json!({"result": "ok"}).to_string());
    } else {
        ctl.tell(sound);
    }
    Ok(())
}

async fn check_ports(ctl: &Ctl) -> Result<(), Failure> {
    ctl.say("Testing TCP connections to all active listeners ...");
    let overview = ctl.server.get("/api/overview").await?;
    let mut closed = Vec::new();
    for listener in items(&overview["listeners"]) {
        let address = address_of(listener);
        let opened = match address {
            Some(address) => TcpStream::connect(address).await.is_ok(),
            None => false,
        };
        if !opened {
            let ip = listener["ip_address"].as_str().unwrap_or_default();
            closed.push(format!("{ip}:{}", at(listener, "port")));
        }
    }
    if closed.is_empty() {
        ctl.tell("Successfully connected to all ports.");
        return Ok(());
    }
    let text = format!("Connection attempts failed to: {}", closed.join(", "));
    Err(Failure { code: UNAVAILABLE, text })
}

/// Where to reach it from here: that it listens on every address is no place to go.
fn address_of(listener: &Value) -> Option<SocketAddr> {
    let ip: IpAddr = listener["ip_address"].as_str()?.parse().ok()?;
    let ip = match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => [127, 0, 0, 1].into(),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Some(SocketAddr::new(ip, u16::try_from(listener["port"].as_u64()?).ok()?))
}

async fn listeners(ctl: &Ctl) -> Result<(), Failure> {
    ctl.say("Asking the server to report its protocol listeners ...");
    let overview = ctl.server.get("/api/overview").await?;
    if ctl.is_json() {
        print::line(&json!({"listeners": overview["listeners"]}).to_string());
        return Ok(());
    }
    print::text(&shown_listeners(&overview));
    Ok(())
}

fn shown_listeners(overview: &Value) -> String {
    let shown = |listener: &Value| {
        let text = |name| at(listener, name).as_str().unwrap_or_default().to_owned();
        let purpose = match text("protocol").as_str() {
            "amqp" => "AMQP 0-9-1",
            "http" => "HTTP API",
            "http/prometheus" => "Prometheus exporter API over HTTP",
            _ => "",
        };
        let (ip, port, protocol) = (text("ip_address"), at(listener, "port"), text("protocol"));
        let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
        format!("Interface: {ip}, port: {port}, protocol: {protocol}, purpose: {purpose}\n")
    };
    items(&overview["listeners"]).iter().map(shown).collect()
}

async fn status(ctl: &Ctl) -> Result<(), Failure> {
    let (overview, node) = (ctl.server.get("/api/overview").await?, node(ctl).await?);
    if ctl.is_json() {
        print::line(
            &json!({
                "pid": node["os_pid"].as_str().and_then(|pid| pid.parse::<u32>().ok()),
                "node": node["name"],
                "product_name": overview["product_name"],
                "product_version": overview["product_version"],
                "rabbitmq_version": overview["rabbitmq_version"],
                "uptime": node["uptime"].as_u64().map(|ms| ms / 1_000),
                "data_directory": node["db_dir"],
                "active_plugins": node["enabled_plugins"],
                "alarms": alarms(&node),
                "memory": {"total": {"rss": node["mem_used"]}},
                "vm_memory_limit": node["mem_limit"],
                "disk_free": node["disk_free"],
                "disk_free_limit": node["disk_free_limit"],
                "file_descriptors": {"total_used": node["fd_used"], "total_limit": node["fd_total"]},
                "run_queue": node["run_queue"],
                "listeners": overview["listeners"],
                "totals": overview["object_totals"],
            })
            .to_string(),
        );
        return Ok(());
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    ctl.say(&format!("Status of node {} ...", text(&node["name"])));
    let uptime_s = node["uptime"].as_u64().unwrap_or(0) / 1_000;
    let totals = &overview["object_totals"];
    let sections = [
        (
            "Runtime",
            format!(
                "OS PID: {}\nOS: Linux\nUptime (seconds): {uptime_s}\nIs under maintenance?: false\n\
                 RabbitMQ version: {}\n{} version: {}\nNode name: {}\n",
                text(&node["os_pid"]),
                text(&overview["rabbitmq_version"]),
                text(&overview["product_name"]),
                text(&overview["product_version"]),
                text(&node["name"]),
            ),
        ),
        ("Data directory", format!("Node data directory: {}\n", text(&node["db_dir"]))),
        ("Alarms", shown_alarms(&node)),
        (
            "Memory",
            format!(
                "Total memory used: {} gb\nMemory high watermark: {} gb\n",
                gigabytes(&node["mem_used"]),
                gigabytes(&node["mem_limit"])
            ),
        ),
        ("File Descriptors", format!("Total: {}, limit: {}\n", node["fd_used"], node["fd_total"])),
        (
            "Free Disk Space",
            format!(
                "Low free disk space watermark: {} gb\nFree disk space: {} gb\n",
                gigabytes(&node["disk_free_limit"]),
                gigabytes(&node["disk_free"])
            ),
        ),
        (
            "Totals",
            format!("Connection count: {}\nQueue count: {}\n", totals["connections"], totals["queues"]),
        ),
        ("Listeners", shown_listeners(&overview)),
    ];
    print_sections(&sections);
    Ok(())
}

fn print_sections(sections: &[(&str, String)]) {
    let shown = sections.iter().map(|(title, text)| format!("{title}\n\n{text}"));
    print::text(&shown.collect::<Vec<_>>().join("\n"));
}

fn gigabytes(bytes: &Value) -> String {
    format!("{:.4}", bytes.as_f64().unwrap_or(0.0) / 1e9)
}

pub fn alarms(node: &Value) -> Vec<&'static str> {
    let alarms = [("mem_alarm", "memory"), ("disk_free_alarm", "disk")];
    alarms.into_iter().filter(|(name, _)| node[*name] == true).map(|(_, alarm)| alarm).collect()
}

fn shown_alarms(node: &Value) -> String {
    let alarms = alarms(node);
    if alarms.is_empty() {
        return "(none)\n".to_owned();
    }
    alarms.iter().map(|alarm| format!("{alarm} alarm\n")).collect()
}

async fn cluster_status(ctl: &Ctl) -> Result<(), Failure> {
    let (overview, node) = (ctl.server.get("/api/overview").await?, node(ctl).await?);
    let cluster = ctl.server.get("/api/cluster-name").await?;
    let (name, version) = (&node["name"], &overview["rabbitmq_version"]);
    if ctl.is_json() {
        print::line(
            &json!({
                "cluster_name": cluster["name"],
                "disk_nodes": [name],
                "ram_nodes": [],
                "running_nodes": [name],
                "alarms": alarms(&node),
                "partitions": {},
                "listeners": {name.as_str().unwrap_or_default(): overview["listeners"]},
            })
            .to_string(),
        );
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ctl.say(&format!("Cluster status of node {} ...", text(name)));
    let sections = [
        ("Basics", format!("Cluster name: {}\n", text(&cluster["name"]))),
        ("Disk Nodes", format!("{}\n", text(name))),
        ("Running Nodes", format!("{}\n", text(name))),
        ("Versions", format!("{}: RabbitMQ {}\n", text(name), text(version))),
        ("Alarms", shown_alarms(&node)),
        ("Network Partitions", "(none)\n".to_owned()),
        ("Listeners", shown_listeners(&overview)),
    ];
    print_sections(&sections);
    Ok(())
}

/// As RabbitMQ does, whether or not a server runs.
fn list_plugins(ctl: &Ctl, minimal: bool) {
    ctl.say("Listing what is always on: there are no other plugins");
    for plugin in PLUGINS {
        let version = &ctl.product_version;
        print::line(&if minimal { plugin.to_owned() } else { format!("[E*] {plugin:26} {version}") });
    }
}

/// What the API says of this server.
const PLUGINS: [&str; 3] = ["rabbitmq_management", "rabbitmq_management_agent", "rabbitmq_prometheus"];

async fn stop(ctl: &Ctl) -> Result<(), Failure> {
    ctl.say("Stopping and halting the server ...");
    ctl.server.ask(Method::POST, "/api/haremq/stop", With::default()).await?.sound()?;
    while ctl.server.is_there().await {
        sleep(POLL).await;
    }
    Ok(())
}

const POLL: Duration = Duration::from_millis(50);

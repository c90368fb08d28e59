//! `/api/nodes` and the health checks: this one server, in the words for a node of a cluster.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Refusal};
use super::list::Asked;
use super::process::Process;
use super::routes::{Need, Routes};
use super::site::{Api, Listening, Site};
use super::watch::number_with_rate;
use crate::config::{LogConsole, Logs};

pub fn routes(routes: Routes) -> Routes {
    use Need::{Management, Monitoring};
    routes
        .get("/api/nodes", Monitoring, list)
        .get("/api/nodes/{node}", Monitoring, one)
        .get("/api/nodes/{node}/memory", Monitoring, memory)
        .get("/api/health/checks/alarms", Management, alarms)
        .get("/api/health/checks/local-alarms", Management, alarms)
        .get("/api/health/checks/port-listener/{port}", Management, port_listener)
        .get("/api/health/checks/protocol-listener/{protocol}", Management, protocol_listener)
        .get("/api/health/checks/virtual-hosts", Management, in_service)
        .get("/api/health/checks/is-in-service", Management, in_service)
        .get("/api/health/checks/ready-to-serve-clients", Management, in_service)
        .get("/api/health/checks/below-node-connection-limit", Management, in_service)
        .get("/api/health/checks/certificate-expiration/{within}/{unit}", Management, certificates)
        .get("/api/health/checks/node-is-quorum-critical", Management, single_node)
        .get("/api/health/checks/node-is-mirror-sync-critical", Management, single_node)
}

async fn list(State(api): State<Api>, Query(asked): Query<Asked>) -> Answer {
    asked.list(vec![shown(&api)])
}

async fn one(State(api): State<Api>, Path(name): Path<String>, Query(asked): Query<Asked>) -> Answer {
    check(&api.site, &name)?;
    asked.one(shown(&api))
}

/// What takes memory: ours are the bodies, which RabbitMQ calls binaries, and the rest of the process.
async fn memory(State(site): State<Arc<Site>>, Path(name): Path<String>) -> Answer {
    check(&site, &name)?;
    let (process, bodies) = (Process::look(), site.budget.used_bytes() as u64);
    let mut memory: Map<String, Value> = NOT_OURS.iter().map(|name| ((*name).to_owned(), json!(0))).collect();
    memory.insert("binary".to_owned(), json!(bodies));
    memory.insert("other_system".to_owned(), json!(process.resident_bytes.saturating_sub(bodies)));
    memory.insert("strategy".to_owned(), json!("rss"));
    let total = process.resident_bytes;
    memory.insert("total".to_owned(), json!({"rss": total, "allocated": total, "erlang": total}));
    answer::body(json!({"memory": memory}))
}

/// RabbitMQ's kinds of memory that there are none of here.
const NOT_OURS: &[&str] = &[
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "queue_procs",
    "queue_slave_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "metadata_store",
    "metadata_store_ets",
    "other_proc",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "other_ets",
    "msg_index",
    "code",
    "atom",
    "allocated_unused",
    "reserved_unallocated",
];

fn check(site: &Site, name: &str) -> Result<(), Refusal> {
    if *name == *site.node { Ok(()) } else { Err(Refusal::NotFound) }
}

fn shown(api: &Api) -> Value {
    let (site, process) = (&api.site, Process::look());
    let mut node = Map::new();
    let mut put = |name: &str, value: Value| _ = node.insert(name.to_owned(), value);
    put("name", json!(site.node));
    put("type", json!("disc"));
    put("running", json!(true));
    put("being_drained", json!(false));
    put("os_pid", json!(std::process::id().to_string()));
    put("fd_total", json!(process.files_max));
    put("sockets_total", json!(process.files_max));
    put("proc_total", json!(process.threads_max));
    put("mem_limit", json!(site.budget.limit_bytes()));
    put("mem_alarm", json!(site.budget.alarm()));
    put("mem_calculation_strategy", json!("rss"));
    put("disk_free_limit", json!(site.disk_free_min.bytes()));
    put("disk_free_alarm", json!(site.is_low_on_disk()));
    put("rates_mode", json!("basic"));
    put("uptime", json!(site.started.elapsed().as_millis() as u64));
    put("run_queue", json!(0));
    put("processors", json!(std::thread::available_parallelism().map_or(1, usize::from)));
    put("exchange_types", json!(super::overview::exchange_types()));
    let mechanism = |name: &str| json!({"name": name, "description": format!("SASL {name} authentication mechanism"), "enabled": true});
    put("auth_mechanisms", json!([mechanism("PLAIN"), mechanism("AMQPLAIN")]));
    let application = |name: &str, description: &str| json!({"name": name, "description": description, "version": site.product_version});
    put(
        "applications",
        json!([
            application("rabbit", "RabbitMQ-compatible broker"),
            application("rabbitmq_management", "HTTP API"),
            application("rabbitmq_prometheus", "Prometheus metrics"),
        ]),
    );
    // What those plugins do is always on.
    put(
        "enabled_plugins",
        json!(["rabbitmq_management", "rabbitmq_management_agent", "rabbitmq_prometheus"]),
    );
    put("contexts", json!(site.contexts()));
    put("log_files", json!(log_files(&api.common.config.logs)));
    put("db_dir", json!(site.data_dir.display().to_string()));
    put("config_files", json!([]));
    put("net_ticktime", json!(60));
    put("rabbitmq_version", json!(site.product_version));
    put("erlang_version", json!(""));
    put("erlang_full_version", json!(""));
    put("crypto_lib_version", json!(""));
    put("partitions", json!([]));
    put("cluster_links", json!([]));
    put("metrics_gc_queue_length", json!({}));
    for (name, value) in [
        ("fd_used", process.files),
        ("sockets_used", api.common.counter("connections")),
        ("proc_used", process.threads),
        ("mem_used", process.resident_bytes),
        ("disk_free", site.disk_free().unwrap_or(0)),
        ("context_switches", process.context_switches),
        ("io_read_count", process.reads),
        ("io_read_bytes", process.read_bytes),
        ("io_write_count", process.writes),
        ("io_write_bytes", process.write_bytes),
        // Nothing here collects garbage.
        ("gc_num", 0),
        ("gc_bytes_reclaimed", 0),
    ] {
        number_with_rate(&mut node, name, value, 0.0);
    }
    for (name, count) in api.common.churn() {
        number_with_rate(&mut node, name, count, api.watch.rates().churn(name));
    }
    Value::Object(node)
}

/// Names of files, and the console by RabbitMQ's.
fn log_files(logs: &Logs) -> Vec<String> {
    let console = match logs.log_console {
        LogConsole::Stderr => Some("<stderr>".to_owned()),
        LogConsole::Stdout => Some("<stdout>".to_owned()),
        LogConsole::Off => None,
    };
    logs.file().map(|file| file.display().to_string()).into_iter().chain(console).collect()
}

impl Site {
    pub fn listeners(&self) -> Vec<Value> {
        let shown = |it: &Listening| {
            json!({
                "node": self.node,
                "protocol": it.protocol,
                "ip_address": it.address.ip().to_string(),
                "port": it.address.port(),
                "socket_opts": {},
            })
        };
        self.listening.iter().map(shown).collect()
    }

    /// What is served over HTTP.
    pub fn contexts(&self) -> Vec<Value> {
        let http = self.listening.iter().filter(|it| it.protocol.starts_with("http"));
        let shown = |it: &Listening| {
            let description =
                if it.protocol == "http" { "RabbitMQ Management" } else { "RabbitMQ Prometheus" };
            json!({
                "node": self.node,
                "description": description,
                "path": "/",
                "ip": it.address.ip().to_string(),
                "port": it.address.port().to_string(),
            })
        };
        http.map(shown).collect()
    }
}

/// Alarms of memory and disk.
async fn alarms(State(site): State<Arc<Site>>) -> Response {
    let memory = site.budget.alarm().then_some("memory");
    let disk = site.is_low_on_disk().then_some("disk");
    let alarms: Vec<Value> = memory
        .into_iter()
        .chain(disk)
        .map(|resource| json!({"node": site.node, "resource": resource}))
        .collect();
    if alarms.is_empty() {
        return sound(json!({}));
    }
    failed("There are alarms in effect in the cluster", json!({"alarms": alarms}))
}

async fn port_listener(State(site): State<Arc<Site>>, Path(port): Path<String>) -> Result<Response, Refusal> {
    let port: u16 = port.parse().map_err(|_| Refusal::BadRequest("Invalid port".to_owned()))?;
    let ports: Vec<u16> = site.listening.iter().map(|it| it.address.port()).collect();
    Ok(if ports.contains(&port) {
        sound(json!({"port": port}))
    } else {
        failed("No active listener", json!({"missing": port, "ports": ports}))
    })
}

async fn protocol_listener(State(site): State<Arc<Site>>, Path(protocol): Path<String>) -> Response {
    let protocols: Vec<&str> = site.listening.iter().map(|it| it.protocol).collect();
    let known = |name: &str| protocols.contains(&name);
    let is_there = match protocol.as_str() {
        "amqp" | "amqp091" | "amqp0.9.1" | "amqp0-9-1" => known("amqp"),
        other => known(other),
    };
    if is_there {
        sound(json!({"protocol": protocol}))
    } else {
        failed("No active listener", json!({"missing": protocol, "protocols": protocols}))
    }
}

/// Of one server these hold as long as it answers.
async fn in_service(State(api): State<Api>) -> Response {
    if api.common.published.iter().all(|shard| shard.is_up()) {
        sound(json!({}))
    } else {
        failed("the server is starting or stopping", json!({}))
    }
}

/// What only clusters and TLS have trouble with.
async fn single_node() -> Response {
    sound(json!({"reason": "single node cluster"}))
}

async fn certificates(Path((within, unit)): Path<(String, String)>) -> Result<Response, Refusal> {
    let known = ["days", "weeks", "months", "years"];
    if !known.contains(&unit.as_str()) {
        return Err(Refusal::BadRequest(
            "Time unit not recognised. Use: days, weeks, months, years.".to_owned(),
        ));
    }
    within.parse::<u32>().map_err(|_| Refusal::BadRequest("Invalid expiration".to_owned()))?;
    // No listener has a certificate.
    Ok(sound(json!({})))
}

fn sound(more: Value) -> Response {
    Json(joined(json!({"status": "ok"}), more)).into_response()
}

fn failed(reason: &str, more: Value) -> Response {
    let body = joined(json!({"status": "failed", "reason": reason}), more);
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

fn joined(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

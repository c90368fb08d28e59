//! Metrics of a broker with queues, connections and names that are hard to write, as Prometheus' own client reads them.

use super::suite::{missing, ours};
use crate::common::http::{ask, put};
use crate::common::wire::{Wire, declare};
use crate::common::{Broker, scratch_folder};
use serde_json::json;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

/// All families that /metrics/detailed has.
const FAMILIES: &[&str] = &[
    "queue_coarse_metrics",
    "queue_consumer_count",
    "queue_metrics",
    "queue_delivery_metrics",
    "connection_coarse_metrics",
    "connection_metrics",
    "channel_metrics",
    "channel_exchange_metrics",
    "exchange_metrics",
    "exchange_names",
    "connection_churn_metrics",
];
/// With what ends a label, a line, a comment or a string, in this format or in others.
const NAMES: &[&str] = &[
    "a\"b",
    "a\\",
    "a\nb",
    "a\rb",
    "\u{2028}\u{85}",
    "{x=\"y\"} 1",
    "# TYPE q gauge",
    "\0",
    "é\u{10FFFF}",
    " ",
];

pub fn what_prometheus_reads_is_as_it_wants_it() {
    // They are at a port that its URI does not tell.
    if std::env::var_os("HAREMQ_TEST_URI").is_some() {
        return;
    }
    let python = ours().join(".venv/bin/python");
    if !python.exists() {
        return missing("prometheus_client (tests/suites/install-suites.sh)");
    }
    let broker = Broker::start();
    let _wires = peopled(&broker);
    let folder = scratch_folder();
    let detailed: Vec<String> = FAMILIES.iter().map(|family| format!("family={family}")).collect();
    let pages = [
        ("aggregated", "/metrics".to_owned()),
        ("per-object", "/metrics/per-object".to_owned()),
        ("detailed", format!("/metrics/detailed?{}", detailed.join("&"))),
    ];
    let files = pages.map(|(name, path)| {
        let file = folder.join(name);
        fs::write(&file, metrics(broker.http, &path)).expect("our own folder");
        file
    });
    let said = Command::new(python).arg(ours().join("metrics.py")).args(files).output().expect("it runs");
    let [out, err] = [said.stdout, said.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(said.status.success(), "{out}{err}");
    eprint!("{out}");
    let _ = fs::remove_dir_all(folder);
}

fn metrics(http: SocketAddr, path: &str) -> String {
    let answer = ask(http, "GET", path, None, "");
    assert_eq!(answer.status, 200, "{path}");
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{path}: {}", answer.head);
    answer.body
}

/// Messages went through it, and connections stay.
fn peopled(broker: &Broker) -> Vec<Wire> {
    for (at, name) in NAMES.iter().enumerate() {
        let name: String = name.bytes().map(|octet| format!("%{octet:02X}")).collect();
        put(broker.http, &format!("/api/vhosts/{name}"), &json!({}));
        put(broker.http, &format!("/api/queues/{name}/{name}"), &json!({}));
        put(broker.http, &format!("/api/exchanges/%2F/{name}{at}"), &json!({"type": "fanout"}));
    }
    let mut wires = vec![Wire::open(broker.amqp), Wire::open(broker.amqp)];
    for wire in &mut wires {
        wire.channel(1);
        wire.channel(2);
        wire.call(1, declare("q"), "queue.declare-ok");
        wire.publish(1, "", "q", false, b"x");
    }
    wires
}

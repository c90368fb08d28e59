//! RabbitMQ's variables, as its image and its scripts take them. Ours, `HAREMQ_...`, are the flags' own and count more.

use super::layers::{At, Layer, Wrong};
use std::fs;

/// Variables that are flags' by another name.
const FLAGS: &[(&str, &str)] = &[
    ("RABBITMQ_DEFAULT_USER", "default-user"),
    ("RABBITMQ_DEFAULT_PASS", "default-pass"),
    ("RABBITMQ_DEFAULT_VHOST", "default-vhost"),
    ("RABBITMQ_NODENAME", "node-name"),
];

/// What they name is in a file, of which the last line end does not count.
const FILES: &[(&str, &str)] = &[
    ("RABBITMQ_DEFAULT_USER_FILE", "default-user"),
    ("RABBITMQ_DEFAULT_PASS_FILE", "default-pass"),
    ("RABBITMQ_DEFAULT_VHOST_FILE", "default-vhost"),
];

/// Variables of which nothing comes here, and why.
const IGNORED: &[(&str, &str)] = &[
    ("RABBITMQ_ADVANCED_CONFIG_FILE", "Erlang terms are not read; rabbitmq.conf and haremq.toml are"),
    ("RABBITMQ_CONF_ENV_FILE", "shell scripts are not run; set the variables themselves"),
    ("RABBITMQ_ERLANG_COOKIE", "there are no other nodes"),
    ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "there is no Erlang"),
    ("RABBITMQ_SERVER_ERL_ARGS", "there is no Erlang"),
    ("RABBITMQ_ENABLED_PLUGINS", "there are no plugins: the HTTP API and metrics are always there"),
    ("RABBITMQ_DIST_PORT", "there are no other nodes"),
    ("RABBITMQ_LOG_BASE", "use log.dir, or a whole path in RABBITMQ_LOGS"),
];

/// Variables with which a listener or a limit would be missed, and what to set instead. RabbitMQ's image ends at them too.
const REFUSED: &[(&str, &str)] = &[
    ("RABBITMQ_SSL_CERTFILE", "TLS is not spoken"),
    ("RABBITMQ_SSL_KEYFILE", "TLS is not spoken"),
    ("RABBITMQ_SSL_CACERTFILE", "TLS is not spoken"),
    ("RABBITMQ_MANAGEMENT_SSL_CERTFILE", "TLS is not spoken"),
    ("RABBITMQ_MANAGEMENT_SSL_KEYFILE", "TLS is not spoken"),
    ("RABBITMQ_MANAGEMENT_SSL_CACERTFILE", "TLS is not spoken"),
    ("RABBITMQ_VM_MEMORY_HIGH_WATERMARK", "use vm_memory_high_watermark in rabbitmq.conf"),
];

/// What RabbitMQ's variables say. An empty one says nothing, as in RabbitMQ's scripts.
pub fn read(
    variable: &dyn Fn(&str) -> Option<String>,
    wrong: &mut Vec<Wrong>,
    ignored: &mut Vec<Wrong>,
) -> Layer {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut layer = Layer::default();
    for (name, flag) in FILES {
        if let Some(file) = set(name) {
            match fs::read_to_string(&file) {
                Ok(text) => layer.set(flag, text.trim_end_matches(['\r', '\n']), &At::Variable(name)),
                Err(error) => wrong.push(of(name, format!("{file}: {error}"))),
            }
        }
    }
    for (name, flag) in FLAGS {
        if let Some(value) = set(name) {
            layer.set(flag, value, &At::Variable(name));
        }
    }
    listener(&set, &mut layer);
    data_dir(&set, &mut layer);
    logs(&set, &mut layer, ignored);
    let found = |table: &[(&'static str, &str)]| -> Vec<Wrong> {
        let found = table.iter().filter(|(name, _)| set(name).is_some());
        found.map(|(name, why)| of(name, (*why).to_owned())).collect()
    };
    wrong.extend(found(REFUSED));
    ignored.extend(found(IGNORED));
    layer
}

fn of(name: &'static str, text: String) -> Wrong {
    Wrong { at: Some(At::Variable(name)), text }
}

fn listener(set: &dyn Fn(&str) -> Option<String>, layer: &mut Layer) {
    let (port, ip) = (set(PORT), set(IP));
    match (port, ip) {
        (None, None) => {}
        (Some(port), None) => layer.set("amqp-listen", port, &At::Variable(PORT)),
        (port, Some(ip)) => {
            let port = port.unwrap_or_else(|| "5672".to_owned());
            layer.set("amqp-listen", format!("{ip}:{port}"), &At::Variable(IP));
        }
    }
}

const PORT: &str = "RABBITMQ_NODE_PORT";
const IP: &str = "RABBITMQ_NODE_IP_ADDRESS";

fn data_dir(set: &dyn Fn(&str) -> Option<String>, layer: &mut Layer) {
    for name in ["RABBITMQ_MNESIA_BASE", "RABBITMQ_MNESIA_DIR"] {
        if let Some(folder) = set(name) {
            layer.set("data-dir", folder, &At::Variable(name));
        }
    }
}

/// `RABBITMQ_LOGS` is a file, or `-` for the console; `RABBITMQ_LOG` is a level, or `category=level`, several with commas.
fn logs(set: &dyn Fn(&str) -> Option<String>, layer: &mut Layer, ignored: &mut Vec<Wrong>) {
    const LOGS: &str = "RABBITMQ_LOGS";
    const LOG: &str = "RABBITMQ_LOG";
    match set(LOGS).as_deref() {
        None => {}
        Some("-") => layer.set("log-file", "off", &At::Variable(LOGS)),
        Some(file) => layer.set("log-file", file, &At::Variable(LOGS)),
    }
    for part in set(LOG).iter().flat_map(|all| all.split(',')) {
        match part.split_once('=') {
            None => layer.set("log-level", part, &At::Variable(LOG)),
            Some(("connection", level)) => layer.set("log-connection-level", level, &At::Variable(LOG)),
            Some(("channel", level)) => layer.set("log-channel-level", level, &At::Variable(LOG)),
            Some((category, _)) => ignored.push(of(LOG, format!("nothing is logged of category {category}"))),
        }
    }
}

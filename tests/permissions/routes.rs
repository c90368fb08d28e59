//! The routes of the HTTP API, read from its source: what is added there is tried here.

use regex::Regex;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Route {
    pub method: String,
    /// With `{names}` of what is to be filled in.
    pub path: String,
}

/// Those that RabbitMQ has not are left out. In an order in which what is deleted was used before.
pub fn all() -> Vec<Route> {
    let route = Regex::new(r#"\.(get|post|put|delete)\(\s*"(/api/[^"]*)""#).expect("a pattern of ours");
    let mut routes = Vec::new();
    for source in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/management")) {
        routes.extend(
            route
                .captures_iter(&source)
                .map(|found| Route { method: found[1].to_ascii_uppercase(), path: found[2].to_owned() }),
        );
    }
    routes.retain(|route| !route.path.starts_with("/api/haremq/"));
    routes.sort_by_key(|route| (route.method == "DELETE", route.clone()));
    routes
}

fn sources(folder: &Path) -> Vec<String> {
    let entries =
        folder.read_dir().expect("our own folder").map(|entry| entry.expect("it is readable").path());
    entries
        .flat_map(|path| match path.extension() {
            None => sources(&path),
            Some(ending) if ending == "rs" => vec![fs::read_to_string(path).expect("our own source")],
            Some(_) => Vec::new(),
        })
        .collect()
}

impl Route {
    /// Whether there is such a thing in the path.
    pub fn names(&self, what: &str) -> bool {
        self.path.contains(&format!("{{{what}}}"))
    }

    /// The path with a vhost and a user of that name, and otherwise with what `prepare` makes.
    pub fn filled(&self, vhost: &str, user: &str, node: &str) -> String {
        let name = Regex::new(r"\{(\w+)\}").expect("a pattern of ours");
        let filled = name.replace_all(&self.path, |found: &regex::Captures<'_>| match &found[1] {
            "vhost" => vhost.to_owned(),
            "user" => user.to_owned(),
            "node" => node.to_owned(),
            "exchange" | "source" => "x".to_owned(),
            "queue" | "destination" => "q".to_owned(),
            "kind" => "q".to_owned(),
            "props" => "key".to_owned(),
            "within" => "1".to_owned(),
            "unit" => "weeks".to_owned(),
            "limit" => "max-connections".to_owned(),
            other => other.to_owned(),
        });
        filled.into_owned()
    }

    /// A body that is accepted from those who may send one.
    pub fn body(&self) -> Value {
        let path = self.path.strip_prefix("/api/").expect("all routes begin with it");
        let kind = path.split('/').next().unwrap_or_default();
        match (self.method.as_str(), kind) {
            ("PUT", "users") => json!({"password": "secret", "tags": "management"}),
            ("PUT", "permissions") => json!({"configure": "", "write": "", "read": ""}),
            ("PUT", "topic-permissions") => json!({"exchange": "x", "write": "", "read": ""}),
            ("PUT", "vhost-limits" | "user-limits") => json!({"value": 100}),
            ("PUT", "policies" | "operator-policies") => {
                json!({"pattern": "^none$", "definition": {"max-length": 1}})
            }
            ("PUT", "exchanges") => json!({"type": "direct", "durable": false}),
            ("PUT", "queues") => json!({"durable": false}),
            ("PUT", "parameters" | "global-parameters") => json!({"value": {"max-connections": 100}}),
            ("PUT", "cluster-name") => json!({"name": "rabbit@localhost"}),
            ("POST", "bindings") => json!({"routing_key": "key"}),
            ("POST", "exchanges") => {
                json!({"properties": {}, "routing_key": "key", "payload": "", "payload_encoding": "string"})
            }
            ("POST", "queues") if path.ends_with("/get") => {
                json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"})
            }
            ("POST", "queues") => json!({"action": "sync"}),
            ("POST", "users") => json!({"users": ["nobody"]}),
            ("PUT" | "POST", _) => json!({}),
            _ => Value::Null,
        }
    }
}

//! From RabbitMQ's settings to values by flag.

use super::conf::Setting;
use super::keys::{self, Meaning};
use super::layers::{Layer, Values, Wrong};
use std::collections::BTreeMap;
use std::path::Path;

/// What the settings of all files together say. Of a key that stands in several places the last one counts.
pub fn read(settings: Vec<Setting>, wrong: &mut Vec<Wrong>, ignored: &mut Vec<Wrong>) -> Layer {
    let last: BTreeMap<String, Setting> = settings.into_iter().map(|it| (it.key.clone(), it)).collect();
    let mut by_flag: BTreeMap<&str, Vec<Setting>> = BTreeMap::new();
    for setting in last.into_values() {
        let at = Some(setting.at.clone());
        let key = &setting.key;
        match keys::meaning(key) {
            Some(Meaning::Sets(flag)) => by_flag.entry(flag).or_default().push(setting),
            Some(Meaning::Only(values, _)) if values.contains(&&*setting.value) => {}
            Some(Meaning::Only(values, why)) => {
                let text = format!("{key} can only be {}: {why}", values[0]);
                wrong.push(Wrong { at, text });
            }
            Some(Meaning::Ignored(why)) => ignored.push(Wrong { at, text: format!("{key}: {why}") }),
            Some(Meaning::Refused(why)) => wrong.push(Wrong { at, text: format!("{key}: {why}") }),
            None => wrong.push(Wrong { at, text: unknown(key) }),
        }
    }
    let mut layer = Layer::default();
    for (flag, settings) in by_flag {
        match values(flag, &settings) {
            Ok(values) if values.is_empty() => ignored.extend(settings.iter().map(alone)),
            Ok(values) => drop(layer.0.insert(flag.to_owned(), values)),
            Err(error) => wrong.push(error),
        }
    }
    layer
}

fn unknown(key: &str) -> String {
    match keys::nearest(key) {
        Some(other) => format!("unknown key `{key}`; is it `{other}`?"),
        None => format!("unknown key `{key}`"),
    }
}

fn alone(setting: &Setting) -> Wrong {
    Wrong { at: Some(setting.at.clone()), text: format!("{}: it says nothing alone", setting.key) }
}

/// What the keys of a flag say together; there is at least one.
fn values(flag: &str, settings: &[Setting]) -> Result<Values, Wrong> {
    let named = |key: &str| settings.iter().find(|setting| setting.key == key);
    let one = |setting: &Setting, value: String| Ok(vec![(value, setting.at.clone())]);
    match flag {
        "amqp-listen" => match named("listeners.tcp") {
            Some(none) => one(none, none.value.clone()),
            None => Ok(all(settings)),
        },
        "http-listen" | "prometheus-listen" => socket(settings),
        "memory-high" | "disk-free-min" => match settings.iter().find(|it| it.key.ends_with(".relative")) {
            Some(relative) => one(relative, fraction(&relative.value)),
            None => Ok(all(settings)),
        },
        "auth-mechanisms" => Ok(all(settings)),
        "loopback-users" => match named("loopback_users") {
            Some(none) => one(none, none.value.clone()),
            None => switched_on(settings),
        },
        "default-user-tags" => switched_on(settings),
        "log-level" => Ok(last(named("log.console.level").or(settings.last()))),
        "log-console" => match (named("log.console"), named("log.console.stdio")) {
            (Some(console), Some(stdio)) if console.value == "true" => one(stdio, stdio.value.clone()),
            (console, stdio) => Ok(last(console.or(stdio))),
        },
        "log-file" => Ok(log_file(named("log.dir"), named("log.file"))),
        _ => Ok(last(settings.last())),
    }
}

fn last(setting: Option<&Setting>) -> Values {
    setting.map(|setting| (setting.value.clone(), setting.at.clone())).into_iter().collect()
}

fn all(settings: &[Setting]) -> Values {
    settings.iter().map(|setting| (setting.value.clone(), setting.at.clone())).collect()
}

/// A fraction is told from bytes by its point.
fn fraction(value: &str) -> String {
    if value.contains('.') { value.to_owned() } else { format!("{value}.0") }
}

/// Address and port are two keys, of which one may be missing.
fn socket(settings: &[Setting]) -> Result<Values, Wrong> {
    let ends = |end: &str| settings.iter().rfind(|setting| setting.key.ends_with(end));
    let default = if settings[0].key.starts_with("prometheus") { "15692" } else { "15672" };
    Ok(match (ends(".ip"), ends(".port")) {
        (Some(ip), port) => {
            let port = port.map_or(default, |port| &port.value);
            vec![(format!("{}:{port}", ip.value), ip.at.clone())]
        }
        (None, port) => last(port),
    })
}

/// The last words of the keys that are true: `default_user_tags.management = true`.
fn switched_on(settings: &[Setting]) -> Result<Values, Wrong> {
    let mut names = Vec::new();
    for setting in settings {
        let name = setting.key.split('.').next_back().unwrap_or_default();
        match &*setting.value {
            "true" => names.push(name),
            "false" => {}
            other => {
                let text = format!("{}: expected true or false, not {other}", setting.key);
                return Err(Wrong { at: Some(setting.at.clone()), text });
            }
        }
    }
    let names = if names.is_empty() { "none".to_owned() } else { names.join(",") };
    Ok(settings.last().map(|setting| (names, setting.at.clone())).into_iter().collect())
}

/// A folder alone asks for no file.
fn log_file(dir: Option<&Setting>, file: Option<&Setting>) -> Values {
    let Some(file) = file else { return Values::new() };
    let value = match (&*file.value, dir) {
        ("false", _) => "off".to_owned(),
        ("true", dir) => in_folder(dir, "haremq.log"),
        (name, dir) => in_folder(dir, name),
    };
    vec![(value, file.at.clone())]
}

fn in_folder(dir: Option<&Setting>, name: &str) -> String {
    let dir = dir.map_or("", |dir| &dir.value);
    Path::new(dir).join(name).to_string_lossy().into_owned()
}

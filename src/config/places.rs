//! Where the files are, as RabbitMQ looks for them, and ours beside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// In the order in which they are read: what comes later counts.
#[derive(Default, Debug)]
pub struct Places {
    /// RabbitMQ's.
    pub conf: Vec<PathBuf>,
    pub toml: Vec<PathBuf>,
}

impl Places {
    /// What `--config` or `check-config` names. The error is the first that is neither.
    pub fn named(files: &[PathBuf]) -> Result<Places, String> {
        let mut places = Places::default();
        for file in files.iter().filter(|file| file.as_os_str() != "none") {
            match file.extension().and_then(|it| it.to_str()) {
                Some("conf") => places.conf.push(file.clone()),
                Some("toml") => places.toml.push(file.clone()),
                _ => {
                    return Err(format!("{}: a file of settings is called .toml or .conf", file.display()));
                }
            }
        }
        Ok(places)
    }

    /// Where they usually are. What a variable names must be there, the rest may be.
    pub fn usual(variable: &dyn Fn(&str) -> Option<String>) -> io::Result<Places> {
        let named = variable("RABBITMQ_CONFIG_FILE").or_else(|| variable("RABBITMQ_CONF_FILE"));
        let more = variable("RABBITMQ_CONFIG_FILES").or_else(|| variable("RABBITMQ_CONF_FILES"));
        let mut conf = match named {
            Some(name) => vec![with_extension(&name)],
            None => present(Path::new("/etc/rabbitmq/rabbitmq.conf")),
        };
        match more {
            Some(name) => conf.extend(folder(folder_of(&name))?),
            None => conf.extend(folder(Path::new("/etc/rabbitmq/conf.d")).unwrap_or_default()),
        }
        Ok(Places { conf, toml: present(Path::new("/etc/haremq/haremq.toml")) })
    }
}

/// RabbitMQ's users leave `.conf` out, or not.
fn with_extension(name: &str) -> PathBuf {
    let whole = Path::new(name);
    if whole.extension().is_some_and(|it| it == "conf") {
        whole.into()
    } else {
        format!("{name}.conf").into()
    }
}

fn present(file: &Path) -> Vec<PathBuf> {
    if file.exists() { vec![file.into()] } else { Vec::new() }
}

/// `/some/where` or `/some/where/*.conf`
fn folder_of(name: &str) -> &Path {
    Path::new(name.strip_suffix("/*.conf").unwrap_or(name))
}

/// The files of RabbitMQ's format in a folder, by name.
fn folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|it| it == "conf"));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_says_the_format() {
        let files = ["b.conf", "a.conf", "c.toml"].map(PathBuf::from);
        let places = Places::named(&files).unwrap();
        assert_eq!(places.conf, ["b.conf", "a.conf"].map(PathBuf::from));
        assert_eq!(places.toml, ["c.toml"].map(PathBuf::from));
        assert!(Places::named(&["c.yaml".into()]).is_err() && Places::named(&["c".into()]).is_err());
        let none = Places::named(&["none".into()]).unwrap();
        assert!(none.conf.is_empty() && none.toml.is_empty());
    }

    #[test]
    fn variables_name_rabbitmqs_files_with_or_without_the_extension() {
        for name in ["/x/rabbit", "/x/rabbit.conf"] {
            let places =
                Places::usual(&|variable| (variable == "RABBITMQ_CONFIG_FILE").then(|| name.to_owned()));
            assert_eq!(places.unwrap().conf[0], Path::new("/x/rabbit.conf"));
        }
        let nowhere = |variable: &str| (variable == "RABBITMQ_CONFIG_FILES").then(|| "/no/where".to_owned());
        assert!(Places::usual(&nowhere).unwrap_err().to_string().contains("/no/where"));
    }
}

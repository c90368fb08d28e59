//! The rules of the house that a compiler does not hold: who may import whom, where `unsafe`, the runtime, clocks and
//! sockets may be named, how long a file may grow, and that links of the prose lead somewhere.

mod links;
mod page;
mod source;

use source::{Source, names, sources};

/// What the rooms build on; each of these uses only what stands before it.
const GROUND: &[&str] = &[
    "ids",
    "limits",
    "stats",
    "latency",
    "slots",
    "wheel",
    "budget",
    "amqp",
    "text",
    "access",
    "expiration",
    "message",
    "death",
    "pages",
    "settlement",
    "queue_args",
    "parameters",
];

/// Whom each module may import besides the ground. The rooms do not import each other: `shard`, the hall, carries
/// values between them.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("exchange", &[]),
    ("connection", &[]),
    ("queue", &[]),
    ("journal", &[]),
    ("mesh", &[]),
    ("topology", &["exchange"]),
    ("shard", &["exchange", "connection", "queue", "journal", "mesh", "topology"]),
    ("shard/start", &["shard", "journal", "mesh", "net", "config", "machine"]),
    ("walk", &["exchange", "connection", "queue", "journal", "mesh", "topology", "shard"]),
    ("inspect", &["journal", "topology", "shard"]),
    ("ctl", &[]),
    ("config", &["connection", "inspect", "ctl"]),
    ("log", &["config", "shard"]),
    ("systemd", &["shard"]),
    ("machine", &[]),
    ("net", &["shard", "config", "machine"]),
    ("management", &["shard", "exchange", "connection", "queue", "config", "machine", "net", "log"]),
    ("lib", &[]),
    ("main", &[]),
];

/// Code of the shell: it may name the runtime, clocks and sockets. All else in `src/` is the core, which takes bytes
/// and `now` and returns actions.
const SHELL: &[&str] = &[
    "src/main.rs",
    "src/config/",
    "src/ctl/",
    "src/inspect.rs",
    "src/log/",
    "src/machine.rs",
    "src/net/",
    "src/systemd/",
    "src/management/",
    "src/shard/start.rs",
    "src/shard/start/",
    "src/journal/disk.rs",
    "src/journal/flusher.rs",
];

const NOT_IN_THE_CORE: &[&str] = &[
    "glommio",
    "tokio",
    "socket2",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::os::fd",
    "std::os::unix",
    "std::fs",
    "std::thread",
    "thread_local!",
];

const GLOMMIO_FILES: &[&str] =
    &["src/net/", "src/mesh/doorbell.rs", "src/journal/flusher.rs", "src/shard/start.rs", "src/shard/start/"];

const FILE_LINES_MAX: usize = 600;

#[test]
fn rooms_do_not_import_each_other() {
    assert_none(sources("src").iter().flat_map(forbidden_imports));
}

#[test]
fn an_import_that_the_table_does_not_allow_is_found() {
    for (path, text) in [
        ("src/queue/ready.rs", "use crate::connection::Channel;"),
        ("src/queue/mod.rs", "use crate::{ids, mesh::{ring, doorbell}};"),
        ("src/amqp/frame.rs", "fn f() { crate::message::len() }"),
        ("src/message.rs", "use crate::pages::Page;"),
        ("src/queue/ready.rs", "use super::super::mesh::Ring;"),
        ("src/surprise.rs", ""),
    ] {
        assert_ne!(forbidden_imports(&Source::parse(path, text)), Vec::<String>::new(), "{path}: {text}");
    }
    for (path, text) in [
        ("src/queue/ready.rs", "use crate::{ids::QueueId, pages::{Page, Pages}}; use crate::queue::Entry;"),
        ("src/queue/ready.rs", "// crate::mesh\nconst S: &str = \"crate::mesh\"; /* crate::mesh */"),
        ("src/shard/dispatch.rs", "use crate::connection::Action;"),
    ] {
        assert_eq!(forbidden_imports(&Source::parse(path, text)), Vec::<String>::new(), "{path}: {text}");
    }
}

fn forbidden_imports(source: &Source) -> Vec<String> {
    let module = source.module();
    let ground = GROUND.iter().position(|name| *name == module);
    let allowed = match (ground, MAY_IMPORT.iter().find(|(name, _)| *name == module)) {
        (Some(at), _) => GROUND[..at].to_vec(),
        (None, Some((_, more))) => [GROUND, more].concat(),
        (None, None) => {
            return vec![format!("{}: module `{module}` is not in the import table", source.path)];
        }
    };
    let is_allowed = |name: &String| name == module || allowed.contains(&name.as_str());
    let imports = source.uses().into_iter().filter(|name| !is_allowed(name));
    let mut found: Vec<_> = imports.map(|name| format!("{} imports `crate::{name}`", source.path)).collect();
    // A test module inside the file is one deeper than the file.
    let reaches_root = source.supers() > source.depth();
    let hidden = source.supers() == source.depth() && !source.code.contains("#[cfg(test)]");
    if reaches_root || hidden {
        found.push(format!("{} reaches the crate's root by `super::`; say `crate::`", source.path));
    }
    found
}

#[test]
fn the_core_names_no_runtime_clock_socket_file_or_thread() {
    let sources = sources("src");
    assert!(sources.iter().any(is_core), "no file of the core was found");
    assert_none(sources.iter().flat_map(foreign_to_the_core));
}

#[test]
fn a_clock_in_the_core_is_found() {
    for text in [
        "use std::time::Instant;",
        "use std::time::{Duration, Instant};",
        "fn f() { let t = Instant::now(); }",
        "use std::net::{IpAddr, TcpStream};",
        "use glommio::yield_if_needed;",
        "thread_local! { static X: u8 = 0 }",
    ] {
        assert_ne!(
            foreign_to_the_core(&Source::parse("src/queue/mod.rs", text)),
            Vec::<String>::new(),
            "{text}"
        );
    }
    for text in ["use std::time::Duration;", "use std::net::SocketAddr;", "/// glommio\nstruct Instantly;"] {
        assert_eq!(
            foreign_to_the_core(&Source::parse("src/queue/mod.rs", text)),
            Vec::<String>::new(),
            "{text}"
        );
    }
}

fn foreign_to_the_core(source: &Source) -> Vec<String> {
    let foreign =
        NOT_IN_THE_CORE.iter().filter(|name| is_core(source) && names(source.code_that_ships(), name));
    foreign.map(|name| format!("{} names `{name}`", source.path)).collect()
}

fn is_core(source: &Source) -> bool {
    !lies_in(source, SHELL)
}

/// Whether a file is one of `places`, which are files, or folders with a `/` at their end.
fn lies_in(source: &Source, places: &[&str]) -> bool {
    places
        .iter()
        .any(|place| source.path == *place || (place.ends_with('/') && source.path.starts_with(place)))
}

#[test]
fn glommio_is_named_only_behind_the_seam() {
    let sources = sources("src");
    let named =
        sources.iter().filter(|source| names(&source.code, "glommio") && !lies_in(source, GLOMMIO_FILES));
    assert_none(named.map(|source| format!("{} names glommio", source.path)));
}

#[test]
fn unsafe_is_only_in_the_files_that_the_map_lists() {
    let map = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).expect("the map");
    let listed = listed_unsafe_files(&map);
    let holding: Vec<String> =
        sources("src").iter().filter(|s| names(&s.code, "unsafe")).map(|s| s.path.clone()).collect();
    assert_eq!(listed, holding, "left: the list in src/lib.rs; right: the files that hold `unsafe`");
}

/// The files in the paragraph of the map that begins its list with "`unsafe` occurs only in".
fn listed_unsafe_files(map: &str) -> Vec<String> {
    let docs: Vec<&str> = map.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let begin = docs
        .iter()
        .position(|line| line.contains("`unsafe` occurs only in"))
        .expect("the list of unsafe files");
    let paragraph = docs[begin..].split(|line| line.is_empty()).next().unwrap_or_default().join(" ");
    let mut files: Vec<String> =
        paragraph.split('`').filter(|word| word.ends_with(".rs")).map(|file| format!("src/{file}")).collect();
    files.sort();
    files
}

#[test]
fn the_load_generator_sees_only_the_codec_of_the_broker() {
    let sources = sources("loadgen/src");
    let imports = sources.iter().flat_map(|source| {
        let uses = source.code.split("haremq::").skip(1);
        uses.filter(|rest| !rest.starts_with("amqp") && !rest.starts_with("ids::"))
            .map(|rest| format!("{}: haremq::{rest:.20}", source.path))
    });
    assert_none(imports);
}

#[test]
fn no_file_is_longer_than_a_reader_bears() {
    let all = ["src", "loadgen/src", "benches", "tests", "fuzz"].iter().flat_map(|folder| sources(folder));
    let long: Vec<Source> = all.filter(|source| source.lines > FILE_LINES_MAX).collect();
    assert_none(long.iter().map(|source| format!("{} has {} lines", source.path, source.lines)));
}

fn assert_none(violations: impl Iterator<Item = String>) {
    let violations: Vec<String> = violations.collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

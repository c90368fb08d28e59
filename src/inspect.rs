//! `haremq store`: what is in a data folder, while no server uses it.
//!
//! It reads as a server that starts does, and changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;

use crate::access;
use crate::budget::Budget;
use crate::ids::QueueUid;
use crate::journal::record::{Place, Record};
use crate::journal::{Disk, OsDisk, Recovery, Scan, read_journal};
use crate::message::Message;
use crate::pages::Pages;
use crate::parameters::{self, Parameter};
use crate::shard::restart;
use crate::text::{self, Vhost};
use crate::topology::{self, Catalogue, DurableBinding, DurableEnd, DurableQueue};

/// What to do with a data folder.
#[derive(Subcommand, Clone, Debug)]
pub enum Action {
    /// Reads all of it and names what is damaged; ends with 1 if something is
    Verify { dir: PathBuf },
    /// Writes a line for each record, in the order of writing
    Dump { dir: PathBuf },
    /// Counts the messages and their bytes in each queue, and what the journals take on disk
    Stats { dir: PathBuf },
}

/// Whether all was sound. Errors are those of the disk, of a folder in use, or of an output that is closed.
pub fn run(action: &Action) -> io::Result<bool> {
    let (Action::Verify { dir } | Action::Dump { dir } | Action::Stats { dir }) = action;
    let disk = open(dir)?;
    let out = &mut io::stdout().lock();
    match action {
        Action::Verify { .. } => verify(&disk, out),
        Action::Dump { .. } => dump(&disk, out),
        Action::Stats { .. } => stats(&disk, out),
    }
}

fn open(dir: &Path) -> io::Result<OsDisk> {
    if !dir.join("lock").exists() {
        let text = format!("{} is not a data folder: it has no file `lock`", dir.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    OsDisk::new(dir)
}

fn verify(disk: &OsDisk, out: &mut impl Write) -> io::Result<bool> {
    let mut sound = true;
    for dir in dirs(disk)? {
        let scan = read_journal(disk, &dir, &mut |_, _, _| ())?;
        sound &= scan.damage.is_empty();
        tell(&dir, &scan, out)?;
    }
    writeln!(
        out,
        "{}",
        if sound { "sound" } else { "damaged: a server leaves that out and serves the rest" }
    )?;
    Ok(sound)
}

fn dump(disk: &OsDisk, out: &mut impl Write) -> io::Result<bool> {
    let mut sound = true;
    for dir in dirs(disk)? {
        let mut written = Ok(());
        let scan = read_journal(disk, &dir, &mut |at, kind, body| {
            if written.is_ok() {
                written = writeln!(out, "{dir} {at} {}", shown(kind, body));
            }
        })?;
        written?;
        sound &= scan.damage.is_empty();
        tell(&dir, &scan, out)?;
    }
    Ok(sound)
}

fn stats(disk: &OsDisk, out: &mut impl Write) -> io::Result<bool> {
    let mut catalogue = Catalogue::default();
    let mut sound = true;
    let mut names = BTreeMap::new();
    let scan = read_journal(disk, restart::TOPOLOGY, &mut |_, kind, body| catalogue.apply(kind, body))?;
    sound &= scan.damage.is_empty();
    tell(restart::TOPOLOGY, &scan, out)?;
    for (vhost, record) in catalogue.records() {
        if let topology::Record::QueueDeclared(queue) = record {
            names.insert(queue.uid, (vhost, queue));
        }
    }
    let mut counts: BTreeMap<QueueUid, (u64, u64)> = names.keys().map(|&uid| (uid, (0, 0))).collect();
    for dir in restart::journals(disk)?.into_values() {
        let mut recovery = Recovery::new(Pages::new(Arc::new(Budget::new(usize::MAX))));
        let scan = read_journal(disk, &dir, &mut |at, kind, body| recovery.record(at, kind, body))?;
        sound &= scan.damage.is_empty();
        tell(&dir, &scan, out)?;
        let recovered = recovery.finish(|uid| names.contains_key(&uid));
        for (uid, held) in &recovered.queues {
            let (messages, bytes) = counts.entry(*uid).or_default();
            *messages += held.messages.len() as u64;
            *bytes +=
                held.messages.values().map(|it| recovered.pages.read(it.message).body_bytes()).sum::<u64>();
        }
    }
    for (uid, (messages, bytes)) in counts {
        let Some((vhost, queue)) = names.get(&uid) else { continue };
        let (name, durability) = (Vhost(vhost).queue(&queue.name), queue.durability.name());
        writeln!(out, "{name}: {messages} messages, {bytes} bytes of bodies, {durability}")?;
    }
    Ok(sound)
}

fn dirs(disk: &OsDisk) -> io::Result<Vec<String>> {
    let topology = disk.list("")?.into_iter().filter(|name| name == restart::TOPOLOGY);
    Ok(topology.chain(restart::journals(disk)?.into_values()).collect())
}

fn tell(dir: &str, scan: &Scan, out: &mut impl Write) -> io::Result<()> {
    let bytes: u64 = scan.segments.iter().map(|segment| segment.bytes).sum();
    let records: u64 = scan.segments.iter().map(|segment| segment.records).sum();
    writeln!(out, "{dir}: {} segments, {bytes} bytes, {records} records", scan.segments.len())?;
    if let Some(at) = scan.cut {
        writeln!(out, "{dir}: the last write, at {at}, is not complete; nobody was told that it was")?;
    }
    for damage in &scan.damage {
        writeln!(out, "{dir}: damage from {} to {}: {:?}", damage.from, damage.to, damage.what)?;
    }
    scan.foreign.iter().try_for_each(|name| writeln!(out, "{dir}: {name} is not ours"))
}

/// A record in a line.
fn shown(kind: u8, body: &[u8]) -> String {
    if let Some((vhost, record)) = topology::Record::decode(kind, body) {
        return shown_topology(Vhost(&vhost), &record);
    }
    let Some(record) = Record::decode(kind, body) else {
        return format!("kind {kind}, {} bytes that make no sense", body.len());
    };
    let mut line = String::new();
    // Writing to a string does not fail.
    let _ = match record {
        Record::Message { tx, stamp_ms, message, places } => {
            let route = Message::checked(message).map_or_else(
                || "no message".to_owned(),
                |message| {
                    let (exchange, key) =
                        (text::lossy(message.exchange()), text::lossy(message.routing_key()));
                    format!("'{exchange}' '{key}', body of {} bytes", message.body_bytes())
                },
            );
            write!(line, "message {route}, taken {stamp_ms}{}{}", of_tx(tx), all(places.iter()))
        }
        Record::Place { tx, of, place } => write!(line, "also {of}{}{}", of_tx(tx), all([place])),
        Record::Settled(settled) => {
            line.push_str("settled");
            settled.iter().try_for_each(|(queue, sequence)| write!(line, " {}:{sequence}", queue.0))
        }
        Record::Returned(places) => write!(line, "returned{}", all(places.iter())),
        Record::Committed { tx, settled } => {
            let count = settled.iter().count();
            write!(line, "committed{}, with {count} settled", of_tx(tx))
        }
        Record::Adopted { journal } => write!(line, "journal {journal:016x} was taken over"),
        Record::Start => write!(line, "the server started"),
        Record::Stop => write!(line, "the server stopped in order"),
    };
    line
}

fn shown_topology(vhost: Vhost<'_>, record: &topology::Record) -> String {
    match record {
        topology::Record::QueueDeclared(DurableQueue { uid, name, durability, .. }) => {
            format!("{} is number {}, {}", vhost.queue(name), uid.0, durability.name())
        }
        topology::Record::QueueDeleted { uid } => format!("queue {} deleted", uid.0),
        topology::Record::ExchangeDeclared(exchange) => {
            format!("{} declared, {}", vhost.exchange(&exchange.name), exchange.kind.name())
        }
        topology::Record::ExchangeDeleted { name } => format!("{} deleted", vhost.exchange(name)),
        topology::Record::Bound(binding) => format!("bound {}", shown_binding(vhost, binding)),
        topology::Record::Unbound(binding) => format!("unbound {}", shown_binding(vhost, binding)),
        topology::Record::NextUid { uid } => format!("the next queue is number {} or a higher one", uid.0),
        topology::Record::VhostDeclared { .. } => format!("vhost '{}' declared", text::lossy(vhost.0)),
        topology::Record::VhostDeleted => format!("vhost '{}' deleted", text::lossy(vhost.0)),
        topology::Record::Access(change) => shown_access(change),
        topology::Record::Parameters(change) => shown_parameters(change),
        topology::Record::SnapshotBegin => "a snapshot begins".to_owned(),
        topology::Record::SnapshotEnd => "a snapshot ends".to_owned(),
    }
}

/// Without passwords and their hashes.
fn shown_access(change: &access::Change) -> String {
    use access::Change::*;
    let name = |name: &[u8]| text::lossy(name).into_owned();
    match change {
        UserPut(user) => format!("user '{}' put", name(&user.name)),
        UserDeleted { user } => format!("user '{}' deleted", name(user)),
        PermissionPut { vhost, user, .. } => {
            format!("permissions of '{}' in vhost '{}' put", name(user), name(vhost))
        }
        PermissionDeleted { vhost, user } => {
            format!("permissions of '{}' in vhost '{}' deleted", name(user), name(vhost))
        }
        TopicPermissionPut(topic) => {
            format!("topic permissions of '{}' in vhost '{}' put", name(topic.user()), name(topic.vhost()))
        }
        TopicPermissionDeleted { vhost, user, .. } => {
            format!("topic permissions of '{}' in vhost '{}' deleted", name(user), name(vhost))
        }
        LimitsPut { user, .. } => format!("limits of user '{}' put", name(user)),
    }
}

fn shown_parameters(change: &parameters::Change) -> String {
    use parameters::Change::*;
    let one = |vhost: &[u8], component: &[u8], name: &[u8]| {
        let [vhost, component, name] = [vhost, component, name].map(text::lossy);
        format!("parameter '{name}' of '{component}' in vhost '{vhost}'")
    };
    match change {
        Put(Parameter { vhost, component, name, value, .. }) => {
            format!("{} put: {value}", one(vhost, component, name))
        }
        Deleted { vhost, component, name } => format!("{} deleted", one(vhost, component, name)),
        GlobalPut { name, value } => format!("global parameter '{}' put: {value}", text::lossy(name)),
        GlobalDeleted { name } => format!("global parameter '{}' deleted", text::lossy(name)),
    }
}

fn shown_binding(vhost: Vhost<'_>, binding: &DurableBinding) -> String {
    let to = match &binding.destination {
        DurableEnd::Queue(uid) => format!("queue {}", uid.0),
        DurableEnd::Exchange(name) => vhost.exchange(name),
    };
    format!("{} -> {to}, key '{}'", vhost.exchange(&binding.source), text::lossy(&binding.key))
}

fn of_tx(tx: u64) -> String {
    if tx == 0 { String::new() } else { format!(", transaction {tx}") }
}

fn all(places: impl IntoIterator<Item = Place>) -> String {
    let mut line = String::new();
    for Place { queue, sequence, returns, letter, redelivered } in places {
        let _ = write!(line, ", queue {} at {sequence}", queue.0);
        let _ = if returns > 0 { write!(line, " returned {returns} times") } else { Ok(()) };
        line.push_str(if letter { " dead-lettered" } else { "" });
        line.push_str(if redelivered { " redelivered" } else { "" });
    }
    line
}

//! What happened to connections, channels and alarms, for a log that others write: to format and write lines takes longer
//! than a shard has.
//!
//! ```text
//! shard -> Notes -> (shell, every few ms) -> board -> (thread of the log) -> text
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use super::Shard;
use crate::connection::{Connection, Phase};
use crate::ids::{ChannelNumber, ConnectionId, Name, ShardId};
use crate::limits::NOTES_MAX;
use crate::text::lossy;

/// Lives on: its shard, until the shell takes what there is.
#[derive(Default)]
pub(super) struct Notes {
    notes: VecDeque<Note>,
    /// How many found no room.
    lost: u64,
    /// The alarms as they were noted last.
    low_on_memory: bool,
    low_on_disk: bool,
}

/// Something that is told in the log, in RabbitMQ's words, which people look for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    Connection { of: Of, what: What },
    Alarm { resource: Resource, on: bool },
}

/// A connection, and whose it is once that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Of {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// User and vhost.
    pub entered: Option<(Name, Box<[u8]>)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    Accepted,
    Entered,
    /// As the client wished.
    Closed,
    /// The socket ended first.
    Vanished,
    MissedHeartbeats {
        timeout_s: u16,
    },
    HandshakeTimedOut,
    /// It began with another protocol: TLS, HTTP.
    BadHeader,
    /// A login, or what else ended it, in words without secrets.
    Failed {
        state: &'static str,
        channel: ChannelNumber,
        text: String,
    },
    ChannelFailed {
        channel: ChannelNumber,
        text: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    Memory,
    Disk,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    Error,
    Warning,
    Info,
}

impl Notes {
    fn push(&mut self, note: Note) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push_back(note);
        } else {
            self.lost += 1;
        }
    }
}

impl Shard {
    /// What was noted since the last call, and how much more there was no room for.
    pub fn take_notes(&mut self) -> (impl Iterator<Item = Note>, u64) {
        let lost = std::mem::take(&mut self.notes.lost);
        (self.notes.notes.drain(..), lost)
    }

    /// What the HTTP API does by a connection of its own is not a client's, and not told.
    pub(super) fn note(&mut self, slot: u32, what: What) {
        if let Some(connection) = self.rooms.outward.connections.get(slot)
            && !connection.internal
        {
            self.notes.push(Note::Connection { of: Of::connection(connection), what });
        }
    }

    /// What a client did wrong, as long as the server is not about to end it anyway.
    pub(super) fn note_failure(&mut self, slot: u32, channel: ChannelNumber, text: String) {
        let phase = self.rooms.outward.connections.get(slot).map(|connection| &connection.phase);
        let state = match phase {
            Some(Phase::Open) => "running",
            Some(Phase::Header | Phase::Handshake(_)) => "starting",
            Some(Phase::Closing(_) | Phase::Refused { .. }) | None => return,
        };
        if !self.barred {
            self.note(slot, What::Failed { state, channel, text });
        }
    }

    /// The socket has ended. Only who was in, and did not say so, is worth a line.
    pub(super) fn note_if_vanished(&mut self, slot: u32) {
        let connection = self.rooms.outward.connections.get(slot);
        if connection.is_some_and(|it| matches!(it.phase, Phase::Open) && it.leaving.is_none()) {
            self.note(slot, What::Vanished);
        }
    }

    /// Alarms are the server's: one shard tells of them.
    pub(super) fn note_alarms(&mut self) {
        if self.id != ShardId::CONTROL {
            return;
        }
        let (memory, disk) = (self.is_low_on_memory(), self.is_low_on_disk());
        if std::mem::replace(&mut self.notes.low_on_memory, memory) != memory {
            self.notes.push(Note::Alarm { resource: Resource::Memory, on: memory });
        }
        if std::mem::replace(&mut self.notes.low_on_disk, disk) != disk {
            self.notes.push(Note::Alarm { resource: Resource::Disk, on: disk });
        }
    }
}

impl Of {
    fn connection(connection: &Connection) -> Of {
        let session = connection.session.as_ref();
        Of {
            id: connection.id,
            peer: connection.address,
            local: connection.local,
            entered: session.map(|session| (session.user.clone(), session.vhost.clone())),
        }
    }

    /// `<1.2.3> (127.0.0.1:1 -> 127.0.0.1:5672`, still open.
    fn begin(&self) -> String {
        let ConnectionId { shard, slot, generation } = self.id;
        format!("<{}.{slot}.{generation}> ({} -> {}", shard.0, canonical(self.peer), canonical(self.local))
    }

    /// The same with what is known of user and vhost.
    fn begin_with_user(&self) -> String {
        match &self.entered {
            Some((user, vhost)) => {
                format!("{}, vhost: '{}', user: '{}'", self.begin(), lossy(vhost), lossy(user))
            }
            None => self.begin(),
        }
    }
}

/// An error's text without the octets that RabbitMQ shows of what it could not read: a password may be among them.
pub(super) fn without_octets(text: &str) -> String {
    match text.split_once("<<") {
        Some((before, _)) => format!("{before}..."),
        None => text.to_owned(),
    }
}

/// Names may have any characters, and none may end a line.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default())
        } else {
            printable.push(character)
        }
    }
    printable
}

/// An IPv4 address as such, also where it came to an IPv6 socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Note {
    pub fn severity(&self) -> Severity {
        match self {
            Note::Alarm { .. } => Severity::Warning,
            Note::Connection { what, .. } => match what {
                What::Accepted | What::Entered | What::Closed => Severity::Info,
                What::Vanished => Severity::Warning,
                What::MissedHeartbeats { .. }
                | What::HandshakeTimedOut
                | What::BadHeader
                | What::Failed { .. }
                | What::ChannelFailed { .. } => Severity::Error,
            },
        }
    }

    pub fn is_of_channel(&self) -> bool {
        matches!(self, Note::Connection { what: What::ChannelFailed { .. }, .. })
    }

    /// One line. `node`: the name of this server.
    pub fn text(&self, node: &str) -> String {
        match self {
            Note::Alarm { resource, on } => {
                let done = if *on { "set" } else { "cleared" };
                format!("{resource} resource limit alarm {done} on node {node}")
            }
            Note::Connection { of, what } => printable(&what.text(of)),
        }
    }
}

impl What {
    fn text(&self, of: &Of) -> String {
        match self {
            What::Accepted => format!("accepting AMQP connection {})", of.begin()),
            What::Entered => {
                let (user, vhost) = of.entered.clone().unwrap_or_default();
                let (user, vhost) = (lossy(&user), lossy(&vhost));
                let connection = of.begin();
                format!(
                    "connection {connection}): user '{user}' authenticated and granted access to vhost '{vhost}'"
                )
            }
            What::Closed => format!("closing AMQP connection {})", of.begin_with_user()),
            What::Vanished => {
                let connection = of.begin_with_user();
                format!("closing AMQP connection {connection}): client unexpectedly closed TCP connection")
            }
            What::MissedHeartbeats { timeout_s } => {
                let connection = of.begin_with_user();
                format!(
                    "closing AMQP connection {connection}): missed heartbeats from client, timeout: {timeout_s}s"
                )
            }
            What::HandshakeTimedOut => {
                format!("closing AMQP connection {}): handshake_timeout", of.begin())
            }
            What::BadHeader => format!("closing AMQP connection {}): bad_header", of.begin()),
            What::Failed { state, channel, text } => {
                let (connection, channel) = (of.begin_with_user(), channel.0);
                format!("Error on AMQP connection {connection}, state: {state}), channel {channel}: {text}")
            }
            What::ChannelFailed { channel, text } => {
                let (connection, channel) = (of.begin_with_user(), channel.0);
                format!("Channel error on connection {connection}), channel {channel}: {text}")
            }
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Memory => "memory",
            Resource::Disk => "disk",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entered: bool) -> Of {
        let id = ConnectionId { shard: ShardId(1), slot: 2, generation: 3 };
        let [peer, local] =
            ["[::ffff:10.0.0.1]:4000", "[::ffff:10.0.0.2]:5672"].map(|it| it.parse().unwrap());
        let entered = entered.then(|| (Name::from(&b"ann"[..]), Box::from(&b"/"[..])));
        Of { id, peer, local, entered }
    }

    fn text(entered: bool, what: What) -> String {
        Note::Connection { of: of(entered), what }.text("rabbit@box")
    }

    #[test]
    fn lines_have_rabbitmqs_words() {
        let channel = ChannelNumber(7);
        let who = "<1.2.3> (10.0.0.1:4000 -> 10.0.0.2:5672";
        let whose = format!("{who}, vhost: '/', user: 'ann'");
        let text_of = |what| text(true, what);
        assert_eq!(text(false, What::Accepted), format!("accepting AMQP connection {who})"));
        assert_eq!(
            text_of(What::Entered),
            format!("connection {who}): user 'ann' authenticated and granted access to vhost '/'")
        );
        assert_eq!(text_of(What::Closed), format!("closing AMQP connection {whose})"));
        assert_eq!(
            text_of(What::MissedHeartbeats { timeout_s: 60 }),
            format!("closing AMQP connection {whose}): missed heartbeats from client, timeout: 60s")
        );
        assert_eq!(
            text_of(What::ChannelFailed { channel, text: "NOT_FOUND - no queue 'q' in vhost '/'".into() }),
            format!("Channel error on connection {whose}), channel 7: NOT_FOUND - no queue 'q' in vhost '/'")
        );
        let alarm = Note::Alarm { resource: Resource::Memory, on: true };
        assert_eq!(alarm.text("rabbit@box"), "memory resource limit alarm set on node rabbit@box");
    }

    #[test]
    fn a_line_stays_one_line_and_shows_no_octets_of_a_client() {
        let failed = |text: &str| {
            let text = without_octets(text);
            text_of_failure(What::Failed { state: "starting", channel: ChannelNumber(0), text })
        };
        let octets = "SYNTAX_ERROR - response <<0,103,117>> invalid";
        assert!(failed(octets).ends_with("state: starting), channel 0: SYNTAX_ERROR - response ..."));
        assert!(failed("vhost a\nb not found\n").ends_with("vhost a\\nb not found\\n"));
    }

    fn text_of_failure(what: What) -> String {
        text(false, what)
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut notes = Notes::default();
        let note = || Note::Connection { of: of(false), what: What::Accepted };
        (0..NOTES_MAX + 3).for_each(|_| notes.push(note()));
        assert_eq!((notes.notes.len(), notes.lost), (NOTES_MAX, 3));
    }
}

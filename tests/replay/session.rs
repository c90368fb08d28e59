//! A recorded session: who sent which octets, in turns.

use std::fmt;
use std::path::Path;

pub struct Session {
    name: String,
    pub turns: Vec<(Side, Vec<u8>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Client,
    Server,
}

/// All scripts agree to this one, the smallest that RabbitMQ does.
pub const FRAME_MAX: u32 = 8192;

/// All recordings.
pub fn all() -> Vec<Session> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut sessions = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "session") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            sessions.push(Session { name, turns: turns(&std::fs::read(&path).unwrap()) });
        }
    }
    assert!(sessions.len() >= 5, "pika, amqplib, Java, rabbitmq-c, lapin");
    sessions
}

fn turns(mut octets: &[u8]) -> Vec<(Side, Vec<u8>)> {
    let mut turns = Vec::new();
    while let Some((&side, rest)) = octets.split_first() {
        let side = if side == b'C' { Side::Client } else { Side::Server };
        let (size, rest) = rest.split_first_chunk::<4>().unwrap();
        let (turn, rest) = rest.split_at(u32::from_be_bytes(*size) as usize);
        turns.push((side, turn.to_vec()));
        octets = rest;
    }
    turns
}

impl Session {
    /// What every application does; the others are about one thing, which their name ends with.
    pub fn is_general(&self) -> bool {
        self.name.ends_with(|last: char| last.is_ascii_digit())
    }

    /// All that one side sent.
    pub fn octets(&self, side: Side) -> Vec<u8> {
        self.turns.iter().filter(|turn| turn.0 == side).flat_map(|turn| turn.1.clone()).collect()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

//! One HTTP request at a time, as guest unless said otherwise.

use base64ct::{Base64, Encoding};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A name and a password.
pub type Login<'a> = (&'a str, &'a str);

pub const GUEST: Login<'static> = ("guest", "guest");

pub struct Answer {
    pub status: u16,
    /// As it came, with the status line.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Asks on a connection of its own.
pub fn ask(address: SocketAddr, verb: &str, path: &str, login: Option<Login<'_>>, body: &str) -> Answer {
    let answer = ask_within(PATIENCE, address, verb, path, login, body);
    answer.unwrap_or_else(|| panic!("{verb} {path}: no answer"))
}

/// The same of a server that may say nothing at all.
pub fn ask_within(
    patience: Duration,
    address: SocketAddr,
    verb: &str,
    path: &str,
    login: Option<Login<'_>>,
    body: &str,
) -> Option<Answer> {
    let login = login.map(|(name, password)| {
        let basic = Base64::encode_string(format!("{name}:{password}").as_bytes());
        format!("Authorization: Basic {basic}\r\n")
    });
    let headers = format!("{}Content-Type: application/json\r\n", login.unwrap_or_default());
    send_within(patience, address, verb, path, &headers, body.as_bytes())
}

/// With these headers, a line each, and no others but those that a request must have.
pub fn send(address: SocketAddr, verb: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let answer = send_within(PATIENCE, address, verb, path, headers, body);
    answer.unwrap_or_else(|| panic!("{verb} {path}: no answer"))
}

fn send_within(
    patience: Duration,
    address: SocketAddr,
    verb: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).expect("HTTP is listened for");
    stream.set_read_timeout(Some(patience)).expect("a TCP socket");
    let head = format!(
        "{verb} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).expect("it reads");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).map_err(|error| error.kind()) {
        Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
        read => read.unwrap_or_else(|error| panic!("{verb} {path}: {error}")),
    };
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{verb} {path}: no head"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{verb} {path}: no status"));
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { without_chunks(body) } else { body.to_owned() };
    Some(Answer { status, head: head.to_owned(), body })
}

/// A change that must succeed.
pub fn put(address: SocketAddr, path: &str, body: &Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = ask(address, "PUT", path, Some(GUEST), &body);
    assert!(matches!(answer.status, 201 | 204), "PUT {path}: {} {}", answer.status, answer.body);
}

fn without_chunks(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("the length of a chunk");
        whole += &rest[..length];
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

const PATIENCE: Duration = Duration::from_secs(20);

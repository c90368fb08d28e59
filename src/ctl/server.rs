//! The server at the other end of the socket: a request at a time, each on a connection of its own.

use std::io;
use std::path::{Path, PathBuf};

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use base64ct::{Base64, Encoding};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{SOFTWARE, UNAVAILABLE, USAGE};
use crate::limits::{APP_STOPPED, CTL_SOCKET};

#[derive(Clone)]
pub struct Server {
    socket: PathBuf,
}

/// Why a command came to nothing: the exit code, and what the user is told.
#[derive(PartialEq, Eq, Debug)]
pub struct Failure {
    pub code: u8,
    pub text: String,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// What goes along with a request.
#[derive(Default)]
pub struct With<'a> {
    pub body: Option<Vec<u8>>,
    /// Why a connection is closed.
    pub reason: Option<&'a str>,
    /// A user and a password to be tried.
    pub login: Option<(&'a str, &'a str)>,
}

impl Server {
    /// That of a data folder.
    pub fn of(data_dir: &Path) -> Server {
        Server { socket: data_dir.join(CTL_SOCKET) }
    }

    /// Whether somebody listens.
    pub async fn is_there(&self) -> bool {
        UnixStream::connect(&self.socket).await.is_ok()
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, With::default()).await?.sound()?.json()
    }

    /// None if there is no such thing.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        let answer = self.ask(Method::GET, path, With::default()).await?;
        if answer.status == 404 { Ok(None) } else { answer.sound()?.json().map(Some) }
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let with = With { body: Some(body.to_string().into()), ..With::default() };
        self.ask(Method::PUT, path, with).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::DELETE, path, With::default()).await
    }

    pub async fn ask(&self, method: Method, path: &str, with: With<'_>) -> Result<Answer, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.not_there(&error))?;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        if let Some(reason) = with.reason {
            request = request.header("x-reason", reason);
        }
        if let Some((name, password)) = with.login {
            let basic = Base64::encode_string(format!("{name}:{password}").as_bytes());
            request = request.header(header::AUTHORIZATION, format!("Basic {basic}"));
        }
        let request = request.body(with.body.map_or_else(Body::empty, Body::from));
        let request = request.map_err(|error| Failure { code: SOFTWARE, text: error.to_string() })?;
        exchange(stream, request).await.map_err(|error| Failure {
            code: UNAVAILABLE,
            text: format!("the server of {} did not answer: {error}", self.socket.display()),
        })
    }

    fn not_there(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        let text = format!(
            "unable to perform an operation: no server listens on {socket}: {error}\n\
             Is it running, with this data folder (--data-dir, HAREMQ_DATA_DIR), and may you open its socket?"
        );
        Failure { code: UNAVAILABLE, text }
    }
}

async fn exchange(stream: UnixStream, request: Request<Body>) -> Result<Answer, axum::BoxError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong there is told to the sender as well.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = to_bytes(Body::new(answer.into_body()), usize::MAX).await?;
    Ok(Answer { status, body: body.into() })
}

impl Answer {
    /// What the server refuses is a failure.
    pub fn sound(self) -> Result<Answer, Failure> {
        if self.status < 300 { Ok(self) } else { Err(self.failure()) }
    }

    /// With `code` and `text` if there is no such thing.
    pub fn found(self, code: u8, text: impl Into<String>) -> Result<Answer, Failure> {
        if self.status == 404 { Err(Failure { code, text: text.into() }) } else { self.sound() }
    }

    pub fn json(&self) -> Result<Value, Failure> {
        let read = serde_json::from_slice(&self.body);
        read.map_err(|error| Failure { code: SOFTWARE, text: format!("the answer is not JSON: {error}") })
    }

    /// Why the server refused.
    pub fn reason(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        match &body["reason"] {
            Value::Null if self.status == 503 => "the server is stopping, or has too much to do".to_owned(),
            Value::Null => format!("the server answered {}", self.status),
            // It is written for pages.
            Value::String(reason) => reason.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"),
            reason => reason.to_string(),
        }
    }

    fn failure(&self) -> Failure {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = if body["error"] == APP_STOPPED { USAGE } else { UNAVAILABLE };
        Failure { code, text: self.reason() }
    }
}

/// A path of these names, whatever is in them: `/api/queues/%2F/a%20queue`.
pub fn path(names: &[&str]) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.~".contains(&octet);
    let mut path = String::from("/api");
    for name in names {
        path.push('/');
        for octet in name.bytes() {
            if plain(octet) {
                path.push(octet.into());
            } else {
                path.push_str(&format!("%{octet:02X}"));
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_name_stays_in_its_place_of_the_path() {
        assert_eq!(path(&["queues", "/", "a queue?é"]), "/api/queues/%2F/a%20queue%3F%C3%A9");
        assert_eq!(path(&["users"]), "/api/users");
    }

    #[test]
    fn a_refusal_tells_the_servers_reason() {
        let answer = |status, body: &str| Answer { status, body: body.into() };
        let refused = answer(400, r#"{"error":"bad_request","reason":"[{&lt;&lt;\"x\"&gt;&gt;,5}]"}"#);
        let failure = refused.sound().map(drop).unwrap_err();
        assert_eq!(failure, Failure { code: UNAVAILABLE, text: "[{<<\"x\">>,5}]".to_owned() });
        assert!(answer(204, "").sound().is_ok());
        let missing = answer(404, "{}").found(67, "User a does not exist").map(drop).unwrap_err();
        assert_eq!(missing.code, 67);
    }
}

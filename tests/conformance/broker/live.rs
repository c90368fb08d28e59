//! Answers that are told as they change.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::logins::{cookie, log_in};
use super::policies::{delete, put};
use crate::common::Broker;
use crate::common::http::{GUEST, Login, ask, send};

const PATIENCE: Duration = Duration::from_secs(20);

/// A stream, with the status that it began with.
struct Events {
    reader: BufReader<TcpStream>,
    status: u16,
}

impl Events {
    fn open(http: SocketAddr, query: &str, headers: &str) -> Events {
        Events::at(http, &format!("/api/haremq/live?{query}"), headers)
    }

    fn at(http: SocketAddr, path: &str, headers: &str) -> Events {
        let mut stream = TcpStream::connect(http).expect("HTTP is listened for");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        let head = format!("GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut events = Events { reader: BufReader::new(stream), status: 0 };
        let first = events.line().expect("an answer");
        events.status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        while events.line().is_some_and(|line| !line.is_empty()) {}
        events
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).expect("a line, or the end, in time");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Which path, its status and its body; none at the end.
    fn next(&mut self) -> Option<(usize, u16, Value)> {
        loop {
            if let Some(at) = self.line()?.strip_prefix("event: ") {
                let line = self.line().expect("an event is whole");
                let told = line.strip_prefix("data: ").expect("what is told comes behind its path");
                let told: Value = serde_json::from_str(told).expect("JSON");
                let status = told["status"].as_u64().expect("a status") as u16;
                return Some((at.parse().expect("a number"), status, told["body"].clone()));
            }
        }
    }
}

fn basic((name, password): Login<'_>) -> String {
    format!("Authorization: Basic {}\r\n", Base64::encode_string(format!("{name}:{password}").as_bytes()))
}

#[test]
fn what_changes_is_told_and_nothing_else() {
    let broker = Broker::start();
    let mut events = Events::open(broker.http, "of=queues%3Fcolumns%3Dname&of=whoami", &basic(GUEST));
    assert_eq!(events.status, 200);
    assert_eq!(events.next(), Some((0, 200, json!([]))));
    let whoami = json!({"name": "guest", "tags": ["administrator"]});
    assert_eq!(events.next(), Some((1, 200, whoami)));
    let began = Instant::now();
    assert_eq!(put(&broker, "/api/queues/%2F/q", json!({})), 201);
    assert_eq!(events.next(), Some((0, 200, json!([{"name": "q"}]))));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    // Of who it is nothing was told meanwhile.
    assert_eq!(delete(&broker, "/api/queues/%2F/q"), 204);
    assert_eq!(events.next(), Some((0, 200, json!([]))));
}

#[test]
fn a_stream_ends_with_its_login() {
    let broker = Broker::start();
    let user = json!({"password": "p", "tags": "management"});
    assert_eq!(put(&broker, "/api/users/u", user), 201);
    let by_password = basic(("u", "p"));
    let by_cookie = cookie(&log_in(broker.http, "username=guest&password=guest"));
    let mut streams =
        [&by_password, &by_cookie].map(|headers| Events::open(broker.http, "of=whoami", headers));
    for stream in &mut streams {
        assert_eq!(stream.next().map(|(_, status, _)| status), Some(200));
    }
    assert_eq!(delete(&broker, "/api/users/u"), 204);
    let out = send(broker.http, "DELETE", "/api/login", &format!("{by_cookie}X-Requested-With: x\r\n"), b"");
    assert_eq!(out.status, 204);
    for stream in &mut streams {
        assert_eq!(stream.next(), None);
    }
    assert_eq!(Events::open(broker.http, "of=whoami", &by_cookie).status, 401);
}

#[test]
fn nobody_is_told_what_is_not_for_them() {
    let broker = Broker::start();
    let user = |tags| put(&broker, "/api/users/u", json!({"password": "p", "tags": tags}));
    assert_eq!(Events::open(broker.http, "of=overview", "").status, 401);
    assert_eq!(user("management"), 201);
    let mut events = Events::open(broker.http, "of=haremq/shards&of=queues/%252F", &basic(("u", "p")));
    for at in 0..2 {
        let (told, status, body) = events.next().expect("an event");
        assert_eq!((told, status, &body["error"]), (at, 401, &json!("not_authorised")));
    }
    assert_eq!(user("monitoring"), 204);
    for at in 0..2 {
        let (told, status, _) = events.next().expect("an event");
        assert_eq!((told, status), (at, 200), "rights count at once");
    }
}

#[test]
fn some_paths_are_not_watched() {
    let broker = Broker::start();
    let nine = ["of=overview"; 9].join("&");
    for query in ["", "of=haremq/live%3Fof%3Doverview", "of=definitions", "of=definitions/%2F", &nine] {
        let answer = ask(broker.http, "GET", &format!("/api/haremq/live?{query}"), Some(GUEST), "");
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("bad_request")), "{query}");
    }
    let mut events = Events::open(broker.http, "of=none&of=..%2Fmetrics", &basic(GUEST));
    assert_eq!(events.next(), Some((0, 404, Value::Null)));
    assert_eq!(events.next(), Some((1, 404, Value::Null)));
}

#[test]
fn paths_are_the_same_under_a_prefix() {
    let broker = Broker::start_with(&["--shards", "1", "--http-path-prefix", "/rabbit"]);
    let mut events = Events::at(broker.http, "/rabbit/api/haremq/live?of=whoami", &basic(GUEST));
    assert_eq!(
        events.next().map(|(_, status, body)| (status, body["name"].clone())),
        Some((200, json!("guest")))
    );
}

#[test]
fn there_are_so_many_streams_and_who_goes_makes_room() {
    let broker = Broker::start();
    let open = || Events::open(broker.http, "of=whoami", &basic(GUEST));
    let mut streams: Vec<Events> = (0..256).map(|_| open()).collect();
    assert!(streams.iter().all(|stream| stream.status == 200));
    assert_eq!(open().status, 503);
    streams.pop();
    let end = Instant::now() + PATIENCE;
    while open().status != 200 {
        assert!(Instant::now() < end, "the room is given back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_stream_does_not_hold_the_server_up() {
    let mut broker = Broker::start();
    let mut events = Events::open(broker.http, "of=overview", &basic(GUEST));
    assert_eq!(events.next().map(|(_, status, _)| status), Some(200));
    assert!(broker.terminate(Duration::from_secs(3)).is_some_and(|status| status.success()));
}

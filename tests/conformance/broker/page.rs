//! The page and its files, as a browser asks for them.

use std::net::SocketAddr;

use crate::common::Broker;
use crate::common::http::{Answer, send};

fn get(http: SocketAddr, path: &str, headers: &str) -> Answer {
    send(http, "GET", path, headers, b"")
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
}

#[test]
fn the_page_and_its_files_are_served_to_anybody_and_guarded() {
    let broker = Broker::start();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/ui/main.js", "text/javascript; charset=utf-8"),
        ("/favicon.ico", "image/svg+xml"),
    ] {
        let answer = get(broker.http, path, "");
        assert_eq!((answer.status, header(&answer, "content-type")), (200, Some(kind)), "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        let policy = header(&answer, "content-security-policy").expect("a policy");
        let rules: Vec<&str> = policy.split("; ").collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(rules.contains(&rule), "{path}: {policy}");
        }
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(header(&answer, name), Some(value), "{path}");
        }
    }
}

#[test]
fn whoever_has_a_file_is_not_sent_it_again() {
    let broker = Broker::start();
    let plain = get(broker.http, "/", "");
    let gzip = get(broker.http, "/", "Accept-Encoding: br, gzip\r\n");
    assert_eq!(header(&plain, "content-encoding"), None);
    assert_eq!(header(&gzip, "content-encoding"), Some("gzip"));
    assert_eq!([header(&plain, "vary"), header(&gzip, "vary")], [Some("accept-encoding"); 2]);
    let tags = [&plain, &gzip].map(|answer| header(answer, "etag").expect("a tag"));
    assert_ne!(tags[0], tags[1], "they are not the same octets");
    let again = |tag: &str, headers: &str| {
        let answer = get(broker.http, "/", &format!("If-None-Match: {tag}\r\n{headers}"));
        assert_eq!(answer.status == 304, answer.body.is_empty());
        answer.status
    };
    assert_eq!(again(tags[0], ""), 304);
    assert_eq!(again(&format!("\"x\", W/{}", tags[1]), "Accept-Encoding: gzip\r\n"), 304);
    assert_eq!([again(tags[1], ""), again("\"x\"", "")], [200; 2]);
}

#[test]
fn no_path_leads_out_of_the_page_s_files() {
    let broker = Broker::start();
    for path in [
        "/ui",
        "/ui/",
        "/ui/none.js",
        "/ui/../mod.rs",
        "/ui/..%2fmod.rs",
        "/ui/%2e%2e/mod.rs",
        "/ui/%2e%2e%2f%2e%2e%2f%2e%2e%2fCargo.toml",
        "/ui/..\\mod.rs",
        "/ui/./main.js",
        "/ui//main.js",
        "/ui//etc/passwd",
        "/ui/%2fetc%2fpasswd",
        "/ui/main.js%00",
        "/main.js",
    ] {
        assert_eq!(get(broker.http, path, "").status, 404, "{path}");
    }
}

#[test]
fn the_page_is_served_under_the_prefix() {
    let broker = Broker::start_with(&["--shards", "1", "--http-path-prefix", "/rabbit/mq"]);
    for path in ["/rabbit/mq", "/rabbit/mq/", "/rabbit/mq/index.html"] {
        let answer = get(broker.http, path, "");
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.contains("<base href=\"/rabbit/mq/\""), "{path}: {}", answer.body);
    }
    assert_eq!(get(broker.http, "/rabbit/mq/ui/main.js", "").status, 200);
    assert_eq!([get(broker.http, "/", "").status, get(broker.http, "/ui/main.js", "").status], [404; 2]);
}

#[test]
fn no_browser_asks_for_a_password_itself_when_a_script_asks() {
    let broker = Broker::start();
    let script = "X-Requested-With: x\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let wrong = b"username=guest&password=wrong";
    let asked = |headers| get(broker.http, "/api/whoami", headers);
    let by_form = send(broker.http, "POST", "/api/login", &[script, form].concat(), wrong);
    let of_events = asked("Accept: text/event-stream\r\n");
    for (answer, is_asked) in
        [(asked(""), true), (asked(script), false), (of_events, false), (by_form, false)]
    {
        assert_eq!(answer.status, 401);
        assert_eq!(header(&answer, "www-authenticate").is_some(), is_asked, "{}", answer.head);
    }
}

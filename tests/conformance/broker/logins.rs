//! A login by a form, and its cookie: what browsers of a page that we serve would do, and what other pages would have them do.

use std::net::SocketAddr;

use serde_json::json;

use super::policies::{delete, put};
use crate::common::Broker;
use crate::common::http::{Answer, send};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

pub fn log_in(http: SocketAddr, form: &str) -> Answer {
    send(http, "POST", "/api/login", FORM, form.as_bytes())
}

/// The cookie as the browser sends it back.
pub fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let set = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let (cookie, rules) = set.split_once("; ").expect("its rules");
    assert_eq!(rules, "Path=/; HttpOnly; SameSite=Strict; Max-Age=28800");
    assert!(!cookie.contains("guest") && cookie.len() > 32, "{cookie}");
    format!("Cookie: {cookie}\r\n")
}

fn status(http: SocketAddr, verb: &str, path: &str, headers: &str) -> u16 {
    send(http, verb, path, headers, b"").status
}

#[test]
fn who_logs_in_by_a_form_is_known_by_a_cookie_until_logging_out() {
    let broker = Broker::start();
    let http = broker.http;
    let answer = log_in(http, "username=guest&password=guest");
    assert_eq!(answer.body, "\"ok\"");
    let cookie = cookie(&answer);
    let asked = send(http, "GET", "/api/whoami", &cookie, b"");
    assert_eq!((asked.status, &asked.json()["name"]), (200, &json!("guest")));
    let other =
        send(http, "GET", "/api/overview", &format!("Cookie: a=b; {}", &cookie["Cookie: ".len()..]), b"");
    assert_eq!(other.status, 200);
    let by_page = format!("{cookie}X-Requested-With: x\r\n");
    assert_eq!(status(http, "PUT", "/api/queues/%2F/q", &by_page), 201, "an AMQP session in the user's name");
    assert_eq!(status(http, "DELETE", "/api/login", &by_page), 204);
    let after = send(http, "GET", "/api/whoami", &cookie, b"");
    assert_eq!(after.status, 401);
    assert!(!after.head.contains("www-authenticate"), "no browser is to ask for a password: {}", after.head);
}

#[test]
fn who_cannot_log_in_gets_no_cookie() {
    let broker = Broker::start();
    assert_eq!(put(&broker, "/api/users/plain", json!({"password": "x", "tags": ""})), 201);
    for form in ["username=guest&password=wrong", "username=guest", "", "username=plain&password=x"] {
        let answer = log_in(broker.http, form);
        assert_eq!(answer.status, 401, "{form}");
        assert!(!answer.head.contains("set-cookie"), "{form}");
    }
    let invented = "Cookie: haremq_login=0123456789abcdef0123456789abcdef\r\n";
    assert_eq!(status(broker.http, "GET", "/api/whoami", invented), 401);
}

#[test]
fn a_login_ends_with_its_password_and_its_user() {
    let broker = Broker::start();
    let user = |password: &str, tags: &str| {
        put(&broker, "/api/users/u", json!({"password": password, "tags": tags}))
    };
    let whoami = |cookie: &str| status(broker.http, "GET", "/api/whoami", cookie);
    assert_eq!(user("a", "management"), 201);
    let first = cookie(&log_in(broker.http, "username=u&password=a"));
    assert_eq!(whoami(&first), 200);
    assert_eq!(user("b", "management"), 204);
    assert_eq!(whoami(&first), 401);
    let second = cookie(&log_in(broker.http, "username=u&password=b"));
    assert_eq!(whoami(&second), 200);
    assert_eq!(delete(&broker, "/api/users/u"), 204);
    assert_eq!(whoami(&second), 401);
    assert_eq!(user("b", "management"), 201);
    assert_eq!(whoami(&second), 401, "another user of that name and password");
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    let broker = Broker::start();
    let cookie = cookie(&log_in(broker.http, "username=guest&password=guest"));
    let basic = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";
    let foreign = "Origin: http://elsewhere\r\n";
    let own = format!("Origin: http://{}\r\n", broker.http);
    let put = |name: &str, headers: &[&str]| {
        status(broker.http, "PUT", &format!("/api/queues/%2F/{name}"), &headers.concat())
    };
    assert_eq!(put("a", &[&cookie]), 401);
    assert_eq!(put("a", &[&cookie, foreign]), 401);
    assert_eq!(put("a", &[basic, foreign]), 401, "a browser that was told the password sends it along");
    assert_eq!(put("b", &[&cookie, &own]), 201);
    assert_eq!(put("c", &[basic, &own]), 201);
    assert_eq!(put("d", &[basic]), 201);
    let refused =
        send(broker.http, "POST", "/api/login", &[FORM, foreign].concat(), b"username=guest&password=guest");
    assert_eq!(refused.status, 401);
    assert_eq!(status(broker.http, "GET", "/api/queues/%2F/a", &cookie), 404);
    let options = send(broker.http, "OPTIONS", "/api/queues/%2F/a", foreign, b"");
    assert!(!options.head.contains("access-control-allow"), "{}", options.head);
}

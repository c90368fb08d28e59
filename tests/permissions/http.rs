//! Over HTTP: every route as users with each tag, who may enter the vhost or not.

use crate::common::Broker;
use crate::common::http::{Answer, GUEST, Login, ask, ask_within, put};
use crate::common::rabbit::Rabbit;
use crate::routes::{self, Route};
use crate::side::PASSWORD;
use crate::{Difference, Known, judge};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

#[test]
fn every_route_with_every_tag_answers_as_with_rabbitmq() {
    if !Rabbit::is_installed() {
        return;
    }
    let rabbit = Rabbit::start_managed(PORT);
    let haremq = Broker::start();
    let routes = routes::all();
    assert!(routes.len() >= ROUTES_MIN, "only {} routes were found", routes.len());
    let (ours, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| outcomes(rabbit.http(), &routes));
        (outcomes(haremq.http, &routes), theirs.join().expect("all is tried"))
    });
    println!("{} routes, {} outcomes", routes.len(), ours.len());
    let both = ours.into_iter().zip(theirs);
    let differences: Vec<_> = both
        .filter(|(ours, theirs)| ours.1 != theirs.1)
        .map(|(ours, theirs)| {
            assert_eq!(ours.0, theirs.0);
            Difference { what: ours.0, ours: ours.1, theirs: theirs.1 }
        })
        .collect();
    judge(&differences, KNOWN);
}

/// Who asked for what, and what came of it: status, error and reason.
fn outcomes(http: SocketAddr, routes: &[Route]) -> Vec<(String, String)> {
    prepare(http);
    let nodes = ask(http, "GET", "/api/nodes", Some(GUEST), "").json();
    let node = nodes[0]["name"].as_str().unwrap_or("node").to_owned();
    let mut all = Vec::new();
    for route in routes {
        for vhost in if route.names("vhost") { &VHOSTS[..] } else { &VHOSTS[..1] } {
            if *vhost == MISSING && UNANSWERED.contains(&(&*route.method, &*route.path)) {
                continue;
            }
            if UNANSWERED_BY_NAME.iter().any(|path| route.path.starts_with(path)) {
                continue;
            }
            for asker in askers(route) {
                let users = [asker.map_or("nobody", |(name, _)| name), VICTIM];
                for user in if route.names("user") { &users[..] } else { &users[1..] } {
                    let path = route.filled(vhost, user, &node);
                    let body = route.body();
                    let text = if body.is_null() { String::new() } else { body.to_string() };
                    let answer = ask_within(PATIENCE, http, &route.method, &path, asker, &text);
                    let changes = route.method == "DELETE"
                        || route.names("user")
                        || path.ends_with(MISSING)
                        || path.contains("/deletion/");
                    let is_done = answer.as_ref().is_some_and(|answer| answer.status < 300);
                    if route.method != "GET" && is_done && changes {
                        prepare(http);
                    }
                    let what = format!("{} {path} as {asker:?}", route.method).replace(&node, "node");
                    all.push((what, answer.map_or_else(|| NO_ANSWER.to_owned(), |answer| shown(&answer))));
                }
            }
        }
    }
    all
}

/// A status of success says all; what is asked for is not looked at.
fn shown(answer: &Answer) -> String {
    let json = answer.json();
    if answer.status < 300 { answer.status.to_string() } else { format!("{} {json}", answer.status) }
}

/// Nobody, and with each tag one who may enter the vhost and one who may not; at one route, for whoever guesses is made to wait,
/// one with a wrong password.
fn askers(route: &Route) -> impl Iterator<Item = Option<Login<'static>>> {
    let known = INSIDE.iter().chain(&OUTSIDE).map(|name| Some((*name, PASSWORD)));
    let guesses = (route.path == "/api/whoami").then_some(Some((INSIDE[4], "wrong")));
    std::iter::once(None).chain(guesses).chain(known)
}

/// All that the routes are about, wherever it is not as before.
fn prepare(http: SocketAddr) {
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    for name in INSIDE.iter().chain(&OUTSIDE).chain(&[VICTIM]) {
        let tag = name.split('-').next_back().expect("a part of the name");
        let tags = if tag == "none" || *name == VICTIM { "" } else { tag };
        put(http, &format!("/api/users/{name}"), &json!({"password": PASSWORD, "tags": tags}));
    }
    for vhost in [ENTERED, CLOSED] {
        ask(http, "DELETE", &format!("/api/vhosts/{vhost}/deletion/protection"), Some(GUEST), "");
        put(http, &format!("/api/vhosts/{vhost}"), &Value::Null);
        put(http, &format!("/api/permissions/{vhost}/guest"), &everything);
        put(http, &format!("/api/permissions/{vhost}/{VICTIM}"), &everything);
        put(http, &format!("/api/exchanges/{vhost}/x"), &json!({"type": "direct", "durable": false}));
        put(http, &format!("/api/queues/{vhost}/q"), &json!({"durable": false}));
    }
    INSIDE.iter().for_each(|name| put(http, &format!("/api/permissions/{ENTERED}/{name}"), &everything));
    let given = [(ENTERED, OUTSIDE[4]), (CLOSED, OUTSIDE[4]), (CLOSED, INSIDE[4])];
    let given = given.map(|(vhost, name)| format!("permissions/{vhost}/{name}"));
    let topics = [INSIDE[4], VICTIM].map(|name| format!("topic-permissions/{ENTERED}/{name}"));
    for made in given.iter().chain(&topics).map(String::as_str).chain(["vhosts/missing"]) {
        ask(http, "DELETE", &format!("/api/{made}"), Some(GUEST), "");
    }
}

const INSIDE: [&str; 5] = ["in-none", "in-management", "in-policymaker", "in-monitoring", "in-administrator"];
const OUTSIDE: [&str; 5] =
    ["out-none", "out-management", "out-policymaker", "out-monitoring", "out-administrator"];
/// Whom they ask about besides themselves.
const VICTIM: &str = "victim";
const ENTERED: &str = "entered";
const CLOSED: &str = "closed";
const MISSING: &str = "missing";
const VHOSTS: [&str; 3] = [ENTERED, CLOSED, MISSING];
/// As long as nothing else takes.
const PATIENCE: Duration = Duration::from_secs(3);
const NO_ANSWER: &str = "no answer";
/// To these 3.10 says nothing at all if there is no such vhost.
const UNANSWERED: [(&str, &str); 2] =
    [("POST", "/api/queues/{vhost}/{queue}/actions"), ("DELETE", "/api/vhost-limits/{vhost}/{limit}")];
/// Nor to these if there is no such connection or channel.
const UNANSWERED_BY_NAME: [&str; 3] = ["/api/connections/{", "/api/connections/username/", "/api/channels/{"];
/// The search for them has not gone wrong.
const ROUTES_MIN: usize = 40;
/// RabbitMQ's.
const PORT: u16 = 5691;

/// Routes of later versions, of plugins that are not there, and of ours.
const NOT_IN_3_10: [&str; 12] = [
    "/api/auth/hash_password/",
    "/api/deprecated-features",
    "/api/federation-links",
    "/api/haremq/",
    "/api/health/checks/below-node-connection-limit",
    "/api/health/checks/is-in-service",
    "/api/health/checks/ready-to-serve-clients",
    "/api/queues/detailed",
    "/api/shovels",
    "/api/stream/",
    "/api/version",
    "/deletion/protection",
];

const KNOWN: &[Known] = &[
    Known {
        because: "3.10 has no such route",
        is: |it| {
            let refused = it.theirs.starts_with("404") || it.theirs.starts_with("405");
            refused && NOT_IN_3_10.iter().any(|path| it.what.contains(path))
        },
    },
    Known {
        because: "3.10 lets monitors see less than later versions",
        is: |it| {
            it.what.contains("-monitoring") && it.ours == "200" && it.theirs.ends_with("virtual host\"}")
        },
    },
    Known {
        because: "3.10 has an empty list for what is in no vhost, or in one that the user may not enter",
        is: |it| {
            let lists = it.what.contains("bindings") || it.what.contains("consumers");
            let refused = it.ours.starts_with("404") || it.ours.ends_with("virtual host\"}");
            it.what.starts_with("GET") && lists && refused && it.theirs == "200"
        },
    },
    Known {
        because: "an administrator, too, must be let into the vhost to act on a queue",
        is: |it| it.what.contains("/actions") && it.ours.starts_with("401") && it.theirs == "204",
    },
    Known {
        because: "that there is no such vhost is said before whether the user might have entered it",
        is: |it| it.what.contains(MISSING) && it.ours.starts_with("404") && it.theirs.starts_with("401"),
    },
    Known {
        because: "definitions of no vhost: 3.10 says it otherwise",
        is: |it| {
            it.what.contains("/api/definitions/missing")
                && it.theirs.contains("vhost_not_found")
                && it.ours.starts_with("404")
        },
    },
    Known {
        because: "we listen for other protocols",
        is: |it| {
            it.what.contains("protocol-listener")
                && it.ours.starts_with("503")
                && it.theirs.starts_with("503")
        },
    },
    Known {
        because: "of 3.10 nobody logs out",
        is: |it| {
            it.what.starts_with("DELETE /api/login ") && it.ours == "204" && it.theirs.starts_with("405")
        },
    },
];

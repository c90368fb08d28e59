//! Over AMQP: 27 users with each set of permissions, and one in a vhost where it may do nothing.

use crate::cases::{self, Case};
use crate::common::Broker;
use crate::common::http::put;
use crate::common::rabbit::Rabbit;
use crate::side::{Outcome, PASSWORD, Side, entered};
use crate::{Difference, Known, judge};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::thread;

#[test]
fn every_operation_with_every_permission_ends_as_with_rabbitmq() {
    if !Rabbit::is_installed() {
        return;
    }
    let rabbit = Rabbit::start_managed(PORT);
    let haremq = Broker::start();
    let cases = cases::all();
    let (ours, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| outcomes(rabbit.amqp, rabbit.http(), &cases));
        (outcomes(haremq.amqp, haremq.http, &cases), theirs.join().expect("all is tried"))
    });
    println!("{} outcomes", ours.len());
    assert_eq!(ours.len(), theirs.len());
    let both = ours.into_iter().zip(theirs);
    let differences: Vec<_> = both
        .filter(|(ours, theirs)| ours.1 != theirs.1)
        .map(|(ours, theirs)| Difference { what: ours.0, ours: ours.1, theirs: theirs.1 })
        .collect();
    judge(&differences, KNOWN);
}

/// Who tried what, and what came of it.
fn outcomes(amqp: SocketAddr, http: SocketAddr, cases: &[Case]) -> Vec<(String, Outcome)> {
    prepare(http);
    let mut all = Vec::new();
    let mut try_all = |vhost, users: &[String]| {
        let mut side = Side::new(amqp, vhost);
        for user in users {
            let outcomes = side.outcomes(user, cases);
            all.extend(cases.iter().map(|case| format!("{user} in {vhost}: {case:?}")).zip(outcomes));
        }
    };
    try_all(TRIED, &users().map(|(user, _)| user).collect::<Vec<_>>());
    try_all(OTHER, &[OWN_EVERYWHERE.to_owned()]);
    let refused = entered(amqp, (OWN_EVERYWHERE, PASSWORD), CLOSED).err();
    all.push((format!("{OWN_EVERYWHERE} enters {CLOSED}"), refused.expect("it may not enter")));
    all
}

fn prepare(http: SocketAddr) {
    for vhost in [TRIED, OTHER, CLOSED] {
        put(http, &format!("/api/vhosts/{vhost}"), &Value::Null);
    }
    for (user, [configure, write, read]) in users() {
        put(http, &format!("/api/users/{user}"), &json!({"password": PASSWORD, "tags": ""}));
        let patterns = json!({"configure": configure, "write": write, "read": read});
        put(http, &format!("/api/permissions/{TRIED}/{user}"), &patterns);
        let nothing = json!({"configure": NOTHING, "write": NOTHING, "read": NOTHING});
        put(http, &format!("/api/permissions/{OTHER}/{user}"), &nothing);
    }
}

/// A letter for what each may configure, write and read; and the patterns.
fn users() -> impl Iterator<Item = (String, [&'static str; 3])> {
    let levels = [("n", NOTHING), ("o", "^own"), ("a", ".*")];
    levels.into_iter().flat_map(move |configure| {
        levels.into_iter().flat_map(move |write| {
            levels.into_iter().map(move |read| {
                let three = [configure, write, read];
                (three.map(|(letter, _)| letter).concat(), three.map(|(_, pattern)| pattern))
            })
        })
    })
}

const NOTHING: &str = "^$";
const OWN_EVERYWHERE: &str = "ooo";
/// Vhosts: where the patterns are, where nothing is allowed, and where there is no permission.
const TRIED: &str = "tried";
const OTHER: &str = "other";
const CLOSED: &str = "closed";
/// RabbitMQ's.
const PORT: u16 = 5690;

const KNOWN: &[Known] = &[
    Known {
        because: "3.10 does not name the operation that is refused",
        is: |it| it.ours != it.theirs && without_operation(&it.ours) == it.theirs,
    },
    Known {
        because: "a passive declare asks for any of the three permissions, as from 4.2.7 on; 3.10 asks for none",
        is: |it| {
            it.what.contains("Passive")
                && it.ours.starts_with("channel 403")
                && (it.theirs.ends_with("declare-ok") || it.theirs.starts_with("channel 404"))
        },
    },
    Known {
        because: "an exchange of a type that there is not closes the connection until 3.13; we follow 4.0",
        is: |it| {
            it.what.contains("OfNoType")
                && it.ours.starts_with("channel 406")
                && it.theirs.starts_with("connection 503")
        },
    },
    Known {
        because: "we ask whether a declare may lead on also if its name is there: the queue might go while we look",
        is: |it| {
            let leads_on = it.what.contains("WithDeadLetters") || it.what.contains("WithAlternate");
            leads_on && it.ours.starts_with("channel 403") && it.theirs.starts_with("channel 406")
        },
    },
];

/// A refusal as 3.10 puts it.
fn without_operation(text: &str) -> String {
    let operations = ["configure", "write", "read"];
    operations.iter().fold(text.to_owned(), |text, operation| {
        text.replace(&format!(" - {operation} access to"), " - access to")
    })
}

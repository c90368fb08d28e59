use std::time::{Duration, Instant};

use super::*;

const SALT: Salt = Salt([7; 16]);
const GUEST: &[u8] = b"guest";

fn name(text: &str) -> Name {
    text.as_bytes().into()
}

fn user(name: &str, password: &str) -> Change {
    let hash = PasswordHash::new(Algorithm::Sha256, password.as_bytes(), SALT);
    Change::UserPut(User::new(name.as_bytes(), hash, Tags::default()).unwrap())
}

fn permission(vhost: &str, user: &str, [configure, write, read]: [&str; 3]) -> Change {
    let permission = Permission::new(configure, write, read).unwrap();
    Change::PermissionPut { vhost: name(vhost), user: name(user), permission }
}

fn topic_permission(vhost: &str, user: &str, exchange: &str, [write, read]: [&str; 2]) -> Change {
    let topic = TopicPermission::new(&name(vhost), &name(user), &name(exchange), write, read);
    Change::TopicPermissionPut(topic.unwrap())
}

fn access(changes: impl IntoIterator<Item = Change>) -> Access {
    changes.into_iter().fold(Access::new(Algorithm::Sha256), Access::apply)
}

fn guest() -> Access {
    Access::default_for(GUEST, GUEST, SALT, Algorithm::Sha256).unwrap()
}

#[test]
fn a_new_broker_has_an_administrator_who_may_do_everything_in_the_first_vhost() {
    let access = guest();
    let user = access.login(GUEST, GUEST, true, &[]).unwrap();
    assert!(user.tags.is_administrator());
    assert!(access.may_enter(GUEST, b"/") && !access.may_enter(GUEST, b"v"));
    for operation in Operation::ALL {
        for resource in [Resource::Queue(b"q"), Resource::Exchange(b""), Resource::Exchange(b"amq.topic")] {
            assert_eq!(access.check(GUEST, b"/", resource, operation), Ok(()));
        }
    }
}

#[test]
fn a_user_who_may_only_come_from_this_machine_is_told_so_after_the_password() {
    let access = guest().apply(user("u", "p"));
    let loopback_users = [name("guest")];
    let login =
        |user, password, here| access.login(user, password, here, &loopback_users).map(|u| u.name.clone());
    assert_eq!(login(b"guest", b"guest", true), Ok(name("guest")));
    assert_eq!(login(b"guest", b"guest", false), Err(AuthFailure::LoopbackOnly));
    assert_eq!(login(b"guest", b"wrong", false), Err(AuthFailure::BadCredentials));
    assert_eq!(login(b"u", b"p", false), Ok(name("u")));
}

#[test]
fn no_password_is_never_the_right_one() {
    let nobody = PasswordHash::nobody(Algorithm::Sha256);
    let without = Change::UserPut(User::new(b"without", nobody, Tags::default()).unwrap());
    let access = access([without, user("blank", ""), user("u", "p")]);
    for user in [&b"without"[..], b"blank", b"u", b"unknown", b""] {
        for password in [&b""[..], b"\0", b"x"] {
            assert_eq!(access.login(user, password, true, &[]), Err(AuthFailure::BadCredentials));
        }
    }
}

/// A hash by argon2id takes so long that a path without one would show, however busy the machine.
#[test]
fn a_user_who_is_not_there_takes_as_long_as_one_who_is() {
    let nobody = PasswordHash::nobody(Algorithm::Argon2id);
    let access = Access::default_for(GUEST, GUEST, SALT, Algorithm::Argon2id)
        .unwrap()
        .apply(Change::UserPut(User::new(b"without", nobody, Tags::default()).unwrap()));
    let fastest = |user: &[u8]| -> Duration {
        let time = || {
            let begin = Instant::now();
            assert!(access.login(user, b"wrong", true, &[]).is_err());
            begin.elapsed()
        };
        (0..3).map(|_| time()).min().unwrap()
    };
    let known = fastest(GUEST);
    for other in [&b"unknown"[..], b"without"] {
        assert!(fastest(other) > known / 4, "{other:?}");
    }
}

#[test]
fn a_user_who_is_not_there_is_judged_by_the_algorithm_of_new_passwords() {
    let slow = Access::new(Algorithm::Argon2id);
    let access = access([user("u", "p")]);
    assert!(!access.claim(b"unknown", b"p").is_slow());
    let access = access.hashing_as(&slow);
    assert!(access.claim(b"unknown", b"p").is_slow() && !access.claim(b"u", b"p").is_slow());
    assert!(access.apply(user("v", "p")).claim(b"unknown", b"p").is_slow());
}

#[test]
fn who_got_another_password_while_the_old_one_was_judged_is_not_let_in_by_that() {
    let access = access([user("u", "p"), user("v", "p")]);
    let [stays, changes] = [b"u", b"v"].map(|name| access.claim(name, b"p").judge());
    assert!(access.admit(&stays, true, &[]).is_ok() && access.admit(&changes, true, &[]).is_ok());
    let access = access.apply(user("v", "other"));
    assert!(access.admit(&stays, true, &[]).is_ok());
    assert_eq!(access.admit(&changes, true, &[]), Err(AuthFailure::BadCredentials));
    let gone = access.apply(Change::UserDeleted { user: name("u") });
    assert_eq!(gone.admit(&stays, true, &[]), Err(AuthFailure::BadCredentials));
}

#[test]
fn a_claim_does_not_show_its_password() {
    assert_eq!(format!("{:?}", guest().claim(b"ann\n", b"secret")), "Claim(ann\\n)");
}

#[test]
fn a_permission_opens_what_its_patterns_match() {
    use Operation::{Configure, Read, Write};
    use Resource::{Exchange, Queue};
    let access = access([
        user("u", "p"),
        permission("/", "u", ["^mine", "^(mine|amq\\.default$)", ""]),
        permission("all", "u", [".*", ".*", ".*"]),
        permission("none", "u", ["", "", ""]),
    ]);
    let table = [
        ("/", Queue(b"mine.1"), Configure, true),
        ("/", Queue(b"other"), Configure, false),
        ("/", Queue(b"not mine"), Configure, false),
        ("/", Queue(b"mine.1"), Write, true),
        ("/", Queue(b"mine.1"), Read, false),
        ("/", Exchange(b"mine.x"), Configure, true),
        ("/", Exchange(b"amq.topic"), Write, false),
        ("/", Exchange(b""), Write, true),
        ("/", Exchange(b""), Configure, false),
        ("/", Exchange(b"amq.default"), Write, true),
        ("/", Queue(b""), Read, true),
        ("all", Queue(b"q"), Read, true),
        ("all", Exchange(b""), Configure, true),
        ("all", Queue(b"\xff\n"), Write, true),
        ("none", Queue(b"q"), Read, false),
        ("none", Exchange(b""), Write, false),
        ("elsewhere", Queue(b"mine.1"), Configure, false),
    ];
    for (vhost, resource, operation, expected) in table {
        let checked = access.check(b"u", vhost.as_bytes(), resource, operation);
        assert_eq!(checked.is_ok(), expected, "{vhost} {resource:?} {operation}");
        assert!(access.check(b"nobody", vhost.as_bytes(), resource, operation).is_err());
    }
}

#[test]
fn to_declare_passively_takes_any_of_the_three() {
    let table = [
        (["^q$", "", ""], true),
        (["", "^q$", ""], true),
        (["", "", "^q$"], true),
        (["", "", ""], false),
        (["x", "x", "x"], false),
    ];
    for (patterns, expected) in table {
        let access = access([user("u", "p"), permission("/", "u", patterns)]);
        for resource in [Resource::Queue(b"q"), Resource::Exchange(b"q")] {
            assert_eq!(access.check_passive(b"u", b"/", resource).is_ok(), expected, "{patterns:?}");
        }
    }
    let refused = access([]).check_passive(b"u", b"/", Resource::Queue(b"q"));
    assert_eq!(refused, Err("configure access to queue 'q' in vhost '/' refused for user 'u'".to_owned()));
}

#[test]
fn a_refusal_reads_as_rabbitmqs() {
    let access = access([user("u", "p"), topic_permission("/", "u", "x", ["", ""])]);
    let refused = |resource, operation| access.check(b"u", b"/", resource, operation).unwrap_err();
    assert_eq!(
        refused(Resource::Queue(b"q"), Operation::Configure),
        "configure access to queue 'q' in vhost '/' refused for user 'u'"
    );
    assert_eq!(
        refused(Resource::Queue(b"q"), Operation::Read),
        "read access to queue 'q' in vhost '/' refused for user 'u'"
    );
    assert_eq!(
        refused(Resource::Exchange(b""), Operation::Write),
        "write access to exchange 'amq.default' in vhost '/' refused for user 'u'"
    );
    let topic = Topic { exchange: b"x", key: b"k", client_id: None };
    assert_eq!(
        access.check_topic(b"u", b"/", topic, TopicOperation::Write).unwrap_err(),
        "write access to topic 'k' in exchange 'x' in vhost '/' refused for user 'u'"
    );
    assert_eq!(access.check_entry(b"u", b"x").unwrap_err(), "access to vhost 'x' refused for user 'u'");
}

#[test]
fn whoever_has_a_permission_may_enter_even_if_it_matches_nothing() {
    let access = access([user("u", "p"), permission("v", "u", ["", "", ""])]);
    assert_eq!(access.check_entry(b"u", b"v"), Ok(()));
    assert!(!access.may_enter(b"u", b"/") && !access.may_enter(b"other", b"v"));
    let access = access.apply(topic_permission("/", "u", "x", [".*", ".*"]));
    assert!(!access.may_enter(b"u", b"/"), "a topic permission only takes away");
}

#[test]
fn a_topic_permission_holds_at_its_exchange_for_its_user() {
    use TopicOperation::{Read, Write};
    let access = access([
        user("u", "p"),
        topic_permission("/", "u", "x", ["^{username}\\.{client_id}\\.", "^pub\\."]),
    ]);
    let table = [
        ("u", "x", "u.c.k", Some("c"), Write, true),
        ("u", "x", "u.d.k", Some("c"), Write, false),
        ("u", "x", "u.c.k", None, Write, false),
        ("u", "x", "u.{client_id}.k", None, Write, true),
        ("u", "x", "pub.k", None, Write, false),
        ("u", "x", "pub.k", None, Read, true),
        ("u", "x", "pub.#", None, Read, true),
        ("u", "x", "#", None, Read, false),
        ("u", "y", "#", None, Read, true),
        ("v", "x", "#", None, Read, true),
    ];
    for (user, exchange, key, client_id, operation, expected) in table {
        let client_id: Option<&[u8]> = client_id.map(str::as_bytes);
        let topic = Topic { exchange: exchange.as_bytes(), key: key.as_bytes(), client_id };
        let checked = access.check_topic(user.as_bytes(), b"/", topic, operation);
        assert_eq!(checked.is_ok(), expected, "{user} {exchange} {key} {operation}");
    }
    let elsewhere = Topic { exchange: b"x", key: b"#", client_id: None };
    assert_eq!(access.check_topic(b"u", b"v", elsewhere, Read), Ok(()));
}

#[test]
fn an_empty_topic_pattern_lets_the_empty_key_pass() {
    let access = access([user("u", "p"), topic_permission("/", "u", "x", ["", ""])]);
    let write = |key| {
        access.check_topic(b"u", b"/", Topic { exchange: b"x", key, client_id: None }, TopicOperation::Write)
    };
    assert!(write(b"").is_ok() && write(b"k").is_err());
}

fn three_users() -> Access {
    let of = |user_name| {
        [
            user(user_name, "p"),
            permission("/", user_name, ["a", "b", "c"]),
            permission("v", user_name, [".*", "", ""]),
            topic_permission("/", user_name, "x", ["w", "r"]),
            topic_permission("/", user_name, "y", ["w", "{username}"]),
            topic_permission("w", user_name, "x", ["w", "r"]),
        ]
    };
    access(["a", "b", "c"].into_iter().flat_map(of))
}

fn all(access: &Access) -> Vec<Change> {
    access.changes().collect()
}

#[test]
fn with_a_user_go_its_permissions() {
    let access = three_users().apply(Change::UserDeleted { user: name("b") });
    assert_eq!(access.users().count(), 2);
    assert_eq!(access.permissions().filter(|(_, user, _)| ***user == *b"b").count(), 0);
    assert_eq!(access.topic_permissions().filter(|topic| **topic.user() == *b"b").count(), 0);
    assert_eq!((access.permissions().count(), access.topic_permissions().count()), (4, 6));
    let again = access.apply(user("b", "p"));
    assert!(!again.may_enter(b"b", b"/"), "a later user of that name starts with nothing");
}

#[test]
fn with_a_vhost_go_the_permissions_in_it() {
    let access = three_users().forget_vhost(b"/");
    assert!(!access.may_enter(b"a", b"/") && access.may_enter(b"a", b"v"));
    assert_eq!((access.permissions().count(), access.topic_permissions().count()), (3, 3));
}

#[test]
fn what_is_taken_away_is_gone_and_nothing_else() {
    let deleted = Change::PermissionDeleted { vhost: name("/"), user: name("a") };
    let access = three_users().apply(deleted);
    assert!(!access.may_enter(b"a", b"/") && access.may_enter(b"b", b"/"));
    let topics = |exchange: Option<&str>| Change::TopicPermissionDeleted {
        vhost: name("/"),
        user: name("a"),
        exchange: exchange.map(name),
    };
    let has = |access: &Access, exchange: &[u8]| access.topic_permission(b"/", b"a", exchange).is_some();
    let one = access.clone().apply(topics(Some("x")));
    assert!(!has(&one, b"x") && has(&one, b"y") && one.topic_permission(b"w", b"a", b"x").is_some());
    let unknown = access.clone().apply(topics(Some("z")));
    assert_eq!(all(&unknown), all(&access));
    let none = access.apply(topics(None));
    assert!(!has(&none, b"x") && !has(&none, b"y") && none.topic_permission(b"/", b"b", b"x").is_some());
}

#[test]
fn a_user_put_again_keeps_its_permissions_and_limits_are_put_alone() {
    let limits = Limits { max_connections: Some(3), max_channels: None };
    let access = three_users().apply(Change::LimitsPut { user: name("a"), limits });
    assert_eq!(access.user(b"a").unwrap().limits, limits);
    assert!(access.login(b"a", b"p", true, &[]).is_ok());
    let access = access.apply(user("a", "other"));
    assert!(access.login(b"a", b"p", true, &[]).is_err() && access.login(b"a", b"other", true, &[]).is_ok());
    assert!(access.may_enter(b"a", b"/"));
    assert_eq!(access.user(b"a").unwrap().limits, Limits::default());
}

#[test]
fn what_is_for_a_user_who_is_not_there_changes_nothing() {
    let before = three_users();
    for change in [
        permission("/", "d", [".*"; 3]),
        topic_permission("/", "d", "x", [".*"; 2]),
        Change::LimitsPut {
            user: name("d"),
            limits: Limits { max_connections: Some(1), max_channels: None },
        },
        Change::UserDeleted { user: name("d") },
        Change::PermissionDeleted { vhost: name("/"), user: name("d") },
        Change::PermissionDeleted { vhost: name("nowhere"), user: name("a") },
    ] {
        assert_eq!(all(&before.clone().apply(change)), all(&before));
    }
}

#[test]
fn a_copy_does_not_see_later_changes() {
    let before = three_users();
    let changes = all(&before);
    let after = before.clone().apply(Change::UserDeleted { user: name("a") }).forget_vhost(b"v");
    assert_eq!(all(&before), changes);
    assert_ne!(all(&after), changes);
}

#[test]
fn its_changes_make_the_same_again_through_the_journal_too() {
    let original = three_users();
    let read_back = original.changes().map(|change| {
        let mut body = Vec::new();
        change.encode(&mut body);
        Change::decode(change.kind(), &body).unwrap()
    });
    assert_eq!(all(&access(read_back)), all(&original));
    assert_eq!(all(&original).len(), 3 + 6 + 9);
}

#[test]
fn all_of_it_may_cross_to_other_cores() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Access>();
    crosses::<Change>();
}

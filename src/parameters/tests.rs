use serde_json::json;

use super::*;
use crate::queue_args::{Overflow, QueueArgs, QueueKind};

fn name(text: &str) -> Name {
    text.as_bytes().into()
}

fn parameter(component: &[u8], of: &str, value: Value) -> Result<Parameter, String> {
    Parameter::new(b"/", component, of.as_bytes(), value)
}

fn put(component: &[u8], of: &str, value: Value) -> Change {
    Change::Put(parameter(component, of, value).expect("a good value"))
}

fn policy(pattern: &str, definition: Value) -> Value {
    json!({"pattern": pattern, "definition": definition, "priority": 0, "apply-to": "all"})
}

fn with_priority(priority: Value, value: Value) -> Value {
    let mut value = value;
    value["priority"] = priority;
    value
}

fn parameters(changes: impl IntoIterator<Item = Change>) -> Parameters {
    changes.into_iter().fold(Parameters::default(), Parameters::apply)
}

/// The names of the policy and the operator policy of a classic queue.
fn applied(parameters: &Parameters, queue: &str) -> [Option<String>; 2] {
    let applied = parameters.policies(b"/").unwrap().of_queue(queue.as_bytes(), QueueKind::Classic);
    let of = |policy: Option<Arc<Policy>>| Some(String::from_utf8(policy?.name.to_vec()).unwrap());
    [of(applied.policy), of(applied.operator)]
}

/// What is wrong with a definition, without the frame of the text.
fn wrong(component: &[u8], definition: Value) -> String {
    let text = parameter(component, "p", policy("", definition)).expect_err("a bad definition");
    let text = text.strip_prefix("Validation failed\n\n").and_then(|text| text.strip_suffix('\n'));
    text.expect("the frame").to_owned()
}

/// The texts are RabbitMQ 3.10's.
#[test]
fn each_key_is_checked_in_rabbitmqs_words() {
    for (definition, text) in [
        (json!({}), "no policy provided"),
        (json!([]), "no policy provided"),
        (
            json!({"foo": 2, "bar": "x", "max-length": 1}),
            r#"[{<<"bar">>,<<"x">>},{<<"foo">>,2}] are not recognised policy settings"#,
        ),
        (json!({"message-ttl": "a"}), r#"<<"a">> is not a valid message TTL"#),
        (json!({"message-ttl": -1}), "-1 is not a valid message TTL"),
        (json!({"message-ttl": 1.5}), "1.5 is not a valid message TTL"),
        (json!({"message-ttl": [1, "a"]}), r#"[1,<<"a">>] is not a valid message TTL"#),
        (json!({"message-ttl": {"a": 1}}), r#"#{<<"a">> => 1} is not a valid message TTL"#),
        (json!({"expires": 0}), "0 is not a valid queue expiry"),
        (json!({"max-length": true}), "true is not a valid maximum length"),
        (json!({"max-length-bytes": null}), "null is not a valid maximum length in bytes"),
        (json!({"max-in-memory-length": -2}), "-2 is not a valid maximum memory in bytes"),
        (json!({"overflow": "a"}), r#"<<"a">> is not a valid overflow value"#),
        (json!({"dead-letter-exchange": 1}), "1 is not a valid dead letter exchange name"),
        (json!({"dead-letter-routing-key": 1}), "1 is not a valid dead letter routing key"),
        (json!({"dead-letter-strategy": "x"}), r#"<<"x">> is not a valid dead letter strategy"#),
        (json!({"alternate-exchange": 1}), "1 is not a valid alternate exchange name"),
        (json!({"delivery-limit": -2}), "-2 is not a valid delivery limit"),
        (json!({"queue-mode": "eager"}), r#"<<"eager">> is not a valid queue-mode value"#),
        (json!({"queue-version": 3}), "3 is not a valid queue-version value"),
        (json!({"queue-master-locator": "x"}), r#"<<"x">> invalid queue-master-locator value"#),
        (json!({"queue-leader-locator": "x"}), r#"<<"x">> is not a valid queue leader locator value"#),
        (json!({"initial-cluster-size": "x"}), r#"<<"x">> is not a valid cluster size"#),
        (json!({"max-age": "h"}), r#"<<"h">> is not a valid max age"#),
        (json!({"message-ttl": 1e20}), "1.0e20 is not a valid message TTL"),
        (json!({"ha-mode": "x"}), r#"<<"x">> is not a valid ha-mode value"#),
        (json!({"ha-mode": "all", "ha-params": 1}), r#"ha-mode="all" does not take parameters"#),
        (json!({"ha-mode": "exactly"}), r#"ha-mode="exactly" takes an integer, none given"#),
        (json!({"ha-mode": "exactly", "ha-params": 0}), r#"ha-mode="exactly" takes an integer, 0 given"#),
        (json!({"ha-mode": "nodes", "ha-params": []}), r#"ha-mode="nodes" list must be non-empty"#),
        (
            json!({"ha-mode": "nodes", "ha-params": ["a", 1]}),
            r#"ha-mode="nodes" takes a list of strings, [1] was not a string"#,
        ),
        (json!({"ha-mode": "nodes", "ha-params": 1}), r#"ha-mode="nodes" takes a list, 1 given"#),
        (
            json!({"ha-mode": "all", "ha-sync-mode": "x"}),
            r#"ha-sync-mode must be "manual" or "automatic", got <<"x">>"#,
        ),
        (
            json!({"ha-mode": "all", "ha-sync-batch-size": 0}),
            "ha-sync-batch-size takes an integer greater than 0, 0 given",
        ),
        (
            json!({"ha-mode": "all", "ha-promote-on-failure": "x"}),
            r#"ha-promote-on-failure must be "always" or "when-synced", got <<"x">>"#,
        ),
        (
            json!({"ha-sync-mode": "automatic"}),
            "ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown",
        ),
    ] {
        assert_eq!(wrong(POLICY, definition.clone()), text, "{definition}");
    }
    for known in [
        json!({"message-ttl": 0, "expires": 1, "max-length": 0, "max-length-bytes": 0, "overflow": "reject-publish-dlx"}),
        json!({"ha-mode": "exactly", "ha-params": 2, "ha-sync-mode": "automatic", "ha-sync-batch-size": 5}),
        json!({"ha-mode": "nodes", "ha-params": ["a"], "ha-promote-on-shutdown": "always"}),
        json!({"queue-mode": "lazy", "queue-version": 2, "consumer-timeout": 1, "max-age": "7D"}),
    ] {
        assert!(parameter(POLICY, "p", policy("", known)).is_ok());
    }
}

#[test]
fn operators_set_limits_and_nothing_else() {
    for (key, value) in
        [("ha-mode", json!("all")), ("dead-letter-exchange", json!("x")), ("queue-version", json!(1))]
    {
        let text = format!(
            "{} are not recognised policy settings",
            term::pairs(json!({key: value}).as_object().unwrap())
        );
        assert_eq!(wrong(OPERATOR_POLICY, json!({key: value})), text);
    }
    let limits = json!({
        "expires": 1, "message-ttl": 1, "max-length": 1, "max-length-bytes": 1, "max-in-memory-length": 1,
        "max-in-memory-bytes": 1, "delivery-limit": 1, "overflow": "drop-head",
    });
    assert!(parameter(OPERATOR_POLICY, "p", policy("", limits)).is_ok());
}

#[test]
fn every_field_that_is_wrong_is_told_the_last_first() {
    let text = parameter(OPERATOR_POLICY, "x", json!({"a": 1})).unwrap_err();
    assert_eq!(
        text,
        "Validation failed\n\nUnrecognised terms [{<<\"a\">>,1}] in x\nKey \"definition\" not found in x\n\
         Key \"pattern\" not found in x\nKey \"priority\" not found in x\n"
    );
    let text =
        parameter(POLICY, "x", json!({"pattern": 1, "definition": {}, "priority": "1", "apply-to": "foo"}));
    assert_eq!(
        text.unwrap_err(),
        "Validation failed\n\nno policy provided\napply-to 'foo' unrecognised; should be one of: 'queues', \
         'classic_queues', 'quorum_queues', 'streams', 'exchanges', or 'all'\npattern should be a binary but was 1\n\
         priority should be a number, actually was <<\"1\">>\n"
    );
    assert_eq!(parameter(POLICY, "x", json!(1)).unwrap_err(), "Validation failed\n\nx not a list 1\n");
    let text = parameter(POLICY, "x", policy("(", json!({"max-length": 1}))).unwrap_err();
    let expected = "pattern should be regular expression but is invalid: unclosed group";
    assert_eq!(text, format!("Validation failed\n\n{expected}\n"));
    let text = parameter(b"nope", "x", json!({})).unwrap_err();
    assert_eq!(text, "Validation failed\n\ncomponent nope not found\n");
}

#[test]
fn limits_of_a_vhost_are_numbers_and_a_negative_one_is_none() {
    let of = |value| parameters([put(VHOST_LIMITS, "limits", value)]).limits(b"/");
    let limits = VhostLimits { max_connections: None, max_queues: Some(0) };
    assert_eq!(of(json!({"max-connections": -1, "max-queues": 0})), limits);
    let text = parameter(VHOST_LIMITS, "limits", json!({"max-queues": "x", "foo": 1})).unwrap_err();
    assert_eq!(
        text,
        "Validation failed\n\nUnrecognised terms [{<<\"foo\">>,1}] in limits\n\
         max-queues should be a number, actually was <<\"x\">>\n"
    );
    assert!(parameter(VHOST_LIMITS, "foo", json!({})).is_err());
    let put = put(VHOST_LIMITS, "limits", json!({"max-queues": 1}));
    let deleted = Change::Deleted { vhost: name("/"), component: name("vhost-limits"), name: name("limits") };
    let parameters = parameters([put, deleted]);
    assert_eq!((parameters.limits(b"/"), parameters), (VhostLimits::default(), Parameters::default()));
}

#[test]
fn of_several_policies_the_one_of_the_highest_priority_applies() {
    let definition = || json!({"max-length": 1});
    let mut parameters = parameters([
        put(POLICY, "low", policy("^a", definition())),
        put(POLICY, "high", with_priority(json!(1.5), policy("^a", definition()))),
        put(POLICY, "negative", with_priority(json!(-1), policy("", definition()))),
        put(POLICY, "also-low", policy("^ab", definition())),
        put(OPERATOR_POLICY, "operator", policy("b$", definition())),
    ]);
    let some = |policy: &str| Some(policy.to_owned());
    assert_eq!(applied(&parameters, "a"), [some("high"), None]);
    assert_eq!(applied(&parameters, "b"), [some("negative"), some("operator")]);
    let deleted = Change::Deleted { vhost: name("/"), component: name("policy"), name: name("high") };
    parameters = parameters.apply(deleted);
    assert_eq!(applied(&parameters, "ab"), [some("also-low"), some("operator")]);
    assert_eq!(applied(&parameters, "a"), [some("low"), None]);
}

#[test]
fn a_policy_applies_to_what_it_is_for_and_what_knows_all_of_its_keys() {
    let all = |apply_to: &str, definition: Value| {
        let mut value = policy(".*", definition);
        value["apply-to"] = json!(apply_to);
        let parameters = parameters([put(POLICY, "p", value)]);
        let policies = parameters.policies(b"/").unwrap().clone();
        let queue = |kind| policies.of_queue(b"q", kind).policy.is_some();
        [queue(QueueKind::Classic), queue(QueueKind::Quorum), policies.of_exchange(b"x").policy.is_some()]
    };
    for (apply_to, expected) in [
        ("all", [true, true, true]),
        ("queues", [true, true, false]),
        ("classic_queues", [true, false, false]),
        ("quorum_queues", [false, true, false]),
        ("exchanges", [false, false, true]),
        ("streams", [false, false, false]),
    ] {
        assert_eq!(all(apply_to, json!({"max-length": 1})), expected, "{apply_to}");
    }
    assert_eq!(all("all", json!({"max-length": 1, "delivery-limit": 1})), [false, true, true]);
    assert_eq!(all("all", json!({"ha-mode": "all"})), [true, false, true]);
    assert_eq!(all("all", json!({"max-age": "1h"})), [false, false, true]);
}

fn rules(declared: &QueueArgs, own: Value, operators: Value) -> (QueueArgs, Value) {
    let changes = [(POLICY, own), (OPERATOR_POLICY, operators)];
    let put = |(component, definition): (&[u8], Value)| put(component, "p", policy(".*", definition));
    let parameters = parameters(changes.into_iter().map(put));
    let applied = parameters.policies(b"/").unwrap().of_queue(b"q", declared.kind);
    (applied.rules(declared), Value::Object(applied.definition()))
}

#[test]
fn numbers_are_the_least_of_argument_policy_and_operator_policy() {
    let declared = QueueArgs {
        message_ttl_ms: Some(5),
        length_max: Some(50),
        dead_letter_exchange: Some(name("own")),
        ..QueueArgs::default()
    };
    let own = json!({
        "message-ttl": 10, "max-length": 10, "max-length-bytes": 100, "expires": 7, "overflow": "reject-publish",
        "dead-letter-exchange": "other", "dead-letter-routing-key": "key", "alternate-exchange": "x",
    });
    let operators = json!({"message-ttl": 3, "max-length": 30, "max-length-bytes": 99});
    let (rules, definition) = rules(&declared, own, operators);
    let expected = QueueArgs {
        message_ttl_ms: Some(3),
        length_max: Some(10),
        length_bytes_max: Some(99),
        expires_ms: Some(7),
        overflow: Some(Overflow::RejectPublish),
        dead_letter_exchange: Some(name("own")),
        dead_letter_routing_key: Some(name("key")),
        ..QueueArgs::default()
    };
    assert_eq!(rules, expected);
    assert_eq!(
        definition,
        json!({
            "message-ttl": 3, "max-length": 10, "max-length-bytes": 99, "expires": 7, "overflow": "reject-publish",
            "dead-letter-exchange": "other", "dead-letter-routing-key": "key", "alternate-exchange": "x",
        })
    );
}

#[test]
fn of_what_is_no_number_the_argument_counts_and_then_the_operators_word() {
    let declared = |overflow| QueueArgs { overflow, length_max: Some(1), ..QueueArgs::default() };
    let of = |overflow, own: &str, operators: &str| {
        let [own, operators] = [own, operators].map(|name| json!({"overflow": name}));
        rules(&declared(overflow), own, operators).0.overflow()
    };
    assert_eq!(of(None, "drop-head", "reject-publish"), Overflow::RejectPublish);
    assert_eq!(of(Some(Overflow::DropHead), "reject-publish", "reject-publish"), Overflow::DropHead);
    let plain = rules(
        &QueueArgs { overflow: Some(Overflow::DropHead), ..QueueArgs::default() },
        json!({"queue-mode": "lazy"}),
        json!({"overflow": "drop-head"}),
    );
    assert!(plain.0.is_plain(), "what asks for what is so anyway asks for nothing");
}

#[test]
fn a_quorum_queue_has_a_delivery_limit_of_its_own_if_nobody_sets_one() {
    let quorum = QueueArgs { kind: QueueKind::Quorum, ..QueueArgs::default() };
    assert_eq!(Applied::default().rules(&quorum).delivery_limit, Some(20));
    let (rules, _) = rules(
        &quorum,
        json!({"delivery-limit": 50, "overflow": "reject-publish-dlx"}),
        json!({"max-length": 1}),
    );
    assert_eq!((rules.delivery_limit, rules.overflow()), (Some(50), Overflow::RejectPublish));
}

#[test]
fn with_a_vhost_go_its_parameters() {
    let elsewhere = Parameter::new(b"v", POLICY, b"p", policy("", json!({"expires": 1}))).unwrap();
    let here = put(POLICY, "p", policy("", json!({"expires": 1})));
    let global = Change::GlobalPut { name: name("g"), value: json!([1, null]) };
    let parameters = parameters([here, Change::Put(elsewhere), global]).forget_vhost(b"/");
    assert!(parameters.policies(b"/").is_none());
    let left: Vec<_> = parameters.changes().map(|change| change.vhost().cloned()).collect();
    assert_eq!(left, [Some(name("v")), None]);
    assert_eq!(parameters.global(b"g"), Some(&json!([1, null])));
}

/// What is wrong with a value, without the frame of the text.
fn refused(component: &str, value: Value) -> Option<String> {
    let text = parameter(component.as_bytes(), "u", value).err()?;
    let text = text.strip_prefix("Validation failed\n\n").and_then(|text| text.strip_suffix('\n'));
    Some(text.expect("the frame").to_owned())
}

/// The texts are RabbitMQ 3.10's.
#[test]
fn upstreams_of_federation_are_checked_in_rabbitmqs_words() {
    for (value, text) in [
        (json!({}), "Key \"uri\" not found in u"),
        (json!([]), "Key \"uri\" not found in u"),
        (json!({"uri": 1}), "uri should be list, actually was 1"),
        (json!({"uri": ["amqp://a", 1]}), "uri should be list, actually was 1"),
        (json!({"uri": ["amqp://a", "b"]}), r#""b" not a valid URI: {{unable_to_parse_uri,no_scheme},"b"}"#),
        (json!({"uri": ""}), r#""" not a valid URI: {{unable_to_parse_uri,no_scheme},[]}"#),
        (
            json!({"uri": "http://x"}),
            r#""http://x" not a valid URI: {{unexpected_uri_scheme,"http"},"http://x"}"#,
        ),
        (
            json!({"uri": "amqp://", "ack-mode": "x", "trust-user-id": "x", "prefetch-count": "x"}),
            "ack-mode should be one of [<<\"no-ack\">>,<<\"on-publish\">>,<<\"on-confirm\">>], actually was <<\"x\">>\n\
             trust-user-id should be boolean, actually was <<\"x\">>\n\
             prefetch-count should be a number, actually was <<\"x\">>",
        ),
        (
            json!({"uri": "amqp://", "exchange": 1, "queue": 2, "ha-policy": 3, "consumer-tag": 4, "foo": 1}),
            "Unrecognised terms [{<<\"foo\">>,1}] in u\nha-policy should be binary, actually was 3\n\
             consumer-tag should be binary, actually was 4\nqueue should be binary, actually was 2\n\
             exchange should be binary, actually was 1",
        ),
    ] {
        assert_eq!(refused("federation-upstream", value.clone()).as_deref(), Some(text), "{value}");
    }
    let all = json!({
        "uri": ["amqps://u:p@h/%2f", "AMQP://"], "exchange": "x", "queue": "q", "consumer-tag": "c", "prefetch-count": 1.5,
        "reconnect-delay": -1, "max-hops": 1, "expires": 1, "message-ttl": 1, "trust-user-id": true,
        "ack-mode": "on-confirm", "queue-type": "quorum", "resource-cleanup-mode": "never", "ha-policy": "all",
        "bind-nowait": false, "channel-use-mode": "single",
    });
    assert_eq!(refused("federation-upstream", all), None);
    assert_eq!(
        refused("federation-upstream-set", json!([{"upstream": "u", "uri": "x"}, {"foo": 1}])).as_deref(),
        Some(
            "Unrecognised terms [{<<\"uri\">>,<<\"x\">>}] in u\nUnrecognised terms [{<<\"foo\">>,1}] in u\n\
             Key \"upstream\" not found in u"
        )
    );
    for right in [json!([]), json!({}), json!([{"upstream": "none", "max-hops": 2}])] {
        assert_eq!(refused("federation-upstream-set", right), None);
    }
    for wrong in [json!(1), json!("x"), json!([1]), json!({"upstream": "u"})] {
        assert!(refused("federation-upstream-set", wrong.clone()).is_some(), "{wrong}");
    }
}

#[test]
fn there_are_no_shovels() {
    let value = json!({"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"});
    assert!(refused("shovel", value).is_some_and(|text| text.starts_with("component shovel not found")));
}

#[test]
fn a_policy_may_ask_for_federation_in_one_way_and_what_it_says_besides_counts() {
    let together =
        "cannot specify federation-upstream, federation-upstream-set or federation-upstream-pattern together";
    for (definition, text) in [
        (json!({"federation-upstream": 1}), "1 is not a valid federation upstream name"),
        (json!({"federation-upstream-set": 1}), "1 is not a valid federation upstream set name"),
        (json!({"federation-upstream-pattern": 1}), "1 is not a valid federation upstream pattern name"),
        (json!({"federation-upstream": "a", "federation-upstream-set": "b"}), together),
    ] {
        assert_eq!(wrong(POLICY, definition), text);
    }
    assert!(
        wrong(POLICY, json!({"federation-upstream-pattern": "("})).starts_with("could not compile pattern (")
    );
    assert!(wrong(OPERATOR_POLICY, json!({"federation-upstream": "a"})).contains("not recognised"));
    let definition = json!({"federation-upstream-set": "all", "max-length": 3});
    assert!(parameter(POLICY, "p", policy("", definition.clone())).is_ok_and(|it| it.asks_for_federation()));
    assert!(
        parameter(POLICY, "p", policy("", json!({"max-length": 3})))
            .is_ok_and(|it| !it.asks_for_federation())
    );
    let (rules, shown) = rules(&QueueArgs::default(), definition.clone(), json!({"expires": 9}));
    assert_eq!((rules.length_max, &shown["federation-upstream-set"]), (Some(3), &json!("all")));
}

#[test]
fn an_upstream_comes_and_goes_beside_the_policies() {
    let upstream = || put(b"federation-upstream", "u", json!({"uri": "amqp://"}));
    let before = parameters([put(POLICY, "p", policy("", json!({"expires": 1})))]);
    let after = before.clone().apply(upstream());
    assert!(after.one(b"/", b"federation-upstream", b"u").is_some_and(|it| it.asks_for_federation()));
    assert!(Arc::ptr_eq(before.policies(b"/").unwrap(), after.policies(b"/").unwrap()));
    let deleted =
        Change::Deleted { vhost: name("/"), component: name("federation-upstream"), name: name("u") };
    assert_eq!(after.apply(deleted), before);
}

fn some_changes() -> Vec<Change> {
    vec![
        put(b"federation-upstream", "u", json!({"uri": ["amqp://a", "amqps://b"]})),
        put(POLICY, "p", with_priority(json!(1.1), policy("^é", json!({"message-ttl": 5})))),
        put(OPERATOR_POLICY, "", policy(".*", json!({"max-length": u64::MAX}))),
        put(VHOST_LIMITS, "limits", json!({"max-queues": 7})),
        Change::GlobalPut { name: name("g"), value: json!({"a": [0.1, -3, null, "x"]}) },
    ]
}

fn encoded(change: &Change) -> Vec<u8> {
    let mut body = Vec::new();
    change.encode(&mut body);
    body
}

#[test]
fn its_changes_make_the_same_again_through_the_journal_too() {
    let original = parameters(some_changes());
    let read_back =
        original.changes().map(|change| Change::decode(change.kind(), &encoded(&change)).unwrap());
    assert_eq!(parameters(read_back), original);
    assert_eq!(original.changes().count(), 5);
}

#[test]
fn a_body_that_is_too_short_too_long_or_wrong_is_no_change() {
    let deleted = [
        Change::Deleted { vhost: name("/"), component: name("policy"), name: name("p") },
        Change::GlobalDeleted { name: name("g") },
    ];
    for change in some_changes().into_iter().chain(deleted) {
        let body = encoded(&change);
        assert_eq!(Change::decode(change.kind(), &body), Some(change.clone()));
        for len in 0..body.len() {
            assert_eq!(Change::decode(change.kind(), &body[..len]), None, "{change:?} cut to {len}");
        }
        assert_eq!(Change::decode(change.kind(), &[&body[..], &[0]].concat()), None);
    }
    let mut body = encoded(&put(POLICY, "p", policy("(?-u:a)", json!({"expires": 1}))));
    let at = body.windows(7).position(|bytes| bytes == b"expires").unwrap();
    body[at] = b'E';
    assert_eq!(Change::decode(80, &body), None, "no such key");
}

#[test]
fn a_copy_does_not_see_later_changes_and_shares_what_stays() {
    let before = parameters(some_changes());
    let after = before.clone().apply(Change::GlobalDeleted { name: name("g") });
    assert!(before.global(b"g").is_some() && after.global(b"g").is_none());
    assert!(Arc::ptr_eq(before.policies(b"/").unwrap(), after.policies(b"/").unwrap()));
    let after = after.apply(put(VHOST_LIMITS, "limits", json!({})));
    assert!(Arc::ptr_eq(before.policies(b"/").unwrap(), after.policies(b"/").unwrap()));
}

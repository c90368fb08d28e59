//! rabbitmqadmin 2, the command line for the HTTP API in Rust: all its subcommands that mean something to a broker without
//! streams and shovels. What each did is looked for over the API.

use crate::admin::{Admin, includes};
use crate::common::wire::{Wire, consume, declare};
use crate::foreign::folder;
use serde_json::Value;
use std::collections::BTreeSet;

pub const TESTS: &[(&str, fn())] = &[
    ("every_subcommand_does_what_it_says", every_subcommand_does_what_it_says),
    ("sees_and_closes_connections", sees_and_closes_connections),
    ("no_subcommand_is_forgotten", no_subcommand_is_forgotten),
    ("says_why_not", says_why_not),
];

/// What holds after a command.
enum Then {
    /// At this path the API shows at least this.
    Shows(&'static str, &'static str),
    /// There is nothing at this path.
    Gone(&'static str),
    /// It says so.
    Says(&'static str),
}

use Then::{Gone, Says, Shows};

/// In an order in which each has what it needs. `{node}`, `{port}` and `{file}` are those of the test.
const STEPS: &[(&str, Then)] = &[
    (
        "vhosts declare --name adm2 --description of-a-test",
        Shows("vhosts/adm2", r#"{"description":"of-a-test"}"#),
    ),
    ("vhosts list", Says("of-a-test")),
    ("declare vhost --name adm2-b", Shows("vhosts/adm2-b", "{}")),
    ("list vhosts", Says("adm2-b")),
    ("delete vhost --name adm2-b", Gone("vhosts/adm2-b")),
    ("vhosts declare --name adm2-c", Shows("vhosts/adm2-c", "{}")),
    ("vhosts delete_multiple --name-pattern ^adm2-c$ --approve", Gone("vhosts/adm2-c")),
    ("passwords salt_and_hash secret", Says("password hash")),
    (
        "users declare --name bob --password secret --tags monitoring",
        Shows("users/bob", r#"{"tags":["monitoring"]}"#),
    ),
    ("users list", Says("bob")),
    (
        "declare user --name eve --password secret --tags policymaker",
        Shows("users/eve", r#"{"tags":["policymaker"]}"#),
    ),
    ("list users", Says("eve")),
    ("delete user --name eve", Gone("users/eve")),
    (
        "permissions declare --user bob --configure ^b --read .* --write ^$",
        Shows("permissions/adm2/bob", r#"{"configure":"^b","read":".*","write":"^$"}"#),
    ),
    ("permissions list", Says("bob")),
    ("users permissions", Says("bob")),
    ("list permissions", Says("bob")),
    ("permissions delete --user bob", Gone("permissions/adm2/bob")),
    (
        "declare permissions --user bob --configure ^c --read .* --write .*",
        Shows("permissions/adm2/bob", r#"{"configure":"^c"}"#),
    ),
    ("delete permissions --user bob", Gone("permissions/adm2/bob")),
    (
        "user_limits declare --user bob --name max-connections --value 7",
        Shows("user-limits/bob", r#"[{"value":{"max-connections":7}}]"#),
    ),
    ("user_limits list", Says("max-connections: 7")),
    ("users limits --user bob", Says("max-connections: 7")),
    ("list user_limits", Says("max-connections: 7")),
    ("user_limits delete --user bob --name max-connections", Shows("user-limits/bob", "[]")),
    (
        "declare user_limit --user bob --name max-channels --value 8",
        Shows("user-limits/bob", r#"[{"value":{"max-channels":8}}]"#),
    ),
    ("delete user_limit --user bob --name max-channels", Shows("user-limits/bob", "[]")),
    (
        "vhost_limits declare --name max-queues --value 70",
        Shows("vhost-limits/adm2", r#"[{"value":{"max-queues":70}}]"#),
    ),
    ("vhost_limits list", Says("max-queues: 70")),
    ("list vhost_limits", Says("max-queues: 70")),
    ("vhost_limits delete --name max-queues", Shows("vhost-limits/adm2", "[]")),
    (
        "declare vhost_limit --name max-queues --value 80",
        Shows("vhost-limits/adm2", r#"[{"value":{"max-queues":80}}]"#),
    ),
    ("delete vhost_limit --name max-queues", Shows("vhost-limits/adm2", "[]")),
    (
        "exchanges declare --name x --type topic --durable true",
        Shows("exchanges/adm2/x", r#"{"type":"topic","durable":true}"#),
    ),
    ("exchanges list", Says("topic")),
    ("declare exchange --name y --type fanout", Shows("exchanges/adm2/y", r#"{"type":"fanout"}"#)),
    ("list exchanges", Says("fanout")),
    (
        "queues declare --name q --type classic --durable true",
        Shows("queues/adm2/q", r#"{"type":"classic","durable":true}"#),
    ),
    ("queues show --name q", Says("classic")),
    ("queues list", Says("classic")),
    ("declare queue --name r --type quorum", Shows("queues/adm2/r", r#"{"type":"quorum"}"#)),
    ("list queues", Says("quorum")),
    (
        "exchanges bind --source x --destination-type queue --destination q --routing-key a.#",
        Shows("bindings/adm2/e/x/q/q", r#"[{"routing_key":"a.#"}]"#),
    ),
    (
        "bindings declare --source x --destination-type queue --destination r --routing-key b",
        Shows("bindings/adm2/e/x/q/r", r#"[{"routing_key":"b"}]"#),
    ),
    (
        "declare binding --source x --destination-type exchange --destination y --routing-key c",
        Shows("bindings/adm2/e/x/e/y", r#"[{"routing_key":"c"}]"#),
    ),
    ("bindings list", Says("a.#")),
    ("list bindings", Says("a.#")),
    ("publish message --exchange x --routing-key a.b --payload first", Says("routed")),
    ("publish message --routing-key q --payload second", Says("routed")),
    ("get messages --queue q --count 2 --ack-mode ack_requeue_true", Says("second")),
    ("get messages --queue q --ack-mode ack_requeue_false", Says("first")),
    ("get messages --queue q --count 5 --ack-mode ack_requeue_true", Says("second")),
    ("queues purge --name q", Shows("queues/adm2/q", r#"{"messages":0}"#)),
    ("purge queue --name q", Shows("queues/adm2/q", r#"{"messages":0}"#)),
    (
        "policies declare --name p --pattern ^q --apply-to queues --priority 3 --definition {\"max-length\":5}",
        Shows(
            "policies/adm2/p",
            r#"{"pattern":"^q","apply-to":"queues","priority":3,"definition":{"max-length":5}}"#,
        ),
    ),
    ("policies list", Says("max-length: 5")),
    ("policies list_in", Says("max-length: 5")),
    ("list policies", Says("max-length: 5")),
    ("policies list_matching_object --name q --type queues", Says("max-length: 5")),
    (
        "policies patch --name p --definition {\"expires\":900000}",
        Shows("policies/adm2/p", r#"{"definition":{"max-length":5,"expires":900000}}"#),
    ),
    (
        "policies update_definition --name p --definition-key max-length --new-value 6",
        Shows("policies/adm2/p", r#"{"definition":{"max-length":6}}"#),
    ),
    (
        "policies update_definitions_of_all_in --definition-key max-length --new-value 7",
        Shows("policies/adm2/p", r#"{"definition":{"max-length":7}}"#),
    ),
    (
        "policies update_definitions_of_all --definition-key max-length --new-value 8",
        Shows("policies/adm2/p", r#"{"definition":{"max-length":8}}"#),
    ),
    (
        "policies declare_override --name p --override-name o --definition {\"max-length\":9}",
        Shows("policies/adm2/o", r#"{"definition":{"max-length":9}}"#),
    ),
    (
        "policies declare_blanket --name b --apply-to queues --definition {\"max-length\":30}",
        Shows("policies/adm2/b", r#"{"definition":{"max-length":30}}"#),
    ),
    (
        "policies declare --name twin --pattern ^q --apply-to queues --priority 3 --definition {\"max-length\":5}",
        Shows("policies/adm2/twin", "{}"),
    ),
    ("policies list_conflicting", Says("twin")),
    ("policies list_conflicting_in", Says("twin")),
    (
        "policies delete_definition_keys --name p --definition-keys expires",
        Shows("policies/adm2/p", r#"{"definition":{"max-length":8}}"#),
    ),
    (
        "policies patch --name p --definition {\"expires\":900000}",
        Shows("policies/adm2/p", r#"{"definition":{"expires":900000}}"#),
    ),
    (
        "policies delete_definition_keys_from_all_in --definition-keys max-length",
        Shows("policies/adm2/p", r#"{"definition":{"expires":900000}}"#),
    ),
    (
        "policies patch --name p --definition {\"max-length\":5}",
        Shows("policies/adm2/p", r#"{"definition":{"max-length":5}}"#),
    ),
    (
        "policies delete_definition_keys_from_all --definition-keys expires",
        Shows("policies/adm2/p", r#"{"definition":{"max-length":5}}"#),
    ),
    ("policies delete --name p", Gone("policies/adm2/p")),
    (
        "declare policy --name p --pattern ^r --apply-to all --definition {\"max-length\":5}",
        Shows("policies/adm2/p", r#"{"pattern":"^r"}"#),
    ),
    ("delete policy --name p", Gone("policies/adm2/p")),
    (
        "operator_policies declare --name p --pattern ^q --apply-to queues --priority 1 --definition {\"max-length\":5}",
        Shows("operator-policies/adm2/p", r#"{"pattern":"^q","definition":{"max-length":5}}"#),
    ),
    ("operator_policies list", Says("max-length: 5")),
    ("operator_policies list_in", Says("max-length: 5")),
    ("list operator_policies", Says("max-length: 5")),
    ("operator_policies list_matching_object --name q --type queues", Says("max-length: 5")),
    (
        "operator_policies patch --name p --definition {\"expires\":900000}",
        Shows("operator-policies/adm2/p", r#"{"definition":{"max-length":5,"expires":900000}}"#),
    ),
    (
        "operator_policies update_definition --name p --definition-key max-length --new-value 6",
        Shows("operator-policies/adm2/p", r#"{"definition":{"max-length":6}}"#),
    ),
    (
        "operator_policies update_definitions_of_all_in --definition-key max-length --new-value 7",
        Shows("operator-policies/adm2/p", r#"{"definition":{"max-length":7}}"#),
    ),
    (
        "operator_policies delete_definition_keys --name p --definition-keys expires",
        Shows("operator-policies/adm2/p", r#"{"definition":{"max-length":7}}"#),
    ),
    (
        "operator_policies patch --name p --definition {\"expires\":900000}",
        Shows("operator-policies/adm2/p", r#"{"definition":{"expires":900000}}"#),
    ),
    (
        "operator_policies delete_definition_keys_from_all_in --definition-keys max-length",
        Shows("operator-policies/adm2/p", r#"{"definition":{"expires":900000}}"#),
    ),
    ("operator_policies delete --name p", Gone("operator-policies/adm2/p")),
    (
        "declare operator_policy --name p --pattern ^r --apply-to queues --definition {\"max-length\":5}",
        Shows("operator-policies/adm2/p", "{}"),
    ),
    ("delete operator_policy --name p", Gone("operator-policies/adm2/p")),
    (
        "parameters set --component vhost-limits --name limits --value {\"max-queues\":9}",
        Shows("parameters/vhost-limits/adm2/limits", r#"{"value":{"max-queues":9}}"#),
    ),
    ("parameters list --component vhost-limits", Says("max-queues: 9")),
    ("parameters list_in --component vhost-limits", Says("max-queues: 9")),
    ("list parameters --component vhost-limits", Says("max-queues: 9")),
    ("parameters clear --component vhost-limits --name limits", Gone("parameters/vhost-limits/adm2/limits")),
    (
        "declare parameter --component vhost-limits --name limits --value {\"max-queues\":8}",
        Shows("parameters/vhost-limits/adm2/limits", r#"{"value":{"max-queues":8}}"#),
    ),
    ("delete parameter --component vhost-limits --name limits", Gone("parameters/vhost-limits/adm2/limits")),
    (
        "global_parameters set --name adm2-g --value {\"a\":1}",
        Shows("global-parameters/adm2-g", r#"{"value":{"a":1}}"#),
    ),
    ("global_parameters list", Says("adm2-g")),
    ("global_parameters clear --name adm2-g", Gone("global-parameters/adm2-g")),
    (
        "federation declare_upstream --name u --uri amqp://localhost",
        Shows("parameters/federation-upstream/adm2/u", r#"{"value":{"uri":"amqp://localhost"}}"#),
    ),
    (
        "federation declare_upstream_for_queues --name uq --uri amqp://localhost --queue-name q",
        Shows("parameters/federation-upstream/adm2/uq", r#"{"value":{"queue":"q"}}"#),
    ),
    ("federation list_all_upstreams", Says("amqp://localhost")),
    ("federation list_all_links", Says("")),
    ("federation disable_tls_peer_verification_for_all_upstreams", Says("Completed")),
    (
        "federation enable_tls_peer_verification_for_all_upstreams --node-local-ca-certificate-bundle-path /ca \
         --node-local-client-certificate-file-path /cert --node-local-client-private-key-file-path /key",
        Says("Completed"),
    ),
    ("federation delete_upstream --name u", Gone("parameters/federation-upstream/adm2/u")),
    ("federation delete_upstream --name uq", Gone("parameters/federation-upstream/adm2/uq")),
    ("shovels list_all", Says("")),
    ("shovels list", Says("")),
    ("streams list", Says("")),
    ("auth_attempts stats --node {node}", Says("amqp")),
    ("feature_flags list", Says("quorum_queue")),
    ("list feature_flags", Says("quorum_queue")),
    ("feature_flags enable --name quorum_queue", Says("")),
    ("feature_flags enable_all", Says("")),
    ("queues rebalance", Says("")),
    ("rebalance queues", Says("")),
    ("show overview", Says("Product name")),
    ("show churn", Says("Queues and streams created")),
    ("show endpoint", Says("/api")),
    ("health_check local_alarms", Says("passed")),
    ("health_check cluster_wide_alarms", Says("passed")),
    ("health_check node_is_quorum_critical", Says("passed")),
    ("health_check port_listener --port {port}", Says("passed")),
    ("health_check protocol_listener --protocol amqp", Says("passed")),
    ("definitions export --file {file}", Says("")),
    ("definitions export_from_vhost --file {file}-of-vhost", Says("")),
    ("export definitions --file {file}-again", Says("")),
    (
        "exchanges unbind --source x --destination-type queue --destination q --routing-key a.#",
        Shows("bindings/adm2/e/x/q/q", "[]"),
    ),
    (
        "bindings delete --source x --destination-type queue --destination r --routing-key b",
        Shows("bindings/adm2/e/x/q/r", "[]"),
    ),
    (
        "delete binding --source x --destination-type exchange --destination y --routing-key c",
        Shows("bindings/adm2/e/x/e/y", "[]"),
    ),
    ("exchanges delete --name x", Gone("exchanges/adm2/x")),
    ("delete exchange --name y", Gone("exchanges/adm2/y")),
    ("queues delete --name q", Gone("queues/adm2/q")),
    ("definitions import --file {file}", Shows("bindings/adm2/e/x/q/q", r#"[{"routing_key":"a.#"}]"#)),
    ("delete queue --name q", Gone("queues/adm2/q")),
    ("definitions import_into_vhost --file {file}-of-vhost", Shows("queues/adm2/q", "{}")),
    ("queues delete_multiple --name-pattern ^[qr]$ --approve", Gone("queues/adm2/q")),
    ("vhosts delete --name adm2", Gone("vhosts/adm2")),
    ("users delete --name bob", Gone("users/bob")),
];

/// What it finds lacking in RabbitMQ 3.10: fields that later ones have, and routes.
const BEYOND_3_10: &[(&str, Then)] = &[
    ("nodes list", Says("{node}")),
    ("list nodes", Says("{node}")),
    ("nodes memory_breakdown_in_bytes --node {node}", Says("Total")),
    ("nodes memory_breakdown_in_percent --node {node}", Says("100%")),
    ("show memory_breakdown_in_bytes --node {node}", Says("Total")),
    ("show memory_breakdown_in_percent --node {node}", Says("100%")),
    ("plugins list_all", Says("rabbitmq_management")),
    ("plugins list_on_node --node {node}", Says("rabbitmq_management")),
    ("deprecated_features list", Says("transient_nonexcl_queues")),
    ("list deprecated_features", Says("transient_nonexcl_queues")),
    ("deprecated_features list_used", Says("")),
    ("list deprecated_features_in_use", Says("")),
    ("vhosts declare --name adm2-later", Shows("vhosts/adm2-later", "{}")),
    (
        "vhosts enable_deletion_protection --name adm2-later",
        Shows("vhosts/adm2-later", r#"{"protected_from_deletion":true}"#),
    ),
    (
        "vhosts disable_deletion_protection --name adm2-later",
        Shows("vhosts/adm2-later", r#"{"protected_from_deletion":false}"#),
    ),
    ("parameters list_all", Says("")),
    (
        "-V adm2-later federation declare_upstream_for_exchanges --name u --uri amqp://localhost --exchange-name x \
         --queue-type classic",
        Shows("parameters/federation-upstream/adm2-later/u", r#"{"value":{"exchange":"x"}}"#),
    ),
    ("definitions export --stdout --transformations prepare_for_quorum_queue_migration", Says("adm2-later")),
    ("vhosts delete --name adm2-later", Gone("vhosts/adm2-later")),
];

/// Not asked for, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("config_file", "a file of its own"),
    ("shell", "a file for a shell"),
    ("tanzu", "not RabbitMQ's"),
    ("declare stream", NO_STREAMS),
    ("delete stream", NO_STREAMS),
    ("streams declare", NO_STREAMS),
    ("streams delete", NO_STREAMS),
    ("streams show", NO_STREAMS),
    ("shovels declare_", NO_SHOVELS),
    ("shovels delete", NO_SHOVELS),
    ("shovels disable_", NO_SHOVELS),
    ("shovels enable_", NO_SHOVELS),
    ("delete shovel", NO_SHOVELS),
    ("health_check deprecated_features_in_use", "it does not know it itself"),
    ("import definitions", "it panics for an argument that it has left out itself"),
];
const NO_STREAMS: &str = "there are no streams";
const NO_SHOVELS: &str = "there are no shovels";

/// What names the connections that there are.
const LISTS: &[&str] = &[
    "channels list",
    "list channels",
    "connections list",
    "connections list_of_user --username guest",
    "list connections",
    "list user_connections --username guest",
    "users connections --username guest",
];
/// It misses a field in RabbitMQ 3.10's.
const LIST_OF_CONSUMERS: &str = "list consumers";
const CLOSES: &[&str] = &[
    "connections close --name {name}",
    "close connection --name {name}",
    "connections close_of_user --username guest",
    "close user_connections --username guest",
];

fn admin() -> Option<Admin> {
    let program = folder("rabbitmqadmin2").join("bin/rabbitmqadmin");
    Admin::new(program, None, "rabbitmqadmin 2")
}

fn every_subcommand_does_what_it_says() {
    let Some(admin) = admin() else { return };
    let node = admin.api("overview")["node"].as_str().expect("a name").to_owned();
    let (port, file) =
        (admin.amqp.port().to_string(), admin.folder.join("definitions").display().to_string());
    let filled = |text: &str| text.replace("{node}", &node).replace("{port}", &port).replace("{file}", &file);
    let later = if admin.is_on_rabbitmq() { &[] } else { BEYOND_3_10 };
    for (command, then) in STEPS.iter().chain(later) {
        let command = filled(command);
        let vhost = if command.starts_with("-V ") { "" } else { "-V adm2 " };
        let (code, said) = admin.run(&format!("--non-interactive {vhost}{command}"));
        assert_eq!(code, 0, "{command}: {said}");
        match then {
            Shows(path, part) => {
                let part = serde_json::from_str(part).expect("JSON");
                let shown = settled(&admin, path, |shown| has(shown, &part));
                assert!(has(&shown, &part), "{command}: {shown}");
            }
            Gone(path) => assert_eq!(admin.status(path), 404, "{command}: {path}"),
            Says(part) => assert!(said.contains(&filled(part)), "{command}: {said}"),
        }
    }
}

/// RabbitMQ's counts of messages come every five seconds.
fn settled(admin: &Admin, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    if admin.is_on_rabbitmq() && path.starts_with("queues/") {
        return admin.until(|| Some(admin.api(path)).filter(|shown| is_so(shown)));
    }
    admin.api(path)
}

/// Lists have as many elements, and each what is asked of it.
fn has(shown: &Value, part: &Value) -> bool {
    match (shown, part) {
        (Value::Array(shown), Value::Array(part)) => {
            shown.len() == part.len() && shown.iter().zip(part).all(|(one, part)| has(one, part))
        }
        _ => shown.is_object() && includes(shown, part),
    }
}

fn sees_and_closes_connections() {
    let Some(admin) = admin() else { return };
    for close in CLOSES {
        let mut wire = connected(&admin);
        let name = name_of(&admin, &wire);
        let says = |list: &str, part: &str| {
            let (code, said) = admin.run(&format!("--non-interactive {list}"));
            assert!(code == 0 && said.contains(part), "{list}: {code} {said}");
        };
        LISTS.iter().for_each(|list| says(list, &name));
        if !admin.is_on_rabbitmq() {
            says(LIST_OF_CONSUMERS, "ctag");
        }
        let arguments = close.split(' ').map(|argument| if argument == "{name}" { &name } else { argument });
        let (code, said) = admin.run_all(&arguments.collect::<Vec<_>>());
        assert_eq!(code, 0, "{close}: {said}");
        assert_eq!(wire.closed().0, 320);
    }
}

fn connected(admin: &Admin) -> Wire {
    let mut wire = Wire::open(admin.amqp);
    wire.channel(1);
    wire.call(1, declare("adm2-consumed"), "queue.declare-ok");
    wire.call(1, consume("adm2-consumed", "ctag", false), "basic.consume-ok");
    wire
}

/// RabbitMQ's figures come every five seconds.
fn name_of(admin: &Admin, wire: &Wire) -> String {
    let mine = wire.local_address().to_string();
    admin.until(|| {
        let consumers = admin.api("consumers");
        let names = consumers.as_array().into_iter().flatten();
        let mut names = names.filter_map(|one| one["channel_details"]["connection_name"].as_str());
        names.find(|name| name.starts_with(&mine)).map(str::to_owned)
    })
}

fn no_subcommand_is_forgotten() {
    let Some(admin) = admin() else { return };
    let asked =
        STEPS.iter().chain(BEYOND_3_10).map(|(command, _)| command.trim_start_matches("-V adm2-later "));
    let asked: BTreeSet<String> = asked
        .chain(LISTS.iter().chain(CLOSES).copied())
        .chain([LIST_OF_CONSUMERS])
        .map(|command| command.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let forgotten: Vec<String> = commands(&admin, "")
        .into_iter()
        .flat_map(|group| {
            let commands = commands(&admin, &group);
            commands.into_iter().map(move |command| format!("{group} {command}"))
        })
        .filter(|command| {
            !asked.contains(command) && !LEFT_OUT.iter().any(|(left, _)| command.starts_with(left))
        })
        .collect();
    assert_eq!(forgotten, Vec::<String>::new());
}

/// The commands that its help names, each on a line of its own.
fn commands(admin: &Admin, of: &str) -> Vec<String> {
    let (_, help) = admin.run(format!("{of} --help").trim_start());
    let (_, commands) = help.split_once("Commands:\n").unwrap_or_else(|| panic!("{of}: {help}"));
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = commands.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn says_why_not() {
    let Some(admin) = admin() else { return };
    for (command, reason) in [
        ("delete queue --name none", "Not Found"),
        ("declare exchange --name amq.mine --type direct", "Access refused"),
        ("-V none delete queue --name q", "Not Found"),
        ("--username guest --password wrong list queues", "Login failed"),
    ] {
        let (code, said) = admin.run(command);
        assert_ne!(code, 0, "{command}: {said}");
        assert!(said.contains(reason), "{command}: {said}");
    }
}

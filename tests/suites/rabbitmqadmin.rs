//! rabbitmqadmin, RabbitMQ's own command line for the HTTP API, in Python: all its subcommands. What each said it did is looked
//! for over the API and, of messages and connections, over AMQP.

use crate::admin::{Admin, includes};
use crate::common::wire::{Wire, look_at};
use haremq::amqp::Method;
use serde_json::{Value, json};

pub const TESTS: &[(&str, fn())] = &[
    ("declares_lists_and_deletes", declares_lists_and_deletes),
    ("limits_a_vhost", limits_a_vhost),
    ("publishes_gets_and_purges", publishes_gets_and_purges),
    ("exports_and_imports", exports_and_imports),
    ("closes_a_connection", closes_a_connection),
    ("says_why_not", says_why_not),
];

/// What is there, by its path in the API, how rabbitmqadmin declares and deletes it, where it lists it, and what the API says
/// of it in between.
struct Thing {
    path: &'static str,
    declare: &'static str,
    list: &'static str,
    delete: &'static str,
    shown: fn() -> Value,
}

/// In an order in which each has what it needs.
const THINGS: &[Thing] = &[
    Thing {
        path: "vhosts/adm",
        declare: "declare vhost name=adm",
        list: "vhosts",
        delete: "delete vhost name=adm",
        shown: || json!({"name": "adm", "tracing": false}),
    },
    Thing {
        path: "users/bob",
        declare: "declare user name=bob password=secret tags=monitoring,policymaker",
        list: "users",
        delete: "delete user name=bob",
        shown: || json!({"name": "bob", "tags": ["monitoring", "policymaker"]}),
    },
    Thing {
        path: "permissions/adm/bob",
        declare: "declare permission vhost=adm user=bob configure=^b write=.* read=",
        list: "permissions",
        delete: "delete permission vhost=adm user=bob",
        shown: || json!({"vhost": "adm", "user": "bob", "configure": "^b", "write": ".*", "read": ""}),
    },
    Thing {
        path: "exchanges/adm/x",
        declare: "declare exchange name=x type=topic auto_delete=false durable=true internal=true",
        list: "exchanges",
        delete: "delete exchange name=x",
        shown: || json!({"name": "x", "type": "topic", "durable": true, "auto_delete": false, "internal": true}),
    },
    Thing {
        path: "queues/adm/q",
        declare: "declare queue name=q durable=false arguments={\"x-max-length\":7}",
        list: "queues",
        delete: "delete queue name=q",
        shown: || json!({"name": "q", "durable": false, "arguments": {"x-max-length": 7}}),
    },
    Thing {
        path: "bindings/adm/e/x/q/q/a.%23",
        declare: "declare binding source=x destination=q routing_key=a.#",
        list: "bindings",
        delete: "delete binding source=x destination_type=queue destination=q properties_key=a.%23",
        shown: || json!({"source": "x", "destination": "q", "destination_type": "queue", "routing_key": "a.#"}),
    },
    Thing {
        path: "policies/adm/p",
        declare: "declare policy name=p pattern=^q definition={\"max-length\":5} priority=2 apply-to=queues",
        list: "policies",
        delete: "delete policy name=p",
        shown: || {
            json!({"name": "p", "pattern": "^q", "definition": {"max-length": 5}, "priority": 2,
                   "apply-to": "queues"})
        },
    },
    Thing {
        path: "operator-policies/adm/o",
        declare: "declare operator_policy name=o pattern=^q definition={\"max-length\":6}",
        list: "operator_policies",
        delete: "delete operator_policy name=o",
        shown: || json!({"name": "o", "pattern": "^q", "definition": {"max-length": 6}}),
    },
    Thing {
        path: "parameters/vhost-limits/adm/limits",
        declare: "declare parameter component=vhost-limits name=limits value={\"max-connections\":9}",
        list: "parameters",
        delete: "delete parameter component=vhost-limits name=limits",
        shown: || json!({"value": {"max-connections": 9}}),
    },
];

fn classic(vhost: Option<&'static str>) -> Option<Admin> {
    Admin::new("rabbitmqadmin".into(), vhost, "rabbitmqadmin (Debian: apt install rabbitmq-server)")
}

fn declares_lists_and_deletes() {
    let Some(admin) = classic(Some("adm")) else { return };
    for Thing { path, declare, list, shown, .. } in THINGS {
        assert_eq!(admin.status(path), 404, "{path}");
        admin.does(declare);
        let found = admin.api(path);
        assert!(includes(&found, &shown()), "{declare}: {found}");
        let listed = admin.json(&format!("list {list}"));
        let listed = listed.as_array().unwrap_or_else(|| panic!("list {list}: {listed}"));
        assert!(listed.iter().any(|one| includes(one, &shown())), "list {list}: {listed:?}");
        // Again is no error.
        admin.does(declare);
        let (_, table) = admin.run(&format!("list {list}"));
        assert!(table.starts_with('+'), "list {list}: {table}");
    }
    for Thing { path, delete, .. } in THINGS.iter().rev() {
        admin.does(delete);
        assert_eq!(admin.status(path), 404, "after {delete}");
    }
}

fn limits_a_vhost() {
    let Some(admin) = classic(Some("limited")) else { return };
    admin.does("declare vhost name=limited");
    admin.does("declare vhost_limit vhost=limited name=max-queues value=0");
    let listed = admin.json("list vhost_limits");
    let is_limited = |one: &Value| one["vhost"] == "limited" && one["value"] == json!({"max-queues": 0});
    assert!(listed.as_array().expect("a list").iter().any(is_limited), "{listed}");
    let (code, said) = admin.run("declare queue name=q");
    assert!(code != 0 && said.contains("queue limit"), "{said}");
    admin.does("delete vhost_limit vhost=limited name=max-queues");
    admin.does("declare queue name=q");
    admin.does("delete vhost name=limited");
}

fn publishes_gets_and_purges() {
    let Some(admin) = classic(None) else { return };
    admin.does("declare queue name=letters durable=true");
    let mut wire = Wire::open(admin.amqp);
    wire.channel(1);
    for word in ["first", "second"] {
        let (_, said) = admin.run(&format!("publish routing_key=letters payload={word}"));
        assert!(said.contains("Message published") && !said.contains("NOT routed"), "{said}");
    }
    let (_, said) = admin.run("publish routing_key=nowhere payload=lost");
    assert!(said.contains("Message published but NOT routed"), "{said}");
    assert_eq!(ready(&mut wire), 2);

    let got = admin.json("get queue=letters count=5 ackmode=ack_requeue_true");
    let payloads: Vec<_> = got.as_array().expect("a list").iter().map(|one| &one["payload"]).collect();
    assert_eq!(payloads, ["first", "second"]);
    assert_eq!(ready(&mut wire), 2);
    let file = admin.folder.join("payload");
    admin.does(&format!("get queue=letters payload_file={} ackmode=ack_requeue_false", file.display()));
    assert_eq!(std::fs::read_to_string(&file).expect("what was got"), "first");
    assert_eq!(ready(&mut wire), 1);
    admin.does("purge queue name=letters");
    assert_eq!(ready(&mut wire), 0);

    // And the other way: what comes over AMQP is got over HTTP.
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    wire.publish(1, "", "letters", false, b"over AMQP");
    wire.expect(1, "basic.ack");
    assert_eq!(ready(&mut wire), 1);
    let got = admin.json("get queue=letters ackmode=reject_requeue_false");
    assert_eq!((&got[0]["payload"], &got[0]["redelivered"]), (&json!("over AMQP"), &json!(false)));
    assert_eq!(ready(&mut wire), 0);
    admin.does("delete queue name=letters");
}

fn exports_and_imports() {
    let Some(admin) = classic(None) else { return };
    admin.does("declare exchange name=kept type=fanout");
    admin.does("declare queue name=kept-q");
    admin.does("declare binding source=kept destination=kept-q");
    let file = admin.folder.join("definitions");
    let file = file.display();
    admin.does(&format!("export {file}"));
    let exported = std::fs::read_to_string(admin.folder.join("definitions")).expect("what was exported");
    let exported: Value = serde_json::from_str(&exported).expect("definitions are JSON");
    for (kind, name) in [("exchanges", "kept"), ("queues", "kept-q"), ("users", "guest"), ("vhosts", "/")] {
        let all = exported[kind].as_array().unwrap_or_else(|| panic!("{kind}: {exported}"));
        assert!(all.iter().any(|one| one["name"] == name), "{kind}: {all:?}");
    }
    admin.does("delete queue name=kept-q");
    admin.does("delete exchange name=kept");
    admin.does(&format!("import {file}"));
    let bound = admin.api("bindings/%2F/e/kept/q/kept-q");
    assert_eq!(bound[0]["destination"], "kept-q", "{bound}");
    admin.does("delete queue name=kept-q");
    admin.does("delete exchange name=kept");
}

fn closes_a_connection() {
    let Some(admin) = classic(None) else { return };
    let mut wire = Wire::open(admin.amqp);
    wire.channel(1);
    let mine = wire.local_address().to_string();
    // RabbitMQ's figures come every five seconds.
    let listed =
        admin.until(|| {
            let listed = admin.json("list connections name");
            listed.as_array().into_iter().flatten().find_map(|one| {
                one["name"].as_str().filter(|name| name.starts_with(&mine)).map(str::to_owned)
            })
        });
    for what in ["channels", "consumers", "nodes"] {
        assert!(admin.json(&format!("list {what}")).is_array(), "{what}");
    }
    assert!(admin.json("show overview").is_array());
    let (code, said) = admin.run_all(&["close", "connection", &format!("name={listed}")]);
    assert_eq!(code, 0, "{said}");
    let (code, text) = wire.closed();
    assert_eq!(code, 320, "{text}");
}

fn says_why_not() {
    let Some(admin) = classic(None) else { return };
    for (command, reason) in [
        ("delete queue name=none", "Not found: /api/queues/%2F/none"),
        ("declare exchange name=x type=none", "none"),
        ("declare exchange name=amq.mine type=direct", "Access refused: /api/exchanges/%2F/amq.mine"),
        ("declare user name=x tags=", "mandatory argument"),
        ("-V none list queues", "Not found: /api/queues/none"),
        ("-p wrong list queues", "Access refused"),
        ("no such", "not understood"),
    ] {
        let (code, said) = admin.run(command);
        assert_ne!(code, 0, "{command}: {said}");
        assert!(said.contains(reason), "{command}: {said}");
    }
}

fn ready(wire: &mut Wire) -> u32 {
    let reply = wire.call(1, look_at("letters"), "queue.declare-ok");
    let Method::QueueDeclareOk { message_count, .. } = reply.method() else {
        unreachable!("it was asked for")
    };
    message_count
}

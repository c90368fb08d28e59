//! A headers exchange routes as a matcher does that tries every binding by itself, whatever was bound and unbound before.
#![no_main]

mod routing;

use std::collections::BTreeMap;

use haremq::amqp::{Table, TableWriter, Value};
use libfuzzer_sys::fuzz_target;
use routing::{Binding, QUEUES, World};

fuzz_target!(|input: &[u8]| {
    let mut world = World::new("amq.headers");
    let mut rest = input;
    while let Some((&act, behind)) = rest.split_first() {
        let (entries, behind) = entries(behind);
        rest = behind;
        let queue = usize::from(act) % QUEUES;
        match act / 32 {
            0..=2 => {
                let (x_match, key) =
                    (X_MATCH[usize::from(act / 8) % X_MATCH.len()], KEYS[usize::from(act) % 2]);
                world.bind(Binding { queue, key: key.to_vec(), arguments: encode(x_match, &entries) });
            }
            3 => world.unbind(usize::from(act)),
            4 => world.replace(queue, |world| route(world, &entries)),
            _ => route(&mut world, &entries),
        }
    }
    world.invariants();
});

type Entries = BTreeMap<&'static str, Value<'static>>;

fn route(world: &mut World, entries: &Entries) {
    let headers = encode(None, entries);
    world.route(b"any", Some(&headers), |binding| matches(&binding.arguments, entries));
    if entries.is_empty() {
        world.route(b"any", None, |binding| matches(&binding.arguments, entries));
    }
}

/// An octet that says how many, and for each a name and a value.
fn entries(input: &[u8]) -> (Entries, &[u8]) {
    let Some((&count, behind)) = input.split_first() else { return (Entries::new(), input) };
    let (choices, behind) = behind.split_at((usize::from(count % 6) * 2).min(behind.len()));
    let entry = |choice: &[u8]| {
        let [name, value] = [choice[0], choice.get(1).copied().unwrap_or_default()].map(usize::from);
        (NAMES[name % NAMES.len()], VALUES[value % VALUES.len()])
    };
    (choices.chunks(2).map(entry).collect(), behind)
}

const NAMES: [&str; 7] = ["a", "b", "c", "", "x-a", "x-b", "x"];
const VALUES: [Value<'static>; 14] = [
    Value::Void,
    Value::I32(1),
    Value::I64(1),
    Value::U8(1),
    Value::I32(-1),
    Value::I64(255),
    Value::U8(255),
    Value::LongString(b"1"),
    Value::Bytes(b"1"),
    Value::LongString(b""),
    Value::Bool(true),
    Value::Bool(false),
    Value::F64(0.5),
    Value::F32(0.5),
];
const X_MATCH: [Option<&str>; 6] =
    [None, Some("all"), Some("any"), Some("all-with-x"), Some("any-with-x"), Some("any")];
const KEYS: [&[u8]; 2] = [b"", b"key"];

fn encode(x_match: Option<&str>, entries: &Entries) -> Vec<u8> {
    let mut table = TableWriter::new();
    for (name, value) in entries {
        table = table.value(name, *value);
    }
    match x_match {
        Some(x_match) => table.string("x-match", x_match).finish(),
        None => table.finish(),
    }
}

/// RabbitMQ's rule: all or any of the arguments must be there with their value, those without one only be there; those
/// that begin with `x-` do not count, but with `-with-x` only `x-match` does not.
fn matches(arguments: &[u8], headers: &Entries) -> bool {
    let arguments = Table::decode(arguments).expect("a table that we wrote");
    let x_match = arguments.find(b"x-match").and_then(|value| value.as_str()).unwrap_or(b"all");
    let with_x = x_match.ends_with(b"-with-x");
    let counts = |name: &[u8]| if with_x { name != b"x-match" } else { !name.starts_with(b"x-") };
    let mut met = arguments.iter().filter(|(name, _)| counts(name)).map(|(name, wanted)| {
        let is = headers.iter().find(|(is, _)| is.as_bytes() == &name[..]);
        is.is_some_and(|(_, is)| wanted == Value::Void || equal(&wanted, is))
    });
    if x_match.starts_with(b"any") { met.any(|met| met) } else { met.all(|met| met) }
}

/// By value: how wide a number is, or what kind of octets they are, does not matter.
fn equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::LongString(one) | Value::Bytes(one), Value::LongString(other) | Value::Bytes(other)) => {
            one == other
        }
        (Value::F64(_) | Value::F32(_), Value::F64(_) | Value::F32(_)) => true,
        _ => one == other || one.as_integer().is_some() && one.as_integer() == other.as_integer(),
    }
}

//! A topic exchange routes as a matcher does that tries every binding by itself, whatever was bound and unbound before.
#![no_main]

mod routing;

use libfuzzer_sys::fuzz_target;
use routing::{Binding, QUEUES, World};

fuzz_target!(|input: &[u8]| {
    let mut world = World::new("amq.topic");
    let mut rest = input;
    while let Some((&act, behind)) = rest.split_first() {
        let (key, behind) = words(behind);
        rest = behind;
        let queue = usize::from(act) % QUEUES;
        match act / 32 {
            0..=2 => {
                // Bindings that differ in their arguments alone are two.
                let arguments = if act < 80 { Vec::new() } else { b"\x01nt\x01".to_vec() };
                world.bind(Binding { queue, key, arguments });
            }
            3 => world.unbind(usize::from(act)),
            4 => world.replace(queue, |world| route(world, &key)),
            _ => route(&mut world, &key),
        }
    }
    for Binding { key, .. } in world.bindings.clone() {
        route(&mut world, &key);
    }
    world.invariants();
});

fn route(world: &mut World, key: &[u8]) {
    world.route(key, None, |binding| matches(&binding.key, key));
}

/// An octet that says how many words, and as many octets that say which.
fn words(input: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some((&count, behind)) = input.split_first() else { return (Vec::new(), input) };
    let (choices, behind) = behind.split_at(usize::from(count % 12).min(behind.len()));
    let words: Vec<&[u8]> = choices.iter().map(|choice| WORDS[usize::from(*choice) % WORDS.len()]).collect();
    (words.join(&b'.'), behind)
}

const WORDS: [&[u8]; 10] = [b"a", b"*", b"#", b"b", b"", b"ab", b"c", b"##", b"*a", b"\xC3\xA4\0"];

/// RabbitMQ's rule: `*` is one word, which may be empty; `#` is any number of words; an empty key has none.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let (pattern, key) = (split(pattern), split(key));
    // reached[n]: the pattern so far matches the first n words of the key.
    let mut reached = vec![false; key.len() + 1];
    reached[0] = true;
    for word in pattern {
        let mut next = vec![false; key.len() + 1];
        for n in 0..=key.len() {
            next[n] = match word {
                b"#" => reached[n] || (n > 0 && next[n - 1]),
                b"*" => n > 0 && reached[n - 1],
                word => n > 0 && reached[n - 1] && key[n - 1] == word,
            };
        }
        reached = next;
    }
    reached[key.len()]
}

fn split(key: &[u8]) -> Vec<&[u8]> {
    if key.is_empty() { Vec::new() } else { key.split(|octet| *octet == b'.').collect() }
}

//! Whatever clients send after their login, in whatever order and pieces, shards keep their invariants and their other
//! clients, take bounded memory, come to rest, and write frames that are well formed.
//!
//! The first octet of the input says how many shards there are, and whether the rest is a script or the stream of one
//! client as it is. A script is a sequence of acts, each a few octets: see `script`.
#![no_main]

#[path = "../../tests/sim/dice.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod dice;
#[path = "connection/heap.rs"]
mod heap;
#[path = "../../tests/sim/host.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod host;
#[path = "../../tests/sim/letter.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod letter;
#[path = "connection/script.rs"]
mod script;
#[path = "../../tests/sim/wire.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod wire;
#[path = "connection/world.rs"]
mod world;

/// What the simulator's hosts say when a promise is broken.
mod oracle {
    pub type ConnectionIx = usize;
    pub type Verdict<T = ()> = Result<T, String>;

    pub fn violation<T>(text: impl Into<String>) -> Verdict<T> {
        Err(text.into())
    }
}

use libfuzzer_sys::fuzz_target;
use script::Source;
use world::World;

fuzz_target!(|input: &[u8]| {
    let mut source = Source::new(input);
    let mode = source.octet();
    let before = heap::begin();
    let mut world = World::new(1 + u16::from(mode % 2));
    if mode < RAW_STREAM {
        world.log_in_everybody(&mut source);
        while !source.is_empty() {
            world.act(&mut source);
        }
    } else {
        world.stream(source.rest());
    }
    world.the_others_are_served();
    world.nobody_is_left();
    drop(world);
    let peak = heap::peak() - before;
    assert!(peak < HEAP_BYTES_MAX, "{peak} octets of heap for an input of {}", input.len());
});

/// From this first octet on, the rest of the input is the stream of one client, from its protocol header on.
const RAW_STREAM: u8 = 0x80;

/// A script publishes at most 1 MiB (`script::BODIES_BYTES_MAX`). It may lie in a receive buffer, in two queues'
/// memory and in outboxes at once; nothing may be allocated from a size that was only announced.
const HEAP_BYTES_MAX: usize = 24 << 20;

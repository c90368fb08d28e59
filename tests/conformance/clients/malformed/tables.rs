//! Tables that lie about their length, hold unknown types, repeat themselves or have no end of depth.

use super::frame;
use crate::clients::errors::case::{Case, Outcome, Stage, hard};
use haremq::amqp::table::{DEPTH_MAX, ELEMENTS_MAX};

pub fn cases() -> Vec<Case> {
    [lengths(), values(), depths(), oddities()].into_iter().flatten().collect()
}

/// queue.declare, exclusive, of a queue that the server names.
fn declare(announced: u32, table: &[u8]) -> Vec<u8> {
    frame(1, 1, &[&b"\0\x32\0\x0a\0\0\0\x04"[..], &announced.to_be_bytes(), table].concat())
}

fn declare_whole(table: &[u8]) -> Vec<u8> {
    declare(u32::try_from(table.len()).expect("less than 4 GiB"), table)
}

const CRASHES: &str = "its reader crashes on a table that it cannot parse, and the client learns nothing";

fn refused(name: impl Into<String>, bytes: Vec<u8>) -> Case {
    let text = "SYNTAX_ERROR - cannot decode queue.declare: arguments";
    Case::bytes(name, Stage::Channel, hard(502, text, (50, 10)), bytes).rabbitmq(Outcome::Silent, CRASHES)
}

fn taken(name: impl Into<String>, table: &[u8]) -> Case {
    Case::bytes(name, Stage::Channel, Outcome::Answer("queue.declare-ok"), declare_whole(table))
}

fn lengths() -> Vec<Case> {
    let cases = [
        ("one octet more than there is", declare(8, b"\x01aI\0\0\0\x01")),
        ("as much as a u32 holds", declare(u32::MAX, b"\x01aI\0\0\0\x01")),
        ("a length with the top bit set", declare(0x8000_0007, b"\x01aI\0\0\0\x01")),
        ("one octet less than there is", declare(6, b"\x01aI\0\0\0\x01")),
        ("nothing, and has something", declare(0, b"\x01aV")),
    ];
    cases
        .map(|(what, bytes)| {
            let fields = super::erlang(&bytes[11..bytes.len() - 1]);
            let outcome = hard(501, &format!("FRAME_ERROR - cannot decode {fields}"), (50, 10));
            Case::bytes(format!("a table that announces {what}"), Stage::Channel, outcome, bytes)
        })
        .into()
}

/// Each type with one octet too few, and types that there are not.
fn values() -> Vec<Case> {
    let whole: [(&str, &[u8]); 16] = [
        ("long string", b"S\0\0\0\x02hi"),
        ("signed int", b"I\0\0\0\x01"),
        ("decimal", b"D\x02\0\0\0\x01"),
        ("timestamp", b"T\0\0\0\0\0\0\0\x01"),
        ("table", b"F\0\0\0\x03\x01nV"),
        ("array", b"A\0\0\0\x02t\x01"),
        ("octet", b"b\x01"),
        ("double", b"d\0\0\0\0\0\0\0\0"),
        ("float", b"f\0\0\0\0"),
        ("long", b"l\0\0\0\0\0\0\0\x01"),
        ("short", b"s\0\x01"),
        ("bool", b"t\x01"),
        ("binary", b"x\0\0\0\x02hi"),
        ("unsigned octet", b"B\x01"),
        ("unsigned short", b"u\0\x01"),
        ("unsigned int", b"i\0\0\0\x01"),
    ];
    let cut = whole.into_iter().flat_map(|(what, value)| {
        let entry = [b"\x01v", value].concat();
        [
            taken(format!("a {what} in a table"), &entry),
            refused(format!("a {what} that is cut off"), declare_whole(&entry[..entry.len() - 1])),
        ]
    });
    let unknown = [0, b'Z', b'?', b'U', 0xFF]
        .map(|tag: u8| refused(format!("a value of type {tag}"), declare_whole(&[1, b'v', tag, 0, 0, 0, 0])));
    cut.chain(unknown).collect()
}

/// Tables in tables, the outermost included.
fn nested(depth: usize) -> Vec<u8> {
    (1..depth).fold(Vec::new(), |inner, _| {
        let length = u32::try_from(inner.len()).expect("it fits a frame").to_be_bytes();
        [b"\x01nF", &length[..], &inner].concat()
    })
}

fn arrays(depth: usize) -> Vec<u8> {
    let inner = (2..depth).fold(Vec::new(), |inner: Vec<u8>, _| {
        let length = u32::try_from(inner.len()).expect("it fits a frame").to_be_bytes();
        [b"A", &length[..], &inner].concat()
    });
    let length = u32::try_from(inner.len()).expect("it fits a frame").to_be_bytes();
    [b"\x01nA", &length[..], &inner].concat()
}

const UNBOUNDED: &str =
    "it takes any depth and any number; a bound keeps the work per octet small, and no client comes near";

fn depths() -> Vec<Case> {
    let too_much = |name: &str, table: Vec<u8>| {
        let answer = Outcome::Answer("queue.declare-ok");
        refused(name, declare_whole(&table)).rabbitmq(answer, UNBOUNDED)
    };
    vec![
        taken("tables as deep as they may be", &nested(DEPTH_MAX)),
        too_much("tables a level too deep", nested(DEPTH_MAX + 1)),
        too_much("tables ten thousand deep", nested(10_000)),
        taken("arrays as deep as they may be", &arrays(DEPTH_MAX)),
        too_much("arrays a level too deep", arrays(DEPTH_MAX + 1)),
        too_much("arrays ten thousand deep", arrays(10_000)),
        too_much("more elements than allowed", [&b"\x01nA\0\x01\0\0"[..], &[b'V'; ELEMENTS_MAX]].concat()),
        taken(
            "as many elements as allowed",
            &[&b"\x01nA\0\0\xFF\xFF"[..], &[b'V'; ELEMENTS_MAX - 1]].concat(),
        ),
    ]
}

const NO_SUCH_FLOAT: &str = "Erlang has no such number, and its reader crashes";

fn oddities() -> Vec<Case> {
    vec![
        taken("a name that occurs twice", b"\x01aI\0\0\0\x01\x01aI\0\0\0\x02"),
        taken("a name that occurs twice with two types", b"\x01aI\0\0\0\x01\x01aV"),
        taken("a name of no octet", b"\0V"),
        taken("a name of 255 octets", &[&[255][..], &[b'n'; 255], b"V"].concat()),
        taken("a name that is no UTF-8", b"\x02\xFF\xFEV"),
        taken("a string that is no UTF-8", b"\x01aS\0\0\0\x02\xFF\xFE"),
        taken("a bool that is neither 0 nor 1", b"\x01at\x07"),
        taken("a decimal of scale 255", b"\x01aD\xFF\xFF\xFF\xFF\xFF"),
        taken("an empty table in a table", b"\x01aF\0\0\0\0"),
        taken("an empty array in a table", b"\x01aA\0\0\0\0"),
        taken("a double that is no number", b"\x01ad\x7F\xF8\0\0\0\0\0\0")
            .rabbitmq(Outcome::Silent, NO_SUCH_FLOAT),
        taken("an infinite float", b"\x01af\x7F\x80\0\0").rabbitmq(Outcome::Silent, NO_SUCH_FLOAT),
        refused("a name and no value", declare_whole(b"\x01a")),
        refused("a name that reaches beyond the table", declare_whole(b"\x09aV")),
        refused("a table that reaches beyond the one around it", declare_whole(b"\x01aF\0\0\0\x09\x01bV")),
        refused("an array that reaches beyond its table", declare_whole(b"\x01aA\0\0\0\x09t\x01")),
        refused("a table in an array that is cut off", declare_whole(b"\x01aA\0\0\0\x07F\0\0\0\x02\x01b")),
    ]
}

//! A table that is accepted stays within its bounds, yields all of its bytes, and its values survive being rewritten.
#![no_main]

use haremq::amqp::table::{DEPTH_MAX, ELEMENTS_MAX};
use haremq::amqp::{Table, TableWriter, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(table) = Table::decode(bytes) else { return };
    assert_eq!(table.as_bytes(), bytes);
    let (depth, elements) = extent(table);
    assert!(depth <= DEPTH_MAX && elements <= ELEMENTS_MAX && elements <= bytes.len());

    let mut len = 0;
    for (name, value) in table {
        len += 1 + name.len() + rewritten(value, depth).len() - "\x05value".len();
        assert!(table.find(&name).is_some());
    }
    assert_eq!(len, bytes.len());
});

/// The bytes of a table that holds the value alone; what is read from them writes the same bytes.
fn rewritten(value: Value<'_>, depth: usize) -> Vec<u8> {
    let bytes = TableWriter::new().value("value", value).finish();
    assert!(depth <= DEPTH_MAX);
    let again = Table::decode(&bytes).expect("no deeper than before").find(b"value").expect("was written");
    assert_eq!(TableWriter::new().value("value", again).finish(), bytes);
    bytes
}

/// How deep the table is and how many values it holds.
fn extent(table: Table<'_>) -> (usize, usize) {
    let mut open = vec![(1, Value::Table(table))];
    let (mut deepest, mut elements) = (0, 0);
    while let Some((depth, value)) = open.pop() {
        let before = open.len();
        match value {
            Value::Table(table) => open.extend(table.iter().map(|(_, value)| (depth + 1, value))),
            Value::Array(array) => open.extend(array.iter().map(|value| (depth + 1, value))),
            _ => continue,
        }
        deepest = deepest.max(depth);
        elements += open.len() - before;
    }
    (deepest, elements)
}

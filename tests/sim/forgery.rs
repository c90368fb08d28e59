//! Letters that tell of another death than they died.

use haremq::amqp::{Properties, Table, TableWriter, Value};

use crate::faults::Fault;
use crate::wire::Content;

pub fn is_letter(content: &Content) -> bool {
    let properties = Properties::decode(&content.properties).ok();
    properties.and_then(|properties| properties.headers()?.find(b"x-death")).is_some()
}

/// The properties of a letter with another last death, told in all places alike. `own` is the queue from which it comes.
pub fn forged(properties: &[u8], fault: Fault, own: &[u8]) -> Vec<u8> {
    let decoded = Properties::decode(properties).expect("checked when it was read");
    let headers = decoded.headers().unwrap_or_default();
    let deaths = headers.find(b"x-death").and_then(|list| list.as_array()).unwrap_or_default();
    let deaths: Vec<Table<'_>> = deaths.iter().filter_map(|entry| entry.as_table()).collect();
    let Some(latest) = deaths.first() else { return properties.to_vec() };
    let text = |name: &[u8]| latest.find(name).and_then(|text| text.as_str()).unwrap_or_default();
    let count = latest.find(b"count").and_then(|count| count.as_integer()).unwrap_or(0);
    let reason = if text(b"reason") == b"expired" { &b"rejected"[..] } else { b"expired" };
    let (field, value) = match fault {
        Fault::WrongReason => ("reason", Value::LongString(reason)),
        Fault::WrongDeathCount => ("count", Value::I64(count + 1)),
        Fault::WrongDeathQueue => ("queue", Value::LongString(b"s0")),
        _ => ("queue", Value::LongString(own)),
    };
    let latest = with(*latest, &[field], value);
    let list = TableWriter::new().array("x-death", |array| {
        let rest = deaths[1..].iter();
        rest.fold(array.value(Value::Table(table(&latest))), |array, entry| array.value(Value::Table(*entry)))
    });
    let list = list.finish();
    let (first, last) = (format!("x-first-death-{field}"), format!("x-last-death-{field}"));
    let places: &[&str] = if deaths.len() == 1 { &[&first, &last] } else { &[&last] };
    decoded.with_headers(&table(&with(headers, places, value)).overlaid(table(&list)))
}

/// The same fields in the same order, some with another value.
fn with(fields: Table<'_>, places: &[&str], value: Value<'_>) -> Vec<u8> {
    let replaced = fields.iter().fold(TableWriter::new(), |out, (name, before)| {
        let name = std::str::from_utf8(&name).unwrap_or_default();
        out.value(name, if places.contains(&name) { value } else { before })
    });
    replaced.finish()
}

fn table(bytes: &[u8]) -> Table<'_> {
    Table::decode(bytes).expect("a table that we wrote")
}

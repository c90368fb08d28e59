//! The values of arguments as Erlang prints them, which RabbitMQ's texts show.

use crate::amqp::refusal::binary;
use crate::amqp::{Array, ShortStr, Table, Value};
use crate::text;

/// Text as it is, and anything else as `~p` prints it. Erlang breaks the line at 80 columns; we do not.
pub(super) fn shown(value: &Value<'_>) -> String {
    match *value {
        Value::LongString(bytes) | Value::Bytes(bytes) => text::lossy(bytes).into_owned(),
        _ => term(value),
    }
}

/// Goes as deep as a table may be nested.
fn term(value: &Value<'_>) -> String {
    match *value {
        Value::LongString(bytes) | Value::Bytes(bytes) => binary(bytes),
        Value::Bool(value) => value.to_string(),
        Value::I8(number) => number.to_string(),
        Value::U8(number) => number.to_string(),
        Value::I16(number) => number.to_string(),
        Value::U16(number) => number.to_string(),
        Value::I32(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::Timestamp(seconds) => seconds.to_string(),
        Value::F32(number) => float(f64::from(number)),
        Value::F64(number) => float(number),
        Value::Decimal { scale, value } => format!("{{{scale},{value}}}"),
        Value::Table(table) => entries(table),
        Value::Array(array) => elements(array),
        Value::Void => "undefined".to_owned(),
    }
}

fn entries(table: Table<'_>) -> String {
    let entry = |(name, value): (ShortStr<'_>, Value<'_>)| {
        format!("{{{},{},{}}}", binary(&name), value.type_name(), term(&value))
    };
    list(table.iter().take(SHOWN_MAX).map(entry))
}

fn elements(array: Array<'_>) -> String {
    let element = |value: Value<'_>| format!("{{{},{}}}", value.type_name(), term(&value));
    list(array.iter().take(SHOWN_MAX).map(element))
}

fn list(terms: impl Iterator<Item = String>) -> String {
    format!("[{}]", terms.collect::<Vec<_>>().join(","))
}

/// The shorter of `1200.0` and `1.2e3`, and always the latter where not every integer is a float.
fn float(number: f64) -> String {
    let decimal = with_point(&number.to_string());
    let scientific = format!("{number:e}");
    match scientific.split_once('e') {
        Some((mantissa, exponent)) => {
            let scientific = format!("{}e{exponent}", with_point(mantissa));
            let is_short = decimal.len() <= scientific.len() && number.abs() < EXACT_MAX;
            if is_short { decimal } else { scientific }
        }
        None => decimal,
    }
}

fn with_point(digits: &str) -> String {
    if digits.contains('.') { digits.to_owned() } else { format!("{digits}.0") }
}

/// 2 to the power of 53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// A reply text has room for 255 octets, so the rest would be cut off anyway.
const SHOWN_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::TableWriter;

    #[test]
    fn floats_are_as_short_as_can_be() {
        for (number, text) in [
            (10.0, "10.0"),
            (100.0, "100.0"),
            (1e3, "1.0e3"),
            (1.23e6, "1.23e6"),
            (123_456.0, "123456.0"),
            (1_234_567.5, "1234567.5"),
            (9_007_199_254_740_992.0, "9.007199254740992e15"),
            (1.5e300, "1.5e300"),
            (0.0001, "0.0001"),
            (0.00123, "0.00123"),
            (1e-7, "1.0e-7"),
            (-2.5e-10, "-2.5e-10"),
            (f64::from(1.1_f32), "1.100000023841858"),
        ] {
            assert_eq!(float(number), text);
        }
    }

    #[test]
    fn tables_and_arrays_are_lists_of_tuples() {
        let bytes = TableWriter::new()
            .table("t", |table| table.i32("a", 1).string("b", "x").table("c", |inner| inner))
            .array("l", |array| array.i32(1).string("x").value(Value::Decimal { scale: 1, value: 2 }))
            .finish();
        let table = Table::decode(&bytes).unwrap();
        let text = r#"[{<<"a">>,signedint,1},{<<"b">>,longstr,<<"x">>},{<<"c">>,table,[]}]"#;
        assert_eq!(shown(&table.find(b"t").unwrap()), text);
        let text = r#"[{signedint,1},{longstr,<<"x">>},{decimal,{1,2}}]"#;
        assert_eq!(shown(&table.find(b"l").unwrap()), text);
    }
}

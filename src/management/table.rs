//! Field tables as JSON, and JSON as field tables: arguments, headers, client properties.
//!
//! ```text
//! AMQP                        JSON                         AMQP
//! integers, timestamp     ->  number without a fraction -> long
//! float, double, decimal  ->  number with one           -> double
//! long string, binary     ->  string                    -> long string
//! bool, table, array      ->  bool, object, array       -> the same
//! void                    ->  "undefined"                  (null is refused)
//! ```

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};

use crate::amqp::table::{ArrayWriter, DEPTH_MAX, ELEMENTS_MAX, TableWriter};
use crate::amqp::wire::ShortStr;
use crate::amqp::{Table, Value as Field};

/// Of a name that occurs twice, the last value is shown.
pub fn shown(table: Table<'_>) -> Value {
    let entries = table.iter().map(|(name, value)| (text(name.as_bytes()), shown_value(value)));
    Value::Object(entries.collect())
}

pub fn shown_value(value: Field<'_>) -> Value {
    match value {
        Field::LongString(bytes) | Field::Bytes(bytes) => text(bytes).into(),
        Field::I8(value) => value.into(),
        Field::I16(value) => value.into(),
        Field::I32(value) => value.into(),
        Field::I64(value) => value.into(),
        Field::U8(value) => value.into(),
        Field::U16(value) => value.into(),
        Field::U32(value) => value.into(),
        Field::Timestamp(seconds) => seconds.into(),
        Field::F32(value) => f64::from(value).into(),
        // JSON has no infinity: null.
        Field::F64(value) => value.into(),
        // RabbitMQ shows 2.75, which is 275 with a scale of 2, as 2.275.
        Field::Decimal { scale, value } => (f64::from(value) / 10_f64.powi(scale.into())).into(),
        Field::Bool(value) => value.into(),
        Field::Table(table) => shown(table),
        Field::Array(array) => array.iter().map(shown_value).collect(),
        Field::Void => "undefined".into(),
    }
}

/// Octets as text. Those that are no UTF-8 are shown as RabbitMQ shows them, with a line break after 76 characters of
/// base64.
pub fn text(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let encoded = Base64::encode_string(bytes);
    let lines: Vec<_> = encoded.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
    format!("Not UTF-8, base64 is: {}", lines.join("\n"))
}

/// The bytes of a checked [`Table`]. `[]` is an empty table, as it is for RabbitMQ. The error is the reason of a 400.
pub fn written(value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::Object(entries) => {
            let mut left = ELEMENTS_MAX;
            check_table(entries, 1, &mut left)?;
            Ok(write_table(TableWriter::new(), entries).finish())
        }
        Value::Array(elements) if elements.is_empty() => Ok(Vec::new()),
        _ => Err(format!("not a table: {value}")),
    }
}

fn check_table(entries: &Map<String, Value>, depth: usize, left: &mut usize) -> Result<(), String> {
    let too_long = entries.keys().find(|name| name.len() > ShortStr::LEN_MAX);
    if let Some(name) = too_long {
        return Err(format!("a name in a table has at most {} octets: {name}", ShortStr::LEN_MAX));
    }
    check_values(entries.values(), depth, left)
}

/// `left` counts down what a table may hold in all.
fn check_values<'a>(
    values: impl ExactSizeIterator<Item = &'a Value>,
    depth: usize,
    left: &mut usize,
) -> Result<(), String> {
    *left = left.checked_sub(values.len()).ok_or("a table with too many elements")?;
    if depth > DEPTH_MAX {
        return Err("a table that is nested too deeply".to_owned());
    }
    for value in values {
        match value {
            Value::Null => return Err("null_not_allowed".to_owned()),
            Value::Number(number) if number.as_i64().is_none() && number.as_u64().is_some() => {
                return Err(format!("an integer has at most 64 bits: {number}"));
            }
            Value::Object(entries) => check_table(entries, depth + 1, left)?,
            Value::Array(elements) => check_values(elements.iter(), depth + 1, left)?,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

fn write_table(table: TableWriter, entries: &Map<String, Value>) -> TableWriter {
    entries.iter().fold(table, |table, (name, value)| match value {
        Value::Object(entries) => table.table(name, |inner| write_table(inner, entries)),
        Value::Array(elements) => table.array(name, |array| write_array(array, elements)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            table.value(name, scalar(value))
        }
    })
}

fn write_array(array: ArrayWriter, elements: &[Value]) -> ArrayWriter {
    elements.iter().fold(array, |array, value| match value {
        Value::Object(entries) => array.table(|inner| write_table(inner, entries)),
        Value::Array(elements) => array.array(|inner| write_array(inner, elements)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => array.value(scalar(value)),
    })
}

fn scalar(value: &Value) -> Field<'_> {
    match value {
        Value::Bool(value) => Field::Bool(*value),
        Value::String(text) => Field::LongString(text.as_bytes()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Field::I64(integer),
            (None, Some(float)) => Field::F64(float),
            (None, None) => unreachable!("a number is an integer that was checked, or a float"),
        },
        Value::Null | Value::Object(_) | Value::Array(_) => unreachable!("checked before, or no scalar"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn there_and_back(value: Value) -> Value {
        let bytes = written(&value).unwrap();
        shown(Table::decode(&bytes).unwrap())
    }

    #[test]
    fn json_comes_back_as_it_went() {
        let value = json!({
            "x-max-length": 10, "a": "b", "f": 1.5, "whole": 2.0, "negative": -1, "t": true, "e": [], "o": {},
            "n": [1, "x", {"t": true}, [[2]]], "text": "é",
        });
        assert_eq!(there_and_back(value.clone()), value);
        assert_eq!(written(&json!([])), Ok(Vec::new()));
    }

    #[test]
    fn numbers_are_long_or_double_by_their_looks() {
        let bytes = written(&json!({"i": 1, "d": 1.0, "least": i64::MIN})).unwrap();
        let table = Table::decode(&bytes).unwrap();
        assert_eq!(table.find(b"i"), Some(Field::I64(1)));
        assert_eq!(table.find(b"d"), Some(Field::F64(1.0)));
        assert_eq!(table.find(b"least"), Some(Field::I64(i64::MIN)));
    }

    #[test]
    fn what_no_table_can_hold_is_refused() {
        let deep = |levels| (0..levels).fold(json!({}), |inner, _| json!({"n": inner}));
        assert!(written(&deep(DEPTH_MAX - 1)).is_ok_and(|bytes| Table::decode(&bytes).is_ok()));
        assert!(
            written(&json!({"a": vec![1; ELEMENTS_MAX - 1]}))
                .is_ok_and(|bytes| Table::decode(&bytes).is_ok())
        );
        assert_eq!(written(&json!({"a": null})).unwrap_err(), "null_not_allowed");
        assert_eq!(written(&json!({"a": [{"b": null}]})).unwrap_err(), "null_not_allowed");
        for refused in [
            json!("x"),
            json!([1]),
            json!({"a": u64::MAX}),
            json!({"n".repeat(256): 1}),
            json!({"a": vec![1; ELEMENTS_MAX]}),
            deep(DEPTH_MAX),
        ] {
            assert!(written(&refused).is_err());
        }
    }

    #[test]
    fn every_type_is_shown_as_rabbitmq_shows_it() {
        let bytes = TableWriter::new()
            .string("binary", [&b"\xFF\xFE"[..], &[b'x'; 100]].concat())
            .value("bytes", Field::Bytes(b"\0\x01"))
            .value("bytes2", Field::Bytes(b"\xFF"))
            .value("decimal", Field::Decimal { scale: 2, value: 275 })
            .i32("dup", 1)
            .i32("dup", 2)
            .value("float", Field::F32(0.1))
            .value("i8", Field::I8(-1))
            .value("nan", Field::F64(f64::NAN))
            .timestamp("time", 9)
            .value("u32", Field::U32(u32::MAX))
            .value("void", Field::Void)
            .finish();
        let expected = json!({
            "binary": "Not UTF-8, base64 is: //54eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4\n\
                eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4",
            "bytes": "\0\x01",
            "bytes2": "Not UTF-8, base64 is: /w==",
            "decimal": 2.75,
            "dup": 2,
            "float": 0.10000000149011612,
            "i8": -1,
            "nan": null,
            "time": 9,
            "u32": 4294967295_u32,
            "void": "undefined",
        });
        assert_eq!(shown(Table::decode(&bytes).unwrap()), expected);
    }
}

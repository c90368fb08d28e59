//! `KEY=VALUE,...`, in which PerfTest takes queue arguments and message properties.

use haremq::amqp::TableWriter;

/// The pairs in their order. An empty text has none.
pub fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let entries = text.split(',').filter(|_| !text.is_empty());
    entries
        .map(|entry| match entry.split_once('=') {
            Some((key, value)) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => Ok((key, value)),
            Some(_) | None => Err(format!("{entry:?} is not KEY=VALUE")),
        })
        .collect()
}

/// The bytes of a table: whole numbers, true and false are what they look like, anything else is a string.
pub fn table(pairs: &[(&str, &str)]) -> Vec<u8> {
    let add = |table: TableWriter, &(key, value): &(&str, &str)| {
        if let Ok(number) = value.parse::<i64>() {
            return table.i64(key, number);
        }
        match value.parse::<bool>() {
            Ok(truth) => table.bool(key, truth),
            Err(_) => table.string(key, value),
        }
    };
    pairs.iter().fold(TableWriter::new(), add).finish()
}

/// Of a short string.
const KEY_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use haremq::amqp::{Table, Value};

    #[test]
    fn values_have_the_types_that_they_look_like() {
        let pairs = pairs(
            "x-max-priority=255,x-single-active-consumer=true,x-dead-letter-exchange=,x-queue-mode=lazy",
        )
        .unwrap();
        let bytes = table(&pairs);
        let table = Table::decode(&bytes).unwrap();
        let value = |name: &[u8]| table.find(name).unwrap();
        assert_eq!(value(b"x-max-priority"), Value::I64(255));
        assert_eq!(value(b"x-single-active-consumer"), Value::Bool(true));
        assert_eq!(value(b"x-dead-letter-exchange"), Value::LongString(b""));
        assert_eq!(value(b"x-queue-mode"), Value::LongString(b"lazy"));
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        assert_eq!(pairs(""), Ok(Vec::new()));
        for text in ["x", "=1", "a=1,", ",a=1", "a=1,,b=2"] {
            assert!(pairs(text).is_err(), "{text}");
        }
        assert!(pairs(&format!("{}=1", "k".repeat(256))).is_err());
    }
}

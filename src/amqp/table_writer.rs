//! Builds the bytes of a table or an array, value by value: what we say of ourselves, and what clients and tests send.

use super::table::Value;
use super::wire::{Field, ShortStr, Writer};

/// The entries of a table, in the order in which they were added.
///
/// A name or a nesting that a reader would refuse is the caller's mistake and not checked here.
#[derive(Default)]
pub struct TableWriter {
    out: Vec<u8>,
}

impl TableWriter {
    pub fn new() -> TableWriter {
        TableWriter::default()
    }

    pub fn with_capacity(bytes: usize) -> TableWriter {
        TableWriter { out: Vec::with_capacity(bytes) }
    }

    /// Panics if `name` is longer than a short string can be.
    pub fn value(mut self, name: &str, value: Value<'_>) -> TableWriter {
        self.name(name);
        write_value(&mut self.out, value);
        self
    }

    pub fn string(self, name: &str, value: impl AsRef<[u8]>) -> TableWriter {
        self.value(name, Value::LongString(value.as_ref()))
    }

    pub fn bool(self, name: &str, value: bool) -> TableWriter {
        self.value(name, Value::Bool(value))
    }

    pub fn i32(self, name: &str, value: i32) -> TableWriter {
        self.value(name, Value::I32(value))
    }

    pub fn i64(self, name: &str, value: i64) -> TableWriter {
        self.value(name, Value::I64(value))
    }

    pub fn timestamp(self, name: &str, seconds: u64) -> TableWriter {
        self.value(name, Value::Timestamp(seconds))
    }

    pub fn table(mut self, name: &str, write: impl FnOnce(TableWriter) -> TableWriter) -> TableWriter {
        self.name(name);
        write_container(&mut self.out, b'F', &write(TableWriter::new()).finish());
        self
    }

    pub fn array(mut self, name: &str, write: impl FnOnce(ArrayWriter) -> ArrayWriter) -> TableWriter {
        self.name(name);
        write_container(&mut self.out, b'A', &write(ArrayWriter::default()).out);
        self
    }

    /// The bytes of the table, without a length in front.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn name(&mut self, name: &str) {
        let name = ShortStr::new(name.as_bytes()).expect("a name fits a short string");
        name.write(&mut Writer::new(&mut self.out));
    }
}

/// The values of an array, in order.
#[derive(Default)]
pub struct ArrayWriter {
    out: Vec<u8>,
}

impl ArrayWriter {
    pub fn value(mut self, value: Value<'_>) -> ArrayWriter {
        write_value(&mut self.out, value);
        self
    }

    pub fn string(self, value: impl AsRef<[u8]>) -> ArrayWriter {
        self.value(Value::LongString(value.as_ref()))
    }

    pub fn i32(self, value: i32) -> ArrayWriter {
        self.value(Value::I32(value))
    }

    pub fn table(mut self, write: impl FnOnce(TableWriter) -> TableWriter) -> ArrayWriter {
        write_container(&mut self.out, b'F', &write(TableWriter::new()).finish());
        self
    }

    pub fn array(mut self, write: impl FnOnce(ArrayWriter) -> ArrayWriter) -> ArrayWriter {
        write_container(&mut self.out, b'A', &write(ArrayWriter::default()).out);
        self
    }
}

fn write_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::LongString(bytes) => write_container(out, b'S', bytes),
        Value::I32(value) => write_fixed(out, b'I', value.to_be_bytes()),
        Value::Decimal { scale, value } => {
            write_fixed(out, b'D', [scale]);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Timestamp(seconds) => write_fixed(out, b'T', seconds.to_be_bytes()),
        Value::Table(table) => write_container(out, b'F', table.as_bytes()),
        Value::Array(array) => write_container(out, b'A', array.as_bytes()),
        Value::I8(value) => write_fixed(out, b'b', value.to_be_bytes()),
        Value::F64(value) => write_fixed(out, b'd', value.to_be_bytes()),
        Value::F32(value) => write_fixed(out, b'f', value.to_be_bytes()),
        Value::I64(value) => write_fixed(out, b'l', value.to_be_bytes()),
        Value::I16(value) => write_fixed(out, b's', value.to_be_bytes()),
        Value::Bool(value) => write_fixed(out, b't', [u8::from(value)]),
        Value::Bytes(bytes) => write_container(out, b'x', bytes),
        Value::U8(value) => write_fixed(out, b'B', value.to_be_bytes()),
        Value::U16(value) => write_fixed(out, b'u', value.to_be_bytes()),
        Value::U32(value) => write_fixed(out, b'i', value.to_be_bytes()),
        Value::Void => out.push(b'V'),
    }
}

fn write_fixed<const LEN: usize>(out: &mut Vec<u8>, tag: u8, octets: [u8; LEN]) {
    out.push(tag);
    out.extend_from_slice(&octets);
}

fn write_container(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    Writer::new(out).long_bytes(bytes);
}

#[cfg(test)]
mod tests {
    use super::super::table::Table;
    use super::*;

    #[test]
    fn a_written_table_reads_back() {
        let bytes = TableWriter::new()
            .string("product", "HareMQ")
            .table("capabilities", |table| table.bool("basic.nack", true))
            .array("deaths", |array| array.table(|table| table.i64("count", 3)).string("end"))
            .finish();
        let table = Table::decode(&bytes).unwrap();
        assert_eq!(table.find(b"product").unwrap().as_str(), Some(&b"HareMQ"[..]));
        let capabilities = table.find(b"capabilities").unwrap().as_table().unwrap();
        assert_eq!(capabilities.find(b"basic.nack"), Some(Value::Bool(true)));
        let deaths: Vec<_> = table.find(b"deaths").unwrap().as_array().unwrap().iter().collect();
        assert_eq!(deaths[0].as_table().unwrap().find(b"count"), Some(Value::I64(3)));
        assert_eq!(deaths[1], Value::LongString(b"end"));
    }
}

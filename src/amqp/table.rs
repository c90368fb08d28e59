//! A field table: names with typed values, nested at will by the client and bounded by us.
//!
//! ```text
//! table  = { short string: name, value }      array = { value }
//! value  = tag octet, then what the tag says; 'F' and 'A' hold a table or an array behind a u32 length in octets
//! ```
//! A table is checked once, when it is decoded, and then kept as its bytes: most are only passed on.

use std::fmt;

pub use super::table_writer::{ArrayWriter, TableWriter};
use super::wire::{Field, Reader, ShortStr};

/// The bytes of a table, without the length in front. They were checked, so iterating meets no surprise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Table<'a>(&'a [u8]);

/// The bytes of an array inside a checked table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Array<'a>(&'a [u8]);

/// The tags are those that RabbitMQ writes and reads, which differ from the specification's own list.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    LongString(&'a [u8]),
    I32(i32),
    /// `value` divided by ten to the power of `scale`.
    Decimal {
        scale: u8,
        value: u32,
    },
    /// Seconds since 1970.
    Timestamp(u64),
    Table(Table<'a>),
    Array(Array<'a>),
    I8(i8),
    F64(f64),
    F32(f32),
    I64(i64),
    I16(i16),
    Bool(bool),
    Bytes(&'a [u8]),
    U8(u8),
    U16(u16),
    U32(u32),
    Void,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableError {
    /// A name, a value or a nested table is longer than what holds it.
    Truncated,
    UnknownTag(u8),
    TooDeep,
    TooManyElements,
}

/// Tables and arrays inside one another, the outermost included. Bounds the work per byte of whoever walks one.
pub const DEPTH_MAX: usize = 32;
/// Values in all that a client may send, nested ones included: an empty value takes one octet on the wire and many more
/// when unpacked.
pub const ELEMENTS_MAX: usize = 65_536;

impl<'a> Table<'a> {
    pub const EMPTY: Table<'static> = Table(b"");

    /// Checks the bytes of a table (without its length) and the bounds above.
    pub fn decode(bytes: &'a [u8]) -> Result<Table<'a>, TableError> {
        validate(bytes, ELEMENTS_MAX)?;
        Ok(Table(bytes))
    }

    /// The table of bytes that [`Table::decode`] has accepted before, or that we have made of such.
    pub(crate) fn from_checked(bytes: &'a [u8]) -> Table<'a> {
        debug_assert_eq!(validate(bytes, usize::MAX), Ok(()));
        Table(bytes)
    }

    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn iter(&self) -> TableIter<'a> {
        TableIter(Reader::new(self.0))
    }

    /// The value of the first entry with that name.
    pub fn find(&self, name: &[u8]) -> Option<Value<'a>> {
        self.iter().find(|(entry, _)| entry.as_bytes() == name).map(|(_, value)| value)
    }

    /// The bytes of this table without the entries of that name; the others as they are.
    pub fn without(&self, name: &[u8]) -> Vec<u8> {
        self.raw().filter(|(entry, _)| entry.as_bytes() != name).flat_map(|(_, raw)| raw).copied().collect()
    }

    /// The bytes of this table with its entries in the order of their names.
    pub fn sorted(&self) -> Vec<u8> {
        let mut entries: Vec<_> = self.raw().collect();
        entries.sort_by_key(|(name, _)| name.as_bytes());
        entries.into_iter().flat_map(|(_, raw)| raw).copied().collect()
    }

    /// The bytes of this table with the entries of `others` instead of its own ones of the same names, in the order of
    /// the names. Of a name that one table has twice, the first stays, as with RabbitMQ where it writes headers.
    pub fn overlaid(&self, others: Table<'_>) -> Vec<u8> {
        let mut entries: Vec<_> = others.raw().chain(self.raw()).collect();
        entries.sort_by_key(|(name, _)| name.as_bytes());
        entries.dedup_by_key(|(name, _)| name.as_bytes());
        let mut out = Vec::with_capacity(self.0.len() + others.0.len());
        entries.into_iter().for_each(|(_, raw)| out.extend_from_slice(raw));
        out
    }

    /// Each entry's name and its bytes.
    fn raw(&self) -> impl Iterator<Item = (ShortStr<'a>, &'a [u8])> {
        let mut entries = self.iter();
        std::iter::from_fn(move || {
            let before = entries.0.rest();
            let (name, _) = entries.next()?;
            Some((name, &before[..before.len() - entries.0.rest().len()]))
        })
    }
}

impl<'a> IntoIterator for Table<'a> {
    type Item = (ShortStr<'a>, Value<'a>);
    type IntoIter = TableIter<'a>;

    fn into_iter(self) -> TableIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a> Array<'a> {
    pub const EMPTY: Array<'static> = Array(b"");

    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn iter(&self) -> ArrayIter<'a> {
        ArrayIter(Reader::new(self.0))
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = ArrayIter<'a>;

    fn into_iter(self) -> ArrayIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Value<'a> {
    /// The value of any integer type; RabbitMQ compares arguments by value, whatever their width.
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Value::I8(value) => Some(i64::from(value)),
            Value::I16(value) => Some(i64::from(value)),
            Value::I32(value) => Some(i64::from(value)),
            Value::I64(value) => Some(value),
            Value::U8(value) => Some(i64::from(value)),
            Value::U16(value) => Some(i64::from(value)),
            Value::U32(value) => Some(i64::from(value)),
            Value::LongString(_)
            | Value::Decimal { .. }
            | Value::Timestamp(_)
            | Value::Table(_)
            | Value::Array(_)
            | Value::F64(_)
            | Value::F32(_)
            | Value::Bool(_)
            | Value::Bytes(_)
            | Value::Void => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = *self { Some(value) } else { None }
    }

    /// The octets of a long string; that they are UTF-8 is not promised.
    pub fn as_str(&self) -> Option<&'a [u8]> {
        if let Value::LongString(value) = *self { Some(value) } else { None }
    }

    pub fn as_table(&self) -> Option<Table<'a>> {
        if let Value::Table(value) = *self { Some(value) } else { None }
    }

    pub fn as_array(&self) -> Option<Array<'a>> {
        if let Value::Array(value) = *self { Some(value) } else { None }
    }

    /// RabbitMQ's name of the type, as its error texts have it (rabbit_binary_parser).
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::LongString(_) => "longstr",
            Value::I32(_) => "signedint",
            Value::Decimal { .. } => "decimal",
            Value::Timestamp(_) => "timestamp",
            Value::Table(_) => "table",
            Value::Array(_) => "array",
            Value::I8(_) => "byte",
            Value::F64(_) => "double",
            Value::F32(_) => "float",
            Value::I64(_) => "long",
            Value::I16(_) => "short",
            Value::Bool(_) => "bool",
            Value::Bytes(_) => "binary",
            Value::U8(_) => "unsignedbyte",
            Value::U16(_) => "unsignedshort",
            Value::U32(_) => "unsignedint",
            Value::Void => "void",
        }
    }
}

/// The entries in wire order; a name that occurs twice comes twice.
#[derive(Clone)]
pub struct TableIter<'a>(Reader<'a>);

impl<'a> Iterator for TableIter<'a> {
    type Item = (ShortStr<'a>, Value<'a>);

    fn next(&mut self) -> Option<(ShortStr<'a>, Value<'a>)> {
        let name = ShortStr::read(&mut self.0)?;
        Some((name, read_value(&mut self.0).ok()?))
    }
}

#[derive(Clone)]
pub struct ArrayIter<'a>(Reader<'a>);

impl<'a> Iterator for ArrayIter<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        read_value(&mut self.0).ok()
    }
}

/// Reads a tag and its value. What is inside a nested table or array is not looked at.
fn read_value<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>, TableError> {
    let [tag] = reader.array().ok_or(TableError::Truncated)?;
    let value = match tag {
        b'S' => reader.long_bytes().map(Value::LongString),
        b'I' => reader.array().map(|octets| Value::I32(i32::from_be_bytes(octets))),
        b'D' => read_decimal(reader),
        b'T' => reader.array().map(|octets| Value::Timestamp(u64::from_be_bytes(octets))),
        b'F' => reader.long_bytes().map(|bytes| Value::Table(Table(bytes))),
        b'A' => reader.long_bytes().map(|bytes| Value::Array(Array(bytes))),
        b'b' => reader.array().map(|octets| Value::I8(i8::from_be_bytes(octets))),
        b'd' => reader.array().map(|octets| Value::F64(f64::from_be_bytes(octets))),
        b'f' => reader.array().map(|octets| Value::F32(f32::from_be_bytes(octets))),
        // The specification's 'L' is RabbitMQ's 'l'; some clients write the one, some the other.
        b'l' | b'L' => reader.array().map(|octets| Value::I64(i64::from_be_bytes(octets))),
        b's' => reader.array().map(|octets| Value::I16(i16::from_be_bytes(octets))),
        b't' => reader.array().map(|[octet]| Value::Bool(octet != 0)),
        b'x' => reader.long_bytes().map(Value::Bytes),
        b'B' => reader.array().map(|[octet]| Value::U8(octet)),
        b'u' => reader.array().map(|octets| Value::U16(u16::from_be_bytes(octets))),
        b'i' => reader.array().map(|octets| Value::U32(u32::from_be_bytes(octets))),
        b'V' => Some(Value::Void),
        _ => return Err(TableError::UnknownTag(tag)),
    };
    value.ok_or(TableError::Truncated)
}

fn read_decimal<'a>(reader: &mut Reader<'a>) -> Option<Value<'a>> {
    let [scale, value @ ..] = reader.array::<5>()?;
    Some(Value::Decimal { scale, value: u32::from_be_bytes(value) })
}

/// Walks everything inside `bytes`. Most tables are flat, and for them nothing is set up.
fn validate(bytes: &[u8], elements_max: usize) -> Result<(), TableError> {
    let mut outermost = Level { rest: Reader::new(bytes), named: true };
    let mut elements_left = elements_max;
    while let Some(element) = outermost.next_element(&mut elements_left)? {
        if let Some(inner) = element {
            validate_nested(inner, &mut elements_left)?;
        }
    }
    Ok(())
}

/// Walks a level below the outermost with a stack of our own: nesting chosen by a client costs no call depth.
#[inline(never)]
fn validate_nested(level: Level<'_>, elements_left: &mut usize) -> Result<(), TableError> {
    let mut open = [level; DEPTH_MAX - 1];
    let mut depth = 1;
    while depth > 0 {
        match open[depth - 1].next_element(elements_left)? {
            None => depth -= 1,
            Some(None) => {}
            Some(Some(inner)) => {
                *open.get_mut(depth).ok_or(TableError::TooDeep)? = inner;
                depth += 1;
            }
        }
    }
    Ok(())
}

/// What is left of a table (`named`) or an array.
#[derive(Clone, Copy)]
struct Level<'a> {
    rest: Reader<'a>,
    named: bool,
}

impl<'a> Level<'a> {
    /// Takes one element, if there is one left: the level inside it, if it is a table or an array.
    #[inline]
    fn next_element(&mut self, elements_left: &mut usize) -> Result<Option<Option<Level<'a>>>, TableError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        *elements_left = elements_left.checked_sub(1).ok_or(TableError::TooManyElements)?;
        if self.named {
            ShortStr::read(&mut self.rest).ok_or(TableError::Truncated)?;
        }
        Ok(Some(match read_value(&mut self.rest)? {
            Value::Table(Table(bytes)) => Some(Level { rest: Reader::new(bytes), named: true }),
            Value::Array(Array(bytes)) => Some(Level { rest: Reader::new(bytes), named: false }),
            _ => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables in tables, `depth` of them, the outermost included.
    fn nested(depth: usize) -> Vec<u8> {
        (1..depth).fold(Vec::new(), |inner, _| {
            [b"\x01nF", &u32::try_from(inner.len()).unwrap().to_be_bytes()[..], &inner].concat()
        })
    }

    #[test]
    fn every_tag_is_read() {
        let bytes = b"\x01aS\0\0\0\x02hi\x01bI\xFF\xFF\xFF\xFE\x01cD\x02\0\0\x01\x3A\x01dT\0\0\0\0\0\0\0\x09\
            \x01eF\0\0\0\x03\x01nV\x01fA\0\0\0\x03t\x01V\x01gb\xFF\x01hd\x3F\xF0\0\0\0\0\0\0\x01if\x3F\x80\0\0\
            \x01jl\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01ks\xFF\xFF\x01lt\0\x01mx\0\0\0\x01\0\x01nB\xFF\x01ou\xFF\xFF\
            \x01pi\xFF\xFF\xFF\xFF\x01qV";
        let table = Table::decode(bytes).unwrap();
        let values: Vec<_> = table.iter().map(|(_, value)| value).collect();
        let expected = [
            Value::LongString(b"hi"),
            Value::I32(-2),
            Value::Decimal { scale: 2, value: 314 },
            Value::Timestamp(9),
            Value::Table(Table(b"\x01nV")),
            Value::Array(Array(b"t\x01V")),
            Value::I8(-1),
            Value::F64(1.0),
            Value::F32(1.0),
            Value::I64(-1),
            Value::I16(-1),
            Value::Bool(false),
            Value::Bytes(b"\0"),
            Value::U8(255),
            Value::U16(65_535),
            Value::U32(u32::MAX),
            Value::Void,
        ];
        assert_eq!(values, expected);
        let array: Vec<_> = table.find(b"f").unwrap().as_array().unwrap().iter().collect();
        assert_eq!(array, [Value::Bool(true), Value::Void]);
    }

    #[test]
    fn both_tags_of_a_64_bit_integer_are_signed() {
        let table =
            Table::decode(b"\x01al\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01bL\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")
                .unwrap();
        assert!(table.iter().all(|(_, value)| value == Value::I64(-1)));
    }

    #[test]
    fn a_table_cut_anywhere_inside_an_entry_is_refused() {
        let bytes = b"\x01aS\0\0\0\x02hi";
        for cut in 1..bytes.len() {
            assert_eq!(Table::decode(&bytes[..cut]), Err(TableError::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn an_inner_table_may_not_reach_beyond_its_own_length() {
        assert_eq!(Table::decode(b"\x01aF\0\0\0\x04\x01bS\0\0\0\0\0"), Err(TableError::Truncated));
    }

    #[test]
    fn an_unknown_tag_is_named() {
        assert_eq!(Table::decode(b"\x01a?"), Err(TableError::UnknownTag(b'?')));
    }

    #[test]
    fn nesting_is_allowed_to_the_bound_and_not_beyond() {
        assert!(Table::decode(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(Table::decode(&nested(DEPTH_MAX + 1)), Err(TableError::TooDeep));
    }

    #[test]
    fn elements_are_allowed_to_the_bound_and_not_beyond() {
        assert!(Table::decode(&b"\0V".repeat(ELEMENTS_MAX)).is_ok());
        assert_eq!(Table::decode(&b"\0V".repeat(ELEMENTS_MAX + 1)), Err(TableError::TooManyElements));
    }

    #[test]
    fn entries_are_left_out_and_sorted_as_the_bytes_they_are() {
        let table = Table::decode(b"\x01bL\0\0\0\0\0\0\0\x01\x01aV\x01bV").unwrap();
        assert_eq!(table.without(b"b"), b"\x01aV");
        assert_eq!(table.sorted(), b"\x01aV\x01bL\0\0\0\0\0\0\0\x01\x01bV");
    }

    #[test]
    fn a_table_laid_over_another_replaces_what_has_its_names() {
        let table = Table::decode(b"\x01cV\x01bt\0\x01at\x01\x01bV\x01at\0").unwrap();
        let others = Table::decode(b"\x01dV\x01bB\x07").unwrap();
        assert_eq!(table.overlaid(others), b"\x01at\x01\x01bB\x07\x01cV\x01dV");
    }

    #[test]
    fn a_value_is_found_by_its_name() {
        let table = Table::decode(b"\x01aB\x07\x01bt\x01").unwrap();
        assert_eq!(table.find(b"a").and_then(|value| value.as_integer()), Some(7));
        assert_eq!(table.find(b"b").and_then(|value| value.as_bool()), Some(true));
        assert_eq!(table.find(b"c"), None);
    }
}

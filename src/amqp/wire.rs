//! The field types that methods and content headers are made of, with a cursor that reads and one that writes them.

use std::fmt;
use std::ops::Deref;

use super::table::Table;

/// A string of at most 255 octets. The specification wants UTF-8; we carry any octets, and like RabbitMQ ask for UTF-8
/// in the methods of clients, but for the names in a publish.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShortStr<'a>(&'a [u8]);

impl<'a> ShortStr<'a> {
    pub const EMPTY: ShortStr<'static> = ShortStr(b"");
    pub const LEN_MAX: usize = 255;

    /// `None` if `bytes` is longer than [`ShortStr::LEN_MAX`].
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Option<ShortStr<'a>> {
        (bytes.len() <= Self::LEN_MAX).then_some(ShortStr(bytes))
    }

    /// The octets, for as long as the buffer they came from (`deref` would tie them to this copy).
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl Deref for ShortStr<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0
    }
}

/// For literals. Panics if the literal is longer than a short string can be.
impl From<&'static str> for ShortStr<'static> {
    fn from(literal: &'static str) -> ShortStr<'static> {
        ShortStr::new(literal.as_bytes()).expect("a literal that fits a short string")
    }
}

impl fmt::Display for ShortStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

impl fmt::Debug for ShortStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A string of up to 4 GiB, in truth bounded by its frame; often binary.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LongStr<'a>(pub &'a [u8]);

impl Deref for LongStr<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl fmt::Debug for LongStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A type that a method can have as an argument. Every read is checked: `None` means that the bytes do not hold one.
pub trait Field<'a>: Sized {
    fn read(reader: &mut Reader<'a>) -> Option<Self>;

    /// Steps over it without a look at what it holds.
    fn skip(reader: &mut Reader<'a>) -> Option<()> {
        Self::read(reader).map(drop)
    }

    /// Strings that are to be read by people must be UTF-8.
    #[inline]
    fn is_text(&self) -> bool {
        true
    }

    fn write(self, writer: &mut Writer<'_>);
}

/// Reads fields one after the other. Neighbouring bits share an octet, low bit first; any other field ends the octet.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    bits: u8,
    bits_left: u8,
}

impl<'a> Reader<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, bits: 0, bits_left: 0 }
    }

    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        (self.rest, self.bits_left) = (rest, 0);
        Some(head)
    }

    #[inline]
    pub fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (head, rest) = self.rest.split_first_chunk::<LEN>()?;
        (self.rest, self.bits_left) = (rest, 0);
        Some(*head)
    }

    /// Octets that follow their own length as u32.
    #[inline]
    pub fn long_bytes(&mut self) -> Option<&'a [u8]> {
        let len = u32::from_be_bytes(self.array()?);
        self.bytes(len as usize)
    }

    #[inline]
    fn bit(&mut self) -> Option<bool> {
        if self.bits_left == 0 {
            [self.bits] = self.array()?;
            self.bits_left = 8;
        }
        let bit = self.bits & 1 != 0;
        self.bits >>= 1;
        self.bits_left -= 1;
        Some(bit)
    }
}

/// Appends fields one after the other, packing neighbouring bits as [`Reader`] finds them.
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Bits already used in the last octet of `out`; 0 if the next bit begins a new one.
    bits_used: u8,
}

impl<'o> Writer<'o> {
    #[inline]
    pub fn new(out: &'o mut Vec<u8>) -> Writer<'o> {
        Writer { out, bits_used: 0 }
    }

    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.bits_used = 0;
    }

    #[inline]
    pub fn long_bytes(&mut self, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).expect("a long string is shorter than 4 GiB");
        self.bytes(&len.to_be_bytes());
        self.bytes(bytes);
    }

    #[inline]
    fn bit(&mut self, bit: bool) {
        match self.out.last_mut() {
            Some(octet) if self.bits_used != 0 => *octet |= u8::from(bit) << self.bits_used,
            _ => self.out.push(u8::from(bit)),
        }
        self.bits_used = (self.bits_used + 1) % 8;
    }
}

macro_rules! integer_fields {
    ($($integer:ty),*) => {$(
        impl Field<'_> for $integer {
            #[inline]
            fn read(reader: &mut Reader<'_>) -> Option<$integer> {
                Some(<$integer>::from_be_bytes(reader.array()?))
            }

            #[inline]
            fn write(self, writer: &mut Writer<'_>) {
                writer.bytes(&self.to_be_bytes());
            }
        }
    )*};
}

integer_fields!(u8, u16, u32, u64);

impl Field<'_> for bool {
    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<bool> {
        reader.bit()
    }

    #[inline]
    fn write(self, writer: &mut Writer<'_>) {
        writer.bit(self);
    }
}

impl<'a> Field<'a> for ShortStr<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Option<ShortStr<'a>> {
        let [len] = reader.array()?;
        Some(ShortStr(reader.bytes(usize::from(len))?))
    }

    #[inline]
    fn is_text(&self) -> bool {
        std::str::from_utf8(self.0).is_ok()
    }

    #[inline]
    fn write(self, writer: &mut Writer<'_>) {
        // Never cut: `ShortStr::new` is the only way in.
        writer.bytes(&[self.0.len() as u8]);
        writer.bytes(self.0);
    }
}

impl<'a> Field<'a> for LongStr<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Option<LongStr<'a>> {
        Some(LongStr(reader.long_bytes()?))
    }

    #[inline]
    fn write(self, writer: &mut Writer<'_>) {
        writer.long_bytes(self.0);
    }
}

impl<'a> Field<'a> for Table<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Option<Table<'a>> {
        Table::decode(reader.long_bytes()?).ok()
    }

    fn skip(reader: &mut Reader<'a>) -> Option<()> {
        reader.long_bytes().map(drop)
    }

    #[inline]
    fn write(self, writer: &mut Writer<'_>) {
        writer.long_bytes(self.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_bits_share_an_octet_low_bit_first() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        for bit in [true, false, true] {
            bit.write(&mut writer);
        }
        7u8.write(&mut writer);
        true.write(&mut writer);
        assert_eq!(out, [0b101, 7, 1]);
    }

    #[test]
    fn a_ninth_bit_begins_a_new_octet() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        for _ in 0..9 {
            true.write(&mut writer);
        }
        assert_eq!(out, [0xFF, 1]);
        let mut reader = Reader::new(&out);
        assert!((0..9).all(|_| bool::read(&mut reader) == Some(true)));
        assert!(reader.is_empty());
    }

    #[test]
    fn a_bit_after_another_field_is_read_from_a_new_octet() {
        let mut reader = Reader::new(&[1, 9, 1]);
        assert_eq!(bool::read(&mut reader), Some(true));
        assert_eq!(u8::read(&mut reader), Some(9));
        assert_eq!(bool::read(&mut reader), Some(true));
        assert!(reader.is_empty());
    }

    #[test]
    fn a_short_string_holds_at_most_255_octets() {
        assert!(ShortStr::new(&[b'x'; 255]).is_some());
        assert!(ShortStr::new(&[b'x'; 256]).is_none());
    }

    #[test]
    fn a_length_beyond_the_end_is_not_read() {
        assert_eq!(ShortStr::read(&mut Reader::new(b"\x04abc")), None);
        assert_eq!(LongStr::read(&mut Reader::new(b"\xFF\xFF\xFF\xFFabc")), None);
        assert_eq!(u32::read(&mut Reader::new(b"abc")), None);
    }
}

//! What a client can do, as it was drawn: names may stand for what will be there when it is done, and tags for what will
//! have been delivered.

use haremq::amqp::{TableWriter, Value};
use std::fmt;

/// One thing that one of the two connections does, on both brokers.
#[derive(Clone, Debug)]
pub struct Step {
    pub connection: usize,
    pub channel: u16,
    pub act: Act,
}

/// Names: `$2` is the third of the queues that the server has named, `?2` the third queue that is there and not
/// exclusive to the other connection, `!2` the third exchange; they wrap around. All else is a name as it is.
#[derive(Clone, PartialEq, Debug)]
pub enum Act {
    CloseChannel,
    CloseConnection,
    DeclareExchange {
        exchange: String,
        type_: String,
        flags: Flags,
        arguments: Arguments,
    },
    DeleteExchange {
        exchange: String,
        flags: Flags,
    },
    BindExchange {
        destination: String,
        source: String,
        key: String,
        flags: Flags,
        arguments: Arguments,
    },
    UnbindExchange {
        destination: String,
        source: String,
        key: String,
        flags: Flags,
        arguments: Arguments,
    },
    DeclareQueue {
        queue: String,
        flags: Flags,
        arguments: Arguments,
    },
    BindQueue {
        queue: String,
        exchange: String,
        key: String,
        flags: Flags,
        arguments: Arguments,
    },
    UnbindQueue {
        queue: String,
        exchange: String,
        key: String,
        arguments: Arguments,
    },
    Purge {
        queue: String,
        flags: Flags,
    },
    DeleteQueue {
        queue: String,
        flags: Flags,
    },
    Publish(Publication),
    Get {
        queue: String,
        flags: Flags,
    },
    Consume {
        queue: String,
        tag: String,
        flags: Flags,
        arguments: Arguments,
    },
    Cancel {
        tag: Pick<String>,
        flags: Flags,
    },
    Settle {
        how: How,
        tag: Pick<u64>,
        flags: Flags,
    },
    Qos {
        size: u32,
        count: u16,
        flags: Flags,
    },
    Recover {
        flags: Flags,
    },
    Confirm {
        flags: Flags,
    },
    Select,
    Commit {
        stray: bool,
    },
    Rollback {
        stray: bool,
    },
    Flow {
        flags: Flags,
    },
    Access,
    /// What no library would send.
    Wild(Wild),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Publication {
    pub exchange: String,
    pub key: String,
    pub flags: Flags,
    pub properties: Arguments,
    /// The body names it, and is this much longer.
    pub number: usize,
    pub padding: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Ack,
    Nack,
    Reject,
}

/// Something that is there when its turn has come, wherever that is, or what was drawn, whether it is there or not.
#[derive(Clone, PartialEq, Debug)]
pub enum Pick<T> {
    Nth(usize),
    This(T),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wild {
    /// A method on a channel that is not open.
    ClosedChannel,
    /// channel.open where one is open.
    SecondOpen,
    /// Methods that only a server sends, or that belong to channel 0.
    ServersMethod(usize),
    UnknownMethod {
        class_id: u16,
        method_id: u16,
    },
    /// A content header or body that nothing announced.
    StrayHeader,
    StrayBody,
    /// A method in the middle of content.
    Interrupted,
    /// The header of another class.
    OtherClass,
    HeartbeatOnChannel,
    /// A method whose arguments end early.
    CutShort,
    SecondConnectionOpen,
}

/// Those of a method's bits that are set, by their names in the specification.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Flags(pub Vec<&'static str>);

impl Flags {
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    pub fn without(&self, name: &str) -> Flags {
        Flags(self.0.iter().copied().filter(|flag| *flag != name).collect())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0.join(" "))
    }
}

/// A table, also that of a message's properties.
#[derive(Clone, PartialEq, Default)]
pub struct Arguments(pub Vec<(String, Arg)>);

#[derive(Clone, PartialEq)]
pub enum Arg {
    Text(String),
    Byte(u8),
    Short(i16),
    Int(i32),
    Long(i64),
    Double(f64),
    Bool(bool),
    Timestamp(u64),
    Void,
    Table(Arguments),
    Array(Vec<Arg>),
}

impl Arguments {
    pub fn one(name: &str, value: Arg) -> Arguments {
        Arguments(vec![(name.to_owned(), value)])
    }

    pub fn find(&self, name: &str) -> Option<&Arg> {
        self.0.iter().find(|(each, _)| each == name).map(|(_, value)| value)
    }

    /// The bytes of the table; `name` says what stands for a name.
    pub fn encode(&self, name: &dyn Fn(&str) -> String) -> Vec<u8> {
        let entry = |(key, value): &(String, Arg)| {
            let length = u8::try_from(key.len()).expect("names in tests are short");
            [&[length], key.as_bytes(), &value.encode(name)].concat()
        };
        self.0.iter().flat_map(entry).collect()
    }
}

impl Arg {
    /// Its tag and its value.
    fn encode(&self, name: &dyn Fn(&str) -> String) -> Vec<u8> {
        match self {
            Arg::Text(text) => encoded(Value::LongString(name(text).as_bytes())),
            Arg::Byte(value) => encoded(Value::U8(*value)),
            Arg::Short(value) => encoded(Value::I16(*value)),
            Arg::Int(value) => encoded(Value::I32(*value)),
            Arg::Long(value) => encoded(Value::I64(*value)),
            Arg::Double(value) => encoded(Value::F64(*value)),
            Arg::Bool(value) => encoded(Value::Bool(*value)),
            Arg::Timestamp(value) => encoded(Value::Timestamp(*value)),
            Arg::Void => encoded(Value::Void),
            Arg::Table(table) => container(b'F', &table.encode(name)),
            Arg::Array(values) => {
                let values: Vec<u8> = values.iter().flat_map(|value| value.encode(name)).collect();
                container(b'A', &values)
            }
        }
    }
}

/// A value as it stands in a table, behind its name.
fn encoded(value: Value<'_>) -> Vec<u8> {
    TableWriter::new().value("", value).finish().split_off(1)
}

fn container(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("tables in tests are short").to_be_bytes();
    [&[tag], &length[..], bytes].concat()
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        write!(f, "{{{}}}", entries.join(", "))
    }
}

impl fmt::Debug for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arg::Text(text) => write!(f, "{text:?}"),
            Arg::Byte(value) => write!(f, "{value}u8"),
            Arg::Short(value) => write!(f, "{value}i16"),
            Arg::Int(value) => write!(f, "{value}"),
            Arg::Long(value) => write!(f, "{value}i64"),
            Arg::Double(value) => write!(f, "{value:?}"),
            Arg::Bool(value) => write!(f, "{value}"),
            Arg::Timestamp(value) => write!(f, "time {value}"),
            Arg::Void => write!(f, "void"),
            Arg::Table(table) => write!(f, "{table:?}"),
            Arg::Array(values) => write!(f, "{values:?}"),
        }
    }
}

//! Changes of parameters, and their records in the topology's journal.
//!
//! ```text
//! kind                          body, little-endian; a text is a u32 and so many bytes
//! 80  parameter put             vhost, component, name, value as JSON: texts
//! 81  parameter deleted         vhost, component, name: texts
//! 82  global parameter put      name, value as JSON: texts
//! 83  global parameter deleted  name: text
//! ```
//! With a vhost its parameters end, without records of their own. A snapshot is made of the same records.

use serde_json::Value;

use super::Parameter;
use crate::ids::Name;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Put(Parameter),
    Deleted { vhost: Name, component: Name, name: Name },
    GlobalPut { name: Name, value: Value },
    GlobalDeleted { name: Name },
}

impl Change {
    /// The change of a body that `encode` wrote; none if it is anything else.
    pub fn decode(kind: u8, body: &[u8]) -> Option<Change> {
        let mut texts = Texts(body);
        let change = match kind {
            PUT => {
                let (vhost, component, name) = (texts.text()?, texts.text()?, texts.text()?);
                Change::Put(Parameter::new(vhost, component, name, texts.json()?).ok()?)
            }
            DELETED => {
                Change::Deleted { vhost: texts.name()?, component: texts.name()?, name: texts.name()? }
            }
            GLOBAL_PUT => Change::GlobalPut { name: texts.name()?, value: texts.json()? },
            GLOBAL_DELETED => Change::GlobalDeleted { name: texts.name()? },
            _ => return None,
        };
        texts.0.is_empty().then_some(change)
    }

    pub fn kind(&self) -> u8 {
        match self {
            Change::Put(_) => PUT,
            Change::Deleted { .. } => DELETED,
            Change::GlobalPut { .. } => GLOBAL_PUT,
            Change::GlobalDeleted { .. } => GLOBAL_DELETED,
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Change::Put(Parameter { vhost, component, name, value, .. }) => {
                put_texts(out, &[vhost, component, name]);
                put_json(out, value);
            }
            Change::Deleted { vhost, component, name } => put_texts(out, &[vhost, component, name]),
            Change::GlobalPut { name, value } => {
                put_texts(out, &[name]);
                put_json(out, value);
            }
            Change::GlobalDeleted { name } => put_texts(out, &[name]),
        }
    }

    /// The vhost in which it changes something.
    pub fn vhost(&self) -> Option<&Name> {
        match self {
            Change::Put(parameter) => Some(&parameter.vhost),
            Change::Deleted { vhost, .. } => Some(vhost),
            Change::GlobalPut { .. } | Change::GlobalDeleted { .. } => None,
        }
    }
}

/// What is left of a body.
struct Texts<'a>(&'a [u8]);

impl<'a> Texts<'a> {
    fn text(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        self.0 = rest;
        Some(text)
    }

    fn name(&mut self) -> Option<Name> {
        self.text().map(Name::from)
    }

    fn json(&mut self) -> Option<Value> {
        serde_json::from_slice(self.text()?).ok()
    }
}

fn put_texts(out: &mut Vec<u8>, texts: &[&[u8]]) {
    for text in texts {
        let len = u32::try_from(text.len()).expect("it came in one request");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(text);
    }
}

fn put_json(out: &mut Vec<u8>, value: &Value) {
    put_texts(out, &[value.to_string().as_bytes()]);
}

const PUT: u8 = 80;
const DELETED: u8 = 81;
const GLOBAL_PUT: u8 = 82;
const GLOBAL_DELETED: u8 = 83;

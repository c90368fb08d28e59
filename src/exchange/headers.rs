//! The routing table of a headers exchange: patterns of header values, found by the headers of a message.
//!
//! ```text
//! binding arguments  --parse-->  Pattern { all | any, conditions }       a condition: a header is there, or has a value
//! message headers    --------->  satisfied conditions  --each-->  the patterns that stand under it
//! ```
//! A pattern that wants any of its conditions stands under each of them. One that wants all stands under the one that
//! had the fewest patterns when it came, and the others are looked up: so a message pays for the bindings that share a
//! rare header with it, not for all. Nothing is allocated by a match, but for room that stays.

use std::collections::HashMap;

use ahash::RandomState;

use super::lists::Leads;
use crate::amqp::{Table, Value};

pub(super) struct Patterns {
    /// The header names that conditions speak of.
    names: HashMap<Box<[u8]>, u32, RandomState>,
    name_entries: Vec<NameEntry>,
    free_names: Vec<u32>,
    /// By `condition_key`.
    conditions: HashMap<Box<[u8]>, u32, RandomState>,
    condition_entries: Vec<Condition>,
    free_conditions: Vec<u32>,
    /// By what they want: bindings that want the same share one.
    numbers: HashMap<Box<[u32]>, u32, RandomState>,
    patterns: Vec<Pattern>,
    free_patterns: Vec<u32>,
    /// The pattern that wants all of nothing: every message has it.
    always: Option<u32>,
    /// Counts matches; what carries the number was seen by that match.
    step: u64,
    satisfied: Vec<u32>,
    scratch: Vec<u8>,
}

#[derive(Default)]
struct NameEntry {
    name: Box<[u8]>,
    users: u32,
    /// Where in the message's headers it occurred last.
    last: usize,
}

#[derive(Default)]
struct Condition {
    key: Box<[u8]>,
    name: u32,
    users: u32,
    seen: u64,
    /// The patterns that stand under it, each with the index of this condition among its own.
    patterns: Vec<(u32, u32)>,
}

struct Pattern {
    any: bool,
    conditions: Box<[u32]>,
    /// For each condition: where in its list the pattern stands, or `NOT_UNDER`.
    positions: Box<[u32]>,
    leads: Leads,
    seen: u64,
}

/// How many of a binding's arguments a message must have (`x-match`), and whether those that begin with `x-` count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XMatch {
    All,
    Any,
    AllWithX,
    AnyWithX,
}

impl XMatch {
    /// None: a value that is none of the four.
    pub fn parse(value: &[u8]) -> Option<XMatch> {
        match value {
            b"all" => Some(XMatch::All),
            b"any" => Some(XMatch::Any),
            b"all-with-x" => Some(XMatch::AllWithX),
            b"any-with-x" => Some(XMatch::AnyWithX),
            _ => None,
        }
    }

    /// Of checked binding arguments. Nothing said means all.
    fn of(arguments: Table<'_>) -> XMatch {
        let value = arguments.find(X_MATCH).and_then(|value| value.as_str());
        value.and_then(XMatch::parse).unwrap_or(XMatch::All)
    }

    fn any(self) -> bool {
        matches!(self, XMatch::Any | XMatch::AnyWithX)
    }

    fn counts(self, name: &[u8]) -> bool {
        match self {
            XMatch::All | XMatch::Any => !name.starts_with(b"x-"),
            XMatch::AllWithX | XMatch::AnyWithX => name != X_MATCH,
        }
    }
}

impl Patterns {
    pub fn new(hashing: RandomState) -> Patterns {
        Patterns {
            names: HashMap::with_hasher(hashing.clone()),
            name_entries: Vec::new(),
            free_names: Vec::new(),
            conditions: HashMap::with_hasher(hashing.clone()),
            condition_entries: Vec::new(),
            free_conditions: Vec::new(),
            numbers: HashMap::with_hasher(hashing),
            patterns: Vec::new(),
            free_patterns: Vec::new(),
            always: None,
            step: 0,
            satisfied: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The pattern of a binding's arguments, made if it is not there.
    pub fn insert(&mut self, arguments: Table<'_>) -> u32 {
        let x_match = XMatch::of(arguments);
        let mut conditions: Vec<u32> = Vec::new();
        for (name, value) in arguments.iter().filter(|(name, _)| x_match.counts(name)) {
            let condition = self.retain_condition(&name, &value);
            if conditions.contains(&condition) {
                self.release_condition(condition);
            } else {
                conditions.push(condition);
            }
        }
        conditions.sort_unstable();
        let shape = shape(x_match.any(), &conditions);
        if let Some(&number) = self.numbers.get(&*shape) {
            conditions.into_iter().for_each(|condition| self.release_condition(condition));
            return number;
        }
        self.add(x_match.any(), conditions.into(), shape)
    }

    pub fn find(&mut self, arguments: Table<'_>) -> Option<u32> {
        let x_match = XMatch::of(arguments);
        let mut conditions: Vec<u32> = Vec::new();
        for (name, value) in arguments.iter().filter(|(name, _)| x_match.counts(name)) {
            conditions.push(self.find_condition(&name, &value)?);
        }
        conditions.sort_unstable();
        conditions.dedup();
        self.numbers.get(&*shape(x_match.any(), &conditions)).copied()
    }

    pub fn leads_mut(&mut self, pattern: u32) -> &mut Leads {
        &mut self.patterns[pattern as usize].leads
    }

    /// Forgets a pattern that leads nowhere any more.
    pub fn remove(&mut self, number: u32) {
        let Pattern { any, conditions, positions, .. } = &mut self.patterns[number as usize];
        let (any, conditions, positions) = (*any, std::mem::take(conditions), std::mem::take(positions));
        self.numbers.remove(&*shape(any, &conditions));
        if self.always == Some(number) {
            self.always = None;
        }
        for (&condition, &position) in conditions.iter().zip(&positions) {
            self.leave(condition, position);
            self.release_condition(condition);
        }
        self.free_patterns.push(number);
    }

    /// Where the patterns lead that a message with these headers satisfies.
    pub fn matches(&mut self, headers: Table<'_>, found: &mut Vec<Leads>) {
        self.step += 1;
        self.satisfied.clear();
        if self.note_names(headers) {
            // RabbitMQ makes a map of the headers: of a name that occurs twice the last value counts.
            for (at, (name, value)) in headers.iter().enumerate() {
                if let Some(number) = self.names.get(&*name).copied()
                    && self.name_entries[number as usize].last == at
                {
                    self.satisfy(number, &value);
                }
            }
        }
        for at in 0..self.satisfied.len() {
            self.collect(self.satisfied[at], found);
        }
        found.extend(self.always.map(|number| self.patterns[number as usize].leads));
    }

    /// All places that lead somewhere.
    pub fn all(&self) -> impl Iterator<Item = Leads> {
        self.patterns.iter().map(|pattern| pattern.leads).filter(|&leads| leads != Leads::NOWHERE)
    }

    /// Whether any header is one that a condition speaks of; and where each stands.
    fn note_names(&mut self, headers: Table<'_>) -> bool {
        let mut any = false;
        for (at, (name, _)) in headers.iter().enumerate() {
            if let Some(&number) = self.names.get(&*name) {
                self.name_entries[number as usize].last = at;
                any = true;
            }
        }
        any
    }

    /// Notes the conditions that a header satisfies.
    fn satisfy(&mut self, name: u32, value: &Value<'_>) {
        for wanted in [&Value::Void, value] {
            condition_key(name, wanted, &mut self.scratch);
            if let Some(&condition) = self.conditions.get(&*self.scratch) {
                let entry = &mut self.condition_entries[condition as usize];
                if entry.seen != self.step {
                    entry.seen = self.step;
                    self.satisfied.push(condition);
                }
            }
        }
    }

    /// The patterns under a condition that are satisfied, each once.
    fn collect(&mut self, condition: u32, found: &mut Vec<Leads>) {
        let step = self.step;
        for &(number, _) in &self.condition_entries[condition as usize].patterns {
            let pattern = &mut self.patterns[number as usize];
            let satisfied = |&other: &u32| self.condition_entries[other as usize].seen == step;
            if pattern.seen != step && (pattern.any || pattern.conditions.iter().all(satisfied)) {
                pattern.seen = step;
                found.push(pattern.leads);
            }
        }
    }

    fn add(&mut self, any: bool, conditions: Box<[u32]>, shape: Box<[u32]>) -> u32 {
        let number = self.free_patterns.pop().unwrap_or(self.patterns.len() as u32);
        let rarest =
            conditions.iter().min_by_key(|&&one| self.condition_entries[one as usize].patterns.len());
        let rarest = rarest.copied();
        let positions = (0..).zip(&conditions).map(|(index, &condition)| {
            if !any && rarest != Some(condition) {
                return NOT_UNDER;
            }
            let patterns = &mut self.condition_entries[condition as usize].patterns;
            patterns.push((number, index));
            patterns.len() as u32 - 1
        });
        let positions = positions.collect();
        // Any of nothing is never there, all of nothing always.
        if conditions.is_empty() && !any {
            self.always = Some(number);
        }
        let pattern = Pattern { any, conditions, positions, leads: Leads::NOWHERE, seen: 0 };
        if number as usize == self.patterns.len() {
            self.patterns.push(pattern);
        } else {
            self.patterns[number as usize] = pattern;
        }
        self.numbers.insert(shape, number);
        number
    }

    /// Takes a pattern out of a condition's list; the last one takes its place.
    fn leave(&mut self, condition: u32, position: u32) {
        if position == NOT_UNDER {
            return;
        }
        let patterns = &mut self.condition_entries[condition as usize].patterns;
        patterns.swap_remove(position as usize);
        if let Some(&(moved, index)) = patterns.get(position as usize) {
            self.patterns[moved as usize].positions[index as usize] = position;
        }
    }

    fn find_condition(&mut self, name: &[u8], value: &Value<'_>) -> Option<u32> {
        condition_key(*self.names.get(name)?, value, &mut self.scratch);
        self.conditions.get(&*self.scratch).copied()
    }

    fn retain_condition(&mut self, name: &[u8], value: &Value<'_>) -> u32 {
        let name = self.retain_name(name);
        condition_key(name, value, &mut self.scratch);
        if let Some(&condition) = self.conditions.get(&*self.scratch) {
            self.condition_entries[condition as usize].users += 1;
            return condition;
        }
        let condition = self.free_conditions.pop().unwrap_or_else(|| {
            self.condition_entries.push(Condition::default());
            (self.condition_entries.len() - 1) as u32
        });
        let key: Box<[u8]> = (*self.scratch).into();
        self.conditions.insert(key.clone(), condition);
        self.condition_entries[condition as usize] =
            Condition { key, name, users: 1, ..Condition::default() };
        condition
    }

    fn release_condition(&mut self, condition: u32) {
        let entry = &mut self.condition_entries[condition as usize];
        let name = entry.name;
        entry.users -= 1;
        if entry.users == 0 {
            self.conditions.remove(&entry.key);
            *entry = Condition::default();
            self.free_conditions.push(condition);
        }
        self.release_name(name);
    }

    /// A name is used as often as the conditions that speak of it.
    fn retain_name(&mut self, name: &[u8]) -> u32 {
        if let Some(&number) = self.names.get(name) {
            self.name_entries[number as usize].users += 1;
            return number;
        }
        let number = self.free_names.pop().unwrap_or_else(|| {
            self.name_entries.push(NameEntry::default());
            (self.name_entries.len() - 1) as u32
        });
        self.name_entries[number as usize] = NameEntry { name: name.into(), users: 1, last: 0 };
        self.names.insert(name.into(), number);
        number
    }

    fn release_name(&mut self, number: u32) {
        let entry = &mut self.name_entries[number as usize];
        entry.users -= 1;
        if entry.users == 0 {
            self.names.remove(&entry.name);
            *entry = NameEntry::default();
            self.free_names.push(number);
        }
    }

    /// Names, conditions and patterns are used as often as they say. Costs what there is.
    pub fn invariants(&self) {
        let users: u32 = self.condition_entries.iter().map(|condition| condition.users).sum();
        assert_eq!(users, self.name_entries.iter().map(|name| name.users).sum::<u32>());
        assert_eq!(users as usize, self.numbers.keys().map(|shape| shape.len() - 1).sum::<usize>());
        assert_eq!(self.numbers.len(), self.patterns.len() - self.free_patterns.len());
        assert_eq!(self.conditions.len(), self.condition_entries.len() - self.free_conditions.len());
    }
}

/// A pattern's identity: how many it wants, then what.
fn shape(any: bool, conditions: &[u32]) -> Box<[u32]> {
    [&[u32::from(any)], conditions].concat().into()
}

/// A condition as bytes that are equal if the conditions are: the header, a class, the value. Void stands for any value.
/// RabbitMQ compares decoded values: numbers of any width, and both kinds of octet strings, are of one class; what lies
/// inside tables and arrays keeps its type.
fn condition_key(name: u32, value: &Value<'_>, key: &mut Vec<u8>) {
    key.clear();
    key.extend_from_slice(&name.to_le_bytes());
    let integer = |key: &mut Vec<u8>, number: i128| {
        key.push(b'i');
        key.extend_from_slice(&number.to_le_bytes());
    };
    let octets = |key: &mut Vec<u8>, class: u8, octets: &[u8]| {
        key.push(class);
        key.extend_from_slice(octets);
    };
    match *value {
        Value::I8(number) => integer(key, number.into()),
        Value::I16(number) => integer(key, number.into()),
        Value::I32(number) => integer(key, number.into()),
        Value::I64(number) => integer(key, number.into()),
        Value::U8(number) => integer(key, number.into()),
        Value::U16(number) => integer(key, number.into()),
        Value::U32(number) => integer(key, number.into()),
        Value::Timestamp(seconds) => integer(key, seconds.into()),
        // Zero has two signs, which are equal.
        Value::F32(number) => octets(key, b'f', &(f64::from(number) + 0.0).to_le_bytes()),
        Value::F64(number) => octets(key, b'f', &(number + 0.0).to_le_bytes()),
        Value::LongString(text) | Value::Bytes(text) => octets(key, b's', text),
        Value::Bool(value) => octets(key, b'b', &[value.into()]),
        Value::Decimal { scale, value } => {
            octets(key, b'd', &[scale]);
            key.extend_from_slice(&value.to_le_bytes());
        }
        Value::Table(table) => octets(key, b't', table.as_bytes()),
        Value::Array(array) => octets(key, b'a', array.as_bytes()),
        Value::Void => key.push(b'v'),
    }
}

const NOT_UNDER: u32 = u32::MAX;

/// The argument of a binding that says how many of the others a message must have.
pub const X_MATCH: &[u8] = b"x-match";

#[cfg(test)]
mod tests;

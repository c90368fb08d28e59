//! The fields of a parameter's value, checked as rabbit_parameter_validation does, with its texts in its order: the last first.

use std::fmt;

use serde_json::{Map, Number, Value};

use super::term::{pairs, term};

/// Why a value is refused: at least one reason.
#[derive(PartialEq, Eq, Debug)]
pub struct Errors(Vec<String>);

impl Errors {
    pub fn one(error: String) -> Errors {
        Errors(vec![error])
    }

    pub fn and(mut self, others: Errors) -> Errors {
        self.0.extend(others.0);
        self
    }

    /// For the API.
    pub fn text(&self) -> String {
        format!("Validation failed\n\n{}\n", self.0.join("\n"))
    }
}

/// What is left of a value, and what was found wrong so far.
pub(super) struct Terms<'a> {
    /// Of the parameter.
    name: &'a str,
    left: Map<String, Value>,
    errors: Vec<String>,
}

impl<'a> Terms<'a> {
    pub fn new(name: &'a str, value: &Value) -> Result<Terms<'a>, Errors> {
        match value {
            Value::Object(map) => Ok(Terms { name, left: map.clone(), errors: Vec::new() }),
            // Erlang has one term for a list and an object in which there is nothing.
            Value::Array(none) if none.is_empty() => Ok(Terms { name, left: Map::new(), errors: Vec::new() }),
            value => Err(Errors::one(format!("{name} not a list {}", term(value)))),
        }
    }

    /// None: it is not there, or wrong.
    pub fn optional<T>(
        &mut self,
        key: &str,
        check: impl FnOnce(&str, &Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.left.remove(key)?;
        check(key, &value).map_err(|error| self.errors.push(error)).ok()
    }

    pub fn mandatory<T>(
        &mut self,
        key: &str,
        check: impl FnOnce(&str, &Value) -> Result<T, String>,
    ) -> Option<T> {
        if !self.left.contains_key(key) {
            self.errors.push(format!("Key \"{key}\" not found in {}", self.name));
        }
        self.optional(key, check)
    }

    /// Nothing else may be there.
    pub fn finish(mut self) -> Result<(), Errors> {
        if !self.left.is_empty() {
            self.errors.push(format!("Unrecognised terms {} in {}", pairs(&self.left), self.name));
        }
        self.errors.reverse();
        if self.errors.is_empty() { Ok(()) } else { Err(Errors(self.errors)) }
    }
}

/// The nearest that we count to. The error is RabbitMQ's text.
pub fn integer(key: &str, value: &Value) -> Result<i64, String> {
    let number = value.as_i64().or_else(|| value.is_u64().then_some(i64::MAX));
    number.ok_or_else(|| format!("{key} should be a number, actually was {}", term(value)))
}

pub(super) fn number(key: &str, value: &Value) -> Result<Number, String> {
    match value {
        Value::Number(number) => Ok(number.clone()),
        value => Err(format!("{key} should be a number, actually was {}", term(value))),
    }
}

pub(super) fn binary(key: &str, value: &Value) -> Result<(), String> {
    if value.is_string() {
        Ok(())
    } else {
        Err(format!("{key} should be binary, actually was {}", term(value)))
    }
}

pub(super) fn boolean(key: &str, value: &Value) -> Result<(), String> {
    let wrong = || format!("{key} should be boolean, actually was {}", term(value));
    value.as_bool().map(drop).ok_or_else(wrong)
}

pub(super) fn one_of(known: &'static [&'static str]) -> impl FnOnce(&str, &Value) -> Result<(), String> {
    move |key, value| {
        binary(key, value)?;
        if known.iter().any(|one| value == one) {
            return Ok(());
        }
        let known = term(&known.into());
        Err(format!("{key} should be one of {known}, actually was {}", term(value)))
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

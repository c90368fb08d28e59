//! The fields of a parameter's value, checked as rabbit_parameter_validation does, with its texts in its order: the last first.

use std::fmt;

use serde_json::{Map, Value};

use super::term::{pairs, term};

/// Why a value is refused: at least one reason.
#[derive(PartialEq, Eq, Debug)]
pub struct Errors(Vec<String>);

impl Errors {
    pub fn one(error: String) -> Errors {
        Errors(vec![error])
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

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

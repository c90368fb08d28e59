//! Values by flag, from wherever they come; the flag's own parser says whether they are right.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, CommandFactory};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use super::Config;

/// Where a value stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum At {
    /// Lines count from one.
    Line {
        file: Rc<Path>,
        line: usize,
    },
    Variable(&'static str),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Line { file, line } => write!(f, "{}:{line}", file.display()),
            At::Variable(name) => f.write_str(name),
        }
    }
}

/// What cannot be used, or does not mean anything here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    pub at: Option<At>,
    pub text: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// The values of one flag, each with its place; several where the flag takes several.
pub type Values = Vec<(String, At)>;

/// By the flag's name.
#[derive(Default, Debug)]
pub struct Layer(pub BTreeMap<String, Values>);

impl Layer {
    pub fn set(&mut self, flag: &str, value: impl Into<String>, at: &At) {
        self.0.insert(flag.to_owned(), vec![(value.into(), at.clone())]);
    }

    /// What the upper one says counts.
    pub fn under(mut self, upper: Layer) -> Layer {
        self.0.extend(upper.0);
        self
    }

    /// Where each flag has its values from.
    pub fn sources(&self) -> BTreeMap<String, String> {
        let source = |values: &Values| {
            let mut places: Vec<String> = values.iter().map(|(_, at)| at.to_string()).collect();
            places.dedup();
            places.join(", ")
        };
        self.0.iter().map(|(flag, values)| (flag.clone(), source(values))).collect()
    }

    /// Asks the parser of each flag, so that each wrong value is found, not only the first.
    pub fn check(&self, wrong: &mut Vec<Wrong>) {
        for (flag, values) in &self.0 {
            for (value, at) in values {
                if let Err(text) = check(flag, value) {
                    wrong.push(Wrong { at: Some(at.clone()), text });
                }
            }
        }
    }
}

/// The flags that files can set.
pub fn flags() -> Vec<Arg> {
    let command = Config::command();
    let flags = command.get_arguments().filter(|arg| {
        // What says where the files are cannot stand in one.
        arg.get_long().is_some_and(|name| !["help", "version", "config"].contains(&name))
    });
    flags.cloned().collect()
}

fn check(flag: &str, value: &str) -> Result<(), String> {
    // A value of its own: a flag of the same name on the command line may be given once only.
    let parsed = Config::command().try_get_matches_from(["haremq".to_owned(), format!("--{flag}={value}")]);
    parsed.map(drop).map_err(|error| why(flag, value, &error))
}

fn why(flag: &str, value: &str, error: &clap::Error) -> String {
    let shown = if is_secret(flag) { "the value" } else { value };
    let reason = match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            format!("expected {}", valid.join(", "))
        }
        _ => error.source().map_or_else(|| "cannot be used".to_owned(), ToString::to_string),
    };
    format!("{shown} for {flag}: {reason}")
}

/// What is never shown.
pub fn is_secret(flag: &str) -> bool {
    flag.ends_with("-pass")
}

/// The known name that looks most like this one, if one does.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &&str| strsim::osa_distance(name, other);
    let best = known.into_iter().min_by_key(distance)?;
    (distance(&best) <= name.len() / 3 + 1).then_some(best)
}

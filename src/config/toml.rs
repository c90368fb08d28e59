//! Our own format: a TOML file whose keys are the names of the flags.

use super::layers::{At, Layer, Values, Wrong, flags, nearest};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// All settings of a file, and all that is wrong with it.
pub fn read(file: &Path, text: &str, wrong: &mut Vec<Wrong>) -> Layer {
    let file: Rc<Path> = Rc::from(file);
    let at = |span: Range<usize>| {
        let line = text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
        At::Line { file: file.clone(), line }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map(at);
        wrong.push(Wrong { at, text: error.message().to_owned() });
    }
    let known = flags();
    let known: Vec<&str> = known.iter().filter_map(|flag| flag.get_long()).collect();
    let mut layer = Layer::default();
    for (key, value) in table.get_ref() {
        let (name, place) = (key.get_ref().as_ref(), at(key.span()));
        if !known.contains(&name) {
            wrong.push(Wrong { at: Some(place), text: unknown(name, &known) });
            continue;
        }
        match values(value, &at) {
            Some(values) => drop(layer.0.insert(name.to_owned(), values)),
            None => {
                let text = format!("{name} is a {}; expected text, a number or a list of them", kind(value));
                wrong.push(Wrong { at: Some(place), text });
            }
        }
    }
    layer
}

fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(other) => format!("unknown key `{name}`; is it `{other}`?"),
        None => format!("unknown key `{name}`; the keys are the flags of haremq --help, without the --"),
    }
}

/// None: it is nothing that a flag can be.
fn values(value: &Spanned<DeValue<'_>>, at: &impl Fn(Range<usize>) -> At) -> Option<Values> {
    match value.get_ref() {
        DeValue::Array(items) => {
            items.iter().map(|item| Some((scalar(item.get_ref())?, at(item.span())))).collect()
        }
        one => Some(vec![(scalar(one)?, at(value.span()))]),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Integer(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn kind(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::Table(_) => "table",
        DeValue::Datetime(_) => "time",
        DeValue::Integer(_) => "number that is not decimal",
        DeValue::Array(_) => "list of other things",
        DeValue::String(_) | DeValue::Float(_) | DeValue::Boolean(_) => "value",
    }
}

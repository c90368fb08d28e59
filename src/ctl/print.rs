//! What is written to standard output: tables in each of RabbitMQ's formats.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Formatter {
    /// Columns with tabulators between
    Table,
    #[value(name = "pretty_table")]
    PrettyTable,
    Json,
    Csv,
}

impl Formatter {
    pub fn is_for_people(self) -> bool {
        matches!(self, Formatter::Table | Formatter::PrettyTable)
    }
}

/// Rows have a value for each column.
#[derive(Default)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub fn new(columns: &[&str]) -> Table {
        Table { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows: Vec::new() }
    }

    /// Of each object what stands under these paths (`channel_details.name`), with the columns' names.
    pub fn of(columns: &[(&str, &str)], objects: &[Value]) -> Table {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let mut table = Table::new(&names);
        for object in objects {
            table.add(columns.iter().map(|(_, path)| at(object, path)).collect());
        }
        table
    }

    pub fn add(&mut self, row: Vec<Value>) {
        assert_eq!(row.len(), self.columns.len(), "a value for each column");
        self.rows.push(row);
    }

    pub fn format(&self, formatter: Formatter, headers: bool) -> String {
        match formatter {
            Formatter::Table => self.plain(headers),
            Formatter::PrettyTable => self.boxed(),
            Formatter::Json => self.json(),
            Formatter::Csv => self.csv(headers),
        }
    }

    fn plain(&self, headers: bool) -> String {
        // RabbitMQ writes no header over nothing.
        let headers = (headers && !self.rows.is_empty()).then(|| self.columns.join("\t"));
        let rows = self.rows.iter().map(|row| row.iter().map(shown).collect::<Vec<_>>().join("\t"));
        lines(headers.into_iter().chain(rows))
    }

    fn csv(&self, headers: bool) -> String {
        let quoted = |text: &str| {
            if text.contains([',', '"', '\n']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.to_owned()
            }
        };
        let headers = (headers && !self.rows.is_empty()).then(|| self.columns.join(","));
        let row =
            |row: &Vec<Value>| row.iter().map(|value| quoted(&shown(value))).collect::<Vec<_>>().join(",");
        lines(headers.into_iter().chain(self.rows.iter().map(row)))
    }

    /// Objects with their fields in the order of the columns, each on a line of its own.
    fn json(&self) -> String {
        let object = |row: &Vec<Value>| {
            let fields = self.columns.iter().zip(row);
            let fields: Vec<_> =
                fields.map(|(name, value)| format!("{}:{value}", Value::from(&**name))).collect();
            format!("{{{}}}", fields.join(","))
        };
        let objects: Vec<_> = self.rows.iter().map(object).collect();
        if objects.is_empty() { "[\n]\n".to_owned() } else { format!("[\n{}\n]\n", objects.join("\n,")) }
    }

    fn boxed(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().map(shown).collect());
        let rows: Vec<Vec<String>> = [self.columns.clone()].into_iter().chain(rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let border = |left: &str, between: &str, right: &str| {
            let lines: Vec<_> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
            format!("{left}{}{right}", lines.join(between))
        };
        let row = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} "));
            format!("│{}│", cells.collect::<Vec<_>>().join("│"))
        };
        let rows = rows.iter().map(row).collect::<Vec<_>>();
        let rows = rows.join(&format!("\n{}\n", border("├", "┼", "┤")));
        lines([border("┌", "┬", "┐"), rows, border("└", "┴", "┘")])
    }
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

/// What stands under a path, or null.
pub fn at(object: &Value, path: &str) -> Value {
    path.split('.').try_fold(object, |value, name| value.get(name)).cloned().unwrap_or_default()
}

/// As RabbitMQ's tables have it. A table of arguments that is empty is an empty list there.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<_> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) if entries.is_empty() => "[]".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

pub fn line(text: &str) {
    self::text(&format!("{text}\n"));
}

/// Whoever reads may have enough.
pub fn text(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn users() -> Table {
        let objects = [
            json!({"name": "alice", "tags": ["monitoring", "policymaker"], "more": {"arguments": {}}}),
            json!({"name": "guest", "tags": []}),
        ];
        Table::of(&[("user", "name"), ("tags", "tags"), ("arguments", "more.arguments")], &objects)
    }

    #[test]
    fn a_table_is_as_rabbitmqs() {
        let rows = "alice\t[monitoring, policymaker]\t[]\nguest\t[]\t\n";
        assert_eq!(users().format(Formatter::Table, false), rows);
        assert_eq!(users().format(Formatter::Table, true), format!("user\ttags\targuments\n{rows}"));
        assert_eq!(Table::new(&["name"]).format(Formatter::Table, true), "");
    }

    #[test]
    fn json_has_an_object_on_each_line() {
        let text = "[\n{\"user\":\"alice\",\"tags\":[\"monitoring\",\"policymaker\"],\"arguments\":{}}\n\
                    ,{\"user\":\"guest\",\"tags\":[],\"arguments\":null}\n]\n";
        assert_eq!(users().format(Formatter::Json, true), text);
        assert_eq!(Table::new(&["name"]).format(Formatter::Json, true), "[\n]\n");
    }

    #[test]
    fn csv_quotes_what_has_commas_and_a_pretty_table_is_boxed() {
        let csv = "user,tags,arguments\nalice,\"[monitoring, policymaker]\",[]\nguest,[],\n";
        assert_eq!(users().format(Formatter::Csv, true), csv);
        let mut table = Table::new(&["name", "n"]);
        table.add(vec![json!("é"), json!(12)]);
        let boxed = "┌──────┬────┐\n│ name │ n  │\n├──────┼────┤\n│ é    │ 12 │\n└──────┴────┘\n";
        assert_eq!(table.format(Formatter::PrettyTable, true), boxed);
    }
}

//! Prometheus' text format.

use std::fmt::{Display, Write as _};

/// Families of metrics, written one after the other.
#[derive(Default)]
pub struct Text {
    out: String,
    /// Put in front of each name.
    prefix: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric's labels: name and value.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// A family that is being written.
pub struct Family<'a> {
    text: &'a mut Text,
    name: &'a str,
}

impl Text {
    pub fn new(prefix: &'static str) -> Text {
        Text { out: String::new(), prefix }
    }

    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let prefix = self.prefix;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string does not fail; nor does it below.
        let _ = writeln!(self.out, "# TYPE {prefix}{name} {kind}\n# HELP {prefix}{name} {help}");
        Family { text: self, name }
    }

    /// A family of one metric without labels.
    pub fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).put(&[], value);
    }

    pub fn finish(self) -> String {
        self.out
    }
}

impl Family<'_> {
    pub fn put(&mut self, labels: Labels<'_>, value: impl Display) {
        self.put_part("", labels, value);
    }

    /// Numbers up to each bound and beyond the last, as they were counted apart.
    pub fn put_histogram(&mut self, labels: Labels<'_>, bounds: &[&str], counts: &[u64], sum: impl Display) {
        let mut below = 0;
        for (bound, count) in bounds.iter().chain(&["+Inf"]).zip(counts) {
            below += count;
            let labels = [labels, &[("le", bound)]].concat();
            self.put_part("_bucket", &labels, below);
        }
        self.put_part("_count", labels, below);
        self.put_part("_sum", labels, sum);
    }

    fn put_part(&mut self, part: &str, labels: Labels<'_>, value: impl Display) {
        let (prefix, name) = (self.text.prefix, self.name);
        let out = &mut self.text.out;
        let _ = write!(out, "{prefix}{name}{part}");
        for (at, (label, value)) in labels.iter().enumerate() {
            out.push(if at == 0 { '{' } else { ',' });
            let _ = write!(out, "{label}=\"");
            escape(value, out);
            out.push('"');
        }
        if !labels.is_empty() {
            out.push('}');
        }
        let _ = writeln!(out, " {value}");
    }
}

fn escape(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_what_is_below_each_bound() {
        let mut text = Text::new("p_");
        text.family("size", Kind::Histogram, "Sizes").put_histogram(
            &[("a", "b")],
            &["1", "2"],
            &[3, 0, 4],
            9,
        );
        assert_eq!(
            text.finish(),
            "# TYPE p_size histogram\n# HELP p_size Sizes\n\
             p_size_bucket{a=\"b\",le=\"1\"} 3\np_size_bucket{a=\"b\",le=\"2\"} 3\n\
             p_size_bucket{a=\"b\",le=\"+Inf\"} 7\np_size_count{a=\"b\"} 7\np_size_sum{a=\"b\"} 9\n"
        );
    }

    #[test]
    fn a_label_may_hold_anything() {
        let mut text = Text::new("");
        text.family("x", Kind::Gauge, "X").put(&[("name", "a\"b\\c\nd"), ("other", "")], 0.5);
        assert!(text.finish().ends_with("x{name=\"a\\\"b\\\\c\\nd\",other=\"\"} 0.5\n"));
    }
}

//! RabbitMQ's format: `key = value` in lines, `#` begins a comment, `'...'` keeps one from beginning.
//!
//! `$(NAME)` in a value is a variable of the environment. Values are texts here; what they mean is for `keys`.

use super::layers::{At, Wrong};
use std::path::Path;
use std::rc::Rc;

/// A setting as it stands in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    pub key: String,
    pub value: String,
    pub at: At,
}

/// All settings of a file, in its order, and all that is wrong with it.
pub fn parse(
    file: &Path,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    wrong: &mut Vec<Wrong>,
) -> Vec<Setting> {
    let file: Rc<Path> = Rc::from(file);
    let mut settings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = At::Line { file: file.clone(), line: index + 1 };
        match setting(line, variable) {
            Ok(Some((key, value))) => settings.push(Setting { key, value, at }),
            Ok(None) => {}
            Err(text) => wrong.push(Wrong { at: Some(at), text }),
        }
    }
    settings
}

fn setting(
    line: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (key, value) = line.split_once('=').ok_or("expected `key = value`")?;
    let key = key.trim_end();
    if !is_key(key) {
        return Err(format!(
            "`{key}` is no key: a key is words of letters, digits, - and _ with dots between"
        ));
    }
    let value = filled(unquoted(value.trim_start())?, variable)?;
    if value.starts_with("encrypted:") {
        return Err(format!("{key}: encrypted values cannot be read; use a variable, $(NAME)"));
    }
    Ok(Some((key.to_owned(), value)))
}

fn is_key(key: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_\\".contains(&octet))
    };
    // `\.` is a dot within a word.
    key.replace("\\.", "_").split('.').all(word)
}

/// The value without its quotes or the comment behind it.
fn unquoted(value: &str) -> Result<&str, String> {
    if let Some(quoted) = value.strip_prefix('\'') {
        let (inside, behind) = quoted.split_once('\'').ok_or("the quote ' is not closed")?;
        let behind = behind.trim_start();
        let clean = behind.is_empty() || behind.starts_with('#');
        return clean.then_some(inside).ok_or_else(|| format!("`{behind}` stands behind the quotes"));
    }
    let value = value.split('#').next().unwrap_or_default().trim_end();
    if value.is_empty() { Err("no value stands behind the =".to_owned()) } else { Ok(value) }
}

/// With variables in place of their names.
fn filled(value: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once("$(") {
        let (name, behind) = behind.split_once(')').ok_or("$( is not closed")?;
        let found = variable(name).ok_or_else(|| format!("the variable {name} is not set"))?;
        filled.push_str(before);
        filled.push_str(&found);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(String, String, usize)>, Vec<String>) {
        let mut wrong = Vec::new();
        let variable = |name: &str| (name == "PASS").then(|| "s3#cret".to_owned());
        let settings = parse(Path::new("r.conf"), text, &variable, &mut wrong);
        let line = |at: &At| match at {
            At::Line { line, .. } => *line,
            At::Variable(_) => 0,
        };
        (
            settings.into_iter().map(|it| (it.key, it.value, line(&it.at))).collect(),
            wrong.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn settings_comments_quotes_and_variables_are_read() {
        let text = "## top\n\n a.b = 1 # behind\nlisteners.tcp.default=5672\r\nc = 'x # y'\t# behind\n\
                    d = $(PASS)\ne\\.f.g = two words  \n";
        let (settings, wrong) = read(text);
        let expected = [
            ("a.b", "1", 3),
            ("listeners.tcp.default", "5672", 4),
            ("c", "x # y", 5),
            ("d", "s3#cret", 6),
            ("e\\.f.g", "two words", 7),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(key, value, line)| (key.to_owned(), value.to_owned(), line)).collect();
        assert_eq!((settings, wrong), (expected, vec![]));
    }

    #[test]
    fn every_wrong_line_is_named() {
        let text = "heartbeat\nheart beat = 1\nx =\ny = # 1\nz = 'open\nv = $(NOT_SET)\nw = 'a' b\n\
                    default_pass = encrypted:abc\na..b = 1\n= 1";
        let (settings, wrong) = read(text);
        assert_eq!(settings, []);
        let lines: Vec<&str> = wrong.iter().map(|text| text.split(": ").next().unwrap()).collect();
        assert_eq!(lines, (1..=10).map(|line| format!("r.conf:{line}")).collect::<Vec<_>>());
        assert!(wrong[5].contains("NOT_SET is not set"), "{}", wrong[5]);
    }
}

//! The source files of the tree as these tests see them: code without comments and without what stands in quotes.

use std::fs;
use std::path::{Path, PathBuf};

pub struct Source {
    /// From the workspace's root, with `/`: `src/mesh/ring.rs`.
    pub path: String,
    pub lines: usize,
    /// The file with comments and the insides of string literals blanked; line breaks stay.
    pub code: String,
}

impl Source {
    pub fn parse(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), lines: text.lines().count(), code: code_of(text) }
    }

    /// The top module a file of the library belongs to: `mesh` for `src/mesh/ring.rs`. What starts a shard is shell,
    /// not hall, and counts as a module of its own.
    pub fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        if inside.starts_with("shard/start") {
            return "shard/start";
        }
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// How many modules lie between the file and the crate's root: 1 for `src/mesh/mod.rs`, 2 for `src/mesh/ring.rs`.
    pub fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.trim_end_matches("/mod.rs").split('/').count()
    }

    /// Without the test module at its end; nothing of a file that is all tests.
    pub fn code_that_ships(&self) -> &str {
        if self.path.ends_with("/tests.rs") {
            return "";
        }
        self.code.split("#[cfg(test)]\nmod tests {").next().unwrap_or("")
    }

    /// Top modules named after `crate::`, also inside `crate::{...}`.
    pub fn uses(&self) -> Vec<String> {
        let mut named: Vec<String> = self.code.split("crate::").skip(1).flat_map(heads).collect();
        named.sort();
        named.dedup();
        named
    }

    /// The most `super::` in a row.
    pub fn supers(&self) -> usize {
        (1..10).take_while(|n| self.code.contains(&"super::".repeat(*n))).last().unwrap_or(0)
    }
}

/// Whether `path` occurs in `code` as whole words: `std::net::TcpStream`, `glommio`. Grouped imports are looked through.
pub fn names(code: &str, path: &str) -> bool {
    let (parent, leaf) = path.rsplit_once("::").unwrap_or(("", path));
    let has = |code: &str, word: &str| word_positions(code, word).next().is_some();
    has(code, path) || (!parent.is_empty() && grouped(code, parent).any(|list| has(list, leaf)))
}

/// All `.rs` files below `folder`, in the order of their paths.
pub fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    let read = |file: &PathBuf| {
        let path = file.strip_prefix(root).expect("collected below the root").to_string_lossy().into_owned();
        Source::parse(&path, &fs::read_to_string(file).expect("a source file is readable"))
    };
    files.iter().map(read).collect()
}

/// Folders of what is installed for tests.
const NOT_OURS: [&str; 3] = ["node_modules", ".venv", "shipped"];

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder of the tree is readable").path();
        if path.is_dir() {
            if !NOT_OURS.iter().any(|name| path.ends_with(name)) {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The first words of what follows `crate::`: one, or one per element of a group.
fn heads(rest: &str) -> Vec<String> {
    match rest.strip_prefix('{') {
        None => vec![first_word(rest)],
        Some(group) => top_level(group).iter().map(|element| first_word(element.trim())).collect(),
    }
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The elements of a group whose opening brace is behind us, split at its own commas.
fn top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut elements) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                elements.push(&group[begin..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                elements.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    elements.retain(|element| !element.trim().is_empty());
    elements
}

/// The groups that follow `parent::`, each up to the end of its statement.
fn grouped<'a>(code: &'a str, parent: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!("{parent}::{{");
    let starts: Vec<usize> = code.match_indices(&opening).map(|(at, found)| at + found.len()).collect();
    starts.into_iter().map(|at| code[at..].split(';').next().unwrap_or(""))
}

fn word_positions<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !code[..*at].ends_with(part_of_word) && !code[at + word.len()..].starts_with(part_of_word)
    })
}

/// Blanks comments and the insides of string and character literals.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = literal_or_comment(rest, code.chars().last());
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

/// The bytes of the comment or literal that `rest` begins with, else 0. `before` is the character in front of it.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    let inside_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        to("*/", 2)
    } else if !inside_word && rest.starts_with("r#\"") {
        to("\"#", 3)
    } else if !inside_word && rest.starts_with("r\"") {
        to("\"", 2)
    } else if rest.starts_with('"') {
        quoted(rest)
    } else if rest.starts_with("'\"'") || rest.starts_with("'/'") {
        3
    } else {
        0
    }
}

/// The bytes of a string literal with its quotes, escapes stepped over.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

//! What the page's files may not do: its policy of content forbids some of it, and all of it is how foreign text becomes script.

use flate2::Compression;
use flate2::write::GzEncoder;
use regex::bytes::RegexBuilder;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

/// In any file.
const NOWHERE: &[&str] = &[
    r"\binnerHTML\b",
    r"\bouterHTML\b",
    r"\binsertAdjacentHTML\b",
    r"\bcreateContextualFragment\b",
    r"\bsetHTMLUnsafe\b",
    r"\bdocument\s*\.\s*write",
    r"\beval\s*\(",
    r"\bnew\s+Function\b",
    r"(?i)javascript:",
];

/// In a file of HTML or SVG: scripts, styles and handlers that stand in it.
const NOT_IN_MARKUP: &[&str] =
    &[r#"(?i)\son[a-z]+\s*="#, r"(?i)\sstyle\s*=", r"(?i)<style\b", r"(?i)<script\b[^>]*>\s*[^\s<]"];

/// Compressed, as they are sent: the page is there at once over a slow line, too.
const GZIP_BYTES_MAX: usize = 80_000;

#[test]
fn the_page_makes_no_script_of_text() {
    let files = files();
    assert!(files.iter().any(|(name, _)| name == "index.html"), "the page was not found");
    let faults: Vec<String> = files.iter().flat_map(|(name, text)| faults(name, text)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_makes_script_of_text_is_found() {
    for (name, text) in [
        ("a.js", "x.innerHTML = y;"),
        ("a.js", "x['outerHTML']"),
        ("pages/a.js", "document . write(x)"),
        ("a.js", "return eval (x)"),
        ("a.js", "new  Function(x)"),
        ("index.html", "<a onclick=\"x()\">"),
        ("index.html", "<p style='x'>"),
        ("index.html", "<script>x()</script>"),
        ("index.html", "<script type=\"module\">x()</script>"),
        ("favicon.svg", "<style>x</style>"),
    ] {
        assert_ne!(faults(name, text), Vec::<String>::new(), "{text}");
    }
    for (name, text) in [
        ("a.js", "medieval(x); button.onclick = f; node.style = x; innerHTMLs"),
        (
            "index.html",
            "<script type=\"module\" src=\"ui/main.js\"></script>\n<link rel=\"stylesheet\" href=\"ui/style.css\">",
        ),
    ] {
        assert_eq!(faults(name, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_page_is_small() {
    let total: usize = files().iter().map(|(_, text)| gzip_bytes(text)).sum();
    assert!(total <= GZIP_BYTES_MAX, "{total} bytes");
}

/// Each row of the page's actions names a test that there is, and each test has a row.
#[test]
fn the_tests_of_the_page_and_the_table_of_its_actions_are_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/ui.md")).expect("it is there");
    let rows = page.lines().filter(|line| line.starts_with('|') && line.matches('|').count() == 4);
    let named: BTreeSet<&str> = rows.filter_map(|row| row.split('|').nth(3)).map(str::trim).skip(2).collect();
    let title =
        RegexBuilder::new(r"(?m)^test\('([^']+)'|\['([^']+ cleared)',").build().expect("a pattern of ours");
    let files = root
        .join("tests/ui")
        .read_dir()
        .expect("our own folder")
        .map(|entry| entry.expect("it is readable").path());
    let texts: Vec<Vec<u8>> = files
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .map(|path| fs::read(path).expect("it is readable"))
        .collect();
    let titles = texts.iter().flat_map(|text| title.captures_iter(text)).map(|found| {
        let title = found.get(1).or(found.get(2)).expect("one of them matched");
        std::str::from_utf8(title.as_bytes()).expect("a file of ours is UTF-8")
    });
    assert_eq!(named, titles.collect());
}

fn faults(name: &str, text: &str) -> Vec<String> {
    let is_markup = [".html", ".svg"].iter().any(|ending| name.ends_with(ending));
    let patterns = NOWHERE.iter().chain(NOT_IN_MARKUP.iter().filter(|_| is_markup));
    let found = patterns.filter_map(|pattern| {
        let pattern = RegexBuilder::new(pattern).unicode(false).build().expect("a pattern of ours");
        let found = pattern.find(text.as_bytes())?;
        let line = text[..found.start()].lines().count().max(1);
        let found = String::from_utf8_lossy(found.as_bytes());
        Some(format!("{name}:{line}: {}", found.trim()))
    });
    found.collect()
}

fn gzip_bytes(text: &str) -> usize {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).expect("memory takes all").len()
}

/// All, with their names from the folder on.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/management/ui");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().expect("our own folder") {
            let path = entry.expect("it is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).expect("it lies there").display().to_string();
                files.push((name, fs::read_to_string(&path).expect("all are text")));
            }
        }
    }
    files
}

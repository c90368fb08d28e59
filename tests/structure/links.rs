//! Links of the prose: each file and each heading that a page of ours points to is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::assert_none;

/// Folders of what is built or installed, and of what others wrote.
const NOT_OURS: [&str; 4] = ["target", "node_modules", "shipped", "sdists"];

#[test]
fn what_our_pages_link_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(root, &mut paths);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a page is text");
        (path, text)
    };
    let pages: BTreeMap<PathBuf, String> = paths.into_iter().map(read).collect();
    assert!(pages.contains_key(&root.join("README.md")), "no page was found");
    assert_none(pages.iter().flat_map(|(path, text)| broken(path, text, &pages)));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("docs/page.md");
    let other = "# Of `a`, b & c\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n";
    let pages = BTreeMap::from([(root.join("docs/other.md"), other.to_owned())]);
    let count = |text: &str| broken(&page, text, &pages).len();
    for text in [
        "[x](missing.md)",
        "![x](../docs/missing.png)",
        "[x](other.md#twice-2)",
        "[x](other.md#no-heading)",
        "[x](#here)",
        "a | [b](../README.md) | [c](../README) |",
        "[x](../Cargo.toml#heading)",
    ] {
        assert_eq!(count(text), 1, "{text}");
    }
    for text in [
        "[x](../README.md)",
        "[x](../src/) and [y](https://example.org/z)",
        "[x](other.md#of-a-b--c), [y](other.md#twice-1)",
        "# Here\n[x](#here)",
        "```\n[x](missing.md)\n```",
        "`[x](missing.md)`",
    ] {
        assert_eq!(count(text), 0, "{text}");
    }
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree is readable") {
        let path = entry.expect("a folder of the tree is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()) {
                collect(&path, pages);
            }
        } else if name.ends_with(".md") {
            pages.push(path);
        }
    }
}

/// The links of a page that lead nowhere.
fn broken(path: &Path, text: &str, pages: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let leads_nowhere = |link: &&str| {
        let (file, heading) = link.split_once('#').map_or((*link, None), |(file, rest)| (file, Some(rest)));
        let folder = path.parent().expect("a page lies in a folder");
        let target = if file.is_empty() { path.to_owned() } else { plain(&folder.join(file)) };
        let page = if target == path { Some(text) } else { pages.get(&target).map(String::as_str) };
        let is_there = page.is_some() || target.exists();
        !is_there || heading.is_some_and(|heading| !page.is_some_and(|page| has_heading(page, heading)))
    };
    let prose = prose(text);
    let links = links(&prose).filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
    links
        .filter(leads_nowhere)
        .map(|link| format!("{}: {link}", path.strip_prefix(root).unwrap_or(path).display()))
        .collect()
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// The text without its blocks of code.
fn blocks_left_out(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The text without what is code.
fn prose(text: &str) -> String {
    let lines = blocks_left_out(text).map(|line| line.split('`').step_by(2).collect::<Vec<_>>().join("`"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What stands in `](...)`.
fn links(prose: &str) -> impl Iterator<Item = &str> {
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn has_heading(page: &str, wanted: &str) -> bool {
    let mut seen = BTreeMap::<String, usize>::new();
    let headings = blocks_left_out(page).filter(|line| line.starts_with('#'));
    headings.map(|line| slug(line.trim_start_matches('#').trim())).any(|slug| {
        let times = seen.entry(slug.clone()).or_default();
        let name = if *times == 0 { slug } else { format!("{slug}-{times}") };
        *times += 1;
        name == wanted
    })
}

/// The name that GitHub gives a heading.
fn slug(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

//! How the tests of a suite ended: the file that `plugins/haremq_suite.py` writes.

use std::collections::BTreeMap;
use std::path::Path;

pub struct Outcomes {
    /// By the test's id: `failed`, `passed`, `skipped` or `deselected`.
    ended: BTreeMap<String, String>,
    /// What failed and was run again, once for each time.
    again: Vec<String>,
}

impl Outcomes {
    /// Empty if pytest did not come so far.
    pub fn read(path: &Path) -> Outcomes {
        Outcomes::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    /// Lines of outcome, seconds and id, which may have spaces.
    fn parse(text: &str) -> Outcomes {
        let mut outcomes = Outcomes { ended: BTreeMap::new(), again: Vec::new() };
        for line in text.lines() {
            match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
                ["rerun", _seconds, test] => outcomes.again.push(test.to_owned()),
                [outcome, _seconds, test] => {
                    outcomes.ended.insert(test.to_owned(), outcome.to_owned());
                }
                _ => panic!("not a line of outcomes: {line}"),
            }
        }
        outcomes
    }

    pub fn passed(&self, test: &str) -> bool {
        self.ended.get(test).is_some_and(|outcome| outcome == "passed")
    }

    pub fn failed(&self) -> Vec<&str> {
        self.with("failed").collect()
    }

    /// Counts, and the names of what did not pass at once.
    pub fn summary(&self) -> String {
        let counts = ["passed", "failed", "skipped", "deselected"];
        let counts = counts.map(|outcome| format!("{} {outcome}", self.with(outcome).count())).join(", ");
        match self.again.len() {
            0 => counts,
            count => format!("{counts}, {count} run again ({})", self.again.join(", ")),
        }
    }

    fn with<'a>(&'a self, outcome: &'a str) -> impl Iterator<Item = &'a str> {
        self.ended.iter().filter(move |(_, it)| *it == outcome).map(|(test, _)| test.as_str())
    }
}

pub fn a_test_that_failed_or_did_not_run_has_not_passed() {
    let outcomes = Outcomes::parse(
        "rerun 0.10 a::b[x y]\npassed 0.10 a::b[x y]\nfailed 1.00 a::c\ndeselected 0 a::d\nskipped 0.00 a::e\n",
    );
    assert!(outcomes.passed("a::b[x y]"));
    for test in ["a::c", "a::d", "a::e", "a::f"] {
        assert!(!outcomes.passed(test), "{test}");
    }
    assert_eq!(outcomes.failed(), ["a::c"]);
    assert_eq!(outcomes.summary(), "1 passed, 1 failed, 1 skipped, 1 deselected, 1 run again (a::b[x y])");
}

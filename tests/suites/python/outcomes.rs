//! How the tests of a suite ended: the file that `plugins/haremq_suite.py` writes.

use std::collections::BTreeMap;
use std::path::Path;

/// By the test's id: `failed`, `passed`, `skipped` or `deselected`.
pub struct Outcomes(BTreeMap<String, String>);

impl Outcomes {
    /// Empty if pytest did not come so far.
    pub fn read(path: &Path) -> Outcomes {
        Outcomes::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    /// Lines of outcome, seconds and id, which may have spaces.
    fn parse(text: &str) -> Outcomes {
        let ended = text.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ' ');
            let (outcome, _seconds, test) = (fields.next()?, fields.next()?, fields.next()?);
            Some((test.to_owned(), outcome.to_owned()))
        });
        Outcomes(ended.collect())
    }

    pub fn passed(&self, test: &str) -> bool {
        self.0.get(test).is_some_and(|outcome| outcome == "passed")
    }

    pub fn failed(&self) -> Vec<&str> {
        self.with("failed").collect()
    }

    pub fn summary(&self) -> String {
        let counts = ["passed", "failed", "skipped", "deselected"];
        counts.map(|outcome| format!("{} {outcome}", self.with(outcome).count())).join(", ")
    }

    fn with<'a>(&'a self, outcome: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(_, it)| *it == outcome).map(|(test, _)| test.as_str())
    }
}

#[test]
fn a_test_that_failed_or_did_not_run_has_not_passed() {
    let outcomes =
        Outcomes::parse("passed 0.10 a::b[x y]\nfailed 1.00 a::c\ndeselected 0 a::d\nskipped 0.00 a::e\n");
    assert!(outcomes.passed("a::b[x y]"));
    for test in ["a::c", "a::d", "a::e", "a::f"] {
        assert!(!outcomes.passed(test), "{test}");
    }
    assert_eq!(outcomes.failed(), ["a::c"]);
    assert_eq!(outcomes.summary(), "1 passed, 1 failed, 1 skipped, 1 deselected");
}

use super::super::lists::ListIndex;
use super::*;
use crate::amqp::TableWriter;

fn patterns() -> Patterns {
    Patterns::new(RandomState::with_seeds(1, 2, 3, 4))
}

fn insert(patterns: &mut Patterns, arguments: TableWriter) -> u32 {
    let bytes = arguments.finish();
    let number = patterns.insert(Table::decode(&bytes).unwrap());
    *patterns.leads_mut(number) = Leads { queues: ListIndex::FOR_TESTS, exchanges: ListIndex::EMPTY };
    patterns.invariants();
    number
}

fn count(patterns: &mut Patterns, headers: TableWriter) -> usize {
    let (bytes, mut found) = (headers.finish(), Vec::new());
    patterns.matches(Table::decode(&bytes).unwrap(), &mut found);
    found.len()
}

fn matches(arguments: TableWriter, headers: TableWriter) -> bool {
    let mut patterns = patterns();
    insert(&mut patterns, arguments);
    count(&mut patterns, headers) == 1
}

fn table() -> TableWriter {
    TableWriter::new()
}

fn x_match(value: &str) -> TableWriter {
    table().string("x-match", value)
}

#[test]
fn all_wants_each_of_its_headers_and_any_wants_one() {
    let both = |x: TableWriter| x.string("a", "1").i32("b", 2);
    assert!(matches(both(table()), table().i32("b", 2).string("c", "x").string("a", "1")));
    assert!(!matches(both(x_match("all")), table().string("a", "1")));
    assert!(matches(both(x_match("any")), table().string("a", "1").i32("b", 3)));
    assert!(!matches(both(x_match("any")), table().string("a", "2").i32("b", 3)));
}

#[test]
fn without_headers_to_compare_all_is_always_satisfied_and_any_never() {
    for headers in [table(), table().i32("a", 1)] {
        assert!(matches(table(), headers));
    }
    assert!(!matches(x_match("any"), table().i32("a", 1)));
    assert!(!matches(x_match("any").i32("x-only", 1), table().i32("x-only", 1)));
}

#[test]
fn arguments_that_begin_with_x_count_only_where_x_match_says_so() {
    let with = |x: &str| x_match(x).string("x-kind", "k");
    assert!(matches(with("all"), table()), "nothing is left to compare");
    assert!(!matches(with("all-with-x"), table()));
    assert!(matches(with("all-with-x"), table().string("x-kind", "k")));
    assert!(matches(with("any-with-x").i32("a", 1), table().string("x-kind", "k")));
}

#[test]
fn a_void_argument_wants_the_header_with_whatever_value() {
    let void = || table().value("a", Value::Void);
    assert!(matches(void(), table().string("a", "anything")));
    assert!(matches(void(), void()));
    assert!(!matches(void(), table().string("b", "anything")));
    assert!(!matches(table().i32("a", 1), void()));
}

#[test]
fn values_are_compared_without_their_width_but_with_their_class() {
    assert!(matches(table().i32("a", 10), table().i64("a", 10)));
    assert!(matches(table().i32("a", 10), table().value("a", Value::Timestamp(10))));
    assert!(matches(table().string("a", "x"), table().value("a", Value::Bytes(b"x"))));
    assert!(matches(table().value("a", Value::F32(0.5)), table().value("a", Value::F64(0.5))));
    assert!(matches(table().value("a", Value::F64(-0.0)), table().value("a", Value::F64(0.0))));
    assert!(!matches(table().i32("a", 1), table().string("a", "1")));
    assert!(!matches(table().i32("a", 1), table().value("a", Value::F64(1.0))));
    assert!(!matches(table().i32("a", 1), table().bool("a", true)));
}

#[test]
fn of_a_header_that_occurs_twice_the_last_counts() {
    assert!(matches(table().i32("a", 2), table().i32("a", 1).i32("a", 2)));
    assert!(!matches(table().i32("a", 1), table().i32("a", 1).i32("a", 2)));
}

#[test]
fn a_pattern_that_is_satisfied_twice_is_found_once() {
    let mut patterns = patterns();
    insert(&mut patterns, x_match("any").i32("a", 1).i32("b", 2));
    assert_eq!(count(&mut patterns, table().i32("a", 1).i32("b", 2)), 1);
}

#[test]
fn bindings_that_want_the_same_share_a_pattern() {
    let mut patterns = patterns();
    let first = insert(&mut patterns, table().i32("a", 1).i32("b", 2));
    assert_eq!(insert(&mut patterns, table().i64("b", 2).i64("a", 1)), first);
    assert_ne!(insert(&mut patterns, x_match("any").i32("a", 1).i32("b", 2)), first);
}

#[test]
fn a_pattern_of_common_headers_stands_under_its_rarest() {
    let mut patterns = patterns();
    for id in 0..100 {
        insert(&mut patterns, table().string("kind", "event").i32("id", id));
    }
    let longest = patterns.condition_entries.iter().map(|condition| condition.patterns.len()).max();
    assert_eq!(longest, Some(1), "no header is shared by more patterns than it must be");
    assert_eq!(count(&mut patterns, table().string("kind", "event").i32("id", 7)), 1);
}

#[test]
fn what_is_removed_leaves_nothing_behind() {
    let mut patterns = patterns();
    let mut numbers = vec![insert(&mut patterns, table())];
    for id in 0..9 {
        numbers.push(insert(&mut patterns, x_match("any").i32("id", id).i32("a", 1)));
        numbers.push(insert(&mut patterns, table().i32("id", id).i32("a", 1)));
    }
    for number in numbers {
        *patterns.leads_mut(number) = Leads::NOWHERE;
        patterns.remove(number);
        patterns.invariants();
    }
    assert_eq!((patterns.names.len(), patterns.conditions.len(), patterns.numbers.len()), (0, 0, 0));
    assert_eq!(count(&mut patterns, table().i32("a", 1).i32("id", 3)), 0);
}

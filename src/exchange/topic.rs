//! The routing table of a topic exchange: binding keys as paths of words in a trie that lies in flat arrays.
//!
//! ```text
//! root --"stock"--> n1 --"*"--> n2 --"nyse"--> n3: leads of `stock.*.nyse`
//!   \--"#"--> n4 --"low"--> n5                 n5: leads of `#.low`
//!
//! words   word -> number            edges   (node, number) -> node            nodes[i]  star, rest, leads
//! ```
//! A routing key is matched word by word against the set of nodes that the words so far lead to, each node once: its
//! time is bounded by words x live nodes, however many `#` a binding key has. Nothing is allocated by a match.

use std::collections::HashMap;

use ahash::RandomState;

use super::lists::Leads;

pub(super) struct Trie {
    words: Words,
    edges: HashMap<(u32, u32), u32, RandomState>,
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// The nodes that the words so far lead to, and those of one word before.
    live: Vec<u32>,
    before: Vec<u32>,
    /// Counts words over all matches; a node that carries the number was reached by that word.
    step: u32,
}

/// What leads to a node, and where it leads.
#[derive(Clone, Copy)]
struct Node {
    /// The step at which it was last reached.
    seen: u32,
    /// The child that any one word leads to.
    star: u32,
    /// The child that any number of words leads to.
    rest: u32,
    /// Children by a word.
    literals: u32,
    leads: Leads,
    parent: u32,
    /// By which word the parent leads here: a number of `words`, `STAR` or `REST`.
    word: u32,
}

impl Trie {
    pub fn new(hashing: RandomState) -> Trie {
        Trie {
            words: Words {
                numbers: HashMap::with_hasher(hashing.clone()),
                entries: Vec::new(),
                free: Vec::new(),
            },
            edges: HashMap::with_hasher(hashing),
            nodes: vec![Node::new(NONE, NONE)],
            free: Vec::new(),
            live: Vec::new(),
            before: Vec::new(),
            step: 0,
        }
    }

    /// The node of a binding key, made if it is not there.
    pub fn insert(&mut self, binding_key: &[u8]) -> u32 {
        let mut node = ROOT;
        for word in pattern(binding_key) {
            node = self.child(node, word).unwrap_or_else(|| self.add_child(node, word));
        }
        node
    }

    pub fn find(&self, binding_key: &[u8]) -> Option<u32> {
        pattern(binding_key).try_fold(ROOT, |node, word| self.child(node, word))
    }

    pub fn leads_mut(&mut self, node: u32) -> &mut Leads {
        &mut self.nodes[node as usize].leads
    }

    /// Forgets a node that leads nowhere any more, and those above it that were there only for it.
    pub fn remove(&mut self, mut node: u32) {
        while node != ROOT && self.nodes[node as usize].is_needless() {
            let Node { parent, word, .. } = self.nodes[node as usize];
            match word {
                STAR => self.nodes[parent as usize].star = NONE,
                REST => self.nodes[parent as usize].rest = NONE,
                number => {
                    self.edges.remove(&(parent, number));
                    self.nodes[parent as usize].literals -= 1;
                    self.words.release(number);
                }
            }
            self.free.push(node);
            node = parent;
        }
    }

    /// Where the binding keys lead that match a routing key.
    pub fn matches(&mut self, routing_key: &[u8], found: &mut Vec<Leads>) {
        self.begin();
        let first = self.step;
        self.live.clear();
        self.reach(ROOT, first, found);
        for word in words(routing_key) {
            let number = self.words.find(word);
            self.step += 1;
            std::mem::swap(&mut self.live, &mut self.before);
            self.live.clear();
            for at in 0..self.before.len() {
                self.follow(self.before[at], number, first, found);
            }
            if self.live.is_empty() {
                return;
            }
        }
        let leads = self.live.iter().map(|&node| self.nodes[node as usize].leads);
        found.extend(leads.filter(|&leads| leads != Leads::NOWHERE));
    }

    /// All places that lead somewhere.
    pub fn all(&self) -> impl Iterator<Item = Leads> {
        self.nodes.iter().map(|node| node.leads).filter(|&leads| leads != Leads::NOWHERE)
    }

    /// One word further from a node.
    #[inline]
    fn follow(&mut self, at: u32, word: Option<u32>, first: u32, found: &mut Vec<Leads>) {
        let Node { star, literals, word: by, .. } = self.nodes[at as usize];
        if literals > 0
            && let Some(word) = word
            && let Some(&child) = self.edges.get(&(at, word))
        {
            self.reach(child, first, found);
        }
        if star != NONE {
            self.reach(star, first, found);
        }
        if by == REST {
            self.reach(at, first, found);
        }
    }

    /// A node is reached, and with it, as no word is any number of words, its child by `#`. `first` is the step with
    /// which the match began.
    #[inline]
    fn reach(&mut self, at: u32, first: u32, found: &mut Vec<Leads>) {
        let step = self.step;
        let node = &mut self.nodes[at as usize];
        if node.seen == step {
            return;
        }
        node.seen = step;
        let rest = node.rest;
        self.live.push(at);
        if rest == NONE {
            return;
        }
        let end = &mut self.nodes[rest as usize];
        if end.star != NONE || end.literals > 0 {
            self.reach(rest, first, found);
        } else if end.seen < first {
            // A `#` at the end of all binding keys through it has matched whatever comes: it need not be kept alive.
            end.seen = step;
            found.push(end.leads);
        }
    }

    /// Gives the match steps of its own.
    fn begin(&mut self) {
        if self.step > u32::MAX - STEPS_OF_A_MATCH {
            self.nodes.iter_mut().for_each(|node| node.seen = 0);
            self.step = 0;
        }
        self.step += 1;
    }

    fn child(&self, node: u32, word: &[u8]) -> Option<u32> {
        let child = match word {
            b"*" => self.nodes[node as usize].star,
            b"#" => self.nodes[node as usize].rest,
            word => *self.edges.get(&(node, self.words.find(word)?))?,
        };
        (child != NONE).then_some(child)
    }

    fn add_child(&mut self, parent: u32, word: &[u8]) -> u32 {
        let by = match word {
            b"*" => STAR,
            b"#" => REST,
            word => self.words.retain(word),
        };
        let node = Node::new(parent, by);
        let child = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("memory ends before 2^32 nodes do")
        });
        self.nodes[child as usize] = node;
        match by {
            STAR => self.nodes[parent as usize].star = child,
            REST => self.nodes[parent as usize].rest = child,
            number => {
                self.nodes[parent as usize].literals += 1;
                self.edges.insert((parent, number), child);
            }
        }
        child
    }

    /// Every node but the root is somebody's child and needed; words and edges are as many as the nodes use.
    pub fn invariants(&self) {
        let free: std::collections::HashSet<u32> = self.free.iter().copied().collect();
        let mut by_word = 0;
        for (at, node) in (0..).zip(&self.nodes).filter(|(at, _)| *at != ROOT && !free.contains(at)) {
            assert!(!node.is_needless(), "a node that leads nowhere is forgotten");
            let parent = &self.nodes[node.parent as usize];
            match node.word {
                STAR => assert_eq!(parent.star, at),
                REST => assert_eq!(parent.rest, at),
                number => {
                    by_word += 1;
                    assert_eq!(self.edges.get(&(node.parent, number)), Some(&at));
                }
            }
        }
        assert_eq!(self.edges.len(), by_word);
        assert_eq!(self.words.users(), by_word);
    }
}

impl Node {
    fn new(parent: u32, word: u32) -> Node {
        Node { seen: 0, star: NONE, rest: NONE, literals: 0, leads: Leads::NOWHERE, parent, word }
    }

    fn is_needless(&self) -> bool {
        self.leads == Leads::NOWHERE && self.star == NONE && self.rest == NONE && self.literals == 0
    }
}

/// The words of the binding keys, each with a number; a word of a routing key that has none matches no literal.
struct Words {
    numbers: HashMap<Box<[u8]>, u32, RandomState>,
    /// By number: the word, and how many nodes are reached by it.
    entries: Vec<(Box<[u8]>, u32)>,
    free: Vec<u32>,
}

impl Words {
    #[inline]
    fn find(&self, word: &[u8]) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    fn retain(&mut self, word: &[u8]) -> u32 {
        if let Some(number) = self.find(word) {
            self.entries[number as usize].1 += 1;
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Default::default());
            (self.entries.len() - 1) as u32
        });
        self.entries[number as usize] = (word.into(), 1);
        self.numbers.insert(word.into(), number);
        number
    }

    fn release(&mut self, number: u32) {
        let (word, users) = &mut self.entries[number as usize];
        *users -= 1;
        if *users == 0 {
            self.numbers.remove(word);
            *word = Box::default();
            self.free.push(number);
        }
    }

    fn users(&self) -> usize {
        self.entries.iter().map(|(_, users)| *users as usize).sum()
    }
}

/// An empty key has no words; `a..b` has three, `a.` has two.
fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    key.split(|&byte| byte == b'.').take(if key.is_empty() { 0 } else { usize::MAX })
}

/// The words of a binding key, of several `#` in a row only the first: they mean the same.
fn pattern(binding_key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut after_rest = false;
    words(binding_key).filter(move |&word| {
        let again = after_rest && word == b"#";
        after_rest = word == b"#";
        !again
    })
}

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;
const STAR: u32 = u32::MAX - 1;
const REST: u32 = u32::MAX - 2;
/// A routing key has at most 255 octets, hence 256 words.
const STEPS_OF_A_MATCH: u32 = 512;

const _: () = assert!(size_of::<Node>() == 32, "two nodes fit a cache line");

#[cfg(test)]
mod tests {
    use super::super::lists::ListIndex;
    use super::*;

    fn trie(keys: &[&str]) -> Trie {
        let mut trie = Trie::new(RandomState::with_seeds(1, 2, 3, 4));
        for key in keys {
            let node = trie.insert(key.as_bytes());
            // Any list but the empty one will do.
            *trie.leads_mut(node) = Leads { queues: MARK, exchanges: ListIndex::EMPTY };
        }
        trie
    }

    const MARK: ListIndex = ListIndex::FOR_TESTS;

    fn matches(binding_key: &str, routing_key: &str) -> bool {
        let (mut trie, mut found) = (trie(&[binding_key]), Vec::new());
        trie.matches(routing_key.as_bytes(), &mut found);
        assert!(found.len() <= 1, "{binding_key} {routing_key}");
        !found.is_empty()
    }

    #[test]
    fn stars_take_one_word_and_hashes_any_number() {
        for (binding_key, yes, no) in [
            (
                "*.orange.*",
                &["quick.orange.rabbit", ".orange."][..],
                &["orange", "orange.a", "a.b.orange.c"][..],
            ),
            ("lazy.#", &["lazy", "lazy.", "lazy.a.b.c"], &["", "lazyer", "a.lazy"]),
            ("#", &["", "a", "a.b", "..."], &[]),
            ("#.#", &["", "a", "a.b"], &[]),
            ("", &[""], &["a", "."]),
            ("*", &["a"], &["", "a.b", "."]),
            ("*.*", &[".", "a.", "a.b"], &["", "a"]),
            ("a..b", &["a..b"], &["a.b", "a...b"]),
            ("a.", &["a."], &["a", "a.."]),
            ("#.a.#", &["a", "x.a", "a.x", "x.a.y", "a.a"], &["", "b", "x.b.y"]),
            ("#.*", &["a", "a.b", "."], &[""]),
            ("*.#", &["a", "a.b", "."], &[""]),
            ("#.a.#.b.#.c.#", &["a.b.c", "x.a.x.b.x.c.x"], &["c.b.a", "a.b"]),
            ("a*.#b", &["a*.#b"], &["ax.b"]),
        ] {
            yes.iter().for_each(|key| assert!(matches(binding_key, key), "{binding_key} takes {key}"));
            no.iter().for_each(|key| assert!(!matches(binding_key, key), "{binding_key} refuses {key}"));
        }
    }

    #[test]
    fn an_empty_word_is_a_word_to_a_star() {
        assert!(matches("a.*.b", "a..b"));
        assert!(matches("*", "x") && !matches("*", ""));
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
        let keys = ["a.b.c", "a.b", "a.*.c", "#.c", "a.#", "", "x.y.z"];
        let mut trie = trie(&keys);
        trie.invariants();
        for key in keys {
            let node = trie.find(key.as_bytes()).unwrap();
            *trie.leads_mut(node) = Leads::NOWHERE;
            trie.remove(node);
            trie.invariants();
        }
        assert_eq!((trie.edges.len(), trie.words.numbers.len()), (0, 0));
        assert_eq!(trie.free.len(), trie.nodes.len() - 1, "only the root is left");
    }

    #[test]
    fn marks_of_old_matches_are_wiped_when_the_steps_run_out() {
        let mut trie = trie(&["a.#", "#.b"]);
        trie.step = u32::MAX - STEPS_OF_A_MATCH - 2;
        for _ in 0..9 {
            let mut found = Vec::new();
            trie.matches(b"a.b", &mut found);
            assert_eq!(found.len(), 2);
        }
        assert!(trie.step < 100);
    }
}

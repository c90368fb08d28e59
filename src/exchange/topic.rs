//! The routing table of a topic exchange: binding keys as paths of words in a trie that lies in flat arrays.
//!
//! ```text
//! root --"stock"--> n1 --"*"--> n2 --"nyse"--> n3: leads of `stock.*.nyse`
//!   \--"#"--> n4 --"low"--> n5                 n5: leads of `#.low`
//!
//! edges   hash of (node, word) --> the child's number           nodes[i]   star, rest, leads, the word that leads here
//! ```
//! A routing key is matched word by word against the set of nodes that the words so far lead to, each node once: its
//! time is bounded by words x live nodes, however many `#` a binding key has. Nothing is allocated by a match. An edge
//! costs two cache lines: one of `edges`, and the child itself, which says whether it is the one.

mod edges;

use ahash::RandomState;

use super::lists::Leads;
use edges::{Edges, WordHash};

pub(super) struct Trie {
    nodes: Vec<Node>,
    edges: Edges,
    free: Vec<u32>,
    /// The nodes that the last word led to, and those of one word before.
    live: Vec<u32>,
    before: Vec<u32>,
    /// The children by `#` that were reached: they stay, as any word may follow.
    resting: Vec<u32>,
    /// Counts words over all matches; a node that carries the number was reached by that word.
    step: u32,
    hashing: RandomState,
}

/// What leads to a node, and where it leads.
#[repr(align(64))]
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
    by: By,
}

/// By what its parent leads to a node.
enum By {
    Star,
    Rest,
    /// A word, kept in place if it is as short as most are.
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Trie {
    pub fn new(hashing: RandomState) -> Trie {
        Trie {
            nodes: vec![Node::new(NONE, By::Star)],
            edges: Edges::default(),
            free: Vec::new(),
            live: Vec::new(),
            before: Vec::new(),
            resting: Vec::new(),
            step: 0,
            hashing,
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
            let Node { parent, by, .. } = &mut self.nodes[node as usize];
            let (parent, by) = (*parent, std::mem::replace(by, By::Star));
            match by.word() {
                Some(word) => {
                    self.edges.remove(parent, WordHash::of(&self.hashing, word), node);
                    self.nodes[parent as usize].literals -= 1;
                }
                None if matches!(by, By::Rest) => self.nodes[parent as usize].rest = NONE,
                None => self.nodes[parent as usize].star = NONE,
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
        self.resting.clear();
        self.reach(ROOT, first, found);
        for word in words(routing_key) {
            let hash = WordHash::of(&self.hashing, word);
            self.step += 1;
            // Those that this word adds are for the next.
            let resting = self.resting.len();
            std::mem::swap(&mut self.live, &mut self.before);
            self.live.clear();
            for at in 0..self.before.len() {
                self.follow(self.before[at], word, hash, first, found);
            }
            for at in 0..resting {
                self.follow(self.resting[at], word, hash, first, found);
            }
            if self.live.is_empty() && self.resting.is_empty() {
                return;
            }
        }
        let alive = self.live.iter().chain(&self.resting);
        let leads = alive.map(|&node| self.nodes[node as usize].leads);
        found.extend(leads.filter(|&leads| leads != Leads::NOWHERE));
    }

    /// All places that lead somewhere.
    pub fn all(&self) -> impl Iterator<Item = Leads> {
        self.nodes.iter().map(|node| node.leads).filter(|&leads| leads != Leads::NOWHERE)
    }

    /// One word further from a node.
    #[inline]
    fn follow(&mut self, at: u32, word: &[u8], hash: WordHash, first: u32, found: &mut Vec<Leads>) {
        let Node { star, literals, .. } = self.nodes[at as usize];
        if literals > 0
            && let Some(child) = self.literal(at, word, hash)
        {
            self.reach(child, first, found);
        }
        if star != NONE {
            self.reach(star, first, found);
        }
    }

    #[inline]
    fn literal(&self, parent: u32, word: &[u8], hash: WordHash) -> Option<u32> {
        self.edges.find(parent, hash, |child| {
            let node = &self.nodes[child as usize];
            node.parent == parent && node.by.word() == Some(word)
        })
    }

    /// A node is reached, and with it, as no word is any number of words, its child by `#`. `first` is the step with
    /// which the match began.
    #[inline]
    fn reach(&mut self, at: u32, first: u32, found: &mut Vec<Leads>) {
        let node = &mut self.nodes[at as usize];
        if node.seen == self.step {
            return;
        }
        node.seen = self.step;
        let rest = node.rest;
        if node.star != NONE || node.literals > 0 || node.leads != Leads::NOWHERE {
            self.live.push(at);
        }
        if rest == NONE {
            return;
        }
        let end = &mut self.nodes[rest as usize];
        if end.seen >= first {
            return;
        }
        end.seen = self.step;
        if end.star != NONE || end.literals > 0 {
            self.resting.push(rest);
        } else {
            // A `#` at the end of all binding keys through it has matched whatever comes.
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
            word => return self.literal(node, word, WordHash::of(&self.hashing, word)),
        };
        (child != NONE).then_some(child)
    }

    fn add_child(&mut self, parent: u32, word: &[u8]) -> u32 {
        let node = Node::new(parent, By::new(word));
        let child = if let Some(child) = self.free.pop() {
            self.nodes[child as usize] = node;
            child
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("memory ends before 2^32 nodes do")
        };
        match word {
            b"*" => self.nodes[parent as usize].star = child,
            b"#" => self.nodes[parent as usize].rest = child,
            word => {
                self.nodes[parent as usize].literals += 1;
                self.edges.insert(parent, WordHash::of(&self.hashing, word), child);
            }
        }
        child
    }

    /// Every node but the root is somebody's child and needed; and there are as many edges as nodes by a word.
    pub fn invariants(&self) {
        let free: std::collections::HashSet<u32> = self.free.iter().copied().collect();
        let mut by_word = 0;
        for (at, node) in (0..).zip(&self.nodes).filter(|(at, _)| *at != ROOT && !free.contains(at)) {
            assert!(!node.is_needless(), "a node that leads nowhere is forgotten");
            let parent = &self.nodes[node.parent as usize];
            match node.by.word() {
                Some(word) => {
                    by_word += 1;
                    assert_eq!(self.child(node.parent, word), Some(at));
                }
                None if matches!(node.by, By::Rest) => assert_eq!(parent.rest, at),
                None => assert_eq!(parent.star, at),
            }
        }
        assert_eq!(self.edges.len(), by_word);
    }
}

impl Node {
    fn new(parent: u32, by: By) -> Node {
        Node { seen: 0, star: NONE, rest: NONE, literals: 0, leads: Leads::NOWHERE, parent, by }
    }

    fn is_needless(&self) -> bool {
        self.leads == Leads::NOWHERE && self.star == NONE && self.rest == NONE && self.literals == 0
    }
}

impl By {
    fn new(word: &[u8]) -> By {
        match word {
            b"*" => By::Star,
            b"#" => By::Rest,
            word if word.len() <= SHORT => {
                let mut short = [0; SHORT];
                short[..word.len()].copy_from_slice(word);
                By::Short(word.len() as u8, short)
            }
            word => By::Long(word.into()),
        }
    }

    #[inline]
    fn word(&self) -> Option<&[u8]> {
        match self {
            By::Star | By::Rest => None,
            By::Short(len, word) => Some(&word[..usize::from(*len)]),
            By::Long(word) => Some(word),
        }
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
/// Octets of a word that fit a node.
const SHORT: usize = 22;
/// A routing key has at most 255 octets, hence 256 words.
const STEPS_OF_A_MATCH: u32 = 512;

const _: () = assert!(size_of::<Node>() == 64, "a node is a cache line");

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
            ("a.#.a", &["a.a", "a.b.a", "a.a.a"], &["a", "a.b"]),
            ("a*.#b", &["a*.#b"], &["ax.b"]),
        ] {
            yes.iter().for_each(|key| assert!(matches(binding_key, key), "{binding_key} takes {key}"));
            no.iter().for_each(|key| assert!(!matches(binding_key, key), "{binding_key} refuses {key}"));
        }
    }

    #[test]
    fn words_of_any_length_are_told_apart() {
        let long = "w".repeat(SHORT + 1);
        assert!(matches(&long, &long) && !matches(&long, &long[1..]) && !matches(&long[1..], &long));
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
        assert_eq!(trie.edges.len(), 0);
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

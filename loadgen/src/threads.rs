//! Which thread drives which connection.

use std::collections::HashMap;

use crate::plan::Load;

impl Load {
    /// Gives each connection a thread, all consumers of a queue the same one (its check has one owner), and returns how
    /// many threads have work.
    pub fn assign_threads(&mut self, threads: usize) -> usize {
        let mut group_of_queue = HashMap::new();
        let mut groups = Groups::default();
        let mut group_of: Vec<Option<usize>> = Vec::with_capacity(self.connections.len());
        for connection in &self.connections {
            let mut own = None;
            for &consumer in &connection.consumers {
                let queue = self.consumers[consumer].queue;
                let group = *group_of_queue.entry(queue).or_insert_with(|| groups.add());
                own = Some(own.map_or(group, |own| groups.join(own, group)));
            }
            group_of.push(own);
        }
        // Consumers fill the threads from the first, connections that only publish from the second.
        let mut next = HashMap::new();
        let mut publishing = 0;
        for (connection, group) in self.connections.iter_mut().zip(group_of) {
            let turn = match group {
                Some(group) => {
                    let count = next.len();
                    *next.entry(groups.root(group)).or_insert(count)
                }
                None => {
                    publishing += 1;
                    publishing
                }
            };
            connection.thread = turn % threads;
        }
        self.compact_threads()
    }

    /// Renumbers the threads so that each of them has a connection.
    fn compact_threads(&mut self) -> usize {
        let mut used: Vec<usize> = self.connections.iter().map(|connection| connection.thread).collect();
        used.sort_unstable();
        used.dedup();
        for connection in &mut self.connections {
            connection.thread = used.binary_search(&connection.thread).unwrap_or(0);
        }
        used.len().max(1)
    }
}

/// Sets that are joined: connections whose consumers share queues, directly or through others.
#[derive(Default)]
struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    fn add(&mut self) -> usize {
        self.parent.push(self.parent.len());
        self.parent.len() - 1
    }

    fn root(&self, mut group: usize) -> usize {
        while self.parent[group] != group {
            group = self.parent[group];
        }
        group
    }

    fn join(&mut self, one: usize, other: usize) -> usize {
        let (one, other) = (self.root(one), self.root(other));
        self.parent[one.max(other)] = one.min(other);
        one.min(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::load;

    #[test]
    fn all_consumers_of_a_queue_share_a_thread() {
        let load =
            load("--threads 3 -x 5 -y 7 --queue-pattern q-%d --queue-pattern-from 1 --queue-pattern-to 3");
        let mut thread_of_queue = HashMap::new();
        for connection in &load.connections {
            assert!(connection.thread < 3);
            for &consumer in &connection.consumers {
                let queue = load.consumers[consumer].queue;
                assert_eq!(*thread_of_queue.entry(queue).or_insert(connection.thread), connection.thread);
            }
        }
        assert_eq!(thread_of_queue.len(), 3);
    }

    #[test]
    fn one_producer_and_one_consumer_have_a_thread_each() {
        let load = load("--threads 2");
        assert_eq!(load.connections.iter().map(|connection| connection.thread).collect::<Vec<_>>(), [0, 1]);
    }
}

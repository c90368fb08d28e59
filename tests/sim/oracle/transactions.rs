//! What clients write in tx mode: it is told once more, as something to be done, when the commit is written.

use super::crash::Commit;
use super::*;

impl Oracle {
    pub fn select_transactions(&mut self, channel: ChannelIx) {
        if self.tell(channel, Request::Select) {
            self.channels[channel].transaction.get_or_insert_default();
        }
    }

    /// Until the commit is written nobody may see it.
    pub(super) fn hold(&mut self, channel: ChannelIx, message: PublicationIx) {
        if self.tell(channel, Request::Hold(message))
            && let Some(transaction) = &mut self.channels[channel].transaction
        {
            transaction.publishes.push(message);
            self.publications[message].held = true;
            self.tally.published += 1;
        }
    }

    pub fn commit(&mut self, channel: ChannelIx) {
        let Some(transaction) = self.take_transaction(channel) else { return };
        // What is rejected settles when it has become a letter.
        let settlements =
            transaction.settlements.iter().filter(|settlement| settlement.ids == super::told::ACK);
        let settled = settlements.flat_map(|settlement| &settlement.tags);
        self.commits.push(Commit {
            channel,
            publishes: transaction.publishes.clone(),
            settled: settled.map(|(_, held)| (held.queue, held.message)).collect(),
            answered: false,
            at: self.time,
        });
        for &message in &transaction.publishes {
            if self.tell(channel, Request::Publish(message)) {
                self.publications[message].state = Routing::Written;
                self.publications[message].at_ns = self.now_ns;
                self.tally.committed += 1;
            }
        }
        for settlement in transaction.settlements {
            self.settled(channel, settlement);
        }
        self.tell(channel, Request::Commit(transaction.publishes));
    }

    pub fn roll_back(&mut self, channel: ChannelIx) {
        self.forget_transaction(channel);
        self.tell(channel, Request::Rollback);
    }

    /// Its messages are never published, and its tags are unsettled.
    pub(super) fn forget_transaction(&mut self, channel: ChannelIx) {
        let Some(transaction) = self.take_transaction(channel) else { return };
        self.tally.rolled_back += transaction.publishes.len() as u64;
        let tags = transaction.settlements.into_iter().flat_map(|settlement| settlement.tags);
        let back = tags.map(|(tag, held)| (tag, Held { rolled_back: true, ..held }));
        self.channels[channel].held.extend(back);
    }

    fn take_transaction(&mut self, channel: ChannelIx) -> Option<Transaction> {
        self.channels[channel].transaction.as_mut().map(std::mem::take)
    }
}

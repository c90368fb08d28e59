//! basic.recover: what a channel holds goes back to the old places, and recover-ok means that it is there.
//!
//! ```text
//! recover -> pieces of the unacked -> a barrier to each shard -> recover-ok
//! ```
//! The channel is parked meanwhile. Deliveries that come in between have later tags and stay; they follow recover-ok, so
//! that its client knows that what it was sent before is not its own any more.

use super::Shard;
use super::command::Command;
use crate::amqp::method::Method;
use crate::amqp::reply::{ConnectionError, ReplyCode};
use crate::connection::Failure;
use crate::connection::channel::Pending;
use crate::ids::{ChannelNumber, Requester, ShardId};

impl Shard {
    /// `nowait`: recover-async, which has no answer.
    pub(super) fn recover(
        &mut self,
        slot: u32,
        number: ChannelNumber,
        requeue: bool,
        nowait: bool,
        method: &Method<'_>,
    ) -> Result<(), Failure> {
        if !requeue {
            return Err(ConnectionError::new(ReplyCode::NotImplemented, "requeue=false", method.ids()).into());
        }
        let Some(connection) = self.rooms.outward.connections.get_mut(slot) else { return Ok(()) };
        let id = connection.id;
        let Some(channel) = connection.channel(number) else { return Ok(()) };
        let last_tag = channel.next_tag - 1;
        self.park(slot, number, Pending::Recover { last_tag, left: None, nowait });
        self.requeue_channel(id, number);
        Ok(())
    }

    /// All pieces are on their way: each shard will tell that it has them. Also this one, for the answer is not to be
    /// written within the request. False if the channel does not recover.
    pub(super) fn recover_requeued(&mut self, to: Requester) -> bool {
        let shards = self.rooms.outward.mesh.shards();
        let Some(channel) = self.rooms.outward.channel(to.connection, to.channel) else {
            return false;
        };
        let Some(Pending::Recover { left, .. }) = &mut channel.pending else { return false };
        *left = Some(u32::from(shards));
        for shard in (0..shards).map(ShardId) {
            self.send(shard, Command::Barrier(to));
        }
        true
    }

    /// A shard has told. False if the channel does not recover.
    pub(super) fn recover_count_down(&mut self, to: Requester) -> bool {
        let Some(channel) = self.rooms.outward.channel(to.connection, to.channel) else {
            return false;
        };
        let Some(Pending::Recover { left: Some(left), .. }) = &mut channel.pending else { return false };
        *left -= 1;
        self.recovered(to);
        true
    }

    /// Answers if everything is back.
    fn recovered(&mut self, to: Requester) {
        let (slot, number) = (to.connection.slot, to.channel);
        let Some(channel) = self.rooms.outward.channel(to.connection, number) else {
            return;
        };
        let Some(Pending::Recover { left: Some(0), nowait, .. }) = channel.pending else { return };
        self.take_pending(to);
        self.write(slot, number, nowait, |connection| {
            connection.reply(number, &Method::BasicRecoverOk {});
            connection.release_held_back(number);
        });
        self.answered(to);
    }
}

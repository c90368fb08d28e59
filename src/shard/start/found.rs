//! The first start on a data folder: what it begins with is written down, so that a later start with other settings does
//! not change it.

use super::Common;
use crate::ids::{Name, root};
use crate::shard::desk::{Done, Order};

impl Common {
    /// Makes the vhost, instead of `/` if nothing is in that yet, and says who the users are. Nobody may be served before.
    /// The error says what could not be made.
    pub async fn found(&self, vhost: Name, is_new: bool) -> Result<(), String> {
        if vhost != root() {
            self.made(Order::DeclareVhost { vhost, about: Name::from([]) }).await?;
            if is_new {
                self.made(Order::DeleteVhost { vhost: root() }).await?;
            }
        }
        // With the first change of all, however small, the users there are from the start come to be on disk.
        self.made(Order::ChangeAccess(Vec::new())).await
    }

    async fn made(&self, order: Order) -> Result<(), String> {
        let what = format!("{order:?}");
        match self.ask(order).await {
            Some(Done::Vhost { .. } | Done::Changed) => Ok(()),
            other => Err(format!("the first start on the data folder failed: {what}: {other:?}")),
        }
    }
}

//! Who asks: HTTP Basic, judged as a login over AMQP is.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64ct::{Base64, Encoding};

use super::answer::Refusal;
use crate::access::{self, Access};
use crate::shard::desk::{Done, Order};
use crate::shard::start::Common;

/// A user who has logged in and may use the API, and what all users may do.
#[derive(Clone)]
pub struct User {
    pub user: Arc<access::User>,
    pub access: Access,
    /// For what is done in the user's name over AMQP.
    pub password: Arc<[u8]>,
    pub peer: SocketAddr,
}

impl User {
    /// Whether it may see what lies in the vhost: that is who may enter it, and monitors.
    pub fn may_see(&self, vhost: &[u8]) -> bool {
        self.user.tags.may_monitor() || self.access.may_enter(&self.user.name, vhost)
    }
}

/// Of who was let in; the route said who that may be.
impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<User, Refusal> {
        parts.extensions.get::<User>().cloned().ok_or(Refusal::Unauthenticated { tried: false })
    }
}

/// What a request says of who sent it.
pub struct Credentials {
    name: Box<[u8]>,
    password: Arc<[u8]>,
    pub peer: SocketAddr,
}

impl Credentials {
    pub fn of(request: &Request) -> Result<Credentials, Refusal> {
        let header = request.headers().get(AUTHORIZATION).ok_or(Refusal::Unauthenticated { tried: false })?;
        let refused = || Refusal::Unauthenticated { tried: true };
        let basic = header.to_str().ok().and_then(|text| text.strip_prefix("Basic "));
        let decoded = basic.and_then(|text| Base64::decode_vec(text).ok()).ok_or_else(refused)?;
        let at = decoded.iter().position(|&byte| byte == b':').ok_or_else(refused)?;
        let (name, password) = (decoded[..at].into(), decoded[at + 1..].into());
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().ok_or_else(refused)?.0;
        Ok(Credentials { name, password, peer })
    }

    pub async fn log_in(self, common: &Common) -> Result<User, Refusal> {
        let Credentials { name, password, peer } = self;
        let Some(Done::Access(access)) = common.ask(Order::Access).await else {
            return Err(Refusal::Unavailable);
        };
        let is_loopback = access::is_loopback(peer.ip());
        let loopback_users = common.config.users.loopback_users();
        let user = access.login(&name, &password, is_loopback, &loopback_users);
        let user = user.map_err(|_| Refusal::Unauthenticated { tried: true })?;
        if !user.tags.may_manage() {
            return Err(Refusal::NotAuthorised("Not management user".to_owned()));
        }
        Ok(User { user, access, password, peer })
    }
}

//! Who asks: HTTP Basic, judged as a login over AMQP is.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64ct::{Base64, Encoding};

use super::answer::Refusal;
use crate::access::{self, Access};
use crate::ids::Name;
use crate::shard::desk::{Done, Order};
use crate::shard::start::Common;

/// A user who has logged in and may use the API, and what all users may do.
pub struct User {
    pub user: Arc<access::User>,
    pub access: Access,
}

/// One who may do everything.
pub struct Administrator {
    pub user: Arc<access::User>,
    pub access: Access,
}

impl FromRequestParts<Common> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, common: &Common) -> Result<User, Refusal> {
        let header = parts.headers.get(AUTHORIZATION).ok_or(Refusal::Unauthenticated { tried: false })?;
        let refused = || Refusal::Unauthenticated { tried: true };
        let basic = header.to_str().ok().and_then(|text| text.strip_prefix("Basic "));
        let decoded = basic.and_then(|text| Base64::decode_vec(text).ok()).ok_or_else(refused)?;
        let at = decoded.iter().position(|&byte| byte == b':').ok_or_else(refused)?;
        let (name, password) = (&decoded[..at], &decoded[at + 1..]);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let is_loopback = peer.is_some_and(|ConnectInfo(peer)| access::is_loopback(peer.ip()));
        let Some(Done::Access(access)) = common.ask(Order::Access).await else {
            return Err(Refusal::Unavailable);
        };
        let user = access.login(name, password, is_loopback, &[Name::from(access::GUEST)]);
        let user = user.map_err(|_| refused())?;
        if !user.tags.may_manage() {
            return Err(Refusal::NotAuthorised("management"));
        }
        Ok(User { user, access })
    }
}

impl FromRequestParts<Common> for Administrator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, common: &Common) -> Result<Administrator, Refusal> {
        let User { user, access } = User::from_request_parts(parts, common).await?;
        if !user.tags.is_administrator() {
            return Err(Refusal::NotAuthorised("administrator"));
        }
        Ok(Administrator { user, access })
    }
}

//! Who asks: HTTP Basic, judged as a login over AMQP is; or whoever may open the socket in the data folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64ct::{Base64, Encoding};

use super::answer::Refusal;
use super::site::Api;
use crate::access::{self, Access, Algorithm, INSIDER, PasswordHash, Tags};
use crate::shard::desk::{Done, Order};
use crate::shard::start::Common;

/// A user who has logged in and may use the API, and what all users may do.
#[derive(Clone)]
pub struct User {
    pub user: Arc<access::User>,
    pub access: Access,
    pub proof: Proof,
    pub peer: SocketAddr,
}

/// How it is known who asks: for what is done in the user's name over AMQP.
#[derive(Clone, Copy)]
pub enum Proof {
    /// That of the user, as `user` has its hash.
    Password,
    /// The request came over the socket in the data folder, and may do everything.
    Socket,
}

/// Marks the requests that come over the socket in the data folder. Its permissions say who may send them.
#[derive(Clone, Copy)]
pub struct OverSocket;

impl User {
    /// Who asks over the socket, unless the request names a user: an administrator who is in no list of users.
    pub async fn of_socket(common: &Common) -> Result<User, Refusal> {
        let Some(Done::Access(access)) = common.ask(Order::Access).await else {
            return Err(Refusal::Unavailable);
        };
        let nobody = PasswordHash::nobody(Algorithm::default());
        let user = access::User::new(INSIDER, nobody, Tags::administrator()).expect("a short name");
        Ok(User { user: Arc::new(user), access, proof: Proof::Socket, peer: LOCAL })
    }

    pub fn is_trusted(&self) -> bool {
        matches!(self.proof, Proof::Socket)
    }

    pub fn may_enter(&self, vhost: &[u8]) -> bool {
        self.is_trusted() || self.access.may_enter(&self.user.name, vhost)
    }

    /// Whether it may see what lies in the vhost: that is who may enter it, and monitors.
    pub fn may_see(&self, vhost: &[u8]) -> bool {
        self.user.tags.may_monitor() || self.may_enter(vhost)
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
    password: Box<[u8]>,
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
        let peer = if is_over_socket(request) {
            LOCAL
        } else {
            request.extensions().get::<ConnectInfo<SocketAddr>>().ok_or_else(refused)?.0
        };
        Ok(Credentials { name, password, peer })
    }

    pub fn new(name: &[u8], password: &[u8], peer: SocketAddr) -> Credentials {
        Credentials { name: name.into(), password: password.into(), peer }
    }

    pub async fn log_in(self, api: &Api) -> Result<User, Refusal> {
        let Credentials { name, password, peer } = self;
        let Some(Done::Access(access)) = api.common.ask(Order::Access).await else {
            return Err(Refusal::Unavailable);
        };
        let is_loopback = access::is_loopback(peer.ip());
        let loopback_users = api.common.config.users.loopback_users();
        let verdict = api.remembered.judge(access.claim(&name, &password)).await?;
        let user = access.admit(&verdict, is_loopback, &loopback_users);
        let user = user.map_err(|_| Refusal::Unauthenticated { tried: true })?;
        if !user.tags.may_manage() {
            return Err(Refusal::NotAuthorised("Not management user".to_owned()));
        }
        Ok(User { user, access, proof: Proof::Password, peer })
    }
}

pub fn is_over_socket(request: &Request) -> bool {
    request.extensions().get::<OverSocket>().is_some()
}

/// Where who asks over the socket is.
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

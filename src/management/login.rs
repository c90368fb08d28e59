//! Who asks: HTTP Basic, judged as a login over AMQP is.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64ct::{Base64, Encoding};

use super::answer::Refusal;
use crate::access;

/// A user who has logged in. There is one so far, who may do everything.
pub struct User {
    pub name: String,
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<User, Refusal> {
        let header = parts.headers.get(AUTHORIZATION).ok_or(Refusal::Unauthenticated { tried: false })?;
        let refused = || Refusal::Unauthenticated { tried: true };
        let basic = header.to_str().ok().and_then(|text| text.strip_prefix("Basic "));
        let decoded = basic.and_then(|text| Base64::decode_vec(text).ok()).ok_or_else(refused)?;
        let at = decoded.iter().position(|&byte| byte == b':').ok_or_else(refused)?;
        let (name, password) = (&decoded[..at], &decoded[at + 1..]);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let is_loopback = peer.is_some_and(|ConnectInfo(peer)| access::is_loopback(peer.ip()));
        access::authenticate(name, password, is_loopback).map_err(|_| refused())?;
        Ok(User { name: String::from_utf8_lossy(name).into_owned() })
    }
}

//! Who has logged in by a form: a cookie with a random name, and who that is, on this side.
//!
//! ```text
//! POST /api/login, name and password -> Set-Cookie -> requests with it -> DELETE /api/login, or the end of its time
//! ```
//! It also ends when the password changes or the user goes. Browsers send a cookie, and a password that they were told, along
//! with whatever a page of somebody else asks for: see [`is_foreign`].

#![allow(clippy::disallowed_types, reason = "it is the HTTP thread's own: no shard waits for it")]

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Deserialize;

use super::answer::{Answer, Refusal};
use super::login::{Credentials, Proof, User};
use super::routes::{Need, Routes, log_in};
use super::site::Api;
use crate::access::{self, Access, PasswordHash};
use crate::ids::Name;
use crate::shard::desk::{Done, Order};
use crate::shard::start::Common;

pub fn routes(routes: Routes) -> Routes {
    use Need::Nothing;
    routes.post("/api/login", Nothing, begin).delete("/api/login", Nothing, end)
}

#[derive(Default)]
pub struct Logins {
    logins: Mutex<HashMap<Token, Login>>,
}

/// What a cookie says. Nobody guesses 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u128);

#[derive(Clone)]
struct Login {
    name: Name,
    /// As it was: with another one this ends.
    password: PasswordHash,
    until: Instant,
}

impl Logins {
    fn begin(&self, user: &User, now: Instant, lasts: Duration) -> Result<Token, Refusal> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| Refusal::Unavailable)?;
        let token = Token(u128::from_ne_bytes(random));
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= LOGINS_MAX {
            logins.retain(|_, login| login.until > now);
        }
        // Whoever logs in is no more than those before, but here now.
        while logins.len() >= LOGINS_MAX
            && let Some((&first, _)) = logins.iter().min_by_key(|(_, login)| login.until)
        {
            logins.remove(&first);
        }
        let (name, password) = (user.user.name.clone(), user.user.password.clone());
        logins.insert(token, Login { name, password, until: now + lasts });
        Ok(token)
    }

    /// Whose it is, as the user is now; none if it has ended.
    fn user(&self, token: Token, access: Access, peer: SocketAddr, now: Instant) -> Option<User> {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let login = logins.get(&token)?;
        let user = access.user(&login.name).filter(|user| user.password == login.password);
        match user.filter(|_| login.until > now) {
            Some(user) => Some(User { user: user.clone(), proof: Proof::Password, access, peer }),
            None => {
                logins.remove(&token);
                None
            }
        }
    }

    fn end(&self, token: Token) {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).remove(&token);
    }
}

impl Token {
    pub fn of(headers: &HeaderMap) -> Option<Token> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|header| header.to_str().ok());
        let mut pairs =
            cookies.flat_map(|cookies| cookies.split("; ")).filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == NAME)?;
        let is_hex = value.len() == 32 && value.bytes().all(|octet| octet.is_ascii_hexdigit());
        u128::from_str_radix(value, 16).ok().filter(|_| is_hex).map(Token)
    }

    /// Who has logged in by it and may still use the API. Nobody is asked for a password by the browser itself instead.
    pub async fn user(self, peer: SocketAddr, api: &Api) -> Result<User, Refusal> {
        let Some(Done::Access(access)) = api.common.ask(Order::Access).await else {
            return Err(Refusal::Unavailable);
        };
        let user = api.logins.user(self, access, peer, Instant::now());
        let user = user.filter(|user| may_come_from(&user.user.name, peer, &api.common));
        let user = user.ok_or_else(|| Refusal::NotAuthorised("Not logged in".to_owned()))?;
        let may_manage = user.user.tags.may_manage();
        if may_manage { Ok(user) } else { Err(Refusal::NotAuthorised("Not management user".to_owned())) }
    }
}

fn may_come_from(name: &Name, peer: SocketAddr, common: &Common) -> bool {
    access::is_loopback(peer.ip()) || !common.config.users.loopback_users().contains(name)
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Whether a request that changes something may be a page's of another origin. None of those can set a header of this
/// name: it would ask first what is allowed, and nothing is. Without it the browser says where a change comes from.
pub fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    if method.is_safe() || is_by_script(headers) {
        return false;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = |origin: &str| origin.split_once("://").map(|(_, host)| host.to_ascii_lowercase());
    match headers.get(header::ORIGIN) {
        Some(_) => {
            let own = text(header::HOST).map(str::to_ascii_lowercase);
            own.is_none() || text(header::ORIGIN).and_then(host) != own
        }
        // It is no browser, unless it brings a cookie.
        None => Token::of(headers).is_some() && !headers.contains_key(header::AUTHORIZATION),
    }
}

/// Whether it says that it comes from a script of our own page, or from no page.
pub fn is_by_script(headers: &HeaderMap) -> bool {
    headers.contains_key("x-requested-with")
}

#[derive(Deserialize)]
pub struct Fields {
    username: String,
    password: String,
}

async fn begin(
    State(api): State<Api>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Answer {
    let (Ok(Form(Fields { username, password })), Some(Extension(ConnectInfo(peer)))) = (form, peer) else {
        return Err(Refusal::Unauthenticated { tried: true });
    };
    let credentials = Credentials::new(username.as_bytes(), password.as_bytes(), peer);
    let user = log_in(credentials, &api).await?;
    let lasts = Duration::from_secs(60 * api.common.config.http_login_minutes);
    let token = api.logins.begin(&user, Instant::now(), lasts)?;
    // A proxy speaks TLS, or nobody does.
    let is_secure = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie = format!("{}; Max-Age={}{secure}", cookie(&api, &token.to_string()), lasts.as_secs());
    Ok(([(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())], Json("ok"))
        .into_response())
}

async fn end(State(api): State<Api>, headers: HeaderMap) -> Answer {
    if let Some(token) = Token::of(&headers) {
        api.logins.end(token);
    }
    let cookie = format!("{}; Max-Age=0", cookie(&api, ""));
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

fn cookie(api: &Api, value: &str) -> String {
    format!("{NAME}={value}; Path={}/; HttpOnly; SameSite=Strict", api.common.config.http_path_prefix)
}

const NAME: &str = "haremq_login";
/// A few hundred octets each.
const LOGINS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn guest() -> User {
        let access = Access::guest();
        let user = access.user(access::GUEST).unwrap().clone();
        User { user, access, proof: Proof::Password, peer: PEER }
    }

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_login_lasts_so_long_and_no_longer() {
        let (logins, now) = (Logins::default(), Instant::now());
        let token = logins.begin(&guest(), now, HOUR).unwrap();
        let user = |at| logins.user(token, Access::guest(), PEER, at);
        assert!(user(now + HOUR - Duration::from_secs(1)).is_some());
        assert!(user(now + HOUR).is_none());
        assert!(user(now).is_none(), "it is forgotten");
    }

    #[test]
    fn there_are_so_many_and_the_oldest_goes_first() {
        let (logins, now) = (Logins::default(), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        let tokens: Vec<Token> =
            (0..=LOGINS_MAX as u64).map(|ms| logins.begin(&guest(), at(ms), HOUR).unwrap()).collect();
        assert_eq!(logins.logins.lock().unwrap().len(), LOGINS_MAX);
        let is_there = |token: Token| logins.user(token, Access::guest(), PEER, now).is_some();
        assert_eq!([is_there(tokens[0]), is_there(tokens[1])], [false, true]);
    }

    #[test]
    fn a_cookie_is_found_among_others_and_nothing_else_is_taken_for_one() {
        let token = "0123456789abcdef0123456789abcdef";
        let of = |cookies| Token::of(&headers(&[("cookie", cookies)])).map(|token| token.to_string());
        assert_eq!(of("m=x; haremq_login=0123456789abcdef0123456789abcdef; n=y").as_deref(), Some(token));
        for none in
            ["", "haremq_login=", "haremq_login=+123456789abcdef0123456789abcdef", "haremq_login=0123"]
        {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn changes_come_from_own_pages_or_from_no_page() {
        let cookie = ("cookie", "haremq_login=0123456789abcdef0123456789abcdef");
        let own = [("host", "H:1"), ("origin", "http://h:1")];
        let foreign = [("host", "h:1"), ("origin", "http://h:2")];
        let is_foreign = |given: &[_]| super::is_foreign(&Method::POST, &headers(given));
        assert!(!is_foreign(&[]) && !is_foreign(&own) && !is_foreign(&[cookie, own[0], own[1]]));
        assert!(
            is_foreign(&[cookie])
                && is_foreign(&foreign)
                && is_foreign(&[("host", "h:1"), ("origin", "null")])
        );
        assert!(!is_foreign(&[cookie, foreign[0], foreign[1], ("x-requested-with", "x")]));
        assert!(!is_foreign(&[cookie, ("authorization", "Basic eDp5")]));
        assert!(!super::is_foreign(&Method::GET, &headers(&foreign)));
    }
}

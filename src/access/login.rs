//! Who may log in: the one place that judges a name and a password.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::access::{Access, Algorithm, Salt, User};
use crate::ids::Name;

/// Why a login was refused. It is for our log; a client only learns that it was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthFailure {
    BadCredentials,
    /// The name and password are right, but such a user may only come from this machine.
    LoopbackOnly,
}

impl fmt::Display for AuthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthFailure::BadCredentials => "invalid credentials",
            AuthFailure::LoopbackOnly => "user can only connect via localhost",
        })
    }
}

impl std::error::Error for AuthFailure {}

impl Access {
    /// What RabbitMQ has after its installation: guest, with the password guest. The salt hides nothing, as the password is
    /// known.
    pub fn guest() -> Access {
        Access::default_for(GUEST, GUEST, Salt([0; 16]), Algorithm::Sha256).expect("a short name")
    }

    /// For the sessions of whoever may do everything and is no user. Only who was let in otherwise is judged by it, so that
    /// the password needs to be no secret.
    pub fn insider() -> Access {
        let salt = Salt([0; 16]);
        Access::default_for(INSIDER, INSIDERS_PASSWORD, salt, Algorithm::Sha256).expect("a short name")
    }

    /// Judges a name and a password; on success gives the user as it is now.
    ///
    /// `peer_is_loopback` speaks of the peer's address, never of the listener's ([`is_loopback`]). `loopback_users` may only
    /// come from this machine. An empty password is never right, whatever the hash. A user that is not there costs a hash as
    /// well, so that time does not tell names apart, as long as all users have the algorithm of [`Access::new`].
    pub fn login(
        &self,
        user: &[u8],
        password: &[u8],
        peer_is_loopback: bool,
        loopback_users: &[Name],
    ) -> Result<Arc<User>, AuthFailure> {
        let known = self.user(user).filter(|user| !user.password.is_nobodys());
        let hash = known.map_or(&*self.stand_in, |user| &user.password);
        let right = hash.verify(password) & !password.is_empty();
        let user = known.filter(|_| right).ok_or(AuthFailure::BadCredentials)?;
        if !peer_is_loopback && loopback_users.contains(&user.name) {
            return Err(AuthFailure::LoopbackOnly);
        }
        Ok(user.clone())
    }
}

/// Whether an address is this machine's own; an IPv4 address mapped into IPv6 counts as what it is.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// What RabbitMQ's tools call themselves.
pub const INSIDER: &[u8] = b"rmq-cli";
pub const INSIDERS_PASSWORD: &[u8] = b"rmq-cli";

/// May only come from this machine, unless the server is set otherwise.
pub const GUEST: &[u8] = b"guest";

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticate(user: &[u8], password: &[u8], peer_is_loopback: bool) -> Result<(), AuthFailure> {
        Access::guest().login(user, password, peer_is_loopback, &[GUEST.into()]).map(drop)
    }

    #[test]
    fn guest_may_log_in_from_this_machine_only() {
        assert_eq!(authenticate(b"guest", b"guest", true), Ok(()));
        assert_eq!(authenticate(b"guest", b"guest", false), Err(AuthFailure::LoopbackOnly));
    }

    #[test]
    fn nothing_but_the_right_name_and_password_is_accepted() {
        let wrong: [(&[u8], &[u8]); 7] = [
            (b"guest", b""),
            (b"guest", b"g"),
            (b"guest", b"guesu"),
            (b"guest", b"guestt"),
            (b"", b""),
            (b"", b"guest"),
            (b"admin", b"guest"),
        ];
        for (user, password) in wrong {
            assert_eq!(authenticate(user, password, true), Err(AuthFailure::BadCredentials));
            assert_eq!(authenticate(user, password, false), Err(AuthFailure::BadCredentials));
        }
    }

    #[test]
    fn a_mapped_loopback_address_is_loopback() {
        for local in ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1"] {
            assert!(is_loopback(local.parse().unwrap()), "{local}");
        }
        for remote in ["10.0.0.1", "192.168.1.1", "::ffff:10.0.0.1", "::", "0.0.0.0", "fe80::1"] {
            assert!(!is_loopback(remote.parse().unwrap()), "{remote}");
        }
    }
}

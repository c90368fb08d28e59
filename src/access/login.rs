//! Who may log in: the one place that judges a name and a password.
//!
//! ```text
//! name, password -> Access::claim -> Claim::judge (a hash, perhaps a slow one, wherever) -> Verdict -> Access::admit -> User
//! ```

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::access::{Access, Algorithm, PasswordHash, Salt, User};
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

/// Somebody says to be a user, and how to prove it: what is to be hashed, by whoever has the time for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    user: Box<[u8]>,
    password: Box<[u8]>,
    /// Of the user, or what stands in for it.
    hash: PasswordHash,
}

/// What came of a [`Claim`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    user: Box<[u8]>,
    hash: PasswordHash,
    is_right: bool,
}

impl Claim {
    pub fn is_slow(&self) -> bool {
        self.hash.algorithm().is_slow()
    }

    /// An empty password is never right, whatever the hash.
    pub fn judge(self) -> Verdict {
        let is_right = self.hash.verify(&self.password) & !self.password.is_empty();
        Verdict { user: self.user, hash: self.hash, is_right }
    }

    /// Of one with the same fingerprint it is known that it was right.
    pub fn found_right(self) -> Verdict {
        Verdict { user: self.user, hash: self.hash, is_right: true }
    }

    /// By the key a fast hash is enough: without it, it tells nothing of the password.
    pub fn fingerprint(&self, key: &[u8; 32]) -> Fingerprint {
        let hash = self.hash.text();
        let lengths = [self.user.len(), hash.len()].map(|length| (length as u64).to_le_bytes());
        let [user, of_hash] = &lengths;
        let parts: [&[u8]; 6] = [key, user, of_hash, &self.user, hash.as_bytes(), &self.password];
        parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part)).finalize().into()
    }
}

/// Of a user, its hash and a password.
pub type Fingerprint = [u8; 32];

impl Verdict {
    pub fn is_right(&self) -> bool {
        self.is_right
    }
}

/// Without the password.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({})", self.user.escape_ascii())
    }
}

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

    /// A user that is not there costs a hash as well, so that time does not tell names apart, as long as all users have the
    /// algorithm of [`Access::new`].
    pub fn claim(&self, user: &[u8], password: &[u8]) -> Claim {
        let known = self.user(user).filter(|user| !user.password.is_nobodys());
        let hash = known.map_or(&*self.stand_in, |user| &user.password).clone();
        Claim { user: user.into(), password: password.into(), hash }
    }

    /// The same of who brings the hash that the password was found to fit, and is known to say the truth.
    pub fn vouch(&self, user: &[u8], hash: &[u8]) -> Verdict {
        let known = self.user(user).filter(|user| !user.password.is_nobodys());
        let is_right = known.is_some_and(|user| user.password.text().as_bytes() == hash);
        let hash = known.map_or(&*self.stand_in, |user| &user.password).clone();
        Verdict { user: user.into(), hash, is_right }
    }

    /// On success gives the user as it is now: who has got another password since the claim is not let in by the old one.
    ///
    /// `peer_is_loopback` speaks of the peer's address, never of the listener's ([`is_loopback`]). `loopback_users` may only
    /// come from this machine.
    pub fn admit(
        &self,
        verdict: &Verdict,
        peer_is_loopback: bool,
        loopback_users: &[Name],
    ) -> Result<Arc<User>, AuthFailure> {
        let known = self.user(&verdict.user).filter(|user| user.password == verdict.hash);
        let user = known.filter(|_| verdict.is_right).ok_or(AuthFailure::BadCredentials)?;
        if !peer_is_loopback && loopback_users.contains(&user.name) {
            return Err(AuthFailure::LoopbackOnly);
        }
        Ok(user.clone())
    }

    /// All at once, where there is the time for a slow hash.
    pub fn login(
        &self,
        user: &[u8],
        password: &[u8],
        peer_is_loopback: bool,
        loopback_users: &[Name],
    ) -> Result<Arc<User>, AuthFailure> {
        self.admit(&self.claim(user, password).judge(), peer_is_loopback, loopback_users)
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

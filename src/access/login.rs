//! Who may log in: the one place that judges a name and a password, and where users will be looked up.

use std::fmt;
use std::net::IpAddr;

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

/// Checks a name and a password. There is one user so far, guest with the password guest, for peers on this machine:
/// what RabbitMQ has after its installation.
///
/// `peer_is_loopback` speaks of the peer's address, never of the listener's ([`is_loopback`]).
pub fn authenticate(user: &[u8], password: &[u8], peer_is_loopback: bool) -> Result<(), AuthFailure> {
    // Both are compared to their end, whatever the first says.
    let known = equal_in_constant_time(user, GUEST) & equal_in_constant_time(password, GUEST);
    if !known {
        Err(AuthFailure::BadCredentials)
    } else if !peer_is_loopback {
        Err(AuthFailure::LoopbackOnly)
    } else {
        Ok(())
    }
}

/// Whether an address is this machine's own; an IPv4 address mapped into IPv6 counts as what it is.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Takes as long for a wrong guess as for a nearly right one. The length is not kept secret.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let differing = a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b));
    std::hint::black_box(differing) == 0
}

const GUEST: &[u8] = b"guest";

#[cfg(test)]
mod tests {
    use super::*;

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

//! What is kept of a password.
//!
//! ```text
//! RabbitMQ's    base64 of: salt, 4 bytes | digest of (salt | password)
//! argon2id      a PHC string: $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>
//! ```
//! Definitions move between brokers with RabbitMQ's, which take 0.3 us. argon2id is the better keeper: a stolen file is no
//! list of passwords. It takes 19 MiB and some 20 ms of a core, so neither hash nor verify with it on a shard. Its costs are
//! the crate's default, the least that OWASP's Password Storage Cheat Sheet asks for.

use std::fmt;
use std::str;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use base64ct::{Base64, Encoding};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::limits::{ARGON2_KIB_MAX, ARGON2_LANES_MAX, ARGON2_PASSES_MAX};

/// A way to hash.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Algorithm {
    /// RabbitMQ's own choice.
    #[default]
    Sha256,
    Sha512,
    /// What RabbitMQ had before 3.6: read for the sake of old definitions.
    Md5,
    Argon2id,
}

/// Random bytes for one hash; RabbitMQ's hashes take the first four.
#[derive(Clone, Copy, Debug)]
pub struct Salt(pub [u8; 16]);

/// What a password is checked against. That two are equal says that they were written alike, not that they have the
/// same password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    algorithm: Algorithm,
    /// Salt and digest, or the PHC string. Empty: nobody can log in by password.
    secret: Box<[u8]>,
}

impl Algorithm {
    pub const ALL: [Algorithm; 4] =
        [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Md5, Algorithm::Argon2id];

    /// The error is a text for the API.
    pub fn named(name: &str) -> Result<Algorithm, String> {
        let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        found.ok_or_else(|| format!("hashing_algorithm '{name}' is not known"))
    }

    /// As `hashing_algorithm` has it in the HTTP API and in definitions: RabbitMQ's module, or a name of ours.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "rabbit_password_hashing_sha256",
            Algorithm::Sha512 => "rabbit_password_hashing_sha512",
            Algorithm::Md5 => "rabbit_password_hashing_md5",
            Algorithm::Argon2id => "haremq_password_hashing_argon2id",
        }
    }

    /// It takes so long that a shard must not do it.
    pub fn is_slow(self) -> bool {
        match self {
            Algorithm::Sha256 | Algorithm::Sha512 | Algorithm::Md5 => false,
            Algorithm::Argon2id => true,
        }
    }

    /// None: it is not one of RabbitMQ's.
    fn digest(self, salt: &[u8], password: &[u8]) -> Option<Vec<u8>> {
        match self {
            Algorithm::Sha256 => Some(digest::<Sha256>(salt, password)),
            Algorithm::Sha512 => Some(digest::<Sha512>(salt, password)),
            Algorithm::Md5 => Some(digest::<Md5>(salt, password)),
            Algorithm::Argon2id => None,
        }
    }

    /// None: it is not one of RabbitMQ's.
    fn digest_bytes(self) -> Option<usize> {
        match self {
            Algorithm::Sha256 => Some(32),
            Algorithm::Sha512 => Some(64),
            Algorithm::Md5 => Some(16),
            Algorithm::Argon2id => None,
        }
    }
}

impl PasswordHash {
    pub fn new(algorithm: Algorithm, password: &[u8], salt: Salt) -> PasswordHash {
        let short = &salt.0[..SALT_BYTES];
        let secret = match algorithm.digest(short, password) {
            Some(digest) => [short, &digest].concat(),
            None => {
                let hashed = Argon2::default().hash_password_with_salt(password, &salt.0);
                hashed.expect("the costs and the salt are ours").to_string().into_bytes()
            }
        };
        PasswordHash { algorithm, secret: secret.into() }
    }

    /// Nobody can log in by password.
    pub fn nobody(algorithm: Algorithm) -> PasswordHash {
        PasswordHash { algorithm, secret: Box::default() }
    }

    /// What a password is checked against where there is none, so that it takes as long. The answer means nothing.
    pub fn stand_in(algorithm: Algorithm) -> PasswordHash {
        let secret = match algorithm.digest_bytes() {
            Some(digest_bytes) => vec![0; SALT_BYTES + digest_bytes],
            None => ARGON2ID_STAND_IN.into(),
        };
        PasswordHash { algorithm, secret: secret.into() }
    }

    /// Reads what [`PasswordHash::text`] or RabbitMQ wrote. The error is a text for the API, without the hash.
    pub fn read(algorithm: Algorithm, text: &str) -> Result<PasswordHash, String> {
        let secret = match algorithm {
            Algorithm::Sha256 | Algorithm::Sha512 | Algorithm::Md5 => Base64::decode_vec(text).ok(),
            Algorithm::Argon2id => Some(text.into()),
        };
        let hash = secret.and_then(|secret| PasswordHash::from_secret(algorithm, &secret));
        hash.ok_or_else(|| format!("password_hash is no hash of {}", algorithm.name()))
    }

    /// The same where nobody says what it is a hash of: of `algorithm`, or of whichever has that length or that form.
    pub fn read_unnamed(algorithm: Algorithm, text: &str) -> Result<PasswordHash, String> {
        let read = |of| PasswordHash::read(of, text);
        read(algorithm)
            .or_else(|refused| Algorithm::ALL.into_iter().find_map(|other| read(other).ok()).ok_or(refused))
    }

    /// Reads what [`PasswordHash::secret`] gave.
    pub(super) fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Option<PasswordHash> {
        let sound = match algorithm.digest_bytes() {
            Some(digest_bytes) => secret.len() == SALT_BYTES + digest_bytes,
            None => str::from_utf8(secret).is_ok_and(is_affordable_argon2id),
        };
        (sound || secret.is_empty()).then(|| PasswordHash { algorithm, secret: secret.into() })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn is_nobodys(&self) -> bool {
        self.secret.is_empty()
    }

    /// As `password_hash` has it in the HTTP API and in definitions.
    pub fn text(&self) -> String {
        match self.algorithm {
            Algorithm::Sha256 | Algorithm::Sha512 | Algorithm::Md5 => Base64::encode_string(&self.secret),
            Algorithm::Argon2id => self.phc().to_owned(),
        }
    }

    /// For the journal.
    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Takes as long for a wrong guess as for a nearly right one.
    pub fn verify(&self, password: &[u8]) -> bool {
        let Some((salt, digest)) = self.secret.split_first_chunk::<SALT_BYTES>() else { return false };
        match self.algorithm.digest(salt, password) {
            Some(of_guess) => digest.ct_eq(&of_guess).into(),
            None => Argon2::default().verify_password(password, self.phc()).is_ok(),
        }
    }

    fn phc(&self) -> &str {
        str::from_utf8(&self.secret).expect("checked when it was read")
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

fn digest<D: Digest>(salt: &[u8], password: &[u8]) -> Vec<u8> {
    D::new().chain_update(salt).chain_update(password).finalize().to_vec()
}

/// The costs stand in the string, and whoever writes it must not choose what a login costs us.
fn is_affordable_argon2id(text: &str) -> bool {
    let Ok(hash) = phc::PasswordHash::new(text) else { return false };
    let Ok(costs) = Params::try_from(&hash) else { return false };
    hash.algorithm.as_str() == "argon2id"
        && hash.version == Some(ARGON2_VERSION)
        && hash.salt.is_some()
        && hash.hash.is_some()
        && costs.m_cost() <= ARGON2_KIB_MAX
        && costs.t_cost() <= ARGON2_PASSES_MAX
        && costs.p_cost() <= ARGON2_LANES_MAX
}

/// Of RabbitMQ's hashes.
const SALT_BYTES: usize = 4;

const ARGON2_VERSION: u32 = 0x13;

/// With the costs of our own hashes; salt and hash are zeros.
const ARGON2ID_STAND_IN: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(*b"hare and rabbit.");

    #[test]
    fn the_example_of_rabbitmqs_documentation_is_verified() {
        let text = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        let hash = PasswordHash::read(Algorithm::Sha256, text).unwrap();
        assert!(hash.verify(b"test12"));
        assert!(!hash.verify(b"test13"));
        assert_eq!(hash.text(), text);
    }

    /// Cross-checked with Python's hashlib.
    #[test]
    fn rabbitmqs_hashes_are_written_as_it_writes_them() {
        let of_guest = [
            (Algorithm::Sha256, "aGFyZZ0XXC1KuzqeWVzLklr6D6OI9m/AZPNQ1hfOqzH8nh2n"),
            (
                Algorithm::Sha512,
                "aGFyZeq312TO6XAY3o/u77jbMF2pagPJOFDhK86XRWwMV+hnmFW9zVV+wW5wj2KgcDHOSZkL+o0Ldq1ZSZM7A42CNPM=",
            ),
            (Algorithm::Md5, "aGFyZZ0eKQSqXftC9UKJb/Q88xE="),
        ];
        for (algorithm, text) in of_guest {
            assert_eq!(PasswordHash::new(algorithm, b"guest", SALT).text(), text, "{algorithm:?}");
        }
    }

    #[test]
    fn the_right_password_and_no_other_is_verified_after_the_hash_was_read_back() {
        for algorithm in Algorithm::ALL {
            let written = PasswordHash::new(algorithm, b"guest", SALT);
            let read = PasswordHash::read(algorithm, &written.text()).unwrap();
            assert_eq!(read, written);
            assert_eq!(PasswordHash::from_secret(algorithm, written.secret()), Some(read.clone()));
            assert!(read.verify(b"guest"), "{algorithm:?}");
            for wrong in [&b""[..], b"g", b"guess", b"guestt", b"Guest", b"guest\0"] {
                assert!(!read.verify(wrong), "{algorithm:?} {wrong:?}");
            }
        }
    }

    #[test]
    fn a_hash_of_no_named_algorithm_goes_by_what_it_looks_like() {
        for algorithm in Algorithm::ALL {
            let hash = PasswordHash::new(algorithm, b"guest", SALT);
            assert_eq!(PasswordHash::read_unnamed(Algorithm::Sha256, &hash.text()), Ok(hash));
        }
        let refused = PasswordHash::read_unnamed(Algorithm::Sha512, "aGFyZQ==").unwrap_err();
        assert_eq!(refused, "password_hash is no hash of rabbit_password_hashing_sha512");
    }

    #[test]
    fn an_empty_hash_is_nobodys() {
        for algorithm in Algorithm::ALL {
            let nobody = PasswordHash::read(algorithm, "").unwrap();
            assert_eq!(nobody, PasswordHash::nobody(algorithm));
            assert!(nobody.is_nobodys() && !nobody.verify(b""));
            assert_eq!(nobody.text(), "");
        }
    }

    #[test]
    fn a_stand_in_is_a_hash_like_any_other_of_its_algorithm() {
        for algorithm in Algorithm::ALL {
            let stand_in = PasswordHash::stand_in(algorithm);
            let real = PasswordHash::new(algorithm, b"guest", SALT);
            assert_eq!(PasswordHash::read(algorithm, &stand_in.text()), Ok(stand_in.clone()));
            assert_eq!(stand_in.secret().len(), real.secret().len(), "{algorithm:?}");
            assert!(!stand_in.verify(b"guest"));
        }
        let costs = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        let ours = PasswordHash::new(Algorithm::Argon2id, b"guest", SALT).text();
        assert_eq!(costs(ARGON2ID_STAND_IN), costs(&ours));
    }

    #[test]
    fn what_is_no_hash_of_the_algorithm_is_refused_and_not_repeated() {
        let sha256 = PasswordHash::new(Algorithm::Sha256, b"guest", SALT).text();
        let argon2 = PasswordHash::new(Algorithm::Argon2id, b"guest", SALT).text();
        let wrong = [
            (Algorithm::Sha256, "kI3G".to_owned()),
            (Algorithm::Sha256, "not base64".to_owned()),
            (Algorithm::Sha512, sha256.clone()),
            (Algorithm::Md5, sha256.clone()),
            (Algorithm::Sha256, argon2.clone()),
            (Algorithm::Argon2id, sha256),
            (Algorithm::Argon2id, argon2.replace("argon2id", "argon2i")),
            (Algorithm::Argon2id, argon2.replace("v=19", "v=16")),
            (Algorithm::Argon2id, argon2.replace("m=19456", "m=4194304")),
            (Algorithm::Argon2id, argon2.replace("t=2", "t=4000000")),
            (Algorithm::Argon2id, argon2.replace("p=1", "p=1000")),
            (Algorithm::Argon2id, argon2[..argon2.rfind('$').unwrap()].to_owned()),
        ];
        for (algorithm, text) in wrong {
            let expected = format!("password_hash is no hash of {}", algorithm.name());
            assert_eq!(PasswordHash::read(algorithm, &text), Err(expected), "{text}");
        }
    }

    #[test]
    fn an_algorithm_goes_by_its_name() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(algorithm.name()), Ok(algorithm));
        }
        let unknown = Algorithm::named("rot13").unwrap_err();
        assert_eq!(unknown, "hashing_algorithm 'rot13' is not known");
    }

    #[test]
    fn a_hash_is_not_printed() {
        assert_eq!(format!("{:?}", PasswordHash::new(Algorithm::Sha256, b"guest", SALT)), "PasswordHash");
    }
}

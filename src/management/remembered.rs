//! Slow verdicts, remembered for a while: over HTTP a password comes with every request, and to hash it by argon2id takes
//! 20 ms.

#![allow(clippy::disallowed_types, reason = "it is the HTTP thread's own: no shard waits for it")]

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answer::{self, Refusal};
use crate::access::{Claim, Fingerprint, Verdict};

/// Passwords that were right. Nothing in it tells them: what is kept is a digest with a key that the process ends with. The
/// user's hash is in it too, so that a new password is never taken for the old one.
pub struct Remembered {
    key: [u8; 32],
    /// Until when each counts.
    right: Mutex<HashMap<Fingerprint, Instant>>,
}

impl Remembered {
    /// The error is for the log.
    pub fn new() -> Result<Remembered, String> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| format!("no random numbers: {error}"))?;
        Ok(Remembered { key, right: Mutex::default() })
    }

    pub async fn judge(&self, claim: Claim) -> Result<Verdict, Refusal> {
        if !claim.is_slow() {
            return Ok(claim.judge());
        }
        let fingerprint = claim.fingerprint(&self.key);
        if self.knows(&fingerprint, Instant::now()) {
            return Ok(claim.found_right());
        }
        let verdict = answer::beside(move || claim.judge()).await?;
        if verdict.is_right() {
            self.remember(fingerprint, Instant::now());
        }
        Ok(verdict)
    }

    fn knows(&self, fingerprint: &Fingerprint, now: Instant) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(fingerprint).is_some_and(|until| now < *until)
    }

    /// What finds no room is judged again the next time.
    fn remember(&self, fingerprint: Fingerprint, now: Instant) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED_MAX {
            right.retain(|_, until| now < *until);
        }
        if right.len() < REMEMBERED_MAX {
            right.insert(fingerprint, now + REMEMBERED_FOR);
        }
    }
}

/// A user who polls costs a hash a minute.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// Users that poll at the same time.
const REMEMBERED_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Access, Algorithm, Salt};

    fn claim(password: &[u8], salt: u8) -> Claim {
        let access = Access::default_for(b"ann", b"secret", Salt([salt; 16]), Algorithm::Argon2id);
        access.unwrap().claim(b"ann", password)
    }

    fn judge(remembered: &Remembered, claim: Claim) -> Verdict {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(remembered.judge(claim)).unwrap()
    }

    #[test]
    fn what_was_right_is_known_for_a_while_and_for_that_password_and_hash_only() {
        let remembered = Remembered::new().unwrap();
        let knows = |claim: &Claim, now| remembered.knows(&claim.fingerprint(&remembered.key), now);
        let right = claim(b"secret", 1);
        assert!(!judge(&remembered, claim(b"wrong", 1)).is_right());
        assert!(!knows(&claim(b"wrong", 1), Instant::now()) && !knows(&right, Instant::now()));
        let judged = judge(&remembered, right.clone());
        assert!(judged.is_right() && knows(&right, Instant::now()));
        assert_eq!(judge(&remembered, right.clone()), judged);
        assert!(!knows(&right, Instant::now() + REMEMBERED_FOR));
        for other in [claim(b"secret", 2), claim(b"secrets", 1)] {
            assert!(!knows(&other, Instant::now()));
        }
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let (remembered, now) = (Remembered::new().unwrap(), Instant::now());
        let numbered = |number: u64| std::array::from_fn(|at| number.to_le_bytes()[at % 8]);
        let (first, last) = (numbered(0), numbered(REMEMBERED_MAX as u64));
        (0..REMEMBERED_MAX as u64).for_each(|number| remembered.remember(numbered(number), now));
        remembered.remember(last, now);
        assert!(remembered.knows(&first, now) && !remembered.knows(&last, now));
        let later = now + REMEMBERED_FOR;
        remembered.remember(last, later);
        assert!(remembered.knows(&last, later));
        assert_eq!(remembered.right.lock().unwrap().len(), 1);
    }
}

//! Names that the server gives, made from a seed: two runs with the same seed give the same names.

/// A splitmix64 sequence. The names need not be secret, as exclusive queues are guarded by their owner; they
/// must not repeat, and the topology answers `NameTaken` if one does.
pub struct Names {
    state: u64,
}

impl Names {
    pub fn new(seed: u64) -> Names {
        Names { state: seed }
    }

    /// `prefix` and 22 characters of URL-safe base64, as RabbitMQ's `amq.gen-` and `amq.ctag-` names.
    pub fn make(&mut self, prefix: &str) -> Box<[u8]> {
        self.append_to(prefix.as_bytes().to_vec())
    }

    /// The same behind a prefix of the client's and a `-`.
    pub fn make_behind(&mut self, prefix: &[u8]) -> Box<[u8]> {
        self.append_to([prefix, b"-"].concat())
    }

    fn append_to(&mut self, mut name: Vec<u8>) -> Box<[u8]> {
        let mut random = u128::from(self.next()) << 64 | u128::from(self.next());
        for _ in 0..22 {
            name.push(ALPHABET[(random & 63) as usize]);
            random >>= 6;
        }
        name.into_boxed_slice()
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// URL-safe base64.
pub const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_follow_their_seed() {
        let (mut one, mut same) = (Names::new(7), Names::new(7));
        let first = one.make("amq.gen-");
        assert_eq!(first, same.make("amq.gen-"));
        assert_eq!(first.len(), 30);
        assert_ne!(first, one.make("amq.gen-"));
    }
}

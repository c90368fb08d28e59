//! Why the program ends without a verdict, and its exit code.

use crate::client::ClientError;

#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub text: String,
}

impl Failure {
    pub fn usage(text: String) -> Failure {
        Failure { code: EXIT_USAGE, text }
    }

    pub fn unreachable(text: String) -> Failure {
        Failure { code: EXIT_UNREACHABLE, text }
    }

    pub fn internal(text: String) -> Failure {
        Failure { code: EXIT_INTERNAL, text }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let code = match error {
            ClientError::Unreachable(_) => EXIT_UNREACHABLE,
            ClientError::Closed(_) | ClientError::Protocol(_) => EXIT_VIOLATED,
        };
        Failure { code, text: error.to_string() }
    }
}

/// The verdict is no: a message was lost, doubled, out of order or changed, or the broker refused.
pub const EXIT_VIOLATED: u8 = 1;
pub const EXIT_USAGE: u8 = 64;
const EXIT_UNREACHABLE: u8 = 69;
const EXIT_INTERNAL: u8 = 70;

//! The limits of a vhost.

use serde_json::Value;

use super::LIMITS;
use super::validation::{Errors, Terms, integer};

/// None is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct VhostLimits {
    pub max_connections: Option<u32>,
    pub max_queues: Option<u32>,
}

impl VhostLimits {
    pub(super) fn new(name: &[u8], value: &Value) -> Result<VhostLimits, Errors> {
        if name != LIMITS {
            return Err(Errors::one("the limits of a vhost are named 'limits'".to_owned()));
        }
        let mut terms = Terms::new("limits", value)?;
        let max_connections = terms.optional("max-connections", integer);
        let max_queues = terms.optional("max-queues", integer);
        terms.finish()?;
        Ok(VhostLimits { max_connections: limit(max_connections), max_queues: limit(max_queues) })
    }
}

/// A negative number is no limit, and more than we count is none either.
fn limit(value: Option<i64>) -> Option<u32> {
    u32::try_from(value?).ok()
}

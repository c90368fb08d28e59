//! Bugs of a server that shows what it did not keep, planted on its disk between two servers.

use crate::dice::Dice;
use crate::disk::SimDisk;
use crate::faults::Fault;

pub fn tamper(_disk: &SimDisk, _fault: Fault, _dice: &mut Dice) {}

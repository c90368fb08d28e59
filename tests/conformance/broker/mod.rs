//! What only our own binary promises: its command line, signals, exit codes, and what it does not do yet.

mod alarm;
mod hostile;
mod limits;
mod process;
mod refusals;

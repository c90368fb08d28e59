//! What only our own binary promises: its command line, signals, exit codes, limits of its own.

mod access;
mod alarm;
mod bindings;
mod config;
mod ctl;
mod direct;
mod federation;
mod governed;
mod hostile;
mod limits;
mod listings;
mod live;
mod log;
mod logins;
mod own;
mod page;
mod policies;
mod process;
mod quotas;
mod vhosts;

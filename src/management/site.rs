//! What the API knows of the server besides its shards, and of the machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::FromRef;

use super::app::App;
use super::cookie::Logins;
use super::live::Streams;
use super::log::Lines;
use super::remembered::Remembered;
use super::throttle::Throttle;
use super::ui::Ui;
use super::watch::Watch;
use crate::budget::{Budget, DiskFloor};
use crate::shard::start::Common;

/// What every handler may ask for.
#[derive(Clone)]
pub struct Api {
    pub common: Common,
    pub watch: Arc<Watch>,
    pub throttle: Arc<Throttle>,
    pub logins: Arc<Logins>,
    pub remembered: Arc<Remembered>,
    pub streams: Arc<Streams>,
    pub ui: Arc<Ui>,
    pub site: Arc<Site>,
}

/// The same from start to end.
pub struct Site {
    /// `rabbit@host`
    pub node: String,
    pub cluster: String,
    pub listening: Vec<Listening>,
    pub data_dir: PathBuf,
    /// With less room on the disk publishers are held back.
    pub disk_free_min: DiskFloor,
    pub budget: Arc<Budget>,
    pub app: App,
    pub log: Lines,
    /// What clients are told.
    pub product_version: String,
    pub started: Instant,
    /// What is in force, and from where: a line for each setting.
    pub settings: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Listening {
    /// RabbitMQ's name: amqp, http, http/prometheus.
    pub protocol: &'static str,
    pub address: SocketAddr,
}

impl Listening {
    pub fn prometheus(address: SocketAddr) -> Listening {
        Listening { protocol: "http/prometheus", address }
    }
}

impl FromRef<Api> for Common {
    fn from_ref(api: &Api) -> Common {
        api.common.clone()
    }
}

impl FromRef<Api> for Arc<Watch> {
    fn from_ref(api: &Api) -> Arc<Watch> {
        api.watch.clone()
    }
}

impl FromRef<Api> for Arc<Site> {
    fn from_ref(api: &Api) -> Arc<Site> {
        api.site.clone()
    }
}

impl Site {
    /// Bytes that are free on the disk of the data folder, if anybody knows.
    pub fn disk_free(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.data_dir).ok()?;
        Some(stat.f_bavail * stat.f_frsize)
    }

    pub fn is_low_on_disk(&self) -> bool {
        self.disk_free().is_some_and(|free| free < self.disk_free_min.bytes())
    }
}

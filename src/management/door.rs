//! The socket in the data folder, which `haremq ctl` speaks HTTP over: whoever may open it is an administrator.
//!
//! ```text
//! data-dir/ctl.sock, mode 0600 -> the routes of the API, each request marked OverSocket
//! ```

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Router};
use serde::Deserialize;
use signal_hook::consts::{SIGHUP, SIGTERM};
use socket2::{Domain, SockAddr, Socket, Type};

use super::answer::{self, Answer, Refusal};
use super::login::OverSocket;
use super::routes::{Need, Routes};
use super::site::Api;
use crate::config::{self, DiskFreeMin, MemoryHigh};
use crate::limits::CTL_SOCKET;
use crate::machine;

pub fn routes(routes: Routes) -> Routes {
    use Need::Administrator;
    routes
        .put("/api/haremq/limits", Administrator, set_limits)
        .get("/api/haremq/settings", Administrator, settings)
        .post("/api/haremq/rotate-logs", Administrator, rotate_logs)
        .post("/api/haremq/stop", Administrator, stop)
}

/// The file of the socket, which goes with this value.
pub struct Door {
    file: PathBuf,
}

impl Door {
    /// Call it with the data folder locked: then a socket that is there was left by a server that is gone.
    pub fn open(data_dir: &Path) -> io::Result<(Door, UnixListener)> {
        let file = data_dir.join(CTL_SOCKET);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&file)?)?;
        let door = Door { file };
        // Nobody can connect before it listens.
        fs::set_permissions(&door.file, Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok((door, socket.into()))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// Serves the routes for ever. What comes this way may be of any size: a file of definitions, say.
pub async fn serve(listener: UnixListener, routes: Router) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let router = routes.layer(DefaultBodyLimit::disable()).layer(Extension(OverSocket));
    axum::serve(listener, router).await
}

/// Opens the log's file anew as SIGHUP does.
async fn rotate_logs() -> Answer {
    signal_hook::low_level::raise(SIGHUP).map_err(|_| Refusal::Unavailable)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Ends the server as SIGTERM does.
async fn stop() -> Answer {
    signal_hook::low_level::raise(SIGTERM).map_err(|_| Refusal::Unavailable)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Limits that count from now until the server ends. What is absent stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    memory_high: Option<Amount>,
    disk_free_min: Option<Amount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Amount {
    /// Times the machine's memory.
    Relative(f64),
    Absolute(Size),
}

/// A number, or text with a unit: 2GiB.
#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

impl Size {
    fn bytes(&self) -> Result<u64, Refusal> {
        match self {
            Size::Bytes(bytes) => Ok(*bytes),
            Size::Text(text) => config::bytes(text).map_err(Refusal::BadRequest),
        }
    }
}

/// Unlike what is set in a file, a fraction of memory may be 0: it holds all publishers back.
async fn set_limits(State(api): State<Api>, body: Bytes) -> Answer {
    let limits: Limits = answer::read(&body)?;
    let memory_bytes = api.common.config.memory_bytes(machine::memory_bytes());
    let memory_high = limits.memory_high.map(|amount| match amount {
        Amount::Relative(share) if (0.0..=1.0).contains(&share) => Ok(MemoryHigh::Fraction(share)),
        Amount::Relative(_) => Err(Refusal::BadRequest("a fraction lies in [0, 1]".to_owned())),
        Amount::Absolute(size) => size.bytes().map(MemoryHigh::Bytes),
    });
    let disk_free_min = limits.disk_free_min.map(|amount| match amount {
        Amount::Relative(times) if times >= 0.0 => Ok(DiskFreeMin::OfMemory(times)),
        Amount::Relative(_) => Err(Refusal::BadRequest("a multiple is not negative".to_owned())),
        Amount::Absolute(size) => size.bytes().map(DiskFreeMin::Bytes),
    });
    let (memory_high, disk_free_min) = (memory_high.transpose()?, disk_free_min.transpose()?);
    if let Some(high) = memory_high {
        let bytes = high.resolve(memory_bytes);
        tracing::info!(
            memory_high_bytes = bytes,
            "from here on publishers are held back, until the next start"
        );
        api.site.budget.set_limit(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    if let Some(min) = disk_free_min {
        let bytes = min.resolve(memory_bytes);
        tracing::info!(
            disk_free_min_bytes = bytes,
            "with less room publishers are held back, until the next start"
        );
        api.site.disk_free_min.set(bytes);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What the server was told: as lines of haremq.toml.
async fn settings(State(api): State<Api>) -> Answer {
    answer::body(&api.site.settings)
}

/// Commands come one at a time.
const BACKLOG: i32 = 64;

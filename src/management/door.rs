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

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Router};
use signal_hook::consts::SIGTERM;
use socket2::{Domain, SockAddr, Socket, Type};

use super::answer::{self, Answer, Refusal};
use super::login::OverSocket;
use super::site::Api;
use crate::limits::CTL_SOCKET;

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

/// Ends the server as SIGTERM does.
pub async fn stop() -> Answer {
    signal_hook::low_level::raise(SIGTERM).map_err(|_| Refusal::Unavailable)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What the server was told: as lines of haremq.toml.
pub async fn settings(State(api): State<Api>) -> Answer {
    answer::body(&api.site.settings)
}

/// Commands come one at a time.
const BACKLOG: i32 = 64;

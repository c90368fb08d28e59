//! The file of the log, which is opened anew when somebody has moved it away.
#![allow(
    clippy::disallowed_types,
    reason = "shards leave their notes to a thread that writes: none waits for it"
)]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tracing_subscriber::fmt::MakeWriter;

/// Lives on: shared by the threads that log.
pub struct LogFile {
    path: PathBuf,
    /// Held for as long as it takes to count one more who writes, not for as long as they write.
    open: RwLock<Arc<File>>,
}

impl LogFile {
    /// The error names the file.
    pub fn open(path: &Path) -> Result<LogFile, String> {
        let file = append(path).map_err(|error| format!("cannot log to {}: {error}", path.display()))?;
        Ok(LogFile { path: path.into(), open: RwLock::new(Arc::new(file)) })
    }

    /// What is being written goes to the old one. If there can be no new one, all does.
    pub fn reopen(&self) {
        match append(&self.path) {
            Ok(file) => *self.open.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(file),
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "the log's file cannot be opened anew")
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Whoever has a line writes it to the file that is open now.
#[derive(Clone)]
pub struct Lines(pub Arc<LogFile>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Arc<File>;

    fn make_writer(&'a self) -> Arc<File> {
        self.0.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

//! Where log lines go: the console, a file, or both, each with a shape and a level of its own.

mod file;
mod recent;
mod scribe;

use crate::config::{LogConsole, LogFormat, LogLevel, Logs};
pub use file::LogFile;
pub use recent::{LINES_MAX, Level, Line, Recent};
pub use scribe::Scribe;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// What there is of the log besides the console.
pub struct Log {
    /// The last of it.
    pub recent: Arc<Recent>,
    pub file: Option<Arc<LogFile>>,
}

/// From here on what is logged is written, and the last of it kept as well. The error names the file that cannot be.
pub fn start(logs: &Logs) -> Result<Log, String> {
    let file = logs.file().map(|path| LogFile::open(path).map(Arc::new)).transpose()?;
    let to_file = file.clone().map(|file| {
        let writer = BoxMakeWriter::new(file::Lines(file));
        lines(writer, false, logs.file_format(), filter(logs, logs.file_level()))
    });
    let recent = Arc::<Recent>::default();
    let noting = recent::Noting(recent.clone()).with_filter(filter(logs, logs.log_level)).boxed();
    let layers: Vec<Lines> = console(logs).into_iter().chain(to_file).chain([noting]).collect();
    tracing_subscriber::registry().with(layers).init();
    Ok(Log { recent, file })
}

fn console(logs: &Logs) -> Option<Lines> {
    let filter = filter(logs, logs.log_level);
    let (writer, is_terminal) = match logs.log_console {
        LogConsole::Stderr => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
        LogConsole::Stdout => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
        LogConsole::Off => return None,
    };
    Some(lines(writer, is_terminal, logs.log_format, filter))
}

fn lines(writer: BoxMakeWriter, colours: bool, format: LogFormat, filter: EnvFilter) -> Lines {
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    }
}

/// What libraries say below a warning is about themselves.
fn filter(logs: &Logs, level: LogLevel) -> EnvFilter {
    let warnings = level.min(LogLevel::Warn).name();
    let (connection, channel) = (level.min(logs.log_connection_level), level.min(logs.log_channel_level));
    EnvFilter::new(format!(
        "{warnings},haremq={},{CONNECTION}={},{CHANNEL}={}",
        level.name(),
        connection.name(),
        channel.name()
    ))
}

/// What is said of connections and of channels has a level of its own.
pub const CONNECTION: &str = "haremq::connection";
pub const CHANNEL: &str = "haremq::channel";

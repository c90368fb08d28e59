//! What is logged, how, and where to.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args, Clone, Debug)]
pub struct Logs {
    /// The shape of log lines
    ///
    /// RabbitMQ: log.console.formatter.
    #[arg(long, env = "HAREMQ_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// The least severe level that is logged
    ///
    /// RabbitMQ: log.console.level, log.default.level, RABBITMQ_LOG.
    #[arg(long, env = "HAREMQ_LOG_LEVEL", value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,

    /// Where log lines go besides the file
    ///
    /// RabbitMQ: log.console, log.console.stdio.
    #[arg(long, env = "HAREMQ_LOG_CONSOLE", value_name = "stderr|stdout|off", value_enum,
          default_value_t = LogConsole::Stderr)]
    pub log_console: LogConsole,

    /// A file that log lines are appended to, or off
    ///
    /// RabbitMQ: log.file with log.dir, RABBITMQ_LOGS.
    #[arg(long, env = "HAREMQ_LOG_FILE", value_name = "FILE", default_value = "off")]
    log_file: PathBuf,

    /// The least severe level in the file; by default that of --log-level
    ///
    /// RabbitMQ: log.file.level.
    #[arg(long, env = "HAREMQ_LOG_FILE_LEVEL", value_name = "LEVEL", value_enum)]
    log_file_level: Option<LogLevel>,

    /// The shape of the lines in the file; by default that of --log-format
    ///
    /// RabbitMQ: log.file.formatter.
    #[arg(long, env = "HAREMQ_LOG_FILE_FORMAT", value_enum)]
    log_file_format: Option<LogFormat>,

    /// The least severe level of what is said of connections, where it is severer than the others
    ///
    /// RabbitMQ: log.connection.level.
    #[arg(long, env = "HAREMQ_LOG_CONNECTION_LEVEL", value_name = "LEVEL", value_enum,
          default_value_t = LogLevel::Trace, hide_default_value = true)]
    pub log_connection_level: LogLevel,

    /// The same of channels
    ///
    /// RabbitMQ: log.channel.level.
    #[arg(long, env = "HAREMQ_LOG_CHANNEL_LEVEL", value_name = "LEVEL", value_enum,
          default_value_t = LogLevel::Trace, hide_default_value = true)]
    pub log_channel_level: LogLevel,
}

impl Logs {
    pub fn file(&self) -> Option<&PathBuf> {
        (self.log_file.as_os_str() != "off").then_some(&self.log_file)
    }

    pub fn file_level(&self) -> LogLevel {
        self.log_file_level.unwrap_or(self.log_level)
    }

    pub fn file_format(&self) -> LogFormat {
        self.log_file_format.unwrap_or(self.log_format)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    #[value(alias = "plaintext")]
    Text,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogConsole {
    #[value(alias = "true", alias = "on")]
    Stderr,
    Stdout,
    #[value(alias = "false")]
    Off,
}

/// From the severest on; RabbitMQ's other names count as the nearest of ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub enum LogLevel {
    #[value(alias = "none")]
    Off,
    #[value(alias = "critical", alias = "alert", alias = "emergency")]
    Error,
    #[value(alias = "warning")]
    Warn,
    #[value(alias = "notice")]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Off => "off",
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

//! From a command line to the configuration in force: files and variables are read, and each value keeps its source.

use super::layers::{self, Layer, Wrong};
use super::places::Places;
use super::users::HIDDEN;
use super::{Command, Config, conf, env, meaning, toml};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A configuration that can be used.
pub struct Start {
    pub config: Config,
    /// Every flag, in the order of `--help`.
    pub in_force: Vec<InForce>,
    /// What was read, and changes nothing.
    pub ignored: Vec<String>,
    pub files: Vec<PathBuf>,
}

/// A value that counts, and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InForce {
    pub flag: String,
    /// None: it was not set, and has no default that is the same everywhere.
    pub value: Option<String>,
    pub source: String,
}

/// Why there is none.
pub enum Unfit {
    /// The command line, or a variable of ours. `--help` and `--version` come this way too.
    CommandLine(clap::Error),
    /// Everything that is wrong with files and RabbitMQ's variables.
    Settings(Vec<String>),
}

/// Reads everything. `variable` answers what the environment has, but for our own variables, which clap reads.
pub fn start(arguments: &[OsString], variable: &dyn Fn(&str) -> Option<String>) -> Result<Start, Unfit> {
    let first = Config::try_parse_line(arguments, Layer::default()).map_err(Unfit::CommandLine)?;
    let mut reading = Reading { variable, wrong: Vec::new(), ignored: Vec::new() };
    let (layer, files) = match &first.0.command {
        // What looks into a folder must work whatever the files say, and the others have nothing to do with them.
        Some(Command::Store { .. } | Command::Completions { .. } | Command::Man { .. }) => {
            (Layer::default(), Vec::new())
        }
        Some(Command::CheckConfig { files }) if !files.is_empty() => reading.all(files),
        Some(Command::CheckConfig { .. } | Command::Ctl(_)) | None => reading.all(&first.0.config),
    };
    let Reading { wrong, ignored, .. } = reading;
    if !wrong.is_empty() {
        return Err(Unfit::Settings(wrong.iter().map(Wrong::to_string).collect()));
    }
    let sources = layer.sources();
    let (config, matches) = Config::try_parse_line(arguments, layer).map_err(Unfit::CommandLine)?;
    let flags = layers::flags();
    let in_force = flags.iter().filter_map(|flag| flag.get_long()).map(|flag| {
        let from_layer = sources.get(flag).map(String::as_str);
        in_force(flag, from_layer, &matches)
    });
    let (in_force, ignored) = (in_force.collect(), ignored.iter().map(Wrong::to_string).collect());
    Ok(Start { config, in_force, ignored, files })
}

struct Reading<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    wrong: Vec<Wrong>,
    ignored: Vec<Wrong>,
}

impl Reading<'_> {
    /// The files that are named, or those in the usual places, and the variables.
    fn all(&mut self, named: &[PathBuf]) -> (Layer, Vec<PathBuf>) {
        let places = if named.is_empty() {
            Places::usual(self.variable).map_err(|error| error.to_string())
        } else {
            Places::named(named)
        };
        let Places { conf, toml } = places.unwrap_or_else(|text| {
            self.wrong.push(Wrong { at: None, text });
            Places::default()
        });
        let mut settings = Vec::new();
        for file in &conf {
            let text = self.text(file);
            settings.extend(conf::parse(file, &text, self.variable, &mut self.wrong));
        }
        let mut layer = meaning::read(settings, &mut self.wrong, &mut self.ignored);
        for file in &toml {
            let text = self.text(file);
            layer = layer.under(toml::read(file, &text, &mut self.wrong));
        }
        let layer = layer.under(env::read(self.variable, &mut self.wrong, &mut self.ignored));
        layer.check(&mut self.wrong);
        (layer, [conf, toml].concat())
    }

    fn text(&mut self, file: &Path) -> String {
        fs::read_to_string(file).unwrap_or_else(|error| {
            self.wrong.push(Wrong { at: None, text: format!("{}: {error}", file.display()) });
            String::new()
        })
    }
}

impl Config {
    /// What the layer says takes the place of the defaults.
    fn try_parse_line(arguments: &[OsString], layer: Layer) -> Result<(Config, ArgMatches), clap::Error> {
        let mut command = Config::command();
        for (flag, values) in layer.0 {
            let Some(id) = flag_id(&command, &flag) else { continue };
            let values: Vec<String> = values.into_iter().map(|(value, _)| value).collect();
            command = command.mut_arg(id, |arg| arg.default_values(values));
        }
        let matches = command.try_get_matches_from(arguments)?;
        let config = Config::from_arg_matches(&matches)?;
        Ok((config, matches))
    }
}

fn flag_id(command: &clap::Command, flag: &str) -> Option<clap::Id> {
    command.get_arguments().find(|arg| arg.get_long() == Some(flag)).map(|arg| arg.get_id().clone())
}

fn in_force(flag: &str, from_layer: Option<&str>, matches: &ArgMatches) -> InForce {
    let command = Config::command();
    let id = flag_id(&command, flag).expect("it is one of our flags");
    let values = matches.get_raw(id.as_str()).map(|values| {
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        values.join(",")
    });
    let source = match matches.value_source(id.as_str()) {
        Some(ValueSource::CommandLine) => format!("--{flag}"),
        Some(ValueSource::EnvVariable) => format!("HAREMQ_{}", flag.replace('-', "_").to_uppercase()),
        _ => from_layer.unwrap_or("default").to_owned(),
    };
    let value = if layers::is_secret(flag) { Some(HIDDEN.to_owned()) } else { values };
    InForce { flag: flag.to_owned(), value, source }
}

impl fmt::Display for InForce {
    /// As a line of haremq.toml.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InForce { flag, value, source } = self;
        match value {
            Some(value) => write!(f, "{flag} = {value:?}  # {source}"),
            None => write!(f, "# {flag} is not set"),
        }
    }
}

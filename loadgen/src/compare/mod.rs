//! The command `compare`: HareMQ beside RabbitMQ and beside TCP alone, in turn, each run with a fresh broker and folder.
//!
//! ```text
//!  for each repeat, scenario, peer:  loadgen run --broker PEER --scenario S --json raw/S-PEER-REPEAT.json
//!  then:                             README.md  summary.md  command  versions  configurations
//! ```

mod bout;
mod course;
mod folder;
mod machine;
mod page;
mod scenarios;
mod tables;

use std::path::PathBuf;

use crate::failure::Failure;
use crate::launch::{self, Kind, Recipe};
use crate::options::{CompareOptions, RunOptions};
use crate::{interrupt, realtime};

use bout::{Bout, Ring};
use course::Course;
use folder::Folder;
use scenarios::Scenario;

/// Whether every run came to its end with all messages intact.
pub fn run(options: &CompareOptions) -> Result<bool, Failure> {
    let mut course = Course::resolve(options)?;
    let folder = Folder::create(options)?;
    course.configurations = configurations(options, &course)?;
    say(&course.configurations);
    if let Err(why) = realtime::permitted() {
        say(&format!("{why}; 9f and its like run under the usual scheduler"));
        course.realtime = Err(why);
    }
    folder.write_what_is_known(&course)?;
    say(&format!("{} runs, {} at least; into {}", course.bouts(), course.duration(), folder.path.display()));
    let ring = Ring { folder: folder.raw(), foreign_cores_max: FOREIGN_CORES_MAX, again: course.again };
    let bouts = fight(&course, &ring)?;
    folder.write_results(&course, &bouts)?;
    eprintln!();
    print!("{}", page::readme(&course, &bouts));
    say(&format!("written to {}", folder.path.display()));
    if interrupt::requested() {
        return Err(Failure::internal("interrupted; what was measured is written".to_owned()));
    }
    Ok(bouts.iter().all(Bout::is_intact))
}

/// All runs in turn; those that were made, if interrupted.
fn fight(course: &Course, ring: &Ring) -> Result<Vec<Bout>, Failure> {
    let (mut bouts, total) = (Vec::new(), course.bouts());
    for repeat in 1..=course.repeats {
        for scenario in &course.scenarios {
            for peer in course.peers_of(scenario) {
                if interrupt::requested() {
                    return Ok(bouts);
                }
                let name = format!("{}-{}-{repeat}", scenario.name, peer.name);
                let arguments = course.arguments(scenario, peer);
                let bout = ring.fight(scenario, peer, &name, &arguments).map_err(Failure::internal)?;
                bouts.push(bout);
                let last = &bouts[bouts.len() - 1];
                say(&format!("[{}/{total}] {name}: {}", bouts.len(), last.line()));
            }
        }
    }
    Ok(bouts)
}

/// What each peer runs with. Fails early, and with words, if one of them cannot be started.
fn configurations(options: &CompareOptions, course: &Course) -> Result<String, Failure> {
    let mut text = String::new();
    if course.has(Kind::Rabbitmq) {
        let settings = launch::rabbitmq_settings().map_err(|error| {
            Failure::unreachable(format!("{error}\nWithout it: loadgen compare --peers haremq,null"))
        })?;
        text.push_str(&format!("# rabbitmq\n{}\n\n", settings.trim()));
    }
    for peer in course.peers.iter().filter(|peer| peer.kind == Kind::Haremq) {
        let recipe = Recipe::of(&RunOptions { haremq: options.haremq.clone(), ..RunOptions::default() });
        let Recipe::Haremq { binary, .. } = recipe.map_err(Failure::unreachable)? else { continue };
        let version = machine::said(&binary.display().to_string(), &["--version"]);
        text.push_str(&format!("# {}\n{version}\n{}\n\n", peer.name, peer.broker_args));
    }
    if course.has(Kind::Null) {
        text.push_str(
            "# null\nno broker: bytes read from the publisher, as many deliveries written to the consumer\n",
        );
    }
    Ok(text.trim_end().to_owned())
}

/// Where haremq is; asked once, since it may be built first.
fn haremq(options: &CompareOptions) -> Result<PathBuf, Failure> {
    options.haremq.clone().map_or_else(launch::binary, Ok).map_err(Failure::unreachable)
}

/// What happens, for whoever watches.
fn say(text: &str) {
    eprintln!("{text}");
}

/// A core that others used that much of is not ours to measure on.
const FOREIGN_CORES_MAX: f64 = 0.15;

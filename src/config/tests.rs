use super::layers::{self, Layer};
use super::*;
use crate::access::Algorithm;
use clap::CommandFactory;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

fn parse(arguments: &[&str]) -> Result<Config, clap::Error> {
    Config::try_parse_from([&["haremq"], arguments].concat())
}

/// A folder with files, and what a start makes of them.
struct Desk(PathBuf);

impl Desk {
    fn new(name: &str) -> Desk {
        let folder = std::env::temp_dir().join(format!("haremq-config-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Desk(folder)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn start(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Start, Vec<String>> {
        let arguments: Vec<OsString> =
            ["haremq"].iter().chain(arguments).map(|argument| argument.into()).collect();
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        start(&arguments, &variable).map_err(|unfit| match unfit {
            Unfit::CommandLine(error) => vec![error.to_string()],
            Unfit::Settings(wrong) => wrong,
        })
    }

    /// Of one file of RabbitMQ's.
    fn conf(&self, text: &str) -> Result<Start, Vec<String>> {
        self.start(&["--config", &self.file("r.conf", text)], &[])
    }

    fn wrong(&self, text: &str) -> Vec<String> {
        let folder = format!("{}/", self.0.display());
        let wrong = self.conf(text).err().unwrap_or_default();
        wrong.iter().map(|line| line.replace(&folder, "")).collect()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn source<'a>(start: &'a Start, flag: &str) -> &'a InForce {
    start.in_force.iter().find(|it| it.flag == flag).unwrap()
}

#[test]
fn without_arguments_it_listens_as_rabbitmq_does_and_may_fall_back() {
    let config = parse(&[]).unwrap();
    let amqp: Vec<Listen> = config.amqp_listen().collect();
    assert_eq!(amqp, [Listen::any(5672)]);
    assert_eq!(config.http_listen, Listen::any(15672));
    assert_eq!(config.prometheus_listen.0, Some(Listen::any(15692)));
    assert_eq!(config.memory_high, MemoryHigh::Fraction(0.4));
    assert_eq!((config.pin, config.shard_count(6)), (Switch::On, 6));
    assert_eq!(config.durability, Durability::Fsync);
    assert_eq!(config.users.loopback_users(), [crate::ids::Name::from(&b"guest"[..])]);
    assert_eq!(config.node_name("box.example.org"), "rabbit@box");
}

#[test]
fn nonsense_is_refused() {
    for arguments in [
        ["--shards", "0"],
        ["--shards", "129"],
        ["--pin", "maybe"],
        ["--amqp-listen", "here"],
        ["--memory-high", "1.5"],
        ["--memory-high", "0.0"],
        ["--memory-high", "4"],
        ["--memory-high", "3 bananas"],
        ["--log-level", "loud"],
        ["--durability", "disk"],
        ["--frame-max", "4095"],
        ["--frame-max", "131073"],
        ["--message-bytes-max", "1GiB"],
        ["--connections-max", "65537"],
        ["--auth-mechanisms", "EXTERNAL"],
        ["--default-user", ""],
        ["--default-permissions-read", "("],
        ["--password-hashing", "argon2i"],
        ["--http-path-prefix", "/a b"],
    ] {
        assert!(parse(&arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn a_way_to_hash_goes_by_its_whole_name_or_the_end_of_it() {
    for algorithm in Algorithm::ALL {
        for name in [algorithm.name(), algorithm.name().rsplit('_').next().unwrap()] {
            assert_eq!(
                parse(&["--password-hashing", name]).unwrap().users.password_hashing,
                algorithm,
                "{name}"
            );
        }
    }
}

#[test]
fn every_flag_is_a_variable_too() {
    let command = Config::command();
    for argument in command.get_arguments().filter(|it| !["help", "version"].contains(&it.get_id().as_str()))
    {
        let flag = argument.get_long().unwrap().replace('-', "_").to_uppercase();
        assert_eq!(argument.get_env().unwrap().to_str().unwrap(), format!("HAREMQ_{flag}"));
    }
}

#[test]
fn a_flag_counts_more_than_a_variable_than_toml_than_rabbitmqs_file() {
    let desk = Desk::new("precedence");
    let conf = desk.file("r.conf", "heartbeat = 1\nchannel_max = 1\ndefault_user = a\nconnection_max = 1\n");
    let toml = desk.file("h.toml", "heartbeat = 2\n# more\nchannel-max = 2\ndefault-user = 'b'\n");
    let files = format!("{conf},{toml}");
    let start =
        desk.start(&["--config", &files, "--heartbeat", "4"], &[("RABBITMQ_DEFAULT_USER", "c")]).unwrap();
    let amqp = &start.config.amqp;
    assert_eq!((amqp.heartbeat_s, amqp.channel_max, amqp.connections_max), (4, 2, 1));
    assert_eq!(start.config.users.default_user, "c");
    assert_eq!(source(&start, "heartbeat").source, "--heartbeat");
    assert_eq!(source(&start, "channel-max").source, format!("{toml}:3"));
    assert_eq!(source(&start, "default-user").source, "RABBITMQ_DEFAULT_USER");
    assert_eq!(source(&start, "connections-max").source, format!("{conf}:4"));
    assert_eq!(source(&start, "frame-max").source, "default");
    assert_eq!(start.files, [Path::new(&conf), Path::new(&toml)]);
}

/// For each key that sets something: a value, and what the flag then is.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("listeners.tcp", "none", "none"),
    ("listeners.tcp.$", "127.0.0.1:5673", "127.0.0.1:5673"),
    ("handshake_timeout", "20000", "20000"),
    ("tcp_listen_options.backlog", "128", "128"),
    ("tcp_listen_options.nodelay", "false", "false"),
    ("tcp_listen_options.keepalive", "true", "true"),
    ("tcp_listen_options.sndbuf", "196608", "196608"),
    ("tcp_listen_options.recbuf", "192KiB", "192KiB"),
    ("heartbeat", "30", "30"),
    ("frame_max", "65536", "65536"),
    ("channel_max", "100", "100"),
    ("connection_max", "infinity", "infinity"),
    ("max_message_size", "16MiB", "16MiB"),
    ("consumer_timeout", "1800000", "1800000"),
    ("default_vhost", "shop", "shop"),
    ("default_user", "ann", "ann"),
    ("default_pass", "secret", "********"),
    ("default_user_tags.$", "true", "x"),
    ("default_permissions.configure", "^a", "^a"),
    ("default_permissions.write", "^b", "^b"),
    ("default_permissions.read", "^c", "^c"),
    ("loopback_users", "none", "none"),
    ("loopback_users.$", "true", "x"),
    ("auth_mechanisms.$", "PLAIN", "PLAIN"),
    ("password_hashing_module", "rabbit_password_hashing_sha512", "rabbit_password_hashing_sha512"),
    ("vm_memory_high_watermark.relative", "0.6", "0.6"),
    ("vm_memory_high_watermark.absolute", "2GB", "2GB"),
    ("total_memory_available_override_value", "8GB", "8GB"),
    ("disk_free_limit.relative", "2", "2.0"),
    ("disk_free_limit.absolute", "50MB", "50MB"),
    ("management.tcp.port", "15673", "15673"),
    ("management.tcp.ip", "127.0.0.1", "127.0.0.1:15672"),
    ("management.listener.port", "15673", "15673"),
    ("management.listener.ip", "::1", "::1:15672"),
    ("management.path_prefix", "/rabbit", "/rabbit"),
    ("management.http.max_body_size", "1048576", "1048576"),
    ("management.login_session_timeout", "60", "60"),
    ("management.load_definitions", "/d.json", "/d.json"),
    ("prometheus.tcp.port", "15693", "15693"),
    ("prometheus.tcp.ip", "127.0.0.1", "127.0.0.1:15692"),
    ("load_definitions", "/d.json", "/d.json"),
    ("definitions.local.path", "/d.json", "/d.json"),
    ("cluster_name", "shop", "shop"),
    ("nodename", "shop@box", "shop@box"),
    ("product.name", "P", "P"),
    ("product.version", "1.2.3", "1.2.3"),
    ("log.console", "false", "false"),
    ("log.console.stdio", "stdout", "stdout"),
    ("log.console.level", "critical", "critical"),
    ("log.default.level", "warning", "warning"),
    ("log.console.formatter", "json", "json"),
    ("log.file", "/var/log/h.log", "/var/log/h.log"),
    ("log.file.level", "debug", "debug"),
    ("log.file.formatter", "plaintext", "plaintext"),
    ("log.connection.level", "error", "error"),
    ("log.channel.level", "none", "none"),
];

#[test]
fn every_key_that_sets_something_sets_it() {
    let desk = Desk::new("sets");
    for (key, meaning) in keys::KEYS {
        let keys::Meaning::Sets(flag) = meaning else { continue };
        if *key == "log.dir" {
            continue;
        }
        let example = EXAMPLES.iter().find(|(known, ..)| known == key);
        let (_, value, expected) = example.unwrap_or_else(|| panic!("no example for {key}"));
        let start = desk.conf(&format!("{} = {value}", key.replace('$', "x")));
        let start = start.unwrap_or_else(|wrong| panic!("{key}: {wrong:?}"));
        let in_force = source(&start, flag);
        assert_eq!(in_force.value.as_deref(), Some(*expected), "{key}");
        assert!(in_force.source.ends_with("r.conf:1"), "{key}: {}", in_force.source);
    }
}

#[test]
fn every_key_that_changes_nothing_is_named_and_every_one_that_cannot_be_had_is_refused() {
    let desk = Desk::new("others");
    for (pattern, meaning) in keys::KEYS {
        let key = pattern.replace(['$', '*'], "x");
        let text = format!("{key} = nonsense");
        match meaning {
            keys::Meaning::Sets(_) => {}
            keys::Meaning::Ignored(why) => {
                let start = desk.conf(&text).unwrap_or_else(|wrong| panic!("{key}: {wrong:?}"));
                assert!(
                    start.ignored[0].ends_with(&format!("r.conf:1: {key}: {why}")),
                    "{:?}",
                    start.ignored
                );
            }
            keys::Meaning::Refused(why) => assert_eq!(desk.wrong(&text), [format!("r.conf:1: {key}: {why}")]),
            keys::Meaning::Only(values, why) => {
                let wrong = format!("r.conf:1: {key} can only be {}: {why}", values[0]);
                assert_eq!(desk.wrong(&text), [wrong]);
                let start = desk.conf(&format!("{key} = {}", values[0])).unwrap();
                assert_eq!(start.ignored, [""; 0]);
            }
        }
    }
}

#[test]
fn each_flag_that_a_key_names_is_one() {
    let flags = layers::flags();
    for (key, meaning) in keys::KEYS {
        if let keys::Meaning::Sets(flag) = meaning {
            assert!(flags.iter().any(|it| it.get_long() == Some(flag)), "{key}: {flag}");
        }
    }
}

#[test]
fn all_that_is_wrong_is_told_with_its_line_and_the_nearest_name() {
    let desk = Desk::new("wrong");
    let text = "heartbeat = 70000\nlisteners.tcp.1 = 5672\nlisteners.tcp.2 = here\nchanel_max = 1\n\
                disk_free_limit.absolute = much\ncolour_of_the_bike_shed = red\nlisteners.ssl.default = 5671\n";
    let wrong = desk.wrong(text);
    let begins = [
        "r.conf:4: unknown key `chanel_max`; is it `channel_max`?",
        "r.conf:6: unknown key `colour_of_the_bike_shed`",
        "r.conf:7: listeners.ssl.default: TLS is not spoken",
        "r.conf:3: here for amqp-listen: not a PORT or ADDR:PORT",
        "r.conf:5: much for disk-free-min: expected bytes",
        "r.conf:1: 70000 for heartbeat: ",
    ];
    assert_eq!(wrong.len(), begins.len(), "{wrong:#?}");
    assert!(wrong.iter().zip(begins).all(|(wrong, begin)| wrong.starts_with(begin)), "{wrong:#?}");
}

#[test]
fn all_that_is_wrong_in_toml_is_told() {
    let desk = Desk::new("toml");
    let text = "heartbeat = 70000\namqp-listen = [5672, 'here']\nhartbeat = 1\n[amqp]\nx = 1\n";
    let file = desk.file("h.toml", text);
    let wrong = desk.start(&["--config", &file], &[]).err().unwrap();
    let wrong: Vec<String> = wrong.iter().map(|line| line.replace(&file, "h.toml")).collect();
    assert!(wrong.iter().any(|it| it.starts_with("h.toml:1: 70000 for heartbeat: ")), "{wrong:#?}");
    assert!(wrong.iter().any(|it| it.starts_with("h.toml:2: here for amqp-listen: ")), "{wrong:#?}");
    assert!(wrong.contains(&"h.toml:3: unknown key `hartbeat`; is it `heartbeat`?".to_owned()), "{wrong:#?}");
    assert!(wrong.iter().any(|it| it.starts_with("h.toml:4: unknown key `amqp`")), "{wrong:#?}");
    assert_eq!(wrong.len(), 4, "{wrong:#?}");
    let broken = desk.file("b.toml", "heartbeat = \npin = true\n");
    let wrong = desk.start(&["--config", &broken], &[]).err().unwrap();
    assert!(wrong[0].starts_with(&format!("{broken}:1: ")), "{wrong:#?}");
}

#[test]
fn toml_takes_each_kind_of_value() {
    let desk = Desk::new("kinds");
    let text = "pin = false\nmemory-high = 0.5\nshards = 3\namqp-listen = ['127.0.0.1:1', 2]\n\
                loopback-users = []\ncluster-name = \"a b\"\n";
    let start = desk.start(&["--config", &desk.file("h.toml", text)], &[]).unwrap();
    let config = &start.config;
    assert_eq!((config.pin, config.shard_count(9)), (Switch::Off, 3));
    assert_eq!(config.memory_high, MemoryHigh::Fraction(0.5));
    let amqp: Vec<String> = config.amqp_listen().map(|listen| listen.to_string()).collect();
    assert_eq!(amqp, ["127.0.0.1:1", "[::]:2"]);
    assert_eq!((config.users.loopback_users().len(), config.cluster_name.as_str()), (0, "a b"));
}

#[test]
fn keys_that_belong_together_make_one_setting() {
    let desk = Desk::new("together");
    let text = "listeners.tcp.default = 5672\nlisteners.tcp.local = ::1:5673\n\
                management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 8080\n\
                loopback_users.guest = false\ndefault_user_tags.management = true\n\
                default_user_tags.administrator = false\ndefault_user_tags.policymaker = true\n\
                vm_memory_high_watermark.absolute = 1GB\nvm_memory_high_watermark.relative = 1\n\
                log.dir = /var/log/h\nlog.file = h.log\nlog.default.level = error\nlog.console.level = debug\n\
                auth_mechanisms.1 = AMQPLAIN\n";
    let start = desk.conf(text).unwrap();
    let value = |flag| source(&start, flag).value.as_deref().unwrap_or_default();
    assert_eq!(value("amqp-listen"), "5672,::1:5673");
    assert!(source(&start, "amqp-listen").source.ends_with("r.conf:2"));
    assert_eq!(value("http-listen"), "127.0.0.1:8080");
    assert_eq!((value("loopback-users"), start.config.users.loopback_users().len()), ("none", 0));
    assert_eq!(value("default-user-tags"), "management,policymaker");
    assert_eq!(start.config.memory_high, MemoryHigh::Fraction(1.0));
    assert_eq!(start.config.logs.file().unwrap(), Path::new("/var/log/h/h.log"));
    assert_eq!(start.config.logs.log_level, LogLevel::Debug);
    assert_eq!(start.config.amqp.auth_mechanisms, [Mechanism::AmqPlain]);
}

#[test]
fn what_comes_later_counts_also_from_another_file() {
    let desk = Desk::new("later");
    let first = desk.file("1.conf", "heartbeat = 1\nheartbeat = 2\nchannel_max = 1\n");
    let second = desk.file("2.conf", "channel_max = 2\n");
    let start = desk.start(&["--config", &first, "--config", &second], &[]).unwrap();
    assert_eq!((start.config.amqp.heartbeat_s, start.config.amqp.channel_max), (2, 2));
}

#[test]
fn rabbitmqs_variables_are_taken() {
    let desk = Desk::new("variables");
    let secret = desk.file("secret", "pass word\n");
    let variables = [
        ("RABBITMQ_DEFAULT_PASS_FILE", secret.as_str()),
        ("RABBITMQ_DEFAULT_VHOST", "shop"),
        ("RABBITMQ_DEFAULT_USER", ""),
        ("RABBITMQ_NODE_PORT", "5673"),
        ("RABBITMQ_NODE_IP_ADDRESS", "::1"),
        ("RABBITMQ_NODENAME", "hare"),
        ("RABBITMQ_MNESIA_BASE", "/var/lib/rabbitmq/mnesia"),
        ("RABBITMQ_LOGS", "-"),
        ("RABBITMQ_LOG", "debug,connection=error,queue=debug"),
        ("RABBITMQ_ERLANG_COOKIE", "monster"),
    ];
    let start = desk.start(&["--config", "none"], &variables).unwrap();
    let config = &start.config;
    assert_eq!((&*config.users.default_vhost, &*config.users.default_user), ("shop", "guest"));
    let founding = config.users.founding(crate::access::Salt([1; 16]), false).unwrap();
    assert!(founding.login(b"guest", b"pass word", true, &[]).is_ok());
    assert!(founding.may_enter(b"guest", b"shop") && !founding.may_enter(b"guest", b"/"));
    assert_eq!(config.amqp_listen().next().unwrap().to_string(), "[::1]:5673");
    assert_eq!(config.node_name("box"), "hare@box");
    assert_eq!(config.data_dir, Path::new("/var/lib/rabbitmq/mnesia"));
    assert_eq!((config.logs.log_level, config.logs.log_connection_level), (LogLevel::Debug, LogLevel::Error));
    assert_eq!(start.ignored.len(), 2, "{:?}", start.ignored);
    assert!(start.ignored.iter().all(|it| !it.contains("monster")), "{:?}", start.ignored);
    let wrong = desk.start(&["--config", "none"], &[("RABBITMQ_SSL_CERTFILE", "/c.pem")]).err().unwrap();
    assert_eq!(wrong, ["RABBITMQ_SSL_CERTFILE: TLS is not spoken"]);
}

#[test]
fn a_password_is_never_shown() {
    let desk = Desk::new("secret");
    let start = desk.conf("default_pass = opensesame\n").unwrap();
    let shown: Vec<String> = start.in_force.iter().map(ToString::to_string).collect();
    assert!(!shown.concat().contains("opensesame") && !format!("{:?}", start.config).contains("opensesame"));
}

#[test]
fn a_file_that_is_not_there_or_of_no_known_kind_is_wrong() {
    let desk = Desk::new("missing");
    let wrong = desk.start(&["check-config", "/no/such.conf"], &[]).err().unwrap();
    assert!(wrong[0].starts_with("/no/such.conf: "), "{wrong:?}");
    let wrong = desk.start(&["check-config", "settings.ini"], &[]).err().unwrap();
    assert_eq!(wrong, ["settings.ini: a file of settings is called .toml or .conf"]);
}

/// What a start says is itself a file that says the same.
#[test]
fn what_is_in_force_reads_as_toml() {
    let desk = Desk::new("in-force");
    let start = desk.conf("heartbeat = 7\nlisteners.tcp.1 = 1\nlisteners.tcp.2 = 2\n").unwrap();
    let lines: Vec<String> = start.in_force.iter().map(ToString::to_string).collect();
    let again = desk.start(&["--config", &desk.file("again.toml", &lines.join("\n"))], &[]).unwrap();
    assert_eq!(again.config.amqp.heartbeat_s, 7);
    assert_eq!(again.config.amqp_listen().count(), 2);
    let values = |start: &Start| start.in_force.iter().map(|it| it.value.clone()).collect::<Vec<_>>();
    assert_eq!(values(&again), values(&start));
    assert!(Layer::default().sources().is_empty());
}

#[test]
fn the_page_about_the_configuration_knows_every_flag_and_key() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md")).unwrap();
    for flag in layers::flags().iter().filter(|flag| !flag.is_hide_set()) {
        let row = format!("| `--{}` |", flag.get_long().unwrap());
        assert!(page.contains(&row), "{row}");
    }
    for (key, _) in keys::KEYS {
        let shown = format!("`{}`", key.replace('$', "NAME"));
        assert!(page.contains(&shown), "{shown}");
    }
}

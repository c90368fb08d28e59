//! RabbitMQ's keys: what each does here.
//!
//! `$` in a key stands for one word, `*` at its end for one or more.

use Meaning::{Ignored, Only, Refused, Sets};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// The flag that it sets, alone or with the other keys of that flag.
    Sets(&'static str),
    /// Nothing can be set but this: values, and why no other.
    Only(&'static [&'static str], &'static str),
    /// It is taken and changes nothing, for this reason.
    Ignored(&'static str),
    /// What it asks for is not here, and without it the server would not be the one that was asked for.
    Refused(&'static str),
}

/// The first that fits counts.
pub const KEYS: &[(&str, Meaning)] = &[
    ("listeners.tcp", Sets("amqp-listen")),
    ("listeners.tcp.$", Sets("amqp-listen")),
    ("listeners.ssl", Only(&["none"], NO_TLS)),
    ("listeners.ssl.$", Refused(NO_TLS)),
    ("handshake_timeout", Sets("handshake-timeout")),
    ("proxy_protocol", Only(&["false"], "PROXY protocol is not spoken")),
    ("reverse_dns_lookups", Only(&["false"], "names are not looked up")),
    ("num_acceptors.*", Ignored("each listener has one thread")),
    ("socket_writer.gc_threshold", Ignored(NO_ERLANG)),
    ("tcp_listen_options.backlog", Sets("tcp-backlog")),
    ("tcp_listen_options.nodelay", Sets("tcp-nodelay")),
    ("tcp_listen_options.keepalive", Sets("tcp-keepalive")),
    ("tcp_listen_options.sndbuf", Sets("tcp-sndbuf")),
    ("tcp_listen_options.recbuf", Sets("tcp-recbuf")),
    ("tcp_listen_options.linger.*", Ignored("a close that waits would hold up a shard; sockets end without")),
    ("tcp_listen_options.*", Ignored("an option of Erlang's sockets")),
    ("tcp_listen_options", Only(&["none"], "options are keys of their own")),
    // AMQP
    ("heartbeat", Sets("heartbeat")),
    ("frame_max", Sets("frame-max")),
    ("initial_frame_max", Ignored("it is 4096, what every peer accepts")),
    ("channel_max", Sets("channel-max")),
    ("connection_max", Sets("connections-max")),
    ("max_message_size", Sets("message-bytes-max")),
    ("consumer_timeout", Sets("consumer-timeout")),
    ("channel_max_per_node", Refused(NO_LIMIT)),
    ("consumer_max_per_channel", Refused(NO_LIMIT)),
    ("vhost_max", Refused(NO_LIMIT)),
    ("cluster_queue_limit", Refused(NO_LIMIT)),
    ("cluster_exchange_limit", Refused(NO_LIMIT)),
    ("message_interceptors.*", Refused("messages are not changed on their way in")),
    // Users
    ("default_vhost", Sets("default-vhost")),
    ("default_user", Sets("default-user")),
    ("default_pass", Sets("default-pass")),
    ("default_user_tags.$", Sets("default-user-tags")),
    ("default_permissions.configure", Sets("default-permissions-configure")),
    ("default_permissions.write", Sets("default-permissions-write")),
    ("default_permissions.read", Sets("default-permissions-read")),
    ("default_users.*", Refused("a new server has one user; use load_definitions for more")),
    ("default_policies.*", Refused("use load_definitions")),
    ("default_limits.*", Refused("use load_definitions")),
    ("default_queue_type", Only(&["classic"], "a queue without x-queue-type is a classic one")),
    ("loopback_users", Sets("loopback-users")),
    ("loopback_users.$", Sets("loopback-users")),
    ("auth_mechanisms.$", Sets("auth-mechanisms")),
    ("auth_backends.$", Only(INTERNAL, NO_BACKEND)),
    ("auth_backends.$.authn", Only(INTERNAL, NO_BACKEND)),
    ("auth_backends.$.authz", Only(INTERNAL, NO_BACKEND)),
    ("auth_ldap.*", Refused(NO_BACKEND)),
    ("auth_http.*", Refused(NO_BACKEND)),
    ("auth_oauth2.*", Refused(NO_BACKEND)),
    ("auth_cache.*", Refused(NO_BACKEND)),
    ("anonymous_login_user", Only(&["none"], "whoever comes has a name")),
    ("anonymous_login_pass", Refused("whoever comes has a name")),
    ("credential_validator.*", Refused("any password is taken")),
    ("password_hashing_module", Sets("password-hashing")),
    ("ssl_options", Only(&["none"], NO_TLS)),
    ("ssl_options.*", Refused(NO_TLS)),
    ("ssl_cert_login_from", Ignored(NO_TLS)),
    ("ssl_cert_login_san_type", Ignored(NO_TLS)),
    ("ssl_cert_login_san_index", Ignored(NO_TLS)),
    ("ssl_handshake_timeout", Ignored(NO_TLS)),
    ("ssl_allow_poodle_attack", Ignored(NO_TLS)),
    ("trust_store.*", Refused(NO_TLS)),
    // Resources
    ("vm_memory_high_watermark.relative", Sets("memory-high")),
    ("vm_memory_high_watermark.absolute", Sets("memory-high")),
    ("total_memory_available_override_value", Sets("memory-total")),
    ("disk_free_limit.relative", Sets("disk-free-min")),
    ("disk_free_limit.absolute", Sets("disk-free-min")),
    ("vm_memory_high_watermark_paging_ratio", Ignored("messages are not moved out of memory")),
    ("vm_memory_calculation_strategy", Ignored("what messages take is counted exactly")),
    ("memory_monitor_interval", Ignored("memory is watched all the time")),
    // The HTTP API and metrics
    ("management.tcp.port", Sets("http-listen")),
    ("management.tcp.ip", Sets("http-listen")),
    ("management.listener.port", Sets("http-listen")),
    ("management.listener.ip", Sets("http-listen")),
    ("management.listener.ssl", Only(&["false"], NO_TLS)),
    ("management.listener.ssl_opts", Refused(NO_TLS)),
    ("management.listener.ssl_opts.*", Refused(NO_TLS)),
    ("management.ssl.*", Refused(NO_TLS)),
    ("management.path_prefix", Sets("http-path-prefix")),
    ("management.http.max_body_size", Sets("http-body-bytes-max")),
    ("management.login_session_timeout", Sets("http-login-minutes")),
    ("management.load_definitions", Sets("load-definitions")),
    ("management.disable_basic_auth", Only(&["false"], "there is no other way to log in over HTTP")),
    ("management.enable_uaa", Only(&["false"], NO_BACKEND)),
    ("management.oauth_enabled", Only(&["false"], NO_BACKEND)),
    ("management.restrictions.*", Refused("nothing of the HTTP API can be switched off")),
    ("management.cors.*", Ignored("no page of another origin is let in")),
    ("management.*", Ignored("the HTTP API has no such setting")),
    ("management_agent.*", Ignored("what is counted is counted where it happens")),
    ("prometheus.tcp.port", Sets("prometheus-listen")),
    ("prometheus.tcp.ip", Sets("prometheus-listen")),
    ("prometheus.path", Only(&["/metrics", "metrics"], "metrics are at /metrics")),
    ("prometheus.return_per_object_metrics", Only(&["false"], "they are at /metrics/per-object")),
    ("prometheus.authentication.enabled", Only(&["false"], "metrics are for everybody who reaches the port")),
    ("prometheus.ssl.*", Refused(NO_TLS)),
    ("prometheus.*", Ignored("metrics have no such setting")),
    ("collect_statistics", Ignored("what is counted is counted where it happens")),
    ("collect_statistics_interval", Ignored("what is counted is told when somebody asks")),
    // Definitions
    ("load_definitions", Sets("load-definitions")),
    ("definitions.local.path", Sets("load-definitions")),
    ("definitions.import_backend", Only(&["local_filesystem", "local"], "definitions are read from a file")),
    ("definitions.https.*", Refused("definitions are read from a file")),
    ("definitions.tls.*", Refused("definitions are read from a file")),
    ("definitions.*", Ignored("definitions are read at each start")),
    // Names
    ("cluster_name", Sets("cluster-name")),
    ("nodename", Sets("node-name")),
    ("product.name", Sets("product")),
    ("product.version", Sets("product-version")),
    ("motd_file", Ignored("there is no banner")),
    // Logs
    ("log.console", Sets("log-console")),
    ("log.console.stdio", Sets("log-console")),
    ("log.console.level", Sets("log-level")),
    ("log.default.level", Sets("log-level")),
    ("log.console.formatter", Sets("log-format")),
    ("log.console.*", Ignored("lines have one shape of text and one of JSON")),
    ("log.dir", Sets("log-file")),
    ("log.file", Sets("log-file")),
    ("log.file.level", Sets("log-file-level")),
    ("log.file.formatter", Sets("log-file-format")),
    ("log.file.rotation.*", Ignored("a file is appended to: let logrotate copy and truncate it")),
    ("log.file.*", Ignored("lines have one shape of text and one of JSON")),
    ("log.connection.level", Sets("log-connection-level")),
    ("log.channel.level", Sets("log-channel-level")),
    ("log.syslog", Only(&["false"], NO_OTHER_LOG)),
    ("log.journald", Only(&["false"], NO_OTHER_LOG)),
    ("log.exchange", Only(&["false"], NO_OTHER_LOG)),
    ("log.syslog.*", Ignored(NO_OTHER_LOG)),
    ("log.journald.*", Ignored(NO_OTHER_LOG)),
    ("log.exchange.*", Ignored(NO_OTHER_LOG)),
    ("log.$.file", Refused("all lines go to one file, log.file")),
    ("log.*", Ignored("nothing is logged of that category")),
    // Protocols that are not spoken
    ("mqtt.*", Refused(NO_PROTOCOL)),
    ("web_mqtt.*", Refused(NO_PROTOCOL)),
    ("stomp.*", Refused(NO_PROTOCOL)),
    ("web_stomp.*", Refused(NO_PROTOCOL)),
    ("amqp1_0.*", Refused(NO_PROTOCOL)),
    ("stream.*", Refused(NO_PROTOCOL)),
    ("shovel.*", Refused("no messages are shovelled here")),
    ("federation.*", Refused("nothing is federated here")),
    // One node, no Erlang
    ("cluster_partition_handling", Ignored(ONE_NODE)),
    ("cluster_partition_handling.*", Ignored(ONE_NODE)),
    ("cluster_formation.*", Ignored(ONE_NODE)),
    ("cluster_keepalive_interval", Ignored(ONE_NODE)),
    ("cluster_tags.*", Ignored(ONE_NODE)),
    ("node_tags.*", Ignored(ONE_NODE)),
    ("net_ticktime", Ignored(ONE_NODE)),
    ("distribution.*", Ignored(ONE_NODE)),
    ("distributed_cookie", Ignored(ONE_NODE)),
    ("delegate_count", Ignored(ONE_NODE)),
    ("mirroring_sync_batch_size", Ignored(ONE_NODE)),
    ("mirroring_sync_max_throughput", Ignored(ONE_NODE)),
    ("queue_master_locator", Ignored(ONE_NODE)),
    ("queue_leader_locator", Ignored(ONE_NODE)),
    ("raft.*", Ignored(OWN_STORE)),
    ("metadata_store.*", Ignored(OWN_STORE)),
    ("mnesia_table_loading_retry_timeout", Ignored(OWN_STORE)),
    ("mnesia_table_loading_retry_limit", Ignored(OWN_STORE)),
    ("message_store_shutdown_timeout", Ignored(OWN_STORE)),
    ("queue_index_embed_msgs_below", Ignored(OWN_STORE)),
    ("classic_queue.*", Ignored(OWN_STORE)),
    ("quorum_queue.*", Ignored(OWN_STORE)),
    ("vhost_restart_strategy", Ignored("a vhost has no processes of its own")),
    ("event_exchange.*", Ignored("there is no exchange of events")),
    ("deprecated_features.*", Ignored("all of them are permitted")),
    ("default_worker_pool_size", Ignored(NO_ERLANG)),
    ("hipe_compile", Ignored(NO_ERLANG)),
    ("background_gc_enabled", Ignored(NO_ERLANG)),
    ("background_gc_target_interval", Ignored(NO_ERLANG)),
    ("erlang.*", Ignored(NO_ERLANG)),
    ("sysmon_handler.*", Ignored(NO_ERLANG)),
    ("runtime_parameters.*", Ignored(NO_ERLANG)),
];

const NO_TLS: &str = "TLS is not spoken";
const NO_PROTOCOL: &str = "AMQP 0-9-1 is what is spoken here";
const NO_LIMIT: &str = "there is no such limit here";
const NO_BACKEND: &str = "users are those of this server; there are no others";
const NO_OTHER_LOG: &str = "lines go to the console and to a file";
const ONE_NODE: &str = "there is one node";
const OWN_STORE: &str = "queues and the journal are of another make";
const NO_ERLANG: &str = "there is no Erlang";
const INTERNAL: &[&str] = &["internal", "rabbit_auth_backend_internal"];

/// None: RabbitMQ does not know it either.
pub fn meaning(key: &str) -> Option<Meaning> {
    KEYS.iter().find(|(pattern, _)| fits(pattern, key)).map(|(_, meaning)| *meaning)
}

/// The known key that looks most like this one, if one does.
pub fn nearest(key: &str) -> Option<String> {
    let words: Vec<&str> = key.split('.').collect();
    let known: Vec<String> = KEYS.iter().map(|(pattern, _)| filled(pattern, &words)).collect();
    super::layers::nearest(key, known.iter().map(String::as_str)).map(str::to_owned)
}

fn fits(pattern: &str, key: &str) -> bool {
    let (mut patterns, mut words) = (pattern.split('.'), key.split('.'));
    loop {
        match (patterns.next(), words.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) => return true,
            (Some(pattern), Some(word)) if pattern == "$" || pattern == word => {}
            _ => return false,
        }
    }
}

/// The pattern with the words of the key where it leaves them open.
fn filled(pattern: &str, words: &[&str]) -> String {
    let parts = pattern.split('.').enumerate().map(|(at, part)| match part {
        "$" => words.get(at).copied().unwrap_or("$"),
        "*" => words.get(at).copied().unwrap_or("*"),
        part => part,
    });
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_leaves_one_word_open_or_all_the_rest() {
        assert_eq!(meaning("listeners.tcp.default"), Some(Sets("amqp-listen")));
        assert_eq!(meaning("listeners.tcp.a.b"), None);
        assert_eq!(meaning("cluster_formation.k8s.host"), Some(Ignored(ONE_NODE)));
        assert_eq!(meaning("cluster_formation"), None);
        assert_eq!(meaning("log.queue.level"), Some(Ignored("nothing is logged of that category")));
    }

    #[test]
    fn the_nearest_key_is_named_if_there_is_one() {
        let near = |key| nearest(key).unwrap_or_default();
        assert_eq!(near("listener.tcp.default"), "listeners.tcp.default");
        assert_eq!(near("vm_memory_high_watermark.relativ"), "vm_memory_high_watermark.relative");
        assert_eq!(near("hartbeat"), "heartbeat");
        assert_eq!(near("colour_of_the_bike_shed"), "");
    }
}

//! Which of the client's tests are not simply to pass, and why.

use crate::foreign::{Exception, What};

/// Each test in the square brackets is there twice: for the API that waits, and for the other.
macro_rules! exceptions {
    ($($what:ident, $because:literal: [$($module:literal $case:literal),*] $($single:literal)*;)+) => {
        &[$(
            $(
                exceptions!(@one $what, $because, concat!("async_", $module, "_tests::test_async_", $case)),
                exceptions!(@one $what, $because, concat!("blocking_", $module, "_tests::test_blocking_", $case)),
            )*
            $(exceptions!(@one $what, $because, $single),)*
        )+]
    };
    (@one $what:ident, $because:literal, $case:expr) => {
        Exception { case: $case, what: What::$what, because: $because }
    };
}

pub const EXCEPTIONS: &[Exception] = exceptions![
    NeedsNoBroker, "it asks for a refusal, and none to be there is one": [
        "health_checks" "health_check_port_listener_fails",
        "health_checks" "health_check_protocol_listener_fails"
    ];
    NeedsNoBroker, "it reads what it wrote itself": ["runtime_parameter" "deserialize_sequence_value"];
    FailsOnRabbitmq, "3.10 does not say of a node whether it is being drained": [
        "auth_attempts" "auth_attempts_statistics",
        "node" "get_node_info",
        "node" "list_all_cluster_plugins",
        "node" "list_node_plugins",
        "node" "list_nodes",
        "zeroize" "client_builder_with_password_type",
        "zeroize" "client_with_password_type"
    ];
    FailsOnRabbitmq, "3.10 has no policies for one type of queues": [
        "definitions" "export_cluster_wide_definitions_as_data",
        "definitions" "export_vhost_definitions_as_data",
        "policy" "dlx_policy",
        "policy" "message_ttl_policy",
        "policy" "multiple_operator_policies_case1",
        "policy" "multiple_policies_case1",
        "policy" "operator_policy"
    ];
    FailsOnHaremq, "it asks for the stream protocol, too, which we do not speak": [
        "health_checks" "health_check_protocol_listener_succeeds"
    ];
    FailsOnHaremq, "we have no streams": [
        "queue" "declare_a_stream_with_declare_queue",
        "stream" "declare_stream",
        "stream" "delete_stream"
    ]
        "blocking_queue_tests::test_blocking_list_streams"
        "async_queue_proptests::prop_async_stream_essential_ops"
        "blocking_queue_proptests::prop_blocking_stream_essential_ops";
];

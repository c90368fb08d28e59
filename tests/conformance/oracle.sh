#!/bin/bash
# Runs what the conformance tests ask of a broker against Debian's RabbitMQ, so that they ask nothing that RabbitMQ
# does not do. Where its 3.10 differs from the release we follow, the script in question says so.
set -euo pipefail
cd "$(dirname "$0")/../.."

trap 'tests/conformance/rabbitmq.sh stop' EXIT
started=$(tests/conformance/rabbitmq.sh start)
echo "$started"
HAREMQ_TEST_URI=${started%% *} cargo test --locked --test conformance -- clients::

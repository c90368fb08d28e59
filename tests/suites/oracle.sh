#!/bin/bash
# Runs the suites against Debian's RabbitMQ, so that they ask nothing that RabbitMQ does not do.
set -euo pipefail
cd "$(dirname "$0")/../.."

trap 'tests/conformance/rabbitmq.sh stop' EXIT
started=$(tests/conformance/rabbitmq.sh start)
echo "$started"
HAREMQ_TEST_URI=${started%% *} cargo test --locked --test suites

#!/bin/bash
# Runs the foreign suites against Debian's RabbitMQ, so that their lists ask nothing that RabbitMQ does not do. Arguments go to
# the tests: `oracle.sh python::kombu`. Those of the HTTP API have http-oracle.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."

trap 'tests/conformance/rabbitmq.sh stop' EXIT
started=$(tests/conformance/rabbitmq.sh start)
echo "$started"
tests/suites/vhosts.sh
HAREMQ_TEST_URI=${started%% *} HAREMQ_SUITES_VHOSTS=yes \
  cargo test --locked --test suites -- --skip http_client --skip rabbitmqadmin "$@"

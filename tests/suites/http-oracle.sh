#!/bin/bash
# Runs the suites of the HTTP API against Debian's RabbitMQ with its management plugin, and those that have an API of their own
# there. It is at the ports that the tests of rabbitmq_http_client have inside, and for these suites alone: they list all that
# there is, and close connections.
set -euo pipefail
cd "$(dirname "$0")/../.."

export RABBIT_PORT=5688 RABBIT_HTTP_PORT=15688 RABBIT_PLUGINS
RABBIT_PLUGINS=rabbitmq_federation_management,rabbitmq_shovel_management,rabbitmq_stream_management
trap 'tests/conformance/rabbitmq.sh stop' EXIT
started=$(tests/conformance/rabbitmq.sh start)
echo "$started"
tests/conformance/rabbitmq.sh ctl --quiet await_startup
# The name that a node of RabbitMQ has unless told otherwise, and that the tests look for.
tests/conformance/rabbitmq.sh ctl --quiet set_cluster_name rabbit@localhost
for suite in ${@:-http_client rabbitmqadmin:: rabbitmqadmin2}; do
  HAREMQ_TEST_URI=${started%% *} cargo test --locked --test suites -- "$suite"
done

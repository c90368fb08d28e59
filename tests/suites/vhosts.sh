#!/bin/bash
# Gives each suite that another one could disturb a vhost of its own on the RabbitMQ that rabbitmq.sh started.
set -euo pipefail
cd "$(dirname "$0")/../.."

definitions=$(mktemp)
trap 'rm "$definitions"' EXIT
for suite in celery-{tasks,workers,chains,groups,chords,chords-that-fail}; do
  vhosts+="${vhosts:+,}{\"name\":\"$suite\"}"
  permissions+="${permissions:+,}{\"user\":\"guest\",\"vhost\":\"$suite\",\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}"
done
echo "{\"vhosts\":[$vhosts],\"permissions\":[$permissions]}" >"$definitions"
# It answers on its port a little before it takes commands.
tests/conformance/rabbitmq.sh ctl --quiet await_startup
tests/conformance/rabbitmq.sh ctl --quiet import_definitions "$definitions"

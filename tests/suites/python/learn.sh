#!/bin/bash
# Makes the lists `needs-broker/SUITE.txt` anew: what passes on RabbitMQ and does not pass at a closed port, where there is no
# broker at all. Then runs HareMQ and prints a table. Takes half an hour; arguments choose suites: `learn.sh python::kombu`.
set -euo pipefail
cd "$(dirname "$0")/../../.."
lists=tests/suites/python/needs-broker
outcomes=$(mktemp -d)

main() {
  cargo test --locked --test suites --no-run
  run closed-port env HAREMQ_TEST_URI=amqp://guest:guest@127.0.0.1:1 HAREMQ_SUITES_SECONDS=20 cargo test --locked --test suites -- "$@"
  trap 'tests/conformance/rabbitmq.sh stop' EXIT
  local started
  started=$(tests/conformance/rabbitmq.sh start)
  tests/suites/vhosts.sh
  run rabbitmq env HAREMQ_TEST_URI="${started%% *}" HAREMQ_SUITES_VHOSTS=yes cargo test --locked --test suites -- "$@"
  for file in "$outcomes"/rabbitmq/*.outcomes; do
    write_list "$(basename "$file" .outcomes)"
  done
  run haremq cargo test --locked --test suites -- "$@"
  table
}

run() {
  mkdir "$outcomes/$1"
  HAREMQ_SUITES_OUTCOMES=$outcomes/$1 "${@:2}"
}

write_list() {
  local unknown
  unknown=$(comm -23 <(ended rabbitmq "$1") <(ended closed-port "$1"))
  [ -z "$unknown" ] || { echo "$1: not run at the closed port: $unknown" >&2; return 1; }
  {
    echo "# Made by learn.sh: what needs a broker and passes on RabbitMQ."
    comm -23 <(passed rabbitmq "$1") <(passed closed-port "$1")
  } >"$lists/$1.txt"
}

ended() { cut -d ' ' -f 3- "$outcomes/$1/$2.outcomes" | sort -u; }
passed() { sed -n 's/^passed [0-9.]* //p' "$outcomes/$1/$2.outcomes" | sort; }

table() {
  echo "| suite | tests | deselected | pass without a broker | need a broker, pass on RabbitMQ | of these pass on HareMQ |"
  for list in "$lists"/*.txt; do
    suite=$(basename "$list" .txt)
    file=$outcomes/haremq/$suite.outcomes
    [ -e "$file" ] || continue
    echo "| $suite | $(ended haremq "$suite" | wc -l) | $(grep -c '^deselected' "$file") | $(passed closed-port "$suite" | wc -l)" \
      "| $(wanted "$list" | wc -l) | $(comm -12 <(wanted "$list") <(passed haremq "$suite") | wc -l) |"
  done
}

wanted() { grep -v '^#' "$1" | sort; }

export LC_ALL=C
main "$@"

#!/bin/bash
# Puts the suites of the Node.js, Rust and C clients where `cargo test --test suites` looks for them: the npm packages into
# node/node_modules, the folder of lapin's tests behind lapin/shipped, a copy of rabbitmq_http_client's behind
# http_client/shipped, rabbitmqadmin 2 into rabbitmqadmin2/bin, rabbitmq-c's source package into c/shipped. Each is fetched by
# name, version and hash.
set -euo pipefail
cd "$(dirname "$0")"

main() {
  node_packages
  lapin
  http_client
  rabbitmqadmin2
  rabbitmq_c
}

node_packages() {
  up_to_date node/node_modules/.installed-for node/package-lock.json && return
  npm ci --prefix node --no-audit --no-fund --loglevel=error
  hash_of node/package-lock.json >node/node_modules/.installed-for
}

target=${CARGO_TARGET_DIR:-../../target}

# cargo unpacks a crate with its tests.
lapin() {
  ln -sfn "$(crate lapin)/tests" lapin/shipped
  compile lapin
}

# Its tests have the server's ports inside: a copy, beside what is built, has those that tests/suites/http_client.rs uses. Those
# that need TLS, all of which it marks as ignored, would bring OpenSSL along.
http_client() {
  local copy
  copy=$(realpath --canonicalize-missing "$target")/http-client-tests
  if ! up_to_date "$copy/.copied-for" install-node-and-c.sh; then
    rm -rf "$copy"
    mkdir -p "$copy"
    cp "$(crate rabbitmq_http_client http_client)"/tests/integration/*.rs "$copy"
    sed -i -E 's/\b(1?)5672\b/\15688/g; /^mod (async|blocking)_tls_tests;$/d' "$copy"/*.rs
    hash_of install-node-and-c.sh >"$copy/.copied-for"
  fi
  ln -sfn "$copy" http_client/shipped
  compile http_client
}

rabbitmqadmin2_version=2.35.0

# Unoptimised: it runs for milliseconds, and is compiled in two minutes of two cores.
rabbitmqadmin2() {
  [ "$(rabbitmqadmin2/bin/rabbitmqadmin --version 2>/dev/null)" != "rabbitmqadmin $rabbitmqadmin2_version" ] || return 0
  CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --locked --debug --root rabbitmqadmin2 \
    "rabbitmqadmin@$rabbitmqadmin2_version"
}

# The source of a crate on which the package in the folder depends.
crate() {
  cargo metadata --locked --format-version 1 --manifest-path "${2:-$1}/Cargo.toml" | node -e '
    const { packages } = JSON.parse(require("fs").readFileSync(0));
    const { manifest_path } = packages.find(({ name }) => name === process.argv[1]);
    console.log(require("path").dirname(manifest_path));' "$1"
}

# Built here, so that it does not take time from tests that measure some.
compile() { cargo test --quiet --no-run --locked --manifest-path "$1/Cargo.toml" --target-dir "$target"; }

rabbitmq_c_version=0.11.0
rabbitmq_c_sha256=437d45e0e35c18cf3e59bcfe5dfe37566547eb121e69fca64b98f5d2c1c2d424

# Debian's source package, from where this machine gets its binary ones. Revisions of it differ in patches alone, and not
# every mirror has the sources of each.
rabbitmq_c() {
  [ "$(cat c/shipped/.installed-for 2>/dev/null)" != $rabbitmq_c_sha256 ] || return 0
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  mkdir -p "$scratch"/{lists/partial,cache/archives/partial,sources}
  ask_for_sources
  sourced apt-get update >"$scratch/log" 2>&1 || true # lists of others may have no sources
  local revision archive=$scratch/librabbitmq_$rabbitmq_c_version.orig.tar.gz
  for revision in $(sourced apt-cache madison librabbitmq | awk '{ print $3 }' | sort -u); do
    (cd "$scratch" && sourced apt-get source --download-only "librabbitmq=$revision") >>"$scratch/log" 2>&1 && break
  done
  echo "$rabbitmq_c_sha256  $archive" | sha256sum --check --quiet || { cat "$scratch/log" >&2; return 1; }
  rm -rf c/shipped
  mkdir c/shipped
  tar -xzf "$archive" -C c/shipped --strip-components=1
  echo $rabbitmq_c_sha256 >c/shipped/.installed-for
}

# What apt trusts already, asked for sources; the machine's own lists stay as they are.
ask_for_sources() {
  local list
  for list in /etc/apt/sources.list.d/*; do
    case $list in
      *.sources) sed 's/^Types:.*/Types: deb-src/' "$list" >"$scratch/sources/${list##*/}" ;;
      *.list) sed -n 's/^deb /deb-src /p' "$list" >"$scratch/sources/${list##*/}" ;;
    esac
  done
}

sourced() {
  "$1" -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$scratch/sources" -o Dir::State::lists="$scratch/lists" \
    -o Dir::Cache="$scratch/cache" "${@:2}"
}

up_to_date() { [ "$(cat "$1" 2>/dev/null)" = "$(hash_of "$2")" ]; }
hash_of() { sha256sum <"$1"; }

main

#!/bin/bash
# Puts the suites of the Node.js, Rust and C clients where `cargo test --test suites` looks for them: the npm packages into
# node/node_modules, the folder of lapin's tests behind lapin/shipped, rabbitmq-c's source package into c/shipped. Each is
# fetched by name, version and hash.
set -euo pipefail
cd "$(dirname "$0")"

main() {
  node_packages
  lapin
  rabbitmq_c
}

node_packages() {
  up_to_date node/node_modules/.installed-for node/package-lock.json && return
  npm ci --prefix node --no-audit --no-fund --loglevel=error
  hash_of node/package-lock.json >node/node_modules/.installed-for
}

# cargo unpacks a crate with its tests.
lapin() {
  local manifest
  manifest=$(cargo metadata --locked --format-version 1 --manifest-path lapin/Cargo.toml | node -e '
    const { packages } = JSON.parse(require("fs").readFileSync(0));
    console.log(packages.find(({ name }) => name === "lapin").manifest_path);')
  ln -sfn "$(dirname "$manifest")/tests" lapin/shipped
  # Built here, so that it does not take time from tests that measure some.
  cargo test --quiet --no-run --locked --manifest-path lapin/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-../../target}"
}

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

#!/bin/bash
# build-deb.sh [PROFILE [--no-build]]
# Builds the Debian package with a profile of cargo's, by default release, and prints where it is. Needs cargo-deb. With --no-build
# it takes the binary that is there.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:-release}
folder=$profile
[ "$profile" != dev ] || folder=debug
binary=${CARGO_TARGET_DIR:-target}/$folder/haremq

[ "${2:-}" = --no-build ] || cargo build --quiet --locked --profile "$profile" --bin haremq
# What cargo-deb finds there is made by the binary itself.
made=target/package
rm -rf "$made"
mkdir -p "$made/completions"
"$binary" man "$made/man"
"$binary" completions bash >"$made/completions/haremq"
"$binary" completions zsh >"$made/completions/_haremq"
"$binary" completions fish >"$made/completions/haremq.fish"
cargo deb --quiet --locked --no-build --profile "$profile" --output "$made/"

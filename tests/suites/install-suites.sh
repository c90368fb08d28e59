#!/bin/bash
# Puts the foreign test suites where `cargo test --test suites` looks for them. The clients that ship their tests have them
# in their source packages, which are fetched by name, version and hash and unpacked into git-ignored folders.
set -euo pipefail
cd "$(dirname "$0")"

main() {
  python
}

# Done once for each state of the lists: pip takes seconds to find out that all is there.
python() {
  local stamp=python/.venv/installed-for wanted
  wanted=$(cat python/requirements.txt python/sdists.txt | sha256sum)
  [ "$(cat $stamp 2>/dev/null)" != "$wanted" ] || return 0
  rm -rf python/.venv python/sdists
  python3 -m venv python/.venv
  pip install --require-hashes -r python/requirements.txt
  mkdir -p python/sdists
  pip download --require-hashes --no-deps --no-binary :all: --no-build-isolation -d python/sdists -r python/sdists.txt
  for archive in python/sdists/*.tar.gz; do
    tar -xzf "$archive" -C python/sdists
    rm "$archive"
  done
  echo "$wanted" >$stamp
}

pip() { python/.venv/bin/python -m pip "$1" --quiet --disable-pip-version-check "${@:2}"; }

main

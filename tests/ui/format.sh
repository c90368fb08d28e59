#!/bin/bash
# Formats the page's files, its tests and what measures it, or tells with --check which are not formatted.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/ui/node_modules/.bin/prettier --config tests/ui/package.json --log-level warn "${1:---write}" src/management/ui 'tests/ui/*.mjs' results/ui.mjs

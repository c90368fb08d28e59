#!/bin/bash
# Puts the foreign clients that a language's own registry holds where the conformance tests look for them: pika into
# python/.venv, amqplib into node/node_modules. The others are Debian's amqp-tools and librabbitmq-dev.
set -euo pipefail
cd "$(dirname "$0")"

[ -x python/.venv/bin/python ] || python3 -m venv python/.venv
python/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r python/requirements.txt
npm ci --prefix node --no-audit --no-fund --loglevel=error

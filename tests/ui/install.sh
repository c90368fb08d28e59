#!/bin/bash
# Puts Playwright and amqplib where the tests of the pages look for them. The browser is Debian's package chromium.
set -euo pipefail
npm ci --prefix "$(dirname "$0")" --no-audit --no-fund --loglevel=error

#!/usr/bin/env bash
# browser.sh: prints the path of a Chromium, which it installs with apt where there is none.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

find_browser && exit 0
locked "$INFRA/browser.lock" apt_install chromium || say "no Chromium is to be had: tests with a browser will skip themselves"
find_browser

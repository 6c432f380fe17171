#!/bin/sh
# Debian's libfaketime, for tests/chaos/test_clocks.py. Needs root; a laptop without it skips that test.
set -eu
apt-get update -qq
apt-get install -y -qq --no-install-recommends faketime

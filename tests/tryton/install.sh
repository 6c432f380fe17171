#!/bin/sh
# Builds Tryton 8.2 with an empty company in it: a venv of its own, a SQLite database, a key for its REST API.
# Usage: install.sh FOLDER [PYTHON]. Takes half a minute; the folder is complete when it has a file `key`.
# Exit status 3: the packages could not be fetched.
set -eu

folder=$1
python=${2:-python3}
here=$(cd "$(dirname "$0")" && pwd)

rm -rf "$folder"
mkdir -p "$folder/data"
cd "$folder"

"$python" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check \
    'trytond>=8.2,<8.3' 'trytond-party>=8.2,<8.3' 'trytond-account>=8.2,<8.3' 'trytond-account-invoice>=8.2,<8.3' \
    'proteus>=8.2,<8.3' 'waitress>=3,<4' || exit 3

export TRYTOND_DATABASE_URI=sqlite://
export TRYTOND_DATABASE__PATH="$folder/data"
export TRYTOND_DATABASE__LANGUAGE=en
export TRYTONPASSFILE="$folder/password"

# The server refuses a database that does not exist, and asks on the terminal when the e-mail address is empty.
# The German chart of accounts comes with the German language only.
: >data/shop.sqlite
echo 'only-for-tests' >password
venv/bin/trytond-admin -d shop --email admin@example.org -u party account_invoice --activate-dependencies -l de
venv/bin/python "$here/bootstrap.py" sqlite:///shop >key.new

# It runs in WAL mode: a journal that stays behind would be replayed over a copy.
rm -f data/*-wal data/*-shm
mv key.new key

#!/usr/bin/env bash
# Builds the image of the Dockerfile where no registry can be reached, and tries it: for Debian (or Ubuntu) with
# buildah and debootstrap, as root.
#
#   deploy/image.sh [FOLDER]      # FOLDER: where root file system, wheels and images are kept, .cache/image
#   ARCHIVE=relais.tar deploy/image.sh      # also writes what `docker load` reads
#
# The base is Debian from the mirror of this machine's apt, in place of python:3.13-slim; Python packages are those of
# the lock files, by their hashes, from where this machine's pip gets them. The build itself has no network.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-.cache/image}")
suite=trixie version=3.13
unset PYTHONDONTWRITEBYTECODE

for tool in buildah debootstrap; do
    command -v "$tool" >/dev/null || { echo "needs $tool: apt-get install buildah debootstrap" >&2; exit 3; }
done
[ "$(id -u)" = 0 ] || { echo "needs root, for debootstrap and chroot: sudo make image" >&2; exit 3; }
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9

say() { echo "== $*"; }
b() { buildah --root "$folder/storage" --runroot "$folder/run" --storage-driver vfs "$@"; }

if [ ! -e "$folder/base.tar" ]; then
    say "base: Debian $suite with Python $version"
    mirror=$(apt-get indextargets --format '$(SITE) $(COMPONENT)' 'Created-By: Packages' | awk '$2 == "main" { print $1; exit }')
    rm -rf "$folder/root"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$folder/root" "$mirror" \
        >"$folder/debootstrap.log" || { tail -5 "$folder/debootstrap.log" >&2; exit 1; }
    ln -s python3 "$folder/root/usr/bin/python"
    # Where the packages came from is this machine's affair.
    rm -rf "$folder"/root/etc/apt/sources.list "$folder"/root/var/cache/apt/*.bin "$folder"/root/var/cache/apt/archives/*.deb \
        "$folder"/root/var/lib/apt/lists/* "$folder"/root/usr/share/{doc,man,locale} "$folder"/root/var/log/*.log
    tar --create --file "$folder/base.tar.new" --directory "$folder/root" --exclude './proc/*' --exclude './sys/*' --exclude './dev/*' .
    rm -rf "$folder/root"
    mv "$folder/base.tar.new" "$folder/base.tar"
fi

say "Python packages of the lock files"
wheels="$folder/wheels-$(cat requirements.lock requirements-build.lock | sha256sum | cut -c1-16)"
if [ ! -e "$wheels" ]; then
    rm -rf "$wheels.new"
    for lock in requirements.lock requirements-build.lock; do
        python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all: \
            --python-version "$version" --implementation cp --dest "$wheels.new" --requirement "$lock"
    done
    mv "$wheels.new" "$wheels"
fi
printf '[global]\nno-index = true\nfind-links = /wheels\n' >"$folder/pip.conf"

say "build"
if ! b inspect --type image localhost/relais-base >/dev/null 2>&1; then
    base=$(b from --pull-never scratch)
    b add --quiet "$base" "$folder/base.tar" / >/dev/null
    b commit --quiet "$base" localhost/relais-base >/dev/null
    b rm "$base" >/dev/null
fi
revision=$(git rev-parse HEAD 2>/dev/null || true)
b bud --quiet --pull-never --isolation chroot --format docker --tag localhost/relais:latest \
    --build-arg PYTHON_IMAGE=localhost/relais-base --build-arg REVISION="$revision" \
    --volume "$wheels:/wheels:ro" --volume "$folder/pip.conf:/etc/pip.conf:ro" . >"$folder/build.log" 2>&1 \
    || { tail -20 "$folder/build.log" >&2; exit 1; }
b rmi --prune >/dev/null # the image before
[ -z "${ARCHIVE:-}" ] || b push --quiet localhost/relais:latest "docker-archive:$ARCHIVE:relais:latest"

say "run, as the image's user: init, check, up, health, stop"
made=$(b from --pull-never localhost/relais:latest)
trap 'b rm "$made" >/dev/null' EXIT
b run --isolation chroot --user 0 "$made" -- install -d -o relais -g relais /book
b run --isolation chroot "$made" -- sh -euc '
    [ "$(id -u)" = 10001 ]
    relais init /book >/dev/null
    relais rules check /book 2>&1
    export RELAIS_PORT="$1" RELAIS_CONSOLE_PORT="$2" RELAIS_CONSOLE_URL="http://127.0.0.1:$2"
    relais up --json >/tmp/up &
    until [ -s /tmp/up ]; do kill -0 $!; sleep 0.2; done
    python -m console.checks.alive "receive:$1" "console:$2" work
    relais doctor
    kill $!
    wait $!
    echo "stopped with status $?"
' sh "${PORT:-18080}" "${CONSOLE_PORT:-18081}" 9>&- 2>"$folder/run.log" || { tail -30 "$folder/run.log" >&2; exit 1; }
say "image localhost/relais:latest in $folder/storage: $(b images --format '{{.Size}}' localhost/relais:latest)"

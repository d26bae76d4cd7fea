#!/usr/bin/env bash
# Builds the CPU image from a base made here, converts it to a SIF, and tests both: the smoke experiment in the image
# against the host's, isolation, single jobs. Skips, saying why, where no engine can be had.
#   KBENCH_HOST_RESULTS   results folder in which this code's smoke experiment has been run already (default: results)
#   APPTAINER_INSTALLER   script that installs Apptainer below a folder it is given, for machines that have none
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d -t kbench-ci.XXXXXX) # not below the checkout: the name of a socket may be a hundred characters long
export KBENCH_HOST_RESULTS=${KBENCH_HOST_RESULTS:-$PWD/results}
export PATH="$PWD/.venv/bin:$PATH:/usr/sbin"

cleanup() {
  [ -z "${base:-}" ] || wait "$base" || true
  [ -z "${engine:-}" ] || { kill "$engine" && wait "$engine" || true; }
  rm -rf "$work" || true
}
trap cleanup EXIT
chmod 755 "$work" # a plain user runs the Apptainer that may be installed here

skip() {
  echo "SKIPPED containers/ci.sh: $1" | tee -a "${SKIPPED:-/dev/null}"
  exit 0
}

step() { printf '\n-- %s (%ss)\n' "$1" "$SECONDS"; }

apptainer_found() { command -v apptainer >/dev/null || command -v singularity >/dev/null; }

install_apptainer() {
  local installer
  for installer in "${APPTAINER_INSTALLER:-}" ../*/recipes/install-apptainer.sh; do
    [ -x "$installer" ] && "$installer" "$work/apptainer" && export PATH="$work/apptainer/bin:$PATH" && return
  done
}

install_packages() {
  dpkg -s docker.io debootstrap squashfs-tools squashfuse >/dev/null 2>&1 && return
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends \
    docker.io debootstrap squashfs-tools squashfuse; } >"$work/apt.log" 2>&1 ||
    skip "docker.io and debootstrap cannot be installed: $(tail -n 1 "$work/apt.log")"
}

# An engine of its own, without a network: the build needs none. It ends with this script, however that ends.
start_engine() {
  export DOCKER_HOST=unix://$work/docker.sock
  setpriv --pdeathsig TERM dockerd --iptables=false --ip6tables=false --bridge=none --ip-forward=false \
    --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/docker.pid" --host "$DOCKER_HOST" \
    >"$work/dockerd.log" 2>&1 &
  engine=$!
  for _ in $(seq 60); do
    docker version >/dev/null 2>&1 && return
    sleep 0.5
  done
  skip "the Docker engine does not start here: $(tail -n 1 "$work/dockerd.log")"
}

make_base() {
  step "base image"
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip bookworm "$work/base" \
    >"$work/debootstrap.log" 2>&1
  tar -C "$work/base" --exclude='./dev/*' --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' -c . |
    docker import - kbench-base:bookworm
}

[ "$(id -u)" = 0 ] || skip "starting a Docker engine takes root"
command -v apt-get >/dev/null || skip "a Debian is needed to make the base image"

step "engines"
install_packages
apptainer_found || install_apptainer || true
apptainer_found || skip "no Apptainer here, and no APPTAINER_INSTALLER that installs one"
start_engine

make_base &
base=$!
step "wheels"
kbench container wheels
wait "$base" || skip "no base image: $(tail -n 1 "$work/debootstrap.log")"

step "image and SIF"
kbench container build --base kbench-base:bookworm | grep --line-buffered -E '^(Step|wrote)|INFO'
ls -l containers/kbench.sif

step "tests in the image"
KBENCH_TEST_SIF=$PWD/containers/kbench.sif python -m pytest tests/container -m slow -rs --durations 5
step "done"

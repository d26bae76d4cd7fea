#!/usr/bin/env bash
# Starts a real Slurm of one node, runs the tests of tests/slurm on it and the smoke experiment through it (in the image,
# where there is one), and ends it again by process id. Says why where no Slurm can be had.
#   KBENCH_IMAGE_ENDED    file that is there once another process has built containers/kbench.sif, or could not
#   APPTAINER_INSTALLER   script that installs Apptainer below a folder it is given, for machines that have none
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d -t kbench-slurm.XXXXXX)
chmod 755 "$work" # the database runs as a user of its own
results=$PWD/results
export PATH="$PWD/.venv/bin:$PATH:/usr/sbin" KBENCH_SLURM=1 OMP_NUM_THREADS=1
export KBENCH_SLURM_SITE=$work/site.yaml
cluster=$PWD/tests/slurm/cluster.sh

cleanup() {
  local status=$?
  "$cluster" down "$work/slurm" || status=1
  rm -rf "$work"
  exit "$status"
}

skip() {
  echo "SKIPPED tests/slurm/ci.sh: $1" | tee -a "${SKIPPED:-/dev/null}"
  trap - EXIT
  rm -rf "$work"
  exit 0
}

step() { printf '\n-- %s (%ss)\n' "$1" "$SECONDS"; }

start() { "$cluster" up "$work/slurm" "$@" >"$work/up.log" 2>&1; }

# smoke FOLDER OPTIONS...: one run of the smoke experiment through Slurm, into a results folder of its own. Every rule is
# submitted; more runs would only wait longer for Slurm's answers.
smoke() {
  local folder=$1
  shift
  sed '/- cosine/d; /wpse-linear/d; /wpse-imq/d; /^primary:/d; s/^seeds:.*/seeds: [0]/' workflow/experiments/world.yaml >"$work/world.yaml"
  snakemake --profile workflow/profiles/slurm --quiet rules progress \
    --config experiment="$work/world.yaml" smoke=true results="$folder" "$@" \
    >"$work/snakemake.log" 2>&1 || { cat "$work/snakemake.log" && return 1; }
  test "$(ls "$folder"/world-smoke/runs/*/model.safetensors | wc -l)" = 1
  test -s "$folder/world-smoke/report/index.html"
}

# same FOLDER: the same weights as on the host, where that has been run.
same() {
  local card
  for card in "$1"/world-smoke/runs/*/model.safetensors; do
    local host=$results/world-smoke/${card#"$1/world-smoke/"}
    [ ! -e "$host" ] || cmp "$card" "$host"
  done
}

[ "$(id -u)" = 0 ] || skip "installing Slurm takes root"
command -v apt-get >/dev/null || skip "Slurm is installed from Debian's packages"
echo "{first_check_seconds: 1, rules: {pretrain: {memory_gb: 2}, features: {memory_gb: 2}}}" >"$KBENCH_SLURM_SITE"

step "Slurm"
start || skip "no Slurm here: $(tail -n 1 "$work/up.log")"
trap cleanup EXIT
sinfo --Node --long

step "tests"
env -u KBENCH_SLURM_SITE timeout 2400 python -m pytest tests/slurm/test_cluster.py -rs --durations 5
step "with accounting"
"$cluster" down "$work/slurm"
if start accounting; then
  env -u KBENCH_SLURM_SITE KBENCH_SLURM_ACCOUNTS=1 python -m pytest tests/slurm/test_cluster.py -rs -k account
else
  echo "SKIPPED accounts: no accounting here: $(tail -n 1 "$work/up.log")"
  start
fi
# The gate builds the image at the same time.
until [ -z "${KBENCH_IMAGE_ENDED:-}" ] || [ -e "$KBENCH_IMAGE_ENDED" ]; do sleep 1; done

apptainer_found() { command -v apptainer >/dev/null || command -v singularity >/dev/null; }

if [ -e containers/kbench.sif ] && ! apptainer_found; then
  for installer in "${APPTAINER_INSTALLER:-}" ../*/recipes/install-apptainer.sh; do
    [ -x "$installer" ] && "$installer" "$work/apptainer" >"$work/apptainer.log" 2>&1 && PATH=$work/apptainer/bin:$PATH && break
  done
fi
if [ -e containers/kbench.sif ] && apptainer_found; then
  step "smoke experiment in the image"
  smoke "$work/image" --use-singularity
  same "$work/image"
  step "two tasks in the image"
  env -u KBENCH_SLURM_SITE KBENCH_SLURM_IMAGE=1 timeout 600 python -m pytest tests/slurm/test_cluster.py -rs -k image
else
  echo "SKIPPED the smoke experiment in the image: no containers/kbench.sif or no Apptainer here" |
    tee -a "${SKIPPED:-/dev/null}"
  step "smoke experiment"
  smoke "$work/host"
  same "$work/host"
fi

step "done"

#!/usr/bin/env bash
# A finished experiment in a folder of one's own; then a similarity variant, an objective, an evaluation task and an
# evaluation set are added there. What was finished stays as it is, what was added runs, and one report compares old and new.
#   examples/own_folder.sh FOLDER [OPTIONS OF SNAKEMAKE]      FOLDER must not be there yet
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:?usage: examples/own_folder.sh FOLDER [OPTIONS OF SNAKEMAKE]}
shift
mkdir "$folder" && cd "$folder"
cp -r "$checkout"/{Snakefile,workflow,profiles} .

run() { snakemake --cores all --quiet all --config experiment=own.yaml "$@"; }
planned() { snakemake -n --cores all --config experiment=own.yaml "$@" | sed -n '/^Job stats/,/^total/p' | sort -u | grep -vE '^(Job|job|-|$)'; }
other_world() { kbench world make --output other-world --seed 7 --pairs 512 --eval-images 64 2>&1; }

cat >own.yaml <<'YAML'
name: own
description: Two similarities for a few steps.
corpus: {kind: world, seed: 3, pairs: 512, evaluation_images: 64}
towers: demo
variants:
  - cosine
  - {similarity: wpse-gaussian, set: {features: 32}}
seeds: [0]
training: {batch_size: 32, epochs: 1, warmup_epochs: 0.25, learning_rate: 2.0e-3, weight_decay: 0.1}
evaluation:
  datasets: [world-shape, world-pairs]
  random_features: {number: 64, draws: 2}
  linear_probe: {strides: [48], random_features: 32}
YAML

echo "== jobs of a new experiment"
planned "$@"
run "$@"
sha256sum results/own/runs/*/model.safetensors results/own/runs/*/evaluation/*/*.json >finished.sha256

echo "== a variant, an objective, a task and an evaluation set of one's own"
mkdir -p workflow/{variants,objectives,tasks,datasets}
cp "$checkout/examples/wpse_laplace.py" workflow/variants/
cp "$checkout/examples/decoupled.py" workflow/objectives/
cp "$checkout/examples/calibration.py" workflow/tasks/
cp "$checkout/examples/own-digits.yaml" workflow/datasets/
other_world >/dev/null && mv other-world/benchmark data
sed -i 's/^seeds:/  - wpse-laplace\n  - {similarity: cosine, label: cosine-decoupled, objective: decoupled}\n&/' own.yaml
sed -i 's/datasets: \[/&own-digits, /' own.yaml
sed -i 's/^  datasets:/  tasks: [zeroshot, linear_probe, pmi_gap, calibration]\n&/' own.yaml
kbench conform wpse-laplace | tail -n 1
kbench conform decoupled | tail -n 1
kbench conform calibration | tail -n 1
kbench dataset verify own-digits --data data

echo "== jobs that are added"
planned data=data "$@"
run data=data "$@"

echo "== what was finished"
sha256sum --check --quiet finished.sha256 && echo "$(wc -l <finished.sha256) files of finished results are as they were"

echo "== one table"
awk '/^\*\*Zero-shot, top-1/ {shown = 1} /^(\*\*|One training)/ && !/Zero-shot, top-1/ {shown = 0} shown' results/own/report/report.md

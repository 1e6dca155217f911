#!/bin/bash
# One run on the GPUs of several SLURM nodes: one process per GPU, as JAX recommends.
#
#   sbatch experiments/pods/slurm.sh [flags of ecg_jax.main]
#
# The same command continues a run that was stopped, also with another number of nodes.
# Change: nodes, GPUs and tasks per node (equal, and all of them together divide
# train.batch_size), cores per task, time; the partition or account that your cluster wants; and
# the two paths, on a file system that every node sees. Ask for GPUs per node, not per task: a
# process takes the one that its place on the node names.
#SBATCH --job-name=ecg-jax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.out
# Five minutes before the time is up all processes save at a common step and end.
#SBATCH --signal=TERM@300
#SBATCH --requeue

set -euo pipefail

STORE=${STORE:-/shared/stores/code15} # python -m ecg_jax.prepare makes one
WORKDIR=${WORKDIR:-/shared/runs/reference}

srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-8}" --kill-on-bad-exit=0 --wait=120 \
  python -m ecg_jax.main \
  --config=configs/reference.py \
  --workdir="$WORKDIR" \
  --config.data.dataset=store \
  --config.data.source="$STORE" \
  --config.data.mode=device \
  "$@"

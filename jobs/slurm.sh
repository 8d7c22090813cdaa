#!/bin/bash
# A training run as a Slurm job that survives its time limit and preemption.
#
#   sbatch --nodes=4 --gpus-per-node=8 jobs/slurm.sh trainers.seq2seq \
#       --strategy=multiworker --plan_lanes=32 --flagfile=flags/… --workdir=/shared/…
#
# One task a node; each is a worker with all GPUs of its node. Two minutes before the time
# limit Slurm sends SIGUSR1: the run saves, ends with 75, and goes back into the queue. The
# same happens when a node is lost. --workdir and --data_dir must be on storage that all
# nodes share. Any other exit code ends the job.
#SBATCH --job-name=sluice
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --signal=USR1@120
#SBATCH --open-mode=append

PYTHON=${PYTHON:-.venv/bin/python}
trap : TERM USR1 # for the tasks; this script outlives them and reads their exit code

# --wait: the others may finish what they are saving when one task has ended.
# srun ends with the highest code of its tasks; what one of them refuses is to count
# before the 75 of those that were left alone, so 100 is added to it.
srun --wait=120 --kill-on-bad-exit=0 \
  "$PYTHON" -m trainers.launch --refusal_offset=100 -- "$@"
code=$?
if ((code == 101 || (code >= 164 && code <= 178))); then
  code=$((code - 100))
fi
if ((code == 75)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"

#!/bin/bash
#SBATCH --job-name=qlaunch1
#SBATCH --nodes=4
#SBATCH --time=60
#SBATCH --partition=debug-cache-quad
#SBATCH --account=datascience
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --no-requeue
#SBATCH --signal=B:USR1@120

# MPICH's mpiexec reaches other nodes by srun: without this one would wait for the other.
export SLURM_OVERLAP=1
cd /site/qsubmit || exit 1
# The submit command ran in the C locale; jobs run in the user's.
unset LC_ALL
export PATH=/opt/balsam/bin:"$PATH"
export BALSAM_DB_PATH=/site

launcher= signalled=
# The warning before the walltime, a cancellation and the end of the walltime: all end the launcher gracefully.
trap 'signalled=1; [ -z "$launcher" ] || kill -TERM "$launcher" 2>/dev/null' TERM INT HUP USR1
/opt/balsam/bin/python -m balsam_core launcher --job-mode serial --wf-filter=TEST --time-limit-minutes=58.00 --launch-id=00000000-0000-0000-0000-000000000001 &
launcher=$!
[ -z "$signalled" ] || kill -TERM "$launcher" 2>/dev/null
while :; do
    signalled=
    wait "$launcher"
    status=$?
    # A signal cuts the wait short; the launcher may need a while to stop its jobs.
    [ -n "$signalled" ] && [ "$status" -gt 128 ] || break
done
exit "$status"

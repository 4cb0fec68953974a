#!/bin/bash
#COBALT -n 2
#COBALT -t 30
#COBALT --jobname qlaunch1
cd /site/qsubmit || exit 1
# The submit command ran in the C locale; jobs run in the user's.
unset LC_ALL
export PATH=/opt/balsam/bin:"$PATH"
export BALSAM_DB_PATH=/home/ada/site

launcher= signalled=
# The warning before the walltime, a cancellation and the end of the walltime: all end the launcher gracefully.
trap 'signalled=1; [ -z "$launcher" ] || kill -TERM "$launcher" 2>/dev/null' TERM INT HUP USR1
/opt/balsam/bin/python -m balsam_core launcher --job-mode mpi --consume-all --time-limit-minutes=28.50 --launch-id=00000000-0000-0000-0000-000000000001 &
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

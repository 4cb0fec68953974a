#!/bin/bash
# Ends the Slurm that slurm-up.sh started in the folder $1: its batch jobs, then its daemons by their pid files, then the
# folder itself.
set -u

folder=$1
export SLURM_CONF=$folder/slurm.conf
[[ -s $SLURM_CONF ]] || exit 0

if [[ -s $folder/run/slurmctld.pid ]] && kill -0 "$(<"$folder/run/slurmctld.pid")" 2>/dev/null; then
    for ((i = 0; i < 50; i++)); do
        mapfile -t left < <(timeout 5 squeue --noheader --format=%A 2>/dev/null | sort -u)
        ((${#left[@]})) || break
        ((i % 10)) || timeout 10 scancel --full --signal=KILL "${left[@]}" 2>/dev/null
        ((i % 10)) || timeout 10 scancel "${left[@]}" 2>/dev/null
        sleep 0.1
    done
fi

pids=()
for file in "$folder"/run/node*.pid "$folder"/run/slurmctld.pid "$folder"/run/munged.pid; do
    [[ -s $file ]] && kill "$(<"$file")" 2>/dev/null && pids+=("$(<"$file")")
done
for ((i = 0; i < 100; i++)); do
    left=()
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && left+=("$pid"); done
    ((${#left[@]})) || break
    sleep 0.1
done
((${#left[@]})) && kill -KILL "${left[@]}"
rm -rf "$folder"

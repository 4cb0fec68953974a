#!/bin/bash
# Installs what the tests with a real Slurm, sshd or browser need, where that is possible: as root, with apt-get. Never
# fails: without it those tests are skipped by name, or fail where all of them must run.
set -u

missing=()
for pair in slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client munged:munge \
    sshd:openssh-server ssh:openssh-client rsync:rsync chromium:chromium; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
((${#missing[@]})) || exit 0
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "the tests with real servers are left out; they need root and ${missing[*]}" >&2
    exit 0
fi

# The packages would start daemons of their own; 101 forbids that (see invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install --yes --quiet --no-install-recommends "${missing[@]}"; }
log=$(mktemp)
echo "installing ${missing[*]}" >&2
if ! { install || { apt-get update --quiet && install; }; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "not installed: ${missing[*]}; the tests with them are left out" >&2
fi
rm -f "$log"
exit 0

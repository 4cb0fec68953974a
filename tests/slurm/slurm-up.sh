#!/bin/bash
# Starts a Slurm of its own in the folder $1: munged, slurmctld and one slurmd per node ("node1" ...), all on the loopback
# interface of this host, as root. What runs already is left alone. Every file lies in the folder; slurm-down.sh ends it.
#
#   SLURM_NODES=4 SLURM_CPUS=8 SLURM_PORT=16817 slurm-up.sh FOLDER; export SLURM_CONF=FOLDER/slurm.conf
#
# SLURM_CPUS: what each node claims to have. SLURM_PORT: slurmctld's; the ports after it are the nodes'.
set -euo pipefail

folder=$1
nodes=${SLURM_NODES:-4}
cpus=${SLURM_CPUS:-8}
port=${SLURM_PORT:-16817}
host=$(hostname -s)
export SLURM_CONF=$folder/slurm.conf

fail() {
    echo "slurm-up: $*" >&2
    exit 1
}
runs() { [[ -s $folder/run/$1.pid ]] && kill -0 "$(<"$folder/run/$1.pid")" 2>/dev/null; }

[[ $(id -u) = 0 ]] || fail "munged and slurmd need root here"
mkdir -p "$folder"/{state,spool,log,run,munge}
# Ordinary users read slurm.conf and talk to munge's socket; the key is nobody's business.
chmod 755 "$folder" "$folder/run"
chmod 700 "$folder/munge"
[[ -s $folder/munge/key ]] || (umask 077 && head -c 128 /dev/urandom >"$folder/munge/key")

[[ -s $SLURM_CONF ]] || cat >"$SLURM_CONF" <<CONF
ClusterName=balsam
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=pmi2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PriorityType=priority/basic
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
NodeName=node[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=$cpus RealMemory=4000
PartitionName=debug Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 OverSubscribe=EXCLUSIVE
PartitionName=regular Nodes=ALL MaxTime=600 DefaultTime=10 OverSubscribe=EXCLUSIVE
PartitionName=shared Nodes=ALL MaxTime=600 DefaultTime=10 MaxNodes=1
CONF

runs munged || munged --force --key-file="$folder/munge/key" --socket="$folder/run/munge.socket" \
    --pid-file="$folder/run/munged.pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed" ||
    fail "munged does not start; see $folder/log/munged.log"
runs slurmctld || slurmctld -f "$SLURM_CONF" || fail "slurmctld does not start; see $folder/log/slurmctld.log"
for ((i = 1; i <= nodes; i++)); do
    mkdir -p "$folder/spool/node$i"
    runs "node$i" || slurmd -f "$SLURM_CONF" -N "node$i" || fail "slurmd does not start; see $folder/log/node$i.log"
done

# A node that comes from the saved state looks idle before its slurmd is there: only that has a start time.
usable=' State=(IDLE|ALLOCATED|MIXED|COMPLETING)[^*]*( |\+[A-Z]+ ).* SlurmdStartTime=[0-9]'
for ((tenths = 0; tenths < 300; tenths++)); do
    there=$(scontrol --oneliner show node 2>/dev/null | grep -cE "$usable") || true
    [[ $there != "$nodes" ]] || exit 0
    sleep 0.1
done
fail "only ${there:-none} of $nodes nodes came up in 30 s; see $folder/log"

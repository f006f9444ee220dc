#!/usr/bin/env bash
# Proves `deciban eval` under real launchers: a Slurm of this machine alone and mpirun, two processes each, one of them
# killed half-way and started again.  Every result must be that of one undisturbed process, record by record.
#
#   scripts/cluster/trial.sh PROGRAM [slurm|mpi…]      default: both
#
# Needs Debian's slurm-wlm and munge (as root: their daemons are started, and ended again) and openmpi-bin.
# Everything is written below a temporary directory.  Prints a line for each proof; exits non-zero if one fails.
set -euo pipefail

program=$(realpath "${1:?usage: scripts/cluster/trial.sh PROGRAM [slurm|mpi...]}")
shift
kinds=("$@")
[ "${#kinds[@]}" -gt 0 ] || kinds=(slurm mpi)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
die() {
  printf 'trial: %s\n' "$*" >&2
  exit 1
}

# Texts enough for some seconds of work, as lines of JSON.
python3 - "$root" "$work/texts.jsonl" <<'PY'
import glob, json, sys
texts = [open(f, encoding="utf-8", errors="replace").read() for f in sorted(glob.glob(sys.argv[1] + "/docs/*.md"))]
with open(sys.argv[2], "w") as out:
    for i in range(200):
        text = texts[i % len(texts)]
        out.write(json.dumps({"id": f"d{i}", "text": f"{i} " + text[(i * 97) % 400:][: 800 + 37 * (i % 60)]}) + "\n")
PY
eval_words=(eval -m "$root/datasets/demo/rwkv7" -c "$work/texts.jsonl" --no-compressors --threads 1)

# Scores without what a run is allowed to differ in (its seconds), sorted.
scores() { # DIRECTORY
  python3 - "$1" <<'PY'
import glob, json, sys
rows = {}
for name in sorted(glob.glob(sys.argv[1] + "/records*.jsonl")):
    for line in open(name):
        row = json.loads(line)
        if row["key"] in rows: raise SystemExit(f"{name}: {row['key']} is there twice")
        rows[row["key"]] = (row["document"], row["logprob"], row["tokens"])
for key in sorted(rows): print(key, *rows[key])
PY
}
same() { # WHAT DIRECTORY
  scores "$2" >"$work/there"
  cmp -s "$work/there" "$work/expected" || die "$1: the records are not those of one process"
  printf '%s: %s records, bit for bit those of one process\n' "$1" "$(wc -l <"$work/there")"
}

# LAUNCH… starts both processes; one is killed when it has a quarter of its documents.
killed_and_again() { # WHAT DIRECTORY LAUNCH…
  local what=$1 run=$2
  shift 2
  "$@" "$program" "${eval_words[@]}" -o "$run" >"$work/first.log" 2>&1 &
  local launcher=$!
  for _ in $(seq 600); do
    [ "$(cat "$run/records.2-of-2.jsonl" 2>/dev/null | wc -l)" -lt 25 ] || break
    sleep 0.05
  done
  # The second process, by the lock that it holds: that of its own files.
  local victim
  victim=$(pgrep -f -- "^$program eval.*$run" | while read -r pid; do
    if tr '\0' '\n' <"/proc/$pid/environ" | grep -qE '^(SLURM_PROCID|OMPI_COMM_WORLD_RANK)=1$'; then echo "$pid"; fi
  done | head -n 1)
  [ -n "$victim" ] || die "$what: the second process was gone before it could be killed"
  kill -9 "$victim"
  wait "$launcher" && die "$what: the launcher does not say that a process was killed"
  local before
  before=$(scores "$run" | wc -l)
  [ "$before" -lt 200 ] || die "$what: nothing was left to do"
  "$program" report "$run" --format md >"$work/report.md" 2>"$work/report.err"
  grep -q 'of 2 shards' "$work/report.err" || die "$what: the report does not say that a shard is not done"
  "$@" "$program" "${eval_words[@]}" -o "$run" >"$work/second.log" 2>&1 || die "$what: $(tail -n 3 "$work/second.log")"
  same "$what, one process killed after $before of 200 documents and started again" "$run"
  "$program" report "$run" --format md 2>"$work/report.err" >/dev/null
  ! grep -q 'of 2 shards' "$work/report.err" || die "$what: the report still misses a shard"
}

start_slurm() {
  for tool in slurmctld slurmd munged srun; do
    command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || die "$tool is missing (apt-get install slurm-wlm munge)"
  done
  [ "$(id -u)" -eq 0 ] || die "slurm's daemons need root here"
  export PATH=$PATH:/usr/sbin SLURM_CONF=$work/slurm.conf
  local host
  host=$(hostname -s)
  mkdir -p "$work/state" "$work/spool" "$work/munge"
  dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 status=none
  chmod 700 "$work/munge" && chmod 400 "$work/munge/key"
  munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed" >"$work/munged.out" 2>&1 &
  pids+=($!)
  cat >"$SLURM_CONF" <<CONF
ClusterName=trial
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CryptoType=crypto/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/ctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
CONF
  slurmctld -D -c >"$work/ctld.log" 2>&1 &
  pids+=($!)
  slurmd -D -c >"$work/slurmd.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 60); do
    ! sinfo -h -o %t 2>/dev/null | grep -q idle || return 0
    sleep 0.5
  done
  die "slurm does not start: $(tail -n 3 "$work/ctld.log" "$work/slurmd.log")"
}

"$program" "${eval_words[@]}" -o "$work/whole" >/dev/null 2>"$work/whole.log" || die "$(tail -n 3 "$work/whole.log")"
scores "$work/whole" >"$work/expected"

for kind in "${kinds[@]}"; do
  case $kind in
    slurm)
      start_slurm
      srun -n 2 --overcommit "$program" "${eval_words[@]}" -o "$work/srun" >"$work/log" 2>&1 || die "srun: $(tail -n 3 "$work/log")"
      same "srun -n 2" "$work/srun"
      killed_and_again "srun -n 2" "$work/srun-killed" srun -n 2 --overcommit --kill-on-bad-exit=0
      printf '#!/bin/sh\nexec srun "$@"\n' >"$work/job.sh"
      sbatch --wait --array=1-2 -n 1 --overcommit -o "$work/array.%a.log" "$work/job.sh" "$program" "${eval_words[@]}" -o "$work/array" \
        >"$work/log" 2>&1 || die "sbatch: $(tail -n 3 "$work/log" "$work"/array.*.log)"
      same "sbatch --array=1-2" "$work/array"
      ;;
    mpi)
      command -v mpirun >/dev/null || die "mpirun is missing (apt-get install openmpi-bin)"
      launch=(mpirun -n 2 --oversubscribe --bind-to none)
      [ "$(id -u)" -ne 0 ] || launch+=(--allow-run-as-root)
      "${launch[@]}" "$program" "${eval_words[@]}" -o "$work/mpi" >"$work/log" 2>&1 || die "mpirun: $(tail -n 3 "$work/log")"
      same "mpirun -n 2" "$work/mpi"
      killed_and_again "mpirun -n 2" "$work/mpi-killed" "${launch[@]}"
      ;;
    *) die "unknown kind $kind: there are slurm and mpi" ;;
  esac
done

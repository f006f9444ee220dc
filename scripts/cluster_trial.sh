#!/usr/bin/env bash
# Shards under real launchers: `deciban eval` as two tasks of mpirun and of a Slurm of this one machine, one task killed
# half-way, the same command once more; what comes out must equal an unsharded run, record by record.
#
#   scripts/cluster_trial.sh BUILD FOLDER [plain|mpirun|slurm]…      default: all three
#
# BUILD is a built tree (build/release).  Everything is written to FOLDER.  Needs Debian's openmpi-bin for mpirun, and
# for slurm slurm-wlm and munge (run as root; it starts its own daemons on ports of their own and ends them).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
build=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
launchers=("${@:3}")
[ ${#launchers[@]} -gt 0 ] || launchers=(plain mpirun slurm)
export OMP_NUM_THREADS=1

models=$root/datasets/demo
evaluation=("$build/bin/deciban" eval -m "$models/rwkv7/model.pth" -m "$models/rwkv4/model.pth" -m "$models/llama"
  -c "$models/texts" --no-compressors --threads 1 --quiet)
daemons=()
trap '[ ${#daemons[@]} -eq 0 ] || kill "${daemons[@]}" 2>/dev/null || true' EXIT

# Records without what differs between equal runs, sorted.
results() {
  python3 - "$1" <<'PYTHON'
import glob, json, sys
seen = {}
for file in glob.glob(sys.argv[1] + "/records*.jsonl"):
    for line in open(file):
        if not line.endswith("\n"):
            continue  # torn by a kill; the shard's next run cuts it off
        record = json.loads(line)
        record.pop("seconds", None)
        seen[record["model"], record["windowing"], record["document"]] = json.dumps(record, sort_keys=True)
print("\n".join(seen[key] for key in sorted(seen)))
PYTHON
}

start_slurm() {
  local state=$folder/slurmd host
  host=$(hostname -s)
  mkdir -p "$state"
  if [ ! -S "$state/munge.socket" ]; then
    dd if=/dev/urandom of="$state/munge.key" bs=1 count=1024 status=none
    chmod 600 "$state/munge.key"
    munged --force --foreground --key-file "$state/munge.key" --socket "$state/munge.socket" \
      --pid-file "$state/munge.pid" --log-file "$state/munge.log" --seed-file "$state/munge.seed" &
    daemons+=($!)
  fi
  cat >"$state/slurm.conf" <<CONF
ClusterName=trial
SlurmctldHost=$host
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$state/munge.socket
CredType=cred/munge
StateSaveLocation=$state/state
SlurmdSpoolDir=$state/spool
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
MpiDefault=none
ReturnToService=2
NodeName=$host CPUs=$(nproc) State=UNKNOWN
PartitionName=trial Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF=$state/slurm.conf
  slurmctld -D >"$state/slurmctld.log" 2>&1 &
  daemons+=($!)
  slurmd -D >"$state/slurmd.log" 2>&1 &
  daemons+=($!)
  for _ in $(seq 60); do
    [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && return
    sleep 1
  done
  printf 'the Slurm in %s did not come up\n' "$state" >&2
  exit 1
}

# Two tasks of the evaluation by one launcher into one directory.
launch() {
  case $1 in
    plain)
      "${evaluation[@]}" -o "$2" --shard 1/2 & local first=$!
      "${evaluation[@]}" -o "$2" --shard 2/2 || { wait "$first" || true; return 1; }
      wait "$first"
      ;;
    mpirun) mpirun --allow-run-as-root --oversubscribe -n 2 "${evaluation[@]}" -o "$2" ;;
    slurm) srun --ntasks=2 --overcommit --kill-on-bad-exit=1 "${evaluation[@]}" -o "$2" ;;
  esac
}

rm -rf "$folder/once"
"${evaluation[@]}" -o "$folder/once" >"$folder/once.log" 2>&1
results "$folder/once" >"$folder/once.txt"
for launcher in "${launchers[@]}"; do
  [ "$launcher" != slurm ] || start_slurm
  out=$folder/$launcher
  rm -rf "$out"
  launch "$launcher" "$out" >"$folder/$launcher.first.log" 2>&1 &
  job=$!
  # The second task is killed as soon as it has written some of its records.
  for _ in $(seq 1200); do
    [ "$(cat "$out/records.2-of-2.jsonl" 2>/dev/null | wc -l)" -lt 3 ] || break
    sleep 0.05
  done
  victim=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1])).get("pid", ""))' "$out/run.2-of-2.json" 2>/dev/null || true)
  [ -n "$victim" ] || victim=$(fuser "$out/.lock.2-of-2" 2>/dev/null | tr -d ' ')
  kill -KILL "$victim"
  wait "$job" && { printf '%s: the killed task was not noticed\n' "$launcher" >&2; exit 1; }
  before=$(results "$out" | wc -l)
  launch "$launcher" "$out" >"$folder/$launcher.log" 2>&1
  results "$out" >"$folder/$launcher.txt"
  cmp "$folder/once.txt" "$folder/$launcher.txt"
  printf '%s: %s of %s records when a task was killed, all of them after the restart, equal to an unsharded run\n' \
    "$launcher" "$before" "$(wc -l <"$folder/once.txt")"
done

#!/usr/bin/env bash
# Boots Ray on the nodes of a Slurm job, runs one stage on it and ends it.
#
#   sbatch [OPTIONS] cluster/ray_head.sh [STAGE] EXPERIMENT [OVERRIDE ...]    (STAGE: tune)
#   sbatch [OPTIONS] cluster/ray_head.sh       keeps Ray running and says how to reach it
#
# OPTIONS are sbatch's: --nodes, --cpus-per-task, --gres=gpu:1, --time, --partition, …
# DATA_ROOT has to be on a disk that all nodes share. WWDC_SITE names a file of cluster/sites.
# `python -m wwdc.submit` writes the whole line.
#SBATCH --job-name=wwdc
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:USR1@180
#SBATCH --requeue
#SBATCH --no-kill
#SBATCH --open-mode=append
set -uo pipefail

if [ -z "${SLURM_JOB_ID:-}" ]; then
  sed -n '2,/^#SBATCH/{/^#SBATCH/!s/^# \{0,1\}//p}' "$0"
  exit 2
fi
# To Slurm's commands the number of an array's last task means the whole array.
id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
export WWDC_SLURM_ID=${id:=$SLURM_JOB_ID}
# Slurm runs a copy of this file: where the original lies, the job's record says.
if [ -z "${WWDC_CLUSTER:-}" ]; then
  original=$(scontrol show job "$id" | sed -n 's/^ *Command=\(.*ray_head\.sh\).*/\1/p')
  WWDC_CLUSTER=$(dirname "$(readlink -f "${original:-cluster/ray_head.sh}")")
fi
[ -f "$WWDC_CLUSTER/lib.sh" ] || {
  echo "wwdc: no lib.sh in WWDC_CLUSTER=$WWDC_CLUSTER, where ray_head.sh should lie" >&2
  exit 2
}
export WWDC_CLUSTER
. "$WWDC_CLUSTER/lib.sh"
load_site
[ -z "${WWDC_SETUP:-}" ] || eval "$WWDC_SETUP" || fail 2 "WWDC_SETUP failed: $WWDC_SETUP"
find_python

stage=
if [ $# -gt 0 ]; then
  stage=tune
  if [ ! -d "$1" ] || [ -d "${2:-}" ]; then
    stage=$1
    shift
  fi
  [ $# -gt 0 ] || fail 2 "$stage: there is no such folder, and no EXPERIMENT follows a stage"
fi

[ "${SLURM_JOB_NUM_NODES:-1}" -eq 1 ] || [ -z "${SLURM_GPUS:-}" ] ||
  fail 2 "give GPUs for each node, --gres=gpu:N or --gpus-per-node=N, not --gpus=$SLURM_GPUS"
ports=$("$WWDC_PYTHON" -m wwdc.cluster.ports "$SLURM_JOB_ID" "$UID") ||
  fail 2 "$WWDC_PYTHON cannot run wwdc. Is it installed there?"
[ -z "$stage" ] || "$WWDC_PYTHON" -c 'import importlib.util, sys
sys.exit(not importlib.util.find_spec(f"wwdc.{sys.argv[1]}.__main__"))' "$stage" 2>/dev/null ||
  fail 2 "$stage: there is no such stage, and no such folder"
address=$(own_address) || exit 2

# --- the job ---------------------------------------------------------------------------------
export WWDC_JOB_ID=${WWDC_FIRST_JOB:-$id}
export WWDC_RESTARTS=$((${SLURM_RESTART_COUNT:-0} + ${WWDC_RESUBMITTED:-0}))
export DATA_ROOT=${DATA_ROOT:-$PWD/data}
folders=$DATA_ROOT/.wwdc-$UID-${SLURM_CLUSTER_NAME:-slurm}
export WWDC_JOB_DIR=$folders-$WWDC_JOB_ID
end=$(squeue --noheader --jobs="$id" --format=%e 2>/dev/null)
WWDC_END=$(date -d "${end:-unknown}" +%s 2>/dev/null) && export WWDC_END || unset WWDC_END

mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${SLURMD_NODENAME:-${hosts[0]}}
nodes=("$head")
export WWDC_HEAD=$head
for host in "${hosts[@]}"; do [ "$host" = "$head" ] || nodes+=("$host"); done

again=$([ "$WWDC_RESTARTS" -gt 0 ] && echo ", start $((WWDC_RESTARTS + 1))")
say "job $id$again: ${stage:-no stage} on ${#nodes[@]} node(s) ${nodes[*]}${WWDC_END:+, until $(date -d "@$WWDC_END" '+%F %H:%M:%S')}"

old_umask=$(umask)
umask 077
steps=$WWDC_JOB_DIR/steps
gone() { # JOB
  local said
  said=$(squeue --noheader --jobs="$1" 2>&1) && [ -z "$said" ] || [[ $said == *"Invalid job id"* ]]
}
for stale in "$folders-"*; do # of jobs that were cancelled while they waited
  [ -s "$stale/slurm-id" ] && gone "$(<"$stale/slurm-id")" && rm -rf "$stale"
done
mkdir -p "$steps" && echo "$id" >"$WWDC_JOB_DIR/slurm-id" && rm -f "$steps"/* "$WWDC_JOB_DIR"/{ending,*.log} || fail 2 "cannot write to DATA_ROOT=$DATA_ROOT"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$WWDC_JOB_DIR/token
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH"
umask "$old_umask"

# --- Ray -------------------------------------------------------------------------------------
port() { sed -n "s/^$1=//p" <<<"$ports"; }
RAY_ADDRESS=$address:$(port gcs)
export RAY_ADDRESS
export WWDC_DASHBOARD_PORT=$(port dashboard) WWDC_CLIENT_PORT=$(port client) WWDC_AGENT_PORT=$(port agent)
export AUTOSCALER_METRIC_PORT=$(port autoscaler_metrics) DASHBOARD_METRIC_PORT=$(port dashboard_metrics)
export RAY_TRAIN_ENABLE_STATE_TRACKING=1 RAY_worker_niceness=0 RAY_USAGE_STATS_ENABLED=0

# A step a node: a node that dies takes only its own with it.
boot() { # ROLE HOST
  srun --overlap --nodes=1 --ntasks=1 --nodelist="$2" --mem=0 --input=none \
    bash "$WWDC_CLUSTER/node.sh" "$1" >>"$WWDC_JOB_DIR/$2.log" 2>&1
  echo $? >"$steps/$2.exit"
  [ "$1" != head ] || kill -HUP $$
}
booted=()
stage_pid=
warned=
cancelled=
ready=
lost=

end_ray() { # every step ends Ray on its node and removes what it wrote there
  trap '' HUP
  touch "$WWDC_JOB_DIR/ending"
  scancel --signal=TERM "$id" 2>/dev/null
  for _ in $(seq 200); do
    jobs -rp | grep -q . || return 0
    sleep 0.1
  done
  say "some nodes have not ended Ray yet; Slurm will"
}

leave() { # CODE
  [ -n "$cancelled" ] || end_ray # Slurm does, and gives us little time
  rm -rf "$WWDC_JOB_DIR"
  say "job $id ends with code $1"
  exit "$1"
}

send_back() { # REASON
  end_ray
  rm -f "$RAY_AUTH_TOKEN_PATH"
  if scontrol requeue "$id" 2>/dev/null; then
    say "$1: job $id is back in the queue and will go on where it was"
    trap 'exit 3' TERM
    sleep 60 & # until Slurm ends this script
    wait
  fi
  local next
  next=$(resubmit) || leave 3
  next=${next%%;*}
  echo "$next" >"$WWDC_JOB_DIR/slurm-id"
  # What waits for the end of this job is meant to wait for the end of the work.
  squeue --noheader --me --states=PENDING --format="%i %E" | while read -r waiting reason; do
    [[ $reason =~ afterany:$SLURM_JOB_ID([^0-9]|$) ]] && [ "$waiting" != "$next" ] &&
      scontrol update "jobid=$waiting" "dependency=afterany:$next"
  done
  say "$1: job $next goes on where this one was (requeueing is off)"
  exit 3
}

# The same job once more, by what Slurm knows of it.
resubmit() {
  local record name option value options=()
  record=$(scontrol show job --oneliner "$id")
  for name in Partition:partition Account:account QOS:qos TimeLimit:time JobName:job-name \
    NumNodes:nodes CPUs/Task:cpus-per-task MinMemoryNode:mem MinMemoryCPU:mem-per-cpu \
    TresPerNode:gres Features:constraint; do
    value=$(grep -oP "(?<= ${name%%:*}=)\S+" <<<"$record" | head -n 1)
    case $value in "" | "(null)" | N/A | 0) continue ;; esac
    value=${value#gres[:/]}
    [ "$name" != NumNodes:nodes ] || value=${value%%-*}
    options+=("--${name##*:}=$value")
  done
  value=$(sed -n 's/.* StdOut=\(.*\) Power=.*/\1/p' <<<"$record")
  [ -z "$value" ] || options+=("--output=$value")
  sbatch --parsable "${options[@]}" --dependency="afterany:$id" \
    --export="ALL,WWDC_FIRST_JOB=$WWDC_JOB_ID,WWDC_RESUBMITTED=$((WWDC_RESTARTS + 1))" \
    "$WWDC_CLUSTER/ray_head.sh" "${arguments[@]}"
}
arguments=(${stage:+"$stage"} "$@")

warn() {
  warned=1
  [ -z "$stage_pid" ] || kill -USR2 "$stage_pid" 2>/dev/null
}
cancel() { # Slurm tells every process of the job, and ends what is left after KillWait
  cancelled=1
  end_stage
}
end_stage() {
  [ -n "$stage_pid" ] || return
  kill -TERM "$stage_pid" 2>/dev/null
  (sleep 5 && kill -KILL "$stage_pid") 2>/dev/null & # without Ray it may wait for ever
}
head_ended() {
  case $(squeue --noheader --jobs="$id" --format=%T 2>/dev/null) in
    RUNNING)
      [ -n "$ready" ] || return # who waits for the nodes finds out, and tells why
      lost=1
      say "Ray ended on $head"
      ;;
    *) cancelled=1 ;;
  esac
  end_stage
}
trap warn USR1
trap cancel TERM INT
trap head_ended HUP

boot head "$head" &
booted+=($!)
for host in "${nodes[@]:1}"; do
  boot worker "$host" &
  booted+=($!)
done

run() { # COMMAND...: in the background, so that signals are heard; its exit code
  local code
  "$@" &
  stage_pid=$!
  while :; do
    wait "$stage_pid" 2>/dev/null
    code=$?
    kill -0 "$stage_pid" 2>/dev/null || break
  done
  stage_pid=
  return "$code"
}

tell() { # LINES HOST: the end of its log
  [ ! -s "$WWDC_JOB_DIR/$2.log" ] || tail -n "$1" "$WWDC_JOB_DIR/$2.log" | sed "s/^/$2: /"
}

run "$WWDC_PYTHON" -m wwdc.cluster.nodes --patience "${WWDC_PATIENCE:-180}" "$RAY_ADDRESS" "$steps" "${nodes[@]}"
code=$?
[ -z "$cancelled" ] || leave 130
if [ -n "$warned" ]; then
  [ "$WWDC_RESTARTS" -gt 0 ] || send_back "the time is over before the start"
  say "the time limit leaves no time to start: ask for more"
  leave 1
fi
if [ "$code" -ne 0 ]; then
  for host in "${nodes[@]}"; do tell 25 "$host"; done
  leave "$code"
fi
for host in "${nodes[@]:1}"; do [ ! -e "$steps/$host.exit" ] || tell 5 "$host"; done
ready=1
[ ! -e "$steps/$head.exit" ] || head_ended

if [ -z "$stage" ]; then
  say "Ray runs at $RAY_ADDRESS. Its token: $RAY_AUTH_TOKEN_PATH"
  cat <<TEXT
a shell on it:   srun --jobid=$SLURM_JOB_ID --overlap --nodelist=$head --pty bash
  and there:     export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH WWDC_END=${WWDC_END:-}
                 $WWDC_PYTHON -m wwdc.tune EXPERIMENT tune.address=$RAY_ADDRESS
its dashboard:   ssh -L 8265:127.0.0.1:$WWDC_DASHBOARD_PORT $(id -un)@$head
  and then:      http://127.0.0.1:8265, which asks for the token
the end:         scancel $id
TEXT
  run sleep infinity
  leave "${lost:-0}"
fi

say "Ray's dashboard: ssh -L 8265:127.0.0.1:$WWDC_DASHBOARD_PORT $(id -un)@$head, token in $RAY_AUTH_TOKEN_PATH"
private_folders
export TMPDIR=$scratch_folder/tmp
run "$WWDC_PYTHON" -m "wwdc.$stage" "$@" "tune.address=$RAY_ADDRESS"
code=$?
if [ -n "$cancelled" ]; then
  say "cancelled. What was finished and saved is kept: submit the same line to go on"
  leave 130
fi
if [ -n "$lost" ]; then
  tell 25 "$head"
  echo "$id" >>"$WWDC_JOB_DIR/lost"
  [ "$(wc -l <"$WWDC_JOB_DIR/lost")" -gt 3 ] || send_back "Ray ended on $head"
  leave 1
fi
case $code in
  0 | 1 | 2) leave "$code" ;;
  3) send_back "the time is over" ;;
esac
[ -z "$warned" ] || send_back "the time is over" # it did not get to hear of it
leave "$code"

#!/usr/bin/env bash
# Ray on one node of a Slurm job, in the foreground: `node.sh head|worker`, started by ray_head.sh.
# All it writes is in a private folder on the node's own disk, which it removes.
set -uo pipefail
ROOM=20000000 # bytes
. "$WWDC_CLUSTER/lib.sh"
log=$WWDC_JOB_DIR/$(hostname).log
{ [ -r "$RAY_AUTH_TOKEN_PATH" ] && [ -w "$WWDC_JOB_DIR" ]; } ||
  fail 2 "DATA_ROOT=$DATA_ROOT is not the same folder on $(hostname) as on the job's first node." \
    "Set DATA_ROOT to a folder on a disk that all nodes share."
exec >>"$log" 2>&1 # not srun's: it dies with the first node
load_site
[ -z "${WWDC_SETUP:-}" ] || eval "$WWDC_SETUP" || fail 2 "WWDC_SETUP failed on $(hostname): $WWDC_SETUP"
find_python
# Whatever Ray leaves behind becomes a child of this process, which can end it then.
if [ -z "${WWDC_REAPER:-}" ]; then
  export WWDC_REAPER=1
  exec "$WWDC_PYTHON" -c 'import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
os.execvp("bash", ["bash", *sys.argv[1:]])' "$WWDC_CLUSTER/node.sh" "$@"
fi

role=$1
host=$(hostname)
# A folder without a living lock was left by a job that was killed.
private_folders
for stale in "${ray_folder%/*}/wwdc-$UID-"* "${scratch_folder%/*}/wwdc-$UID-"*; do
  [ -O "$stale" ] && [ -f "$stale/.lock" ] && flock -n "$stale/.lock" rm -rf "$stale"
done
umask 077
held=()
hold() { # FOLDER DESCRIPTOR: make it, ours alone, and lock it as long as we live
  mkdir -p "$1/tmp" && [ -O "$1" ] && chmod 700 "$1" && eval "exec $2>>\"\$1/.lock\"" ||
    fail 1 "cannot make $1 on $host: is its disk full, or the folder somebody else's?"
  flock -n "$2" || fail 1 "$1 on $host is used by another process of this job"
  held+=("$1")
  # Without room Ray starts, or seems to, and says nothing.
  head -c "$ROOM" /dev/zero >"$1/tmp/room" && rm "$1/tmp/room" ||
    fail 1 "no room for $((ROOM / 1000000)) MB in $1 on $host: is its disk full?"
}

# --- the end ---------------------------------------------------------------------------------
running() { [ "$(squeue --noheader --jobs="$WWDC_SLURM_ID" --format=%T 2>/dev/null)" = RUNNING ]; }
# Whether Slurm says that the job is not, or no longer, ours here. Out of reach, it says nothing.
over() {
  local said
  said=$(squeue --noheader --jobs="$WWDC_SLURM_ID" --format="%T %N" 2>&1) ||
    { [[ $said == *"Invalid job id"* ]]; return; }
  [[ $said == "RUNNING "* ]] || return 0
  ! scontrol show hostnames "${said#* }" | grep -qxF -- "$SLURMD_NODENAME"
}
head_answers() { timeout 3 bash -c ": <'/dev/tcp/${RAY_ADDRESS%:*}/${RAY_ADDRESS##*:}'" 2>/dev/null; }

# With --no-kill Slurm lets a job go on without its first node, where the script ran.
send_back_headless() {
  [ "$role" = worker ] && [ ! -e "$WWDC_JOB_DIR/ending" ] && running && ! head_answers || return
  say "the job's first node is gone: sending the job back to the queue"
  scontrol requeue "$WWDC_SLURM_ID"
}

descendants() { # of a process
  local child
  for child in $(pgrep -P "$1"); do
    [ "$child" != "$BASHPID" ] || continue # who asks
    echo "$child"
    descendants "$child"
  done
}

clean() {
  trap '' TERM
  [ -z "${ray:-}" ] || kill -TERM "$ray" 2>/dev/null
  for _ in $(seq 50); do
    [ -n "${ray:-}" ] && kill -0 "$ray" 2>/dev/null || break
    sleep 0.1
  done
  # Until none is there any more: one that was just being started escapes the first time.
  local left
  for _ in $(seq 50); do
    left=$(descendants $$)
    [ -n "$left" ] || break
    # shellcheck disable=SC2086
    kill -KILL $left 2>/dev/null
    sleep 0.1
  done
  rm -rf "${held[@]}"
}
trap clean EXIT
hold "$ray_folder" 9
[ "$scratch_folder" = "$ray_folder" ] || hold "$scratch_folder" 8
export TMPDIR=$scratch_folder/tmp
trap 'send_back_headless; exit 0' TERM INT HUP

# --- Ray -------------------------------------------------------------------------------------
address=$(own_address) || exit 2
interface=$(interface_of "$address")
[ -z "$interface" ] || export GLOO_SOCKET_IFNAME=$interface NCCL_SOCKET_IFNAME=$interface
cpus=${SLURM_CPUS_ON_NODE:-1}
# Of a machine that is shared, Ray sees the memory that others use; Slurm watches over ours.
[ "$cpus" -ge "$(nproc --all)" ] || export RAY_memory_monitor_refresh_ms=0
# Ray opens its folder to everybody: it gets one inside the private one.
options=(
  --block --disable-usage-stats "--node-ip-address=$address" "--temp-dir=$ray_folder/r"
  "--num-cpus=$cpus" "--num-gpus=${SLURM_GPUS_ON_NODE:-0}" --object-store-memory=200000000
  --min-worker-port=0 --max-worker-port=0 "--dashboard-agent-listen-port=$WWDC_AGENT_PORT"
)
if [ "$role" = head ]; then
  options+=(
    --head "--port=${RAY_ADDRESS##*:}" "--ray-client-server-port=$WWDC_CLIENT_PORT"
    --include-dashboard=true --dashboard-host=127.0.0.1 "--dashboard-port=$WWDC_DASHBOARD_PORT"
  )
else
  options+=("--address=$RAY_ADDRESS")
fi
say "$role on $host ($address${interface:+, $interface}): $cpus CPUs, ${SLURM_GPUS_ON_NODE:-0} GPUs, $ray_folder"

code=1
for attempt in 1 2 3; do
  if [ "$role" = worker ]; then
    for _ in $(seq 240); do head_answers && break || sleep 0.5; done
  fi
  "$WWDC_PYTHON" -c 'from ray.scripts.scripts import main; main()' start "${options[@]}" 8>&- 9>&- &
  ray=$!
  wait "$ray"
  code=$?
  ray=
  say "Ray on $host ended with code $code"
  tail -n 20 "$ray_folder"/r/session_latest/logs/{gcs_server,raylet}.{out,err} 2>/dev/null
  [ "$role" = worker ] || break
  # Out of reach for a while, or is the head gone?
  while ! over && ! head_answers; do
    if scontrol show node "$WWDC_HEAD" --oneliner | grep -qE 'State=[^ ]*(DOWN|NOT_RESPONDING|\*)'; then
      send_back_headless
      break 2
    fi
    sleep 5
  done
  ! over || break
  say "joining again (attempt $attempt of 3)"
done
exit "$((code ? code : 1))"

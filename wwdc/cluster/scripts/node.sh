#!/usr/bin/env bash
# Ray on one node of a Slurm job, in the foreground: `node.sh head|worker`, started by ray_head.sh.
# All it writes is in a private folder on the node's own disk, which it removes.
set -uo pipefail
. "$WWDC_CLUSTER/lib.sh"

role=$1
host=$(hostname)
load_site
[ -z "${WWDC_SETUP:-}" ] || eval "$WWDC_SETUP" || fail 2 "WWDC_SETUP failed on $host: $WWDC_SETUP"
[ -r "$RAY_AUTH_TOKEN_PATH" ] ||
  fail 2 "DATA_ROOT=$DATA_ROOT is not the same folder on $host as on the job's first node." \
    "Set DATA_ROOT to a folder on a disk that all nodes share."
find_python

# Ray's sockets need a short path, and it opens its folder to everybody: that lies in a private one.
# A folder without a living lock was left by a job that was killed.
parent=${TMPDIR:-/tmp}
name=wwdc-$UID-$SLURM_JOB_ID
[ $((${#parent} + ${#name})) -lt 28 ] || parent=/tmp
scratch=${WWDC_SCRATCH:-$parent}
for stale in "$parent/wwdc-$UID-"* "$scratch/wwdc-$UID-"*; do
  [ -O "$stale" ] && [ -f "$stale/.lock" ] && flock -n "$stale/.lock" rm -rf "$stale"
done
umask 077
for folder in "$parent/$name" "$scratch/$name"; do
  mkdir -p "$folder/tmp" && [ -O "$folder" ] && chmod 700 "$folder" ||
    fail 1 "cannot make $folder on $host: is its disk full, or the folder somebody else's?"
done
export TMPDIR=$scratch/$name/tmp
exec 9>>"$parent/$name/.lock"
flock -n 9 || fail 1 "$parent/$name on $host is used by another process of this job"

clean() {
  if [ -n "${ray:-}" ]; then
    kill -TERM "$ray" 2>/dev/null
    for _ in $(seq 50); do
      kill -0 "$ray" 2>/dev/null || break
      sleep 0.1
    done
  fi
  pkill -KILL -u "$UID" -f "$parent/$name/" 2>/dev/null
  rm -rf "${parent:?}/$name" "${scratch:?}/$name"
}
trap clean EXIT
trap 'exit 0' TERM INT HUP

address=$(own_address)
interface=$(interface_of "$address")
[ -z "$interface" ] || export GLOO_SOCKET_IFNAME=$interface NCCL_SOCKET_IFNAME=$interface
cpus=${SLURM_CPUS_ON_NODE:-1}
# Of a machine that is shared, Ray sees the memory that others use; Slurm watches over ours.
[ "$cpus" -ge "$(nproc --all)" ] || export RAY_memory_monitor_refresh_ms=0
options=(
  --block --disable-usage-stats "--node-ip-address=$address" "--temp-dir=$parent/$name/r"
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
  for _ in $(seq 240); do
    (: <"/dev/tcp/${RAY_ADDRESS%:*}/${RAY_ADDRESS##*:}") 2>/dev/null && break
    sleep 0.5
  done
fi
say "$role on $host ($address${interface:+, $interface}): $cpus CPUs, ${SLURM_GPUS_ON_NODE:-0} GPUs, $parent/$name"
"$WWDC_PYTHON" -c 'from ray.scripts.scripts import main; main()' start "${options[@]}" 9>&- &
ray=$!
wait "$ray"
code=$?
ray=
say "Ray on $host ended with code $code"
tail -n 20 "$parent/$name"/r/session_latest/logs/{gcs_server,raylet}.{out,err} 2>/dev/null
exit "$((code ? code : 1))"

# What the batch script and the nodes share. To be sourced by bash.
# shellcheck shell=bash

say() { printf '[%(%T)T] wwdc: %s\n' -1 "$*"; } # no process of its own, which a signal could end

fail() { # CODE TEXT...
  local code=$1
  shift
  say "$*" >&2
  exit "$code"
}

# The settings of a cluster: a file of ours by its name, or one by its path.
load_site() {
  [ -n "${WWDC_SITE:-}" ] || return 0
  local file=$WWDC_SITE
  [ -f "$file" ] || file=$WWDC_CLUSTER/sites/$WWDC_SITE.env
  [ -f "$file" ] || fail 2 "WWDC_SITE=$WWDC_SITE: there is no such file, nor $file"
  set -a
  # shellcheck source=/dev/null
  . "$file"
  set +a
}

# The interpreter: the one that was asked for, else that of the environment the scripts lie in.
find_python() {
  local there candidate
  there=$(readlink -f "$WWDC_CLUSTER")
  for candidate in "${WWDC_PYTHON:-}" "$there/../../../.venv/bin/python" \
    "$there/../../../../../../bin/python" "$(command -v python3)"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      WWDC_PYTHON=$(readlink -f "${candidate%/*}")/${candidate##*/}
      export WWDC_PYTHON
      return
    fi
    [ -z "$candidate" ] || [ "$candidate" != "${WWDC_PYTHON:-}" ] ||
      fail 2 "WWDC_PYTHON=$WWDC_PYTHON cannot be run on $(hostname). Is it on a shared disk?"
  done
  fail 2 "no Python found on $(hostname): set WWDC_PYTHON, or WWDC_SETUP in the site's file"
}

# This host's address that other hosts reach: of the site's interface, else of its name.
own_address() {
  local found=""
  if [ -n "${WWDC_INTERFACE:-}" ]; then
    found=$(ip -o -4 address show dev "$WWDC_INTERFACE" 2>/dev/null | awk '{sub("/.*", "", $4); print $4; exit}')
    [ -n "$found" ] || fail 2 "WWDC_INTERFACE=$WWDC_INTERFACE has no address on $(hostname)"
  else
    found=$(getent ahostsv4 "$(hostname)" | awk '$1 !~ /^127\./ {print $1; exit}')
    [ -n "$found" ] || found=$(hostname -I 2>/dev/null | awk '{print $1}')
  fi
  printf '%s\n' "${found:-127.0.0.1}"
}

# Gloo and NCCL would take the interface of the host's name, which may be the loopback.
interface_of() { # ADDRESS
  ip -o -4 address show 2>/dev/null | awk -v a="$1" '{split($4, p, "/"); if (p[1] == a) {print $2; exit}}'
}

# Where this job writes on a node's own disk: Ray's part, whose sockets need a short path, and the
# other temporary files.
private_folders() {
  local parent=${TMPDIR:-/tmp} name=wwdc-$UID-$SLURM_JOB_ID
  scratch_folder=${WWDC_SCRATCH:-$parent}/$name
  [ $((${#parent} + ${#name})) -lt 28 ] || parent=/tmp
  ray_folder=$parent/$name
}

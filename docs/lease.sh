#!/bin/sh
# lease.sh <MiB> <command> [arguments]: waits until Switchyard has that much GPU memory free, runs
# the command, keeps the lease meanwhile and gives it back at the end, after Ctrl-C too. Needs curl
# and SWITCHYARD_API_KEY (scope gpu:lease); SWITCHYARD_URL and LEASE_DEVICE are optional.
set -eu
url=${SWITCHYARD_URL:-http://127.0.0.1:1301} mib=${1:?MiB are missing} id='' answer='' renewer=''
shift
call() { # The key comes through a pipe, because every user of the machine can read arguments.
  printf 'header = "X-API-Key: %s"\n' "$SWITCHYARD_API_KEY" |
    curl -sS -m 90 -K - -H 'content-type: application/json' "$@"
}
field() { printf '%s' "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
end() {
  [ -z "$renewer" ] || kill "$renewer" || :
  id=${id:-$(field lease_id)}
  [ -z "$id" ] || call -o /dev/null -X DELETE "$url/leases/$id"
}
trap end EXIT; trap 'exit 130' INT; trap 'exit 143' TERM HUP
name=$(printf '%s' "${1##*/}" | tr -cd 'A-Za-z0-9._-')
device=${LEASE_DEVICE:+",\"device\":\"$LEASE_DEVICE\""}
answer=$(call "$url/leases" -d "{\"name\":\"$name\",\"mib\":$mib,\"ttl_s\":120$device}")
id=$(field lease_id)
while [ "$(field status)" = waiting ]; do
  call -o /dev/null "$url/leases/$id/renew" -d '{}'
  answer=$(call -H 'Prefer: wait=60' "$url/leases/$id")
done
[ "$(field status)" = granted ] || { echo "lease.sh: no lease: $answer" >&2; exit 1; }
(while sleep 40 && kill -0 $$; do call "$url/leases/$id/renew" -d '{}'; done) >/dev/null 2>&1 & renewer=$!
"$@"

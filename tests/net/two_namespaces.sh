#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# two_namespaces.sh BUILD: two hosts in network namespaces of their own, joined by a veth pair, over links
# that lose, double and reorder packets in both directions. A text goes line by line into a daemon of the
# other namespace, is cut off in the middle, and goes on; the counts are those of sort | uniq -c.
# Exit 77: this machine does not let us make namespaces.
set -euo pipefail
export LC_ALL=C
build=$(cd "$1" && pwd)
berth=$build/berth
plugin=$build/plugins/tally.so
text=/usr/share/common-licenses/GPL-3

me=$$
west=berth-w$me east=berth-e$me
if ! command -v ip >/dev/null || ! ip netns add "$west" 2>/dev/null; then
    echo 'two_namespaces: skipped: network namespaces cannot be made here (they need root and iproute2)'
    exit 77
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/berth-net.XXXXXX")
declare -A host=()

finish() {
    local code=$? name
    trap - EXIT INT TERM
    for name in "${!host[@]}"; do
        kill "${host[$name]}" 2>/dev/null && wait "${host[$name]}" || true
    done
    ip netns del "$west" 2>/dev/null || true
    ip netns del "$east" 2>/dev/null || true
    [ "$code" -eq 0 ] || tail -n 20 "$dir"/*.log 2>/dev/null || true
    rm -rf "$dir"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ip netns add "$east"
ip link add "bw$me" netns "$west" type veth peer name "be$me" netns "$east" 2>/dev/null || {
    echo 'two_namespaces: skipped: there are no veth pairs here'
    exit 77
}
ip -n "$west" addr add 10.91.0.1/24 dev "bw$me"
ip -n "$east" addr add 10.91.0.2/24 dev "be$me"
for side in "$west bw$me" "$east be$me"; do
    # shellcheck disable=SC2086
    set -- $side
    ip -n "$1" link set "$2" up
    ip -n "$1" link set lo up
done

until_true() { # WHAT COMMAND...
    local what=$1 end=$((SECONDS + 60))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { echo "two_namespaces: $what" >&2; exit 1; }
        sleep 0.05
    done
}
on() { "$berth" "${@:2}" --socket "$dir/$1/sock"; }
quiet() { on "$@" 2>/dev/null; }
field() { quiet "$1" mesh show --json | sed -E "s/.*\"$2\":\[?\"([^\"]*)\".*/\1/"; }

start() { # NAME NAMESPACE ADDRESS
    mkdir -p -m 0700 "$dir/$1"
    [ -e "$dir/$1.conf" ] || cat >"$dir/$1.conf" <<END
host { name = $1 }
mesh {
    listen = { $3:4700 }
    impair = "loss=1% dup=1% reorder=2% delay=2ms"
}
END
    ip netns exec "$2" "$berth" run --config "$dir/$1.conf" --state "$dir/$1/state" --socket "$dir/$1/sock" \
        --plugin "$plugin" 2>>"$dir/$1.log" &
    host[$1]=$!
    until_true "the host $1 does not come up" quiet "$1" status >/dev/null
}
start west "$west" 10.91.0.1
start east "$east" 10.91.0.2
peer() { # NAME OF ADDRESS
    printf 'peer "%s" { key = %s entity = %s address = { "%s:4700" } }\n' "$2" "$(field "$2" key)" \
        "$(field "$2" entity)" "$3" >>"$dir/$1.conf"
}
peer west east 10.91.0.2
peer east west 10.91.0.1
kill -HUP "${host[west]}" "${host[east]}"
connected() { quiet "$1" peer ls | grep -q ' connected '; }
until_true 'west does not reach east' connected west

on east daemon spawn tally --name words >/dev/null
origin=$(on east daemon show words --json | sed -E 's/.*"origin":"([^"]*)".*/\1/')

# Once; then many times, while the link is cut for longer than a handshake takes.
cp "$text" "$dir/first"
for _ in $(seq 200); do cat "$text"; done >"$dir/second"
on west send "$origin" --lines "$dir/first" >/dev/null
(
    sleep 0.2
    ip -n "$east" link set "be$me" down
    sleep 2
    ip -n "$east" link set "be$me" up
) &
on west send "$origin" --lines "$dir/second" >/dev/null
wait $!

want=$(cat "$dir/first" "$dir/second" | tr -cs 'A-Za-z' '\n' | grep -cx 'the')
got=$(printf '?count the' | on west send "$origin" --reply | sed -E 's/.*"count":([0-9]+).*/\1/')
[ "$got" = "$want" ] || { echo "two_namespaces: 'the' counted $got times, there are $want"; exit 1; }
lines=$(cat "$dir/first" "$dir/second" | wc -l)
echo "two_namespaces: $lines lines over a link that loses one packet in a hundred; 'the' $got times"

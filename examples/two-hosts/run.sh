#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [BUILD]: two hosts in temporary directories become a mesh; a daemon on one sends to a daemon on
# the other, what that one publishes is read on the first, and a restart in the middle loses nothing.
# Exit 0: all of it happened.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C

build=${1:-build}
berth=$build/berth
plugin=$build/tests/plugins/ferry.so

for file in "$berth" "$plugin"; do
    [ -e "$file" ] || { echo "two-hosts: $file is not there: run 'make build' first" >&2; exit 1; }
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/berth-two.XXXXXX")
declare -A host=()
reader=

finish() {
    local code=$? name
    trap - EXIT INT TERM
    [ -z "$reader" ] || kill "$reader" 2>/dev/null || true
    for name in "${!host[@]}"; do
        kill "${host[$name]}" 2>/dev/null && wait "${host[$name]}" || true
    done
    [ "$code" -eq 0 ] || { echo; echo "two-hosts: FAILED; the hosts said:"; tail -n 20 "$dir"/*.log 2>/dev/null || true; }
    rm -rf "$dir"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n== %s\n' "$*"; }

# until_true WHAT COMMAND...: for half a minute.
until_true() {
    local what=$1 end=$((SECONDS + 30))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { echo "two-hosts: $what" >&2; exit 1; }
        sleep 0.05
    done
}

# on NAME COMMAND...: what an operator types on that host.
on() {
    local name=$1
    shift
    printf '%s$ berth %s\n' "$name" "$*"
    "$berth" "$@" --socket "$dir/$name/run/sock"
}
quiet() { "$berth" "${@:2}" --socket "$dir/$1/run/sock" 2>/dev/null; }
quiet_status() { quiet "$1" status >/dev/null; }

start_host() {
    printf '%s$ berth run --config %s.conf &\n' "$1" "$1"
    "$berth" run --config "$dir/$1.conf" --state "$dir/$1/state" --socket "$dir/$1/run/sock" --plugin "$plugin" \
        2>>"$dir/$1.log" &
    host[$1]=$!
    until_true "the host $1 does not come up" quiet_status "$1"
}
stop_host() {
    printf '%s$ kill -TERM %s\n' "$1" "${host[$1]}"
    kill -TERM "${host[$1]}"
    wait "${host[$1]}"
    unset "host[$1]"
}

# field NAME KEY: a text of what `berth mesh show` says, as JSON.
field() { quiet "$1" mesh show --json | sed -E "s/.*\"$2\":\[?\"([^\"]*)\".*/\1/"; }
is_connected() { quiet "$1" peer ls | grep -q ' connected '; }
is_heard() { quiet east channel show arrivals | grep -q '1 on 1 node'; }
has_read() { grep -qxF "$1" "$dir/read"; }

say 'A pre-shared key, the same on both; and two hosts that listen'
echo '$ (umask 077; openssl rand -hex 32 > psk)'
(umask 077; head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n' >"$dir/psk"; echo >>"$dir/psk")
for name in west east; do
    cat >"$dir/$name.conf" <<END
host { name = $name }
mesh {
    listen = { 127.0.0.1:0 }
    psk_file = psk
}
END
    start_host "$name"
done

say 'Each is told who the other one is; one of them also where'
peer() { # NAME OF MORE
    printf 'peer "%s" {\n    key = %s\n    entity = %s\n%s}\n' "$2" "$(field "$2" key)" "$(field "$2" entity)" "$3" \
        >>"$dir/$1.conf"
}
peer west east "    address = { $(field east listening) }
"
peer east west ''
# The port was any, and stays from now on.
sed -i "s/127.0.0.1:0/$(field east listening)/" "$dir/east.conf"
cat "$dir/west.conf"
for name in east west; do
    printf '%s$ kill -HUP %s\n' "$name" "${host[$name]}"
    kill -HUP "${host[$name]}"
done
until_true 'west does not reach east' is_connected west
on west peer ls
on west peer ping east -n 3 --interval 100

say 'A daemon on each; the one in the west is told the origin of the one in the east, and not where it is'
on east daemon spawn ferry --name east-pier
origin=$(quiet east daemon show east-pier --json | sed -E 's/.*"origin":"([^"]*)".*/\1/')
on west daemon spawn ferry --name west-pier --config "$origin"

say 'Somebody in the west reads the channel on which arrivals in the east are called out'
printf 'west$ berth channel tail arrivals &\n'
"$berth" channel tail arrivals --socket "$dir/west/run/sock" >"$dir/read" 2>>"$dir/west.log" &
reader=$!
until_true 'east does not know that its channel is heard in the west' is_heard
on east channel show arrivals

say 'Ten events go to the east by a flow, and come back by the channel'
seq -f 'crate %.0f' 10 >"$dir/crates"
on west send west-pier --lines "$dir/crates"
until_true 'crate 10 did not come back' has_read 'crate 10'
cat "$dir/read"
cmp "$dir/crates" "$dir/read"

say 'The east is away when ten more are sent: they wait in the west, and arrive when it is back'
stop_host east
seq -f 'crate %.0f' 11 20 >"$dir/more"
on west send west-pier --lines "$dir/more"
start_host east
until_true 'west does not reach east again' is_connected west
# Who reads a channel may miss what was called out before it was heard again; what was sent is all there.
arrived() { quiet east daemon show east-pier --json | grep -q '"events_processed":10[,}]'; }
until_true 'the crates did not arrive' arrived
on east daemon ls
on west status

say 'What this showed'
cat <<'END'
Two hosts that knew each other's keys became a mesh. A daemon sent events to an origin, and they reached it
on the host where it runs, in order; what it published was heard on the other one. What was sent while that
host was away waited, and arrived once it was back.
END

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [BUILD [BYTES [MOVES]]]: a daemon that counts words is moved between two hosts, there and back
# again, while another process feeds it a text line by line; at the end its counts are compared with what
# tr, sort and uniq find. Exit 0: all of it agreed.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C

build=${1:-build}
least=${2:-4000000}
moves=${3:-12}
berth=$build/berth
plugin=$build/plugins/tally.so

for file in "$berth" "$plugin"; do
    [ -e "$file" ] || { echo "move-under-load: $file is not there: run 'make build' first" >&2; exit 1; }
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/berth-move.XXXXXX")
declare -A host=()
feeder=

finish() {
    local code=$? name
    trap - EXIT INT TERM
    touch "$dir/enough"
    [ -z "$feeder" ] || { kill "$feeder" 2>/dev/null && wait "$feeder"; } || true
    for name in "${!host[@]}"; do
        kill "${host[$name]}" 2>/dev/null && wait "${host[$name]}" || true
    done
    [ "$code" -eq 0 ] || { echo; echo "move-under-load: FAILED; the hosts said:"; tail -n 20 "$dir"/*.log 2>/dev/null || true; }
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
        [ "$SECONDS" -lt "$end" ] || { echo "move-under-load: $what" >&2; exit 1; }
        sleep 0.05
    done
}

# on NAME COMMAND...: what an operator types on that host.
on() {
    printf '%s$ berth %s\n' "$1" "${*:2}"
    "$berth" "${@:2}" --socket "$dir/$1/run/sock"
}
quiet() { "$berth" "${@:2}" --socket "$dir/$1/run/sock" 2>/dev/null; }
is_up() { quiet "$1" status >/dev/null; }
field() { quiet "$1" mesh show --json | sed -E "s/.*\"$2\":\[?\"([^\"]*)\".*/\1/"; }
is_connected() { quiet "$1" peer ls | grep -q ' connected '; }
could_go() { quiet "$1" migrate words "$2" --dry-run >/dev/null; }

say 'Two hosts that know the kind tally; each lets the daemons of the other one come'
for name in west east; do
    printf 'host { name = %s }\nmesh { listen = { 127.0.0.1:0 } }\n' "$name" >"$dir/$name.conf"
    printf '%s$ berth run --config %s.conf --plugin tally.so &\n' "$name" "$name"
    "$berth" run --config "$dir/$name.conf" --state "$dir/$name/state" --socket "$dir/$name/run/sock" --plugin "$plugin" \
        2>>"$dir/$name.log" &
    host[$name]=$!
    until_true "the host $name does not come up" is_up "$name"
done
peer() { # NAME OF MORE
    printf 'peer "%s" {\n    key = %s\n%s    may = { migrate-in }\n}\n' "$2" "$(field "$2" key)" "$3" >>"$dir/$1.conf"
}
peer west east "    address = { $(field east listening) }
"
peer east west ''
cat "$dir/west.conf"
for name in east west; do
    printf '%s$ kill -HUP %s\n' "$name" "${host[$name]}"
    kill -HUP "${host[$name]}"
done
until_true 'west does not reach east' is_connected west
on west daemon spawn tally --name words
origin=$(quiet west daemon show words --json | sed -E 's/.*"origin":"([^"]*)".*/\1/')
until_true 'east does not say that it has the kind' could_go west east

say 'A text that every machine has: this tree, the licences, the documentation'
{
    find . -path './build*' -prune -o -path './.git' -prune -o -type f \
        \( -name '*.c' -o -name '*.h' -o -name '*.md' -o -name '*.scd' -o -name LICENSE \) -print0
    find /usr/share/common-licenses /usr/share/doc /usr/share/perl -type f ! -name '*.gz' -size -2000k \
        -print0 2>/dev/null || true
} | sort -z >"$dir/files"
# Some files end without a line feed: awk puts one there. A line that begins with ? would be a question.
xargs -0 -r awk '!/^\?/' <"$dir/files" 2>/dev/null | tr -d '\000' | head -c "$least" >"$dir/text" || true
[ -s "$dir/text" ] || { echo "move-under-load: no text was found" >&2; exit 1; }
[ -z "$(tail -c 1 "$dir/text")" ] || echo >>"$dir/text"
printf '%s bytes in %s lines\n' "$(stat -c %s "$dir/text")" "$(wc -l <"$dir/text")"

say 'Another process feeds it, over and over, and knows nothing of what follows'
printf 'west$ while :; do berth send %s --lines text; done &\n' "$origin"
: >"$dir/fed"
feed() {
    until [ -e "$dir/enough" ]; do
        "$berth" send "$origin" --lines "$dir/text" --socket "$dir/west/run/sock" >>"$dir/fed" 2>&1 || return 1
    done
}
feed &
feeder=$!

say "Meanwhile it goes there and back, $moves times at least, and until the whole text was read twice"
count=0
from=west
to=east
while [ "$count" -lt "$moves" ] || [ "$(wc -l <"$dir/fed")" -lt 2 ]; do
    kill -0 "$feeder" 2>/dev/null || { echo "move-under-load: the feeder failed:" >&2; cat "$dir/fed" >&2; exit 1; }
    on "$from" migrate words "$to"
    count=$((count + 1))
    last=$to
    to=$from
    from=$last
done
touch "$dir/enough"
wait "$feeder" || { echo "move-under-load: the feeder failed:" >&2; cat "$dir/fed" >&2; exit 1; }
feeder=
cat "$dir/fed"
copies=$(wc -l <"$dir/fed")

say "What it has counted, on $from"
on "$from" daemon ls
printf '?total' | "$berth" send words --reply --socket "$dir/$from/run/sock" | tee "$dir/total"
printf '?distinct' | "$berth" send words --reply --socket "$dir/$from/run/sock" | tee "$dir/distinct"
printf '?top 200' | "$berth" send words --reply --socket "$dir/$from/run/sock" >"$dir/top"

say 'The same by tr, sort and uniq'
# Words are runs of bytes that are not ASCII white space; words of one count stand in byte order.
tr -s ' \t\n\v\f\r' '\n' <"$dir/text" | sed '/^$/d' | sort -S 200M | uniq -c | awk -v n="$copies" '{$1 *= n; print}' |
    sort -k1,1nr -k2 >"$dir/counted"
head -n 5 "$dir/counted"
printf '{"total":%s}\n' "$(awk '{n += $1} END {printf "%d", n}' "$dir/counted")" >"$dir/total-sorted"
printf '{"distinct":%s}\n' "$(wc -l <"$dir/counted")" >"$dir/distinct-sorted"
head -n 200 "$dir/counted" | sed -E 's/\\/\\\\/g; s/"/\\"/g; s/^([0-9]+) (.*)$/{"word":"\2","count":\1}/' |
    paste -s -d , | sed 's/.*/[&]/' >"$dir/top-sorted"

failed=0
check() { # WHAT FILE
    if cmp -s "$dir/$2" "$dir/$2-sorted"; then
        echo "agrees:  $1"
    else
        echo "DIFFERS: $1"
        diff <(tr '}' '\n' <"$dir/$2-sorted") <(tr '}' '\n' <"$dir/$2") | head -n 20 || true
        failed=1
    fi
}
say "Compared, after $count moves under load"
check 'the number of words' total
check 'the number of different words' distinct
check 'the 200 most frequent words, with their counts' top
[ "$failed" -eq 0 ]
on "$from" migration ls | head -n 6

say 'What this showed'
cat <<END
A daemon was moved $count times between two hosts while another process fed it $((copies * $(wc -l <"$dir/text"))) lines. Its counts are those
of sort and uniq: nothing was lost on the way, and nothing was counted twice.
END

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `berth send --lines` of a large text into tally, beside the plugin's own function on the same lines in a
# loop. Usage: send.sh BUILD [--json]; BENCH_SEND_MB sets the size of the text (default 1024).
set -eu
build=$1
json=${2-}
mb=${BENCH_SEND_MB:-1024}
dir=$(mktemp -d)
trap 'kill $host 2>/dev/null || :; wait 2>/dev/null || :; rm -rf "$dir"' EXIT
cd "$dir"

# A real text: licences and manuals of this machine, in other words each time round so that it does not
# repeat itself exactly; lines that begin with ? would be questions.
cat /usr/share/common-licenses/* /usr/share/doc/*/copyright 2>/dev/null | LC_ALL=C grep -a -v '^?' > seed
: > text
i=0
while [ "$(stat -c %s text)" -lt $((mb * 1000000)) ]; do
    i=$((i + 1))
    sed "s/\([Tt]he\|of\)/\1$i/" seed >> text
done
truncate -s $((mb * 1000000)) text

"$build"/bench/tally_loop "$build"/plugins/tally.so text > floor
"$build"/berth run --ephemeral --socket "$dir/s/berth.sock" \
    --plugin "$build"/plugins/tally.so > log 2>&1 &
host=$!
i=0
until "$build"/berth --socket "$dir/s/berth.sock" status > /dev/null 2>&1; do
    i=$((i + 1))
    [ $i -lt 500 ] || { cat log >&2; exit 1; }
    sleep 0.02
done
export BERTH_SOCKET="$dir/s/berth.sock"
"$build"/berth daemon spawn tally --name tally > /dev/null
start=$(date +%s%N)
"$build"/berth send tally --lines text > /dev/null
end=$(date +%s%N)
ours=$(((end - start) / 1000000))
floor=$(cat floor)
awk -v ours="$ours" -v floor="$floor" -v mb="$mb" -v json="$json" 'BEGIN {
    figure = mb / (ours / 1000); alone = mb / (floor / 1000)
    if (json == "--json")
        printf "[\n  {\"group\": \"send\", \"name\": \"send --lines of %d MB into tally\", \"unit\": \"MB/s\", \"figure\": %.1f, \"floor\": %.1f, \"ratio\": %.3f, \"floor_name\": \"process called in a loop\", \"goal\": \"at least 0.5 of its rate\"}\n]\n", mb, figure, alone, figure / alone
    else
        printf "%-44s %6.0f MB/s %6.0f MB/s %7.2fx  %-31s %s\n", "send: --lines of " mb " MB into tally", figure, alone, figure / alone, "at least 0.5 of its rate: " (figure / alone >= 0.5 ? "reached" : "MISSED"), "process called in a loop"
}'

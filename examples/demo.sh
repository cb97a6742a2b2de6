#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh [BUILD]: the main job, on this machine, with a real text.
#
# A host in a temporary directory loads the plugin tally, a daemon counts the words of a text of at
# least 4 MB, the host stops and starts again, and every answer is compared with what tr, sort and uniq
# find in the same text. Exit 0: all of it agreed.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

build=${1:-build}
berth=$build/berth
plugin=$build/plugins/tally.so
least=4000000
most=12000000

for file in "$berth" "$plugin"; do
    [ -e "$file" ] || { echo "demo: $file is not there: run 'make build' first" >&2; exit 1; }
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/berth-demo.XXXXXX")
host=
export BERTH_SOCKET=$dir/run/berth.sock

finish() {
    local code=$?
    trap - EXIT INT TERM
    if [ -n "$host" ] && kill "$host" 2>/dev/null; then
        wait "$host" || true
    fi
    [ "$code" -eq 0 ] || { echo; echo "demo: FAILED; the host said:"; tail -n 20 "$dir/log" 2>/dev/null || true; }
    rm -rf "$dir"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n== %s\n' "$*"; }

start_host() {
    echo "\$ berth run --state $dir/state &"
    "$berth" run --state "$dir/state" --socket "$BERTH_SOCKET" 2>>"$dir/log" &
    host=$!
    for _ in $(seq 200); do
        "$berth" status >/dev/null 2>&1 && return
        kill -0 "$host" 2>/dev/null || break
        sleep 0.05
    done
    echo "demo: the host does not come up" >&2
    exit 1
}

stop_host() {
    echo "\$ kill -TERM $host"
    kill -TERM "$host"
    wait "$host"
    host=
}

# What the daemon answers, as JSON, printed and kept in a file.
ask() { # QUESTION FILE
    echo "\$ printf '$1' | berth send words --reply"
    printf '%s' "$1" | "$berth" send words --reply >"$dir/$2"
    cat "$dir/$2"
}

say 'A text that every machine has: this tree, the licences, the documentation'
{
    find . -path './build*' -prune -o -path './.git' -prune -o -type f \
        \( -name '*.c' -o -name '*.h' -o -name '*.md' -o -name '*.scd' -o -name LICENSE \) -print0
    find /usr/share/common-licenses /usr/share/doc /usr/share/perl -type f ! -name '*.gz' -size -2000k \
        -print0 2>/dev/null || true
} | sort -z >"$dir/files"
# Some files end without a line feed: awk puts one there. A line that begins with ? would be a question.
xargs -0 -r awk '!/^\?/' <"$dir/files" 2>/dev/null | tr -d '\000' | head -c "$most" >"$dir/once" || true
[ -s "$dir/once" ] || { echo "demo: no text was found" >&2; exit 1; }
[ -z "$(tail -c 1 "$dir/once")" ] || echo >>"$dir/once"
cat "$dir/once" >"$dir/text"
while [ "$(stat -c %s "$dir/text")" -lt "$least" ]; do
    cat "$dir/once" >>"$dir/text"
done
printf '%s bytes in %s lines, of %s files\n' "$(stat -c %s "$dir/text")" "$(wc -l <"$dir/text")" \
    "$(tr -cd '\000' <"$dir/files" | wc -c)"

say 'A host that knows nothing yet; the plugin is loaded while it runs'
start_host
echo "\$ berth plugin load $plugin"
"$berth" plugin load "$plugin"
echo '$ berth daemon spawn tally --name words'
"$berth" daemon spawn tally --name words

say 'Every line of the text is one event'
echo '$ berth send words --lines text'
"$berth" send words --lines "$dir/text"
ask '?top 10' top-before
ask '?total' total-before
ask '?distinct' distinct-before

say 'The host stops, and another process takes its place'
stop_host
start_host
echo '$ berth daemon ls'
"$berth" daemon ls
ask '?top 10' top-after
ask '?total' total-after
ask '?distinct' distinct-after

say "The same by tr, sort and uniq"
# Words are runs of bytes that are not ASCII white space; words of one count stand in byte order.
tr -s ' \t\n\v\f\r' '\n' <"$dir/text" | sed '/^$/d' | sort -S 200M | uniq -c | sort -k1,1nr -k2 >"$dir/counted"
head -n 10 "$dir/counted"

# The ten as tally would write them.
head -n 10 "$dir/counted" | sed -E 's/\\/\\\\/g; s/"/\\"/g; s/^ *([0-9]+) (.*)$/{"word":"\2","count":\1}/' |
    paste -s -d , | sed 's/.*/[&]/' >"$dir/top"
total=$(awk '{n += $1} END {printf "%d", n}' "$dir/counted")
distinct=$(wc -l <"$dir/counted")

failed=0
check() { # WHAT FILE FILE
    if cmp -s "$2" "$3"; then
        echo "agrees:  $1"
    else
        echo "DIFFERS: $1"
        diff "$2" "$3" || true
        failed=1
    fi
}
printf '{"total":%s}\n' "$total" >"$dir/total"
printf '{"distinct":%s}\n' "$distinct" >"$dir/distinct"

say 'Compared'
check 'the ten most frequent words, with their counts' "$dir/top" "$dir/top-before"
check "the number of words, $total" "$dir/total" "$dir/total-before"
check "the number of different words, $distinct" "$dir/distinct" "$dir/distinct-before"
for answer in top total distinct; do
    check "?$answer, before and after the restart" "$dir/$answer-before" "$dir/$answer-after"
done
[ "$failed" -eq 0 ]

say 'What this showed'
cat <<END
A host started empty. A shared object that it had never seen was loaded into it while it ran, and a
daemon made of the kind in it took $(wc -l <"$dir/text") events, in order, none lost: its counts are those of sort and
uniq. The host was then stopped and started again; the daemon came back from its state directory by
itself, on the same code, under the same identity, and knew all that it had known.
END

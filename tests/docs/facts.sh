#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# facts.sh SOURCE: do the documents still name what the source has? Options, metrics, manifest keys,
# rules, functions of a call, rooms, exit codes; and do their links lead anywhere?
set -euo pipefail
cd "$1"
failed=0
found=$(mktemp)
trap 'rm -f "$found"' EXIT
finding() {
    echo "facts: $1"
    failed=1
}

# DOC WHAT: every line of standard input stands in DOC between backquotes.
named() {
    local word count=0
    while IFS= read -r word; do
        count=$((count + 1))
        grep -qF -- "\`$word\`" "$1" || finding "$1: nothing about the $2 '$word'"
    done
    [ "$count" -gt 0 ] || finding "$1: no $2 was found in the source: this check has lost its way"
}

grep -oP '(\.name = |LIMIT\()"\K[a-z_]+(?!.*\.rules)' host/node/config_rules.c | sort -u >"$found"
named docs/operators.md option <"$found"
while IFS= read -r word; do
    grep -qF "*$word*" docs/man/berth.conf.5.scd || finding "berth.conf.5.scd: nothing about the option '$word'"
    grep -qE "[{ ]$word = " host/node/berth.conf.example || finding "berth.conf.example: no option '$word'"
done <"$found"
: >"$found"
grep -oP '^    \{\.name = "\K[a-z]+(?=", \.rules)' host/node/config_rules.c | named docs/operators.md section
grep -oP '^    TITLED\("\K[a-z-]+' host/node/config_rules.c | sed 's/$/ "NAME"/' | named docs/operators.md section
{
    grep -oP '"\Kberth_[a-z_]*[a-z](?=")' host/api/metrics.c
    grep -oP 'DAEMON_METRIC\("\K[a-z_]+' host/api/metrics.c | sed 's/^/berth_daemon_/'
    grep -oP '(ROW|OF|tell_one)\((&t, )?"\K[a-z_]+(?=")' host/api/mesh_counters.c | sed 's/^/berth_mesh_/'
} | sort -u | named docs/operators.md metric

# Rules of admission, as the second or third argument of find().
grep -oP '(ADMIT_REFUSED|ADMIT_REPORTED|shared\(j\)), "\K[a-z-]+' host/plugin/admit.c | sort -u |
    named docs/abi.md 'admission rule'
perl -0ne 'while (/known\[\] = \{(.*?)\};/sg) { print "$1\n" }' host/plugin/manifest.c host/plugin/manifest_kind.c |
    grep -oP '"\K[a-z_]+' | sort -u | while IFS= read -r key; do
    grep -qE "^\| \`([a-z]+(\[\])?)?\.?$key(\`|\.)" docs/abi.md ||
        grep -qE "^\| \`\.(state|tags)\` .*\`$key\`" docs/abi.md ||
        echo "facts: docs/abi.md: nothing about the manifest key '$key'"
done >"$found"

grep -oP '^    [a-z_ ]+\*?\(\*\K[a-z_]+(?=\)\(berth_call \*call)' sdk/include/berth/abi.h |
    grep -vE '^(create|destroy|process|snapshot|status)$' | sort -u | named docs/abi.md 'function of a call'
grep -oP '^    berth_handler \*\K[a-z_]+' sdk/include/berth/abi.h | named docs/abi.md handler
find host -mindepth 1 -maxdepth 1 -type d ! -name include -printf '%f\n' | sort | named docs/design.md room
find host/include/berth -name '*.h' -printf '%P\n' | sed 's,^,berth/,' | named docs/embedding.md header

# Relative links, and headings that they name.
for doc in README.md CONTRIBUTING.md CHANGELOG.md docs/*.md examples/*/README.md plugins/*/README.md; do
    grep -oP '\]\(\K[^)\s]+' "$doc" | grep -v '^[a-z]*:' | sort -u | while IFS= read -r link; do
        file=${link%%#*}
        path=$(dirname "$doc")/$file
        [ -n "$file" ] || path=$doc
        [ -e "$path" ] || { echo "facts: $doc: $link leads nowhere"; continue; }
        case $link in
        *'#'*)
            grep -P '^#+ ' "$path" | sed -E 's/^#+ //' | tr '[:upper:]' '[:lower:]' |
                sed -E 's/[^a-z0-9 _-]//g; s/ /-/g' | grep -qxF -- "${link#*#}" ||
                echo "facts: $doc: $link: no such heading"
            ;;
        esac
    done || true
done >>"$found"
if [ -s "$found" ]; then
    cat "$found"
    failed=1
fi

[ "$failed" -eq 0 ] && echo 'facts: the documents name what the source has'
exit "$failed"

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# proof.sh SOURCE: is every test that docs/proof.md names there, and in the list of those that are run?
# Has every invariant a row?
set -euo pipefail
cd "$1"
failed=0
finding() {
    echo "proof: docs/proof.md: $1"
    failed=1
}

count=0
while IFS= read -r what; do
    count=$((count + 1))
    program=${what%%:*}
    file=$(find tests/unit tests/integration tests/fuzz -name "$program.c")
    if [ -z "$file" ]; then
        finding "there is no program '$program'"
    elif [ "$program" != "$what" ]; then
        # Once where it is defined, once in the list.
        name=${what#*: }
        [ "$(grep -cw -- "$name" "$file")" -ge 2 ] || finding "$file runs no test '$name'"
    fi
done < <(grep -oP '`\K[a-z0-9_]+_(test|fuzz)(: [a-z0-9_]+)?(?=`)' docs/proof.md | sort -u)
[ "$count" -gt 100 ] || finding "only $count tests were found in it: this check has lost its way"

for k in {1..26}; do
    grep -qP "^\| [^|]*\bK$k\b" docs/proof.md || finding "no row for K$k"
done
for gap in {1..32}; do
    grep -qP "^\| [^|]*§18\.$gap\b" docs/proof.md || finding "no row for §18.$gap"
done
while IFS= read -r target; do
    grep -qF "\`$target\`" docs/proof.md || finding "nothing about the fuzz target '$target'"
done < <(find tests/fuzz -name '*_fuzz.c' -printf '%f\n' | sed 's/\.c$//' | sort)

[ "$failed" -eq 0 ] && echo "proof: $count tests, all of them there"
exit "$failed"

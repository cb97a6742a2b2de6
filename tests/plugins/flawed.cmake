# SPDX-License-Identifier: Apache-2.0
# Good files with bad code: what `berth plugin check` is to find and hosts are to survive.
set(state ", \"state\": {\"writes\": 1}, \"deterministic\": true")

foreach(flaw trusts-state forgets-state refuses-state create-crashes create-hangs leaks double-free
        reads-past keeps-data keeps-call writes-data crashes aborts exits hangs spins sleeps floods
        sends-to-self sends-back differs snapshot-fails snapshot-changes snapshot-differs status-fails
        shares-statics)
    string(TOUPPER "${flaw}" choice)
    string(REPLACE "-" "_" choice "${choice}")
    test_plugin(${flaw} SOURCE flawed.c DEFINES ${choice} MANIFEST KIND_MEMBERS "${state}")
endforeach()
# Stateless by its manifest, and yet it takes a state without a word.
test_plugin(ignores-state SOURCE flawed.c DEFINES IGNORES_STATE STATELESS)

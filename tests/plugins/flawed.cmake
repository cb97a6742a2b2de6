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

foreach(flaw emits-in-create emits-in-snapshot emits-in-status other-thread keeps-daemon keeps-event
        keeps-config trusts-config leaks-on-config leaks-on-state leaks-on-event leaves-threads
        leaves-files reads-short-state reads-before writes-event reads-newer copies-by-size writes-newer
        writes-past-reserve trusts-reserve insists ignores-write changes-and-rejects breaks
        breaks-on-unknown dislikes-a-byte health-unknown large-stack thread-local shares-buffer)
    string(TOUPPER "${flaw}" choice)
    string(REPLACE "-" "_" choice "${choice}")
    test_plugin(${flaw} SOURCE unruly.c DEFINES ${choice} MANIFEST KIND_MEMBERS "${state}")
endforeach()
# The same code with nothing wrong: as it is; with a configuration that must be given, or be JSON;
# with events of one sort only.
test_plugin(orderly SOURCE unruly.c DEFINES ORDERLY MANIFEST KIND_MEMBERS "${state}")
test_plugin(wants-config SOURCE unruly.c DEFINES WANTS_CONFIG MANIFEST
    KIND_MEMBERS "${state}, \"config\": \"text\"")
test_plugin(wants-json SOURCE unruly.c DEFINES WANTS_JSON MANIFEST
    KIND_MEMBERS "${state}, \"config\": \"json\"")
test_plugin(wants-words SOURCE unruly.c DEFINES WANTS_WORDS MANIFEST KIND_MEMBERS "${state}")

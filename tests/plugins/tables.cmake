# SPDX-License-Identifier: Apache-2.0
# Manifests that are refused, and tables that do not agree with their manifest.
set(state ", \"state\": {\"writes\": 1}")

# ---- Found before any code runs ----
foreach(note none major-99 other-owner two truncated cut-head huge empty text list not-utf8
        duplicate-key trailing deep)
    string(TOUPPER "NOTE_${note}" choice)
    string(REPLACE "-" "_" choice "${choice}")
    test_plugin(note-${note} NOTE ${choice})
endforeach()
string(REPEAT " " 65536 spaces)
test_plugin(manifest-oversized MANIFEST MEMBERS "${spaces}")
test_plugin(manifest-no-kinds MANIFEST MEMBERS ", \"x\": 1" KINDS " ")
test_plugin(manifest-bad-version MANIFEST VERSION one)
test_plugin(manifest-bad-name MANIFEST PLUGIN "Not A Name")
test_plugin(manifest-newer-minor MANIFEST ABI "[0, 99]")
test_plugin(manifest-other-major MANIFEST ABI "[1, 0]")
test_plugin(manifest-twin-kinds MANIFEST KINDS
    "{\"name\": \"manifest-twin-kinds\"}, {\"name\": \"manifest-twin-kinds\"}")
test_plugin(needs-extension MANIFEST MEMBERS
    ", \"needs\": {\"extensions\": [\"org.example.absent/1\"]}")
test_plugin(needs-privilege MANIFEST MEMBERS ", \"needs\": {\"privileges\": [\"moon.landing\"]}")
test_plugin(needs-unknown MANIFEST MEMBERS ", \"needs\": {\"luck\": true}")

# ---- Found after dlopen ----
test_plugin(init-fails DEFINES INIT_CODE=BERTH_E_REJECT)
test_plugin(init-hangs DEFINES INIT_HANGS)
test_plugin(create-fails DEFINES CREATE_FAILS)
test_plugin(table-too-large DEFINES "TABLE_SIZE=(sizeof(berth_plugin)+64)")
test_plugin(table-too-small DEFINES TABLE_SIZE=16)
test_plugin(table-no-kinds DEFINES KIND_COUNT=0)
test_plugin(table-null-kinds DEFINES NULL_KINDS)
test_plugin(table-null-kind DEFINES NULL_KIND)
test_plugin(table-kind-too-small DEFINES KIND_SIZE=24)
test_plugin(table-no-process DEFINES NO_PROCESS)
test_plugin(table-no-create DEFINES NO_CREATE)
test_plugin(table-no-destroy DEFINES NO_DESTROY)
test_plugin(table-other-manifest DEFINES MANIFEST_ELSEWHERE)
test_plugin(table-no-manifest DEFINES NO_MANIFEST_POINTER)
test_plugin(table-twin-kinds DEFINES SECOND_KIND="table-twin-kinds" MANIFEST
    KINDS "{\"name\": \"table-twin-kinds\"}, {\"name\": \"table-twin-kinds.second\"}")
test_plugin(table-other-name MANIFEST KINDS "{\"name\": \"something-else\"}")
test_plugin(table-more-kinds DEFINES SECOND_KIND="table-more-kinds.second")
test_plugin(table-fewer-kinds MANIFEST
    KINDS "{\"name\": \"table-fewer-kinds\"}, {\"name\": \"table-fewer-kinds.second\"}")
test_plugin(state-without-snapshot MANIFEST KIND_MEMBERS "${state}")
test_plugin(snapshot-without-state DEFINES WITH_SNAPSHOT)

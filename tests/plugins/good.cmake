# SPDX-License-Identifier: Apache-2.0
# Plugins with nothing wrong.
test_plugin(plain)
test_plugin(plain-2)
test_plugin(two-kinds DEFINES SECOND_KIND="two-kinds.second" MANIFEST
    KINDS "{\"name\": \"two-kinds.second\"}, {\"name\": \"two-kinds\"}")
test_plugin(same-kind KIND plain MANIFEST KINDS "{\"name\": \"plain\"}")
test_plugin(thread-left DEFINES THREAD_LEFT)
test_plugin(needs-threads MANIFEST MEMBERS ", \"needs\": {\"privileges\": [\"threads\"]}")
test_plugin(unknown-keys MANIFEST MEMBERS ", \"colour\": \"blue\"")

# The largest manifest there may be: 65,536 bytes with its padding of white space.
test_manifest(largest-manifest)
file(READ ${json_dir}/largest-manifest.json text)
string(LENGTH "${text}" length)
math(EXPR rest "65536 - ${length}")
string(REPEAT " " ${rest} spaces)
test_plugin(largest-manifest MANIFEST MEMBERS "${spaces}")

foreach(version 1 2 3)
    if(version EQUAL 3)
        set(oldest 3)
    else()
        set(oldest 1)
    endif()
    test_plugin(versioned-${version} SOURCE versioned.c DEFINES VERSION=${version} MANIFEST
        PLUGIN versioned VERSION ${version}.0.0 KIND_MEMBERS
        ", \"state\": {\"writes\": ${version}, \"writes_oldest\": ${oldest}, \"reads_oldest\": ${oldest}}")
endforeach()

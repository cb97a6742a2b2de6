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

# The examples, as their authors' builds make them: C, C++, and Rust where there is a compiler for it.
set(examples ${PROJECT_SOURCE_DIR}/examples)
foreach(language c cpp)
    set(example thermostat-${language})
    file(GLOB source ${examples}/thirdparty-${language}/thermostat.c*)
    berth_add_plugin(test-plugin-${example} SOURCES ${source}
        MANIFEST ${examples}/thirdparty-${language}/berth.json)
    set_target_properties(test-plugin-${example} PROPERTIES OUTPUT_NAME ${example})
    add_dependencies(test-plugins test-plugin-${example})
endforeach()
berth_add_plugin(test-plugin-ferry SOURCES ${examples}/two-hosts/ferry.c
    MANIFEST ${examples}/two-hosts/berth.json)
set_target_properties(test-plugin-ferry PROPERTIES OUTPUT_NAME ferry)
add_dependencies(test-plugins test-plugin-ferry)
target_compile_features(test-plugin-thermostat-cpp PRIVATE cxx_std_17)

find_program(RUSTC rustc)
if(RUSTC)
    set(rust ${CMAKE_CURRENT_BINARY_DIR}/rust)
    file(MAKE_DIRECTORY ${rust})
    add_custom_command(OUTPUT ${out}/thermostat-rust.so
        COMMAND ${RUSTC} --edition 2021 -O --crate-type rlib --crate-name berth
            -o ${rust}/libberth.rlib ${PROJECT_SOURCE_DIR}/sdk/rust/berth.rs
        COMMAND ${RUSTC} --edition 2021 -O --crate-type cdylib --crate-name thermostat -C strip=symbols
            -C link-arg=-Wl,-z,now -C link-arg=-Wl,-z,noexecstack -C link-arg=-Wl,-z,defs
            --extern berth=${rust}/libberth.rlib -o ${out}/thermostat-rust.so
            ${examples}/thirdparty-rust/thermostat.rs
        DEPENDS ${PROJECT_SOURCE_DIR}/sdk/rust/berth.rs ${examples}/thirdparty-rust/thermostat.rs
            ${examples}/thirdparty-rust/berth.json
        VERBATIM)
    add_custom_target(test-plugin-thermostat-rust DEPENDS ${out}/thermostat-rust.so)
    add_dependencies(test-plugins test-plugin-thermostat-rust)
endif()

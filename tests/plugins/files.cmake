# SPDX-License-Identifier: Apache-2.0
# Files that admission refuses before dlopen.

# ---- What a linker makes ----
file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/nothing.map CONTENT "{ local: *; };\n")
test_plugin(no-symbol BARE LINK LINKER:--version-script=${CMAKE_CURRENT_BINARY_DIR}/nothing.map)
test_plugin(function-symbol DEFINES FUNCTION_SYMBOL)
test_plugin(exports-extra BARE DEFINES EXPORT_EXTRA)
test_plugin(runpath LINK LINKER:--enable-new-dtags,-rpath,/nowhere)
test_plugin(rpath LINK LINKER:--disable-new-dtags,-rpath,/nowhere)
test_plugin(text-relocation DEFINES TEXT_RELOCATION LINK LINKER:-z,notext LINKER:--no-warnings)
test_plugin(writable-code DEFINES WRITABLE_CODE LINK LINKER:--no-warnings)
test_plugin(executable-stack LINK LINKER:-z,execstack LINKER:--no-warnings)
test_plugin(audit LINK LINKER:--audit=libaudit-nowhere.so)
test_plugin(depaudit LINK LINKER:--depaudit=libaudit-nowhere.so)
test_plugin(filter LINK LINKER:-F,libfilter-nowhere.so)
test_plugin(auxiliary LINK LINKER:-f,libauxiliary-nowhere.so)
test_plugin(nodelete LINK LINKER:-z,nodelete)
test_plugin(static-tls DEFINES INITIAL_EXEC_TLS)
test_plugin(unique-symbol BARE DEFINES UNIQUE_SYMBOL)
test_plugin(undefined-symbol BARE DEFINES UNDEFINED_SYMBOL)

add_library(test-foreign SHARED foreign.c)
set_target_properties(test-foreign PROPERTIES OUTPUT_NAME berth-test-foreign)
test_plugin(needs-foreign DEFINES FOREIGN_LIBRARY)
target_link_libraries(test-plugin-needs-foreign PRIVATE test-foreign)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    test_plugin(unique-cpp BARE SOURCE unique.cpp)
endif()

# ---- What no linker makes ----
add_executable(test-elfpatch elfpatch.c)
patched_plugin(other-machine machine)
patched_plugin(other-class class)
patched_plugin(other-order order)
patched_plugin(not-shared type)
patched_plugin(no-stack no-stack)
patched_plugin(no-dynamic no-dynamic)
patched_plugin(no-headers no-phdrs)
patched_plugin(truncated cut-4096)
patched_plugin(truncated-header cut-70)

file(WRITE ${out}/empty.so "")
file(WRITE ${out}/text.so "This is not an ELF file.\n")

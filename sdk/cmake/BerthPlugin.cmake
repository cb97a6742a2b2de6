# SPDX-License-Identifier: Apache-2.0
#
# berth_add_plugin(<name> SOURCES <file>... [MANIFEST <berth.json>])
#
# Adds the module target <name>, built as <name>.so with all that a host asks of a plugin's file: one
# exported symbol, no RPATH, nothing undefined, no executable stack, no unique symbols. MANIFEST embeds
# the JSON file as the ELF note; the source then says `.manifest = BERTH_EMBEDDED_MANIFEST`. Without
# it the source has a BERTH_MANIFEST({...}) of its own.
#
# Link further libraries with target_link_libraries as usual, statically: a host accepts no shared ones
# beyond those of the C and C++ runtimes.

function(berth_add_plugin name)
    cmake_parse_arguments(PARSE_ARGV 1 PLUGIN "" "MANIFEST" "SOURCES")
    if(NOT PLUGIN_SOURCES)
        message(FATAL_ERROR "berth_add_plugin(${name}): SOURCES are missing")
    endif()
    if(PLUGIN_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "berth_add_plugin(${name}): not understood: ${PLUGIN_UNPARSED_ARGUMENTS}")
    endif()
    set(map "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/berth-plugin.map")
    add_library(${name} MODULE ${PLUGIN_SOURCES})
    if(PLUGIN_MANIFEST)
        berth_embed_manifest(${name} "${PLUGIN_MANIFEST}")
    endif()
    target_link_libraries(${name} PRIVATE Berth::SDK)
    target_compile_options(${name} PRIVATE -fvisibility=hidden
        $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
    target_link_options(${name} PRIVATE
        "LINKER:--version-script=${map}"
        "LINKER:--exclude-libs,ALL" "LINKER:-z,defs" "LINKER:-z,now" "LINKER:-z,noexecstack")
    set_target_properties(${name} PROPERTIES
        PREFIX "" SUFFIX ".so" POSITION_INDEPENDENT_CODE ON
        SKIP_BUILD_RPATH ON INSTALL_RPATH "" INSTALL_RPATH_USE_LINK_PATH OFF
        LINK_DEPENDS "${map}")
endfunction()

# berth_embed_manifest(<target> <berth.json>)
#
# What MANIFEST does, for another target: a unit test that has the plugin's sources in it.
function(berth_embed_manifest target manifest)
    get_filename_component(json "${manifest}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_SOURCE_DIR}")
    if(NOT EXISTS "${json}")
        message(FATAL_ERROR "berth_add_plugin(${target}): there is no manifest ${json}")
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${json}")
    file(READ "${json}" text)
    string(JSON kinds ERROR_VARIABLE mistake LENGTH "${text}" kinds)
    if(mistake)
        message(FATAL_ERROR "berth_add_plugin(${target}): ${json}: ${mistake}")
    endif()

    get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
    set(extension c)
    if(NOT "C" IN_LIST languages)
        set(extension cpp)
    endif()
    set(source "${CMAKE_CURRENT_BINARY_DIR}/${target}-manifest.${extension}")
    string(REPLACE "\\" "\\\\" quoted "${json}")
    string(REPLACE "\"" "\\\"" quoted "${quoted}")
    file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [[
#include "berth/plugin.h"
BERTH_MANIFEST_FILE("@quoted@");
]])
    set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${json}")
    target_sources(${target} PRIVATE "${source}")
endfunction()

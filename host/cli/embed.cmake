# SPDX-License-Identifier: Apache-2.0
# cmake -DDIR=<sdk/template> -DOUT=<template.c> -P embed.cmake
# Writes the files below DIR as C data (cli/template.h).
file(GLOB_RECURSE files RELATIVE "${DIR}" "${DIR}/*" "${DIR}/.*")
list(SORT files)
set(data "")
set(table "")
set(number 0)
foreach(file ${files})
    string(REGEX MATCH "^([a-z]+)/(.+)$" ok "${file}")
    if(NOT ok)
        continue()
    endif()
    set(lang "${CMAKE_MATCH_1}")
    set(path "${CMAKE_MATCH_2}")
    file(READ "${DIR}/${file}" hex HEX)
    string(LENGTH "${hex}" size)
    math(EXPR size "${size} / 2")
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "((0x..,){16})" "\\1\n    " bytes "${bytes}")
    execute_process(COMMAND test -x "${DIR}/${file}" RESULT_VARIABLE plain)
    set(executable true)
    if(plain)
        set(executable false)
    endif()
    string(APPEND data "static const uint8_t file_${number}[] = {\n    ${bytes}0};\n")
    string(APPEND table
        "    {\"${lang}\", \"${path}\", {file_${number}, ${size}}, ${executable}},\n")
    math(EXPR number "${number} + 1")
endforeach()
if(number EQUAL 0)
    message(FATAL_ERROR "there is no template in ${DIR}")
endif()
file(CONFIGURE OUTPUT "${OUT}" @ONLY CONTENT [[
/* Made from sdk/template by embed.cmake. */
#include "cli/template.h"

@data@
const template_file template_files[] = {
@table@    {0},
};
]])

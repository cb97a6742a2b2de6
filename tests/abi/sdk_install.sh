#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# sdk_install.sh BUILD SOURCE: installs the SDK alone into a new place, builds the reference plugins, the
# examples and the templates from copies with nothing but that, looks at each file as a host does, and
# runs the templates' tests and the golden test of the thermostats.
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix="$work/prefix"
failed=0

fail()
{
    echo "FAILED: $*" >&2
    failed=1
}

# step NAME COMMAND...: quiet unless it fails.
step()
{
    local name=$1
    shift
    if ! "$@" >"$work/log" 2>&1; then
        cat "$work/log"
        fail "$name"
        return 1
    fi
}

# The admission rules, by readelf: exactly one export, and nothing that a host refuses.
hygiene()
{
    local file=$1 exports dynamic segments name
    name=$(basename "$file")
    dynamic=$(readelf -Wd "$file")
    segments=$(readelf -Wl "$file")
    exports=$(readelf -W --dyn-syms "$file" |
        awk 'NR > 3 && NF >= 8 && $7 != "UND" && $5 != "LOCAL" { print $4, $5, $8 }')
    [ "$exports" = "OBJECT GLOBAL berth_plugin_0" ] || fail "$name exports: $exports"
    ! grep -Eq 'RPATH|RUNPATH|TEXTREL|AUDIT|FILTER|AUXILIARY|NODELETE|STATIC_TLS' <<<"$dynamic" ||
        fail "$name: $dynamic"
    grep -q BIND_NOW <<<"$dynamic" || fail "$name is not bound at once"
    ! grep NEEDED <<<"$dynamic" | grep -Evq '\[(libc|libm|libgcc_s|libstdc\+\+|ld-linux-[a-z0-9-]+)\.so' ||
        fail "$name needs foreign libraries: $dynamic"
    ! grep -q 'RWE' <<<"$segments" || fail "$name has a segment that is writable and executable"
    grep -Eq 'GNU_STACK.* RW ' <<<"$segments" || fail "$name has no plain PT_GNU_STACK"
    [ "$(readelf -Wn "$file" 2>/dev/null | grep -c '^  berth .*0x42450000')" = 1 ] ||
        fail "$name has no note, or several"
}

# cmake_project DIR SO [OPTION...]: build it out of tree, look at the file.
cmake_project()
{
    local dir=$1 so=$2
    shift 2
    step "configure $dir" cmake -S "$work/$dir" -B "$work/b-$dir" -G Ninja \
        -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release "$@" || return 0
    step "build $dir" cmake --build "$work/b-$dir" || return 0
    hygiene "$work/b-$dir/$so"
    echo "ok: $so"
}

# template LANGUAGE NAME
template()
{
    cp -r "$prefix/share/berth-sdk/template/$1" "$work/$2"
    sed -i "s/@NAME@/$2/g" "$work/$2"/*
    ! grep -l '@NAME@' "$work/$2"/* || fail "a placeholder is left"
}

step install cmake --install "$build" --component sdk --prefix "$prefix" || exit 1
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name berth-sdk.pc)")
export PKG_CONFIG_PATH
warnings="-Wall -Wextra -Wpedantic -Werror"

# ---- Reference plugins, also with link-time optimisation and stripped ----
cp -r "$source"/plugins/{echo,counter,tally} "$source"/examples/thirdparty-{c,cpp,rust} "$work"
for plugin in echo counter tally; do
    cmake_project $plugin $plugin.so "-DCMAKE_C_FLAGS=$warnings"
done
rm -rf "$work/b-tally"
cmake_project tally tally.so "-DCMAKE_C_FLAGS=-flto -ffunction-sections" \
    "-DCMAKE_MODULE_LINKER_FLAGS=-Wl,--gc-sections -s"

# ---- pkg-config, with the manifest from a macro or a file ----
cc=$(command -v "${CC:-cc}")
sed 's/^#include "berth\/plugin.h"/&\nBERTH_MANIFEST_FILE("berth.json");/' \
    "$source/plugins/echo/echo.c" >"$work/echo/alone.c"
for compiler in "$cc" clang-14 clang; do
    command -v "$compiler" >/dev/null || continue
    # shellcheck disable=SC2046
    step "$compiler with pkg-config" "$compiler" -O2 $warnings $(pkg-config --cflags berth-sdk) \
        -Wa,-I"$work/echo" -shared -o "$work/alone.so" "$work/echo/alone.c" \
        $(pkg-config --libs berth-sdk) && hygiene "$work/alone.so"
done

# ---- Examples in three languages ----
cmake_project thirdparty-c thermostat-c.so "-DCMAKE_C_FLAGS=$warnings"
cmake_project thirdparty-cpp thermostat-cpp.so "-DCMAKE_CXX_FLAGS=$warnings"
thermostats=("$work/b-thirdparty-c/thermostat-c.so" "$work/b-thirdparty-cpp/thermostat-cpp.so")
if command -v rustc >/dev/null; then
    step "make thirdparty-rust" make -C "$work/thirdparty-rust" &&
        hygiene "$work/thirdparty-rust/thermostat-rust.so" && echo "ok: thermostat-rust.so"
    thermostats+=("$work/thirdparty-rust/thermostat-rust.so")
else
    echo "skipped: Rust (there is no rustc)"
fi
# shellcheck disable=SC2046
step "compile the golden test" "$cc" -O1 $(pkg-config --cflags berth-sdk) \
    -o "$work/golden" "$source/tests/abi/thermostat_golden.c" \
    "$(pkg-config --variable=testkit berth-sdk)" -pthread -ldl &&
    step "golden test" "$work/golden" "$source/tests/abi/thermostat.golden" "${thermostats[@]}" &&
    echo "ok: one transcript for ${#thermostats[@]} languages"

# ---- Templates ----
template c my-first.plugin
cmake_project my-first.plugin my-first.plugin.so "-DCMAKE_C_FLAGS=$warnings"
step "ctest c" ctest --test-dir "$work/b-my-first.plugin" --output-on-failure || true
template cpp second
cmake_project second second.so "-DCMAKE_CXX_FLAGS=$warnings"
step "ctest cpp" ctest --test-dir "$work/b-second" --output-on-failure || true
if command -v rustc >/dev/null; then
    template rust third
    step "make template rust" make -C "$work/third" && hygiene "$work/third/third.so" &&
        echo "ok: third.so"
fi

exit $failed

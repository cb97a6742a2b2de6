#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# install_unit.sh BUILD: installs what the node's folder has, with a prefix that the build was not
# configured with, and looks at the unit.
set -euo pipefail
script=$1/host/node/cmake_install.cmake
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# unit ROOT PREFIX: the unit below ROOT names PREFIX/bin/berth, and nothing is left to fill in.
unit()
{
    local file="$1$2/lib/systemd/system/berth.service"
    grep -q "^ExecStart=$2/bin/berth run " "$file" ||
        { echo "FAILED: $file: $(grep ExecStart "$file")" >&2; exit 1; }
    ! grep '@' "$file" | grep -v '^SystemCallFilter=@system-service$' ||
        { echo "FAILED: $file has a placeholder" >&2; exit 1; }
    [ "$(stat -c %a "$file")" = 644 ] || { echo "FAILED: $file: mode" >&2; exit 1; }
}

umask 022
cmake -DCMAKE_INSTALL_PREFIX="$work/here" -P "$script" >"$work/log" || { cat "$work/log"; exit 1; }
unit "" "$work/here"
DESTDIR="$work/stage" cmake -DCMAKE_INSTALL_PREFIX=/opt/berth -P "$script" >"$work/log" ||
    { cat "$work/log"; exit 1; }
unit "$work/stage" /opt/berth

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/paths.h: where a host keeps its things when nobody says: the rules that `berth run` and its
 * clients have to share.
 *
 * Any thread, as long as nobody changes the environment meanwhile. Nothing is created. The only
 * error is BERTH_ERR_INVALID: there is no home directory to start from, or the path does not fit.
 * XDG variables that are empty or not absolute count as unset.
 */
#ifndef BASE_PATHS_H
#define BASE_PATHS_H

#include "berth/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Longest path of a Unix socket, its terminating zero included. */
#define PATHS_SOCKET_MAX 108
#define PATHS_MAX        4096

/* $HOME; else what the user database says. */
berth_status paths_home(char *out, size_t cap, berth_error *error);

/*
 * $BERTH_SOCKET; else /run/berth/berth.sock for root, and for others
 * $XDG_RUNTIME_DIR/berth/berth.sock, or ~/.local/state/berth/berth.sock without that variable.
 */
berth_status paths_socket(char *out, size_t cap, berth_error *error);

/* /var/lib/berth for root; else $XDG_STATE_HOME/berth; else ~/.local/state/berth. */
berth_status paths_state_dir(char *out, size_t cap, berth_error *error);

/*
 * The first that exists of $XDG_CONFIG_HOME/berth/berth.conf (~/.config when unset) and
 * /etc/berth/berth.conf. *found is false, and out is the first of them, when neither does.
 */
berth_status paths_config_file(char *out, size_t cap, bool *found, berth_error *error);

#endif

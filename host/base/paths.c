/* SPDX-License-Identifier: Apache-2.0 */
#include "base/paths.h"

#include "base/error.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_TAIL   "berth/berth.conf"
#define SYSTEM_CONFIG "/etc/" CONFIG_TAIL

static const char *absolute(const char *variable)
{
    const char *value = getenv(variable);

    return value && value[0] == '/' ? value : NULL;
}

static berth_status put(char *out, size_t cap, const char *dir, const char *tail,
                        berth_error *error)
{
    int n = snprintf(out, cap, "%s/%s", dir, tail);

    if (n < 0 || (size_t)n >= cap)
        return fail(error, BERTH_ERR_INVALID, "%s/%s: the path is longer than %zu bytes", dir, tail,
                    cap - 1);
    return BERTH_OK;
}

/* A service often runs without the variable. */
berth_status paths_home(char *out, size_t cap, berth_error *error)
{
    const char *home = absolute("HOME");
    struct passwd entry, *user = NULL;
    char text[4096];
    int n;

    if (!home && getpwuid_r(getuid(), &entry, text, sizeof text, &user) == 0 && user &&
        user->pw_dir[0] == '/')
        home = user->pw_dir;
    if (!home)
        return fail(error, BERTH_ERR_INVALID, "HOME is not set, and this user has no home");
    n = snprintf(out, cap, "%s", home);
    if (n < 0 || (size_t)n >= cap)
        return fail(error, BERTH_ERR_INVALID, "HOME: the path is longer than %zu bytes", cap - 1);
    return BERTH_OK;
}

static berth_status in_home(char *out, size_t cap, const char *tail, berth_error *error)
{
    char home[PATHS_MAX];

    if (paths_home(home, sizeof home, NULL) != BERTH_OK)
        return fail(error, BERTH_ERR_INVALID,
                    "HOME is not set, so there is no place for %s: set HOME, or name the path",
                    tail);
    return put(out, cap, home, tail, error);
}

berth_status paths_socket(char *out, size_t cap, berth_error *error)
{
    const char *said = getenv("BERTH_SOCKET");
    const char *runtime = absolute("XDG_RUNTIME_DIR");

    if (said && said[0]) {
        int n = snprintf(out, cap, "%s", said);

        if (n < 0 || (size_t)n >= cap)
            return fail(error, BERTH_ERR_INVALID, "BERTH_SOCKET: the path is longer than %zu bytes",
                        cap - 1);
        return BERTH_OK;
    }
    if (geteuid() == 0) /* whatever the session's directory is: a service has none */
        return put(out, cap, "/run", "berth/berth.sock", error);
    if (runtime)
        return put(out, cap, runtime, "berth/berth.sock", error);
    return in_home(out, cap, ".local/state/berth/berth.sock", error);
}

berth_status paths_state_dir(char *out, size_t cap, berth_error *error)
{
    const char *state = absolute("XDG_STATE_HOME");

    if (geteuid() == 0)
        return put(out, cap, "/var/lib", "berth", error);
    if (state)
        return put(out, cap, state, "berth", error);
    return in_home(out, cap, ".local/state/berth", error);
}

berth_status paths_config_file(char *out, size_t cap, bool *found, berth_error *error)
{
    const char *config = absolute("XDG_CONFIG_HOME");
    berth_status status = config ? put(out, cap, config, CONFIG_TAIL, error)
                                 : in_home(out, cap, ".config/" CONFIG_TAIL, NULL);

    *found = status == BERTH_OK && access(out, F_OK) == 0;
    if (config && status != BERTH_OK)
        return status;
    /* A service without a home still has the system's file. */
    if (!*found && (access(SYSTEM_CONFIG, F_OK) == 0 || status != BERTH_OK)) {
        *found = access(SYSTEM_CONFIG, F_OK) == 0;
        return put(out, cap, "/etc", CONFIG_TAIL, error);
    }
    return BERTH_OK;
}

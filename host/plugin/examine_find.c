/* SPDX-License-Identifier: Apache-2.0 */
/* Where berth-examine is. */
#include "base/file.h"
#include "plugin/examine.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "berth-examine"

/* The directory of the program or library that this code is in. */
static bool own_directory(char out[PATH_MAX], bool *library)
{
    struct link_map *map = NULL;
    Dl_info info;
    char *slash;

    if (!dladdr1((void *)&examine_helper, &info, (void **)&map, RTLD_DL_LINKMAP) || !map)
        return false;
    *library = map->l_name[0] != 0;
    if (!realpath(*library ? map->l_name : "/proc/self/exe", out))
        return false;
    slash = strrchr(out, '/');
    if (!slash)
        return false;
    *slash = 0;
    return true;
}

/* What is run must be nobody's but ours or root's, and so must be the directory it stands in. */
static bool usable(const char *dir, char out[PATH_MAX])
{
    struct stat st;

    if (snprintf(out, PATH_MAX, "%s/" NAME, dir) >= PATH_MAX)
        return false;
    return lstat(out, &st) == 0 && S_ISREG(st.st_mode) && access(out, X_OK) == 0 &&
           !file_check_safe(dir, NULL) && !file_check_safe(out, NULL);
}

bool examine_helper(char out[PATH_MAX])
{
    char own[PATH_MAX / 2], dir[PATH_MAX], where[PATH_MAX];
    bool library = false;

    if (own_directory(where, &library) && strlen(where) < sizeof own) {
        strcpy(own, where);
        snprintf(dir, sizeof dir, "%s/libexec/berth", own); /* where it was built */
        if (usable(dir, out))
            return true;
        snprintf(dir, sizeof dir, "%s/%s", own, library ? LIBEXEC_FROM_LIB : LIBEXEC_FROM_BIN);
        if (usable(dir, out))
            return true;
    }
    return usable(LIBEXEC_DIR, out);
}

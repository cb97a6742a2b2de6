/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin_fixture.h: a state directory, keys and a set of plugins for tests of the plugin room.
 */
#ifndef TESTS_PLUGIN_FIXTURE_H
#define TESTS_PLUGIN_FIXTURE_H

#include "base/error.h" /* before cmocka.h, which has a macro fail */
#include "base/file.h"
#include "base/log.h"
#include "plugin/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLUGIN(name) BUILD_DIR "/tests/plugins/" name ".so"

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        berth_error *e_ = &(fixture_error);                                                        \
        *e_ = (berth_error){0};                                                                    \
        if ((call) != BERTH_OK)                                                                    \
            fail_msg("%s: %s: %s", #call, berth_status_name(e_->code), e_->text);                  \
    } while (0)

/* For the error argument of what assert_ok calls. */
static berth_error fixture_error __attribute__((unused));
#define ERROR (&fixture_error)

typedef struct key_pair {
    minisign_secret secret;
    minisign_public public;
    char line[MINISIGN_PUBLIC_LINE];
} key_pair;

typedef struct fixture {
    char dir[64];        /* everything is below it */
    char state[80];      /* state directory */
    char drop[80];       /* where the operator's files lie */
    char mark[80];       /* what constructors of test plugins append their names to */
    char path[PATH_MAX]; /* of the last operator_file */
    key_pair key, other; /* key is trusted unless the test says otherwise */
    plugin_policy *policy;
    plugins *set;
} fixture;

static inline void fixture_log(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx;
    (void)level;
    (void)room;
    (void)text;
}

static inline void host_log(const berth_host *host, berth_daemon *daemon, int32_t level,
                            const berth_bytes *text) BERTH_NOEXCEPT
{
    (void)host;
    (void)daemon;
    (void)level;
    (void)text;
}

static inline berth_code host_post(berth_daemon *daemon, const void *ptr, uint64_t len)
{
    (void)daemon;
    (void)ptr;
    (void)len;
    return BERTH_E_FULL;
}

static inline const void *host_extension(const berth_host *host, const char *id)
{
    (void)host;
    (void)id;
    return NULL;
}

static const berth_host test_host __attribute__((unused)) = {
    .size = sizeof(berth_host),
    .abi_minor = BERTH_ABI_MINOR,
    .log = host_log,
    .post = host_post,
    .extension = host_extension,
};

static inline void make_key(key_pair *k)
{
    minisign_keygen(&k->secret, &k->public);
    minisign_public_line(k->line, &k->public);
}

static inline buf *whole_file(const char *path)
{
    buf *b = NULL;

    assert_ok(file_read(path, 512u << 20, 0, &b, ERROR));
    return b;
}

/* Write path.minisig. */
static inline void sign_file(const char *path, const key_pair *k)
{
    char beside[PATH_MAX + 16];
    uint8_t hash[MINISIGN_HASH_BYTES];
    buf *bytes = whole_file(path), *signature = NULL;
    minisign_hash h;

    minisign_hash_init(&h);
    minisign_hash_update(&h, bytes->data, bytes->len);
    minisign_hash_final(&h, hash);
    assert_ok(minisign_sign(&k->secret, hash, "timestamp:1\tfile:test", &signature, ERROR));
    snprintf(beside, sizeof beside, "%s.minisig", path);
    assert_ok(file_write(beside, signature->data, signature->len, 0644, ERROR));
    buf_unref(bytes);
    buf_unref(signature);
}

/* A copy of a built plugin in the operator's directory, under a name of its own, signed by k unless
 * NULL. The path is valid until the next call. */
static inline const char *operator_file(fixture *f, const char *built, const key_pair *k)
{
    buf *bytes = whole_file(built);
    const char *name = strrchr(built, '/') + 1;
    char beside[PATH_MAX + 16];

    snprintf(f->path, sizeof f->path, "%s/%s", f->drop, name);
    assert_ok(file_write(f->path, bytes->data, bytes->len, 0644, ERROR));
    buf_unref(bytes);
    snprintf(beside, sizeof beside, "%s.minisig", f->path);
    unlink(beside);
    if (k)
        sign_file(f->path, k);
    return f->path;
}

static inline void fixture_policy(fixture *f, const policy_options *options)
{
    policy_unref(f->policy);
    f->policy = NULL;
    assert_ok(policy_new(options, &f->policy, ERROR));
    if (f->set)
        plugins_set_policy(f->set, f->policy);
}

/* Only f->key, for everything. */
static inline void fixture_trust_key(fixture *f)
{
    const char *const trusted[] = {f->key.line, NULL};

    fixture_policy(f, &(policy_options){.trusted = trusted});
}

static inline void fixture_start(fixture *f)
{
    plugins_config config = {.state_dir = f->state, .policy = f->policy, .host = &test_host};

    assert_ok(plugins_new(&config, &f->set, ERROR));
}

static inline void fixture_restart(fixture *f)
{
    plugins_free(f->set);
    f->set = NULL;
    fixture_start(f);
}

static inline int fixture_setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);

    log_set_sink(fixture_log, NULL);
    strcpy(f->dir, "/tmp/berth-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->state, sizeof f->state, "%s/state", f->dir);
    snprintf(f->drop, sizeof f->drop, "%s/drop", f->dir);
    snprintf(f->mark, sizeof f->mark, "%s/mark", f->dir);
    assert_int_equal(mkdir(f->state, 0700), 0);
    assert_int_equal(mkdir(f->drop, 0700), 0);
    setenv("BERTH_TEST_CTOR", f->mark, 1);
    make_key(&f->key);
    make_key(&f->other);
    fixture_trust_key(f);
    fixture_start(f);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture *f = *state;
    char command[128];

    plugins_free(f->set);
    policy_unref(f->policy);
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    if (system(command) != 0)
        return -1;
    free(f);
    return 0;
}

static inline bool constructor_ran(const fixture *f)
{
    return access(f->mark, F_OK) == 0;
}

static inline unsigned count_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            n++;
    }
    closedir(dir);
    return n;
}

static inline unsigned open_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

/* Files in the store, floors.json aside. */
static inline unsigned stored_files(const fixture *f)
{
    char dir[128], floors[160];

    snprintf(dir, sizeof dir, "%s/plugins", f->state);
    snprintf(floors, sizeof floors, "%s/floors.json", dir);
    return count_entries(dir) - (access(floors, F_OK) == 0);
}

/* Whether anything of the store is mapped. */
static inline unsigned mappings(const fixture *f)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[PATH_MAX + 128];
    unsigned n = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        n += strstr(line, f->state) != NULL;
    fclose(maps);
    return n;
}

static inline bool has_kind(plugins *set, const char *name)
{
    plugin_kind *kind = plugins_kind(set, slice_str(name));

    if (kind)
        plugin_kind_unref(kind);
    return kind != NULL;
}

static inline void count_plugin(void *ctx, const plugin_info *info)
{
    (void)info;
    ++*(unsigned *)ctx;
}

static inline unsigned loaded_plugins(plugins *set)
{
    unsigned n = 0;

    plugins_each(set, count_plugin, &n);
    return n;
}

/* Load, expecting this code, an error line with this text in it, and no trace of the attempt. */
static inline void refuse_load(fixture *f, const char *path, berth_status code, const char *text)
{
    unsigned fds = open_descriptors(), files = stored_files(f), loaded = loaded_plugins(f->set);
    unsigned mapped = mappings(f);
    berth_error error = {0};
    berth_status status = plugins_load(f->set, path, NULL, NULL, &error);

    if (status != code || !strstr(error.text, text))
        fail_msg("%s: expected %s with '%s', got %s: %s", path, berth_status_name(code), text,
                 berth_status_name(status), error.text);
    if (!strstr(error.text, path) && strlen(path) < 200)
        fail_msg("%s: the error does not name the file: %s", path, error.text);
    assert_int_equal(open_descriptors(), fds);
    assert_int_equal(stored_files(f), files);
    assert_int_equal(loaded_plugins(f->set), loaded);
    assert_int_equal(mappings(f), mapped);
}

#endif

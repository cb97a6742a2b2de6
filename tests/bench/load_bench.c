/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a signed plugin, beside what nobody can do without: copying and hashing the file,
 * verifying two signatures, dlopen. Both in memory (/dev/shm), since what the disk adds is a row of
 * its own.
 */
#include "bench.h"

#include "base/log.h"

#include "daemon/runtime.h"
#include "plugin/load.h"
#include "plugin/minisign.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct world {
    char dir[64], file[128], copy[128];
    char public_key[128];
    uint8_t signature[64], key[32], message[64];
    int round;
    berth_runtime *rt;
} world;

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void run(const char *format, const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof(command), format, a, b);
    must(system(command) == 0, command);
}

static int64_t load(void *ctx, uint64_t n)
{
    world *w = ctx;
    berth_error error = {0};
    int64_t total = 0;
    const char *trusted[] = {w->public_key, NULL};
    policy_options options = {.trusted = trusted};
    for (uint64_t i = 0; i < n; i++) {
        char state[96];
        plugins *set;
        snprintf(state, sizeof(state), "%s/state%d", w->dir, w->round++);
        must(mkdir(state, 0700) == 0, state);
        plugins_config config = {.state_dir = state, .host = runtime_host_table()};
        must(policy_new(&options, &config.policy, &error) == BERTH_OK, error.text);
        must(plugins_new(&config, &set, &error) == BERTH_OK, error.text);
        int64_t t = bench_now();
        must(plugins_load(set, w->file, NULL, NULL, &error) == BERTH_OK, error.text);
        total += bench_now() - t;
        plugins_free(set);
        policy_unref(config.policy);
    }
    return total;
}

static int64_t by_hand(void *ctx, uint64_t n)
{
    world *w = ctx;
    static uint8_t buffer[1 << 16];
    int64_t t = bench_now();
    for (uint64_t i = 0; i < n; i++) {
        crypto_generichash_state hash;
        uint8_t digest[64];
        ssize_t got;
        int in = open(w->file, O_RDONLY | O_CLOEXEC);
        int out = open(w->copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
        must(in >= 0 && out >= 0, "open");
        crypto_generichash_init(&hash, NULL, 0, 64);
        while ((got = read(in, buffer, sizeof(buffer))) > 0) {
            crypto_generichash_update(&hash, buffer, (unsigned long long)got);
            must(write(out, buffer, (size_t)got) == got, "write");
        }
        crypto_generichash_final(&hash, digest, sizeof(digest));
        close(in);
        close(out);
        must(crypto_sign_verify_detached(w->signature, w->message, 64, w->key) == 0, "verify");
        must(crypto_sign_verify_detached(w->signature, w->message, 64, w->key) == 0, "verify");
        void *handle = dlopen(w->copy, RTLD_NOW | RTLD_LOCAL);
        must(handle != NULL, "dlopen");
        dlclose(handle);
        unlink(w->copy);
    }
    return bench_now() - t;
}

/* What making the copy durable adds: fsync of the file and of its directory. */
static double sync_ms(void)
{
    char dir[] = "./berth-bench-XXXXXX", path[64];
    double best[9];
    must(mkdtemp(dir) != NULL, "mkdtemp");
    snprintf(path, sizeof(path), "%s/file", dir);
    for (int i = 0; i < 9; i++) {
        static uint8_t bytes[64 << 10];
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
            at = open(dir, O_RDONLY | O_CLOEXEC);
        must(fd >= 0 && at >= 0 && write(fd, bytes, sizeof(bytes)) == sizeof(bytes), "write");
        int64_t t = bench_now();
        fsync(fd);
        fsync(at);
        best[i] = (double)(bench_now() - t);
        close(fd);
        close(at);
        unlink(path);
    }
    rmdir(dir);
    for (int i = 0; i < 9; i++)
        for (int k = i + 1; k < 9; k++)
            if (best[k] < best[i]) {
                double x = best[i];
                best[i] = best[k];
                best[k] = x;
            }
    return best[4];
}

int main(int argc, char **argv)
{
    world w = {.dir = "/dev/shm/berth-bench-XXXXXX"};
    uint8_t secret[64];
    FILE *f;
    bench_begin(argc, argv);
    log_set_level(LOG_LEVEL_ERROR);
    must(sodium_init() >= 0, "sodium");
    must(mkdtemp(w.dir) != NULL, "mkdtemp");
    snprintf(w.file, sizeof(w.file), "%s/tally.so", w.dir);
    snprintf(w.copy, sizeof(w.copy), "%s/copy.so", w.dir);
    run("cp %s %s", BUILD_DIR "/plugins/tally.so", w.file);
    run("chmod go-w %s && " BUILD_DIR "/berth plugin keygen -o %s >/dev/null </dev/null", w.file,
        w.dir);
    run(BUILD_DIR "/berth plugin sign %s --key %s/berth.key >/dev/null </dev/null", w.file, w.dir);
    run("tail -1 %s/berth.pub > %s/line", w.dir, w.dir);
    char line[128];
    snprintf(line, sizeof(line), "%s/line", w.dir);
    must((f = fopen(line, "r")) && fscanf(f, "%127s", w.public_key) == 1, "public key");
    fclose(f);
    crypto_sign_keypair(w.key, secret);
    crypto_sign_detached(w.signature, NULL, w.message, 64, secret);
    bench_run(&(bench_row){"load", "a signed plugin (tally)", "plugin",
                           "copy + BLAKE2b + 2 verifies + dlopen", "at most 1.5x", load, by_hand,
                           &w, 20, 9, false, NULL, 0});
    bench_report("load", "fsync of the copy and its directory", "ns", sync_ms(), 0, "on this disk",
                 "-", false);
    bench_end();
    run("rm -rf %s%s", w.dir, "");
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole cluster in this process: how long until everybody has met everybody and knows what all
 * can do. The floor is the arithmetic that its handshakes cannot do without, on all cores.
 */
#include "bench.h"

#include "base/random.h"
#include "berth/cluster.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NODES 32

static void must(berth_status status, const berth_error *error)
{
    if (status == BERTH_OK)
        return;
    fprintf(stderr, "%s\n", error->text);
    exit(1);
}

static int64_t boot(void *ctx, uint64_t n)
{
    int64_t took = 0;

    (void)ctx;
    while (n--) {
        berth_cluster_config config = {
            .size = sizeof config, .nodes = NODES, .seed = n, .sessions_ms = 60000};
        berth_cluster *c = NULL;
        berth_error error = {0};
        int64_t begun = bench_now();

        must(berth_cluster_new(&config, &c, &error), &error);
        must(berth_cluster_boot(c, &error), &error);
        took += bench_now() - begun;
        must(berth_cluster_shutdown(c, &error), &error);
        berth_cluster_free(c);
    }
    return took;
}

/* Of each pair: both sides four X25519 and an ephemeral key, a signature made and one checked. */
static int64_t handshakes(void *ctx, uint64_t n)
{
    uint8_t secret[32], public[32], out[32], sign_public[32], sign_secret[64], signature[64];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t begun;

    (void)ctx;
    sodium_ready();
    randombytes_buf(secret, sizeof secret);
    crypto_scalarmult_base(public, secret);
    crypto_sign_keypair(sign_public, sign_secret);
    begun = bench_now();
    for (uint64_t pair = 0; pair < n * NODES * (NODES - 1); pair++) { /* both sides of it */
        for (int i = 0; i < 4; i++)
            bench_use(crypto_scalarmult(out, secret, public));
        crypto_scalarmult_base(out, secret);
        crypto_sign_detached(signature, NULL, out, sizeof out, sign_secret);
        bench_use(crypto_sign_verify_detached(signature, out, sizeof out, sign_public));
    }
    return (bench_now() - begun) / (cores > 0 ? cores : 1);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv);
    bench_run(&(bench_row){.group = "cluster",
                           .name = "cluster of 32 nodes",
                           .unit = "cluster",
                           .floor_name = "its X25519 and Ed25519",
                           .target = "within 5 s on 2 cores",
                           .figure = boot,
                           .floor = handshakes,
                           .n = 1,
                           .rounds = 5});
    bench_end();
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Both messages of the handshake, by one who knows the prologue and the responder's public key, and
 * so can write a message 1 that verifies. The first byte chooses: raw bytes to the responder, raw
 * bytes to the initiator, or a true message with these bytes mixed in. */
#include "mesh/noise.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t a_static[32] = {1}, b_static[32] = {2}, a_ephemeral[32] = {3},
                     b_ephemeral[32] = {4};

static void must_be_over(noise *n)
{
    buf *got = NULL;

    if (n->step != NOISE_OVER || !sodium_is_zero(n->static_secret, 32) ||
        !sodium_is_zero(n->chain, NOISE_HASH) ||
        noise_read(n, slice_str("x"), &got, NULL) != BERTH_ERR_INVALID)
        abort();
}

/* Nothing that we did not write is read. */
static void feed(noise *to, slice bytes, slice truth)
{
    berth_error error = {0};
    buf *got = NULL;

    if (noise_read(to, bytes, &got, &error) != BERTH_OK) {
        if (got || !error.text[0])
            abort();
        must_be_over(to);
    } else if (!slice_eq(bytes, truth)) {
        abort();
    }
    buf_unref(got);
}

static void damage(writer *message, slice with)
{
    for (size_t i = 0; i + 2 < with.len && message->len; i += 3)
        message->data[(with.ptr[i] | with.ptr[i + 1] << 8) % message->len] ^= with.ptr[i + 2];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t b_public[32];
    writer one = {0}, two = {0}, kept = {0};
    slice rest;
    buf *got = NULL;
    noise a, b;

    if (!size)
        return 0;
    rest = slice_of(data + 1, size - 1);
    crypto_scalarmult_base(b_public, b_static);
    noise_init(&a, true, slice_str("fuzz"), a_static, b_public, a_ephemeral);
    noise_init(&b, false, slice_str("fuzz"), b_static, NULL, b_ephemeral);
    if (noise_write(&a, slice_str("hello"), &one) != BERTH_OK)
        abort();
    switch (data[0] % 4) {
    case 0:
        feed(&b, rest, slice_of(one.data, one.len));
        break;
    case 1:
        feed(&a, rest, slice_of(NULL, 0));
        break;
    case 2:
        writer_bytes(&kept, one.data, one.len);
        damage(&one, rest);
        feed(&b, slice_of(one.data, one.len), slice_of(kept.data, kept.len));
        break;
    default:
        if (noise_read(&b, slice_of(one.data, one.len), &got, NULL) != BERTH_OK ||
            noise_write(&b, rest.len < 1000 ? rest : slice_of(rest.ptr, 1000), &two) != BERTH_OK)
            abort();
        buf_unref(got);
        writer_bytes(&kept, two.data, two.len);
        damage(&two, rest);
        feed(&a, slice_of(two.data, two.len), slice_of(kept.data, kept.len));
    }
    writer_free(&one);
    writer_free(&two);
    writer_free(&kept);
    noise_fini(&a);
    noise_fini(&b);
    return 0;
}

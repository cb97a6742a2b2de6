/* SPDX-License-Identifier: Apache-2.0 */
/* Permission tokens and chains. What decodes is written back byte for byte; nothing random is
 * accepted. */
#include "identity/token.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t presenter[32] = {3};
    uint8_t wire[BERTH_TOKEN_CHAIN_SIZE], roots[32] = {0};
    char scope[TOKEN_SCOPE_TEXT], when[TOKEN_TIME_TEXT];
    berth_token_policy policy = {.size = sizeof policy,
                                 .action = BERTH_SCOPE_SUBSCRIBE,
                                 .roots = roots,
                                 .root_count = 1,
                                 .presenter = presenter,
                                 .now_s = 1700000000,
                                 .skew_s = UINT32_MAX};
    berth_token_fault fault = BERTH_TOKEN_FINE;
    berth_token_chain chain;
    berth_token token;

    if (berth_token_decode(&token, data, size, &fault, NULL) == BERTH_OK) {
        berth_token_encode(wire, &token);
        if (memcmp(wire, data, size) != 0)
            abort();
        token_scope_text(scope, token.scope);
        token_time_text(when, token.not_after_s);
        if ((berth_token_verify(&token, policy.now_s, 0, &fault, NULL) == BERTH_OK) != !fault)
            abort();
    } else if (fault != BERTH_TOKEN_FORMAT) {
        abort();
    }
    if (berth_token_chain_decode(&chain, data, size, &fault, NULL) != BERTH_OK)
        return 0;
    if (berth_token_chain_encode(wire, &chain) != size || memcmp(wire, data, size) != 0)
        abort();
    /* As far as possible past the first checks. */
    memcpy(roots, chain.links[0].issuer, 32);
    policy.presenter = chain.links[chain.count - 1].subject;
    policy.channel = chain.links[0].channel;
    policy.presigned = size % 2;
    fault = BERTH_TOKEN_FINE;
    /* As above: it may hold, the corpus has genuine tokens; but it holds or says what is wrong. */
    if ((berth_token_chain_verify(&chain, &policy, &fault, NULL) == BERTH_OK) != !fault)
        abort();
    return 0;
}

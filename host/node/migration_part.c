/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migration_part.h"

#include <sodium.h>
#include <string.h>

/* Borrows from c. */
static migrations_policy policy_of(const config *c)
{
    const config_migration *m = &c->migration;

    return (migrations_policy){.accept = (const char *const *)m->accept.items,
                               .accept_count = m->accept.count,
                               .operators = (const uint8_t(*)[BERTH_ENTITY_SIZE])m->operators.bytes,
                               .operator_count = m->operators.count,
                               .expected_only = m->expected_only,
                               .fetch = m->fetch,
                               .precopy_from = m->precopy_from};
}

berth_status migration_part_new(const config *c, const node_state *state, plugins *set, mesh *m,
                                migrations **out, berth_error *error)
{
    migrations_config settings = {.mesh = m,
                                  .plugins = set,
                                  .store = state->store,
                                  .identity = &state->identity,
                                  .max_stream = c->limits.max_state,
                                  .max_bytes = c->migration.max_bytes,
                                  .policy = policy_of(c)};
    berth_status status;

    *out = NULL;
    if (!m)
        return BERTH_OK;
    memcpy(settings.static_secret, state->mesh_static, sizeof settings.static_secret);
    status = migrations_new(&settings, out, error);
    sodium_memzero(&settings, sizeof settings);
    return status;
}

berth_status migration_part_reload(migrations *x, const config *c, berth_error *error)
{
    const migrations_policy policy = policy_of(c);

    return x ? migrations_set_policy(x, &policy, error) : BERTH_OK;
}

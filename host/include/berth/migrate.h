/* SPDX-License-Identifier: Apache-2.0 */
/*
 * berth/migrate.h: moving daemons of a host to other hosts, and following how that goes. Since 0.1.
 *
 * docs/migration.md says what a move is, what travels, who may order one, and what is promised.
 * Functions may be called from any thread but a daemon's and a callback's, where it does not say
 * otherwise. The words of phases and
 * reasons, and the numbers of the first seven reasons, are those of docs/migration.md.
 */
#ifndef BERTH_MIGRATE_H
#define BERTH_MIGRATE_H

#include "berth/node.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One move that was begun; a handle of the caller's. Freeing it ends nothing. */
typedef struct berth_migration berth_migration;

typedef enum berth_migration_phase {
    BERTH_MIGRATION_SNAPSHOT = 0,
    BERTH_MIGRATION_TRANSFER = 1,
    BERTH_MIGRATION_RESTORE = 2,
    BERTH_MIGRATION_REPLAY = 3,
    BERTH_MIGRATION_CUTOVER = 4,
    BERTH_MIGRATION_COMPLETE = 5
} berth_migration_phase;

/* NULL in place of one: the identity travels, NOT_READY is tried again for 30 s. */
typedef struct berth_migration_options {
    uint32_t size;
    bool keep_identity;          /* the key stays: the target has it already (berth_register_...) */
    uint64_t retry_not_ready_ms; /* 0: NOT_READY is the outcome at once */
    uint64_t deadline_ms;        /* until it is decided, else the daemon stays; 0: 300,000 */
    uint64_t max_hold_ms;        /* of these, with the daemon's gate closed; 0: 30,000 */
} berth_migration_options;

typedef struct berth_migration_outcome {
    uint32_t size;
    bool moved;           /* the target runs it, and has said so */
    uint16_t reason;      /* if not: its number, */
    const char *word;     /* its word, static */
    char text[513];       /* and what there is to say about it */
    uint32_t attempts;    /* that were made */
    uint64_t blackout_ns; /* no host ran it, as far as this one knows */
} berth_migration_outcome;

/*
 * Move the daemon of this origin from one node to another. source 0: wherever it is; target 0: a
 * connected node that has its kind. What can be seen to be wrong is refused at once: NOT_FOUND (no
 * such daemon, or no node for it), EXISTS (it is there already), BUSY (it is on its way), NOT_READY
 * (a node is not connected), UNSUPPORTED (this host has no mesh). Does not wait for the move.
 * *out is the caller's, to be freed before the node.
 */
BERTH_API berth_status berth_migration_start(berth_node *node, uint64_t origin, uint64_t source,
                                             uint64_t target,
                                             const berth_migration_options *options,
                                             berth_migration **out, berth_error *error);

BERTH_API uint64_t berth_migration_origin(const berth_migration *m);
BERTH_API uint64_t berth_migration_source(const berth_migration *m);
BERTH_API uint64_t berth_migration_target(const berth_migration *m);

/* Of the present attempt. NOT_FOUND: over for so long that nothing is known of it any more. */
BERTH_API berth_status berth_migration_get_phase(const berth_migration *m,
                                                 berth_migration_phase *out, berth_error *error);

/*
 * Until it is over, at most so long (UINT64_MAX: as long as it takes). OK, whatever the outcome is;
 * every call answers the same one. TIMEOUT: it goes on. SHUTTING_DOWN: so does it, without this
 * host. out->size is set by the caller.
 */
BERTH_API berth_status berth_migration_wait(berth_migration *m, uint64_t timeout_ms,
                                            berth_migration_outcome *out, berth_error *error);

/*
 * fn is called once, when it is over, or at once if it is: OK, with the outcome, borrowed for the
 * call, that berth_migration_wait answers too; or SHUTTING_DOWN and NULL: it goes on without this
 * host. So it comes before berth_node_free returns, also when m was freed long before. On the
 * runtime's callback thread (berth_observe_lifecycle), without locks. On an error it never is:
 * NOT_FOUND, SHUTTING_DOWN, NO_MEMORY.
 */
BERTH_API berth_status berth_migration_on_end(berth_migration *m,
                                              void (*fn)(void *ctx, berth_status status,
                                                         const berth_migration_outcome *outcome),
                                              void *ctx, berth_error *error);

/* Ask for its end: what comes of that is the outcome. BUSY: it is decided, the daemon goes. */
BERTH_API berth_status berth_migration_cancel(berth_migration *m, berth_error *error);

/* NULL is allowed. */
BERTH_API void berth_migration_free(berth_migration *m);

/* ---- Observing ------------------------------------------------------------------------------- */

typedef enum berth_migration_role {
    BERTH_MIGRATION_ORDERED = 0, /* begun here, of a daemon of another node */
    BERTH_MIGRATION_SOURCE = 1,
    BERTH_MIGRATION_TARGET = 2
} berth_migration_role;

/* One went into a phase, came to be in doubt or no longer, or is over. */
typedef struct berth_migration_event {
    uint32_t size;
    uint8_t id[16];
    berth_migration_role role; /* of this host */
    uint64_t origin, source, target;
    const char *name, *kind; /* of the daemon; "": not known here */
    berth_migration_phase phase;
    bool in_doubt;                          /* it waits for the word of the other node only */
    const berth_migration_outcome *outcome; /* NULL: it is not over */
    uint32_t attempts;
    bool fetching; /* the target fetches the plugin, and the bytes are those of its file */
    uint64_t bytes_sent, bytes_total, held_events;
    uint64_t blackout_ns; /* so far */
    int64_t wall_ns;      /* when */
    uint64_t missed;      /* changes before this one that the observer was too slow for */
} berth_migration_event;

/*
 * fn is called for each change of a migration from or to this host, or ordered here, that comes
 * from now on; of one migration in their order. On the runtime's callback thread, one call after
 * the other, without locks; everything borrowed for the call. One that is slow holds up no
 * migration: changes are dropped, and `missed` counts them; who must not miss an end uses
 * berth_migration_on_end. *id is for berth_unobserve_migrations, after which fn is not running and
 * will not run again; fn itself may call it too. UNSUPPORTED: this host has no mesh.
 */
BERTH_API berth_status berth_observe_migrations(berth_node *node,
                                                void (*fn)(void *ctx,
                                                           const berth_migration_event *event),
                                                void *ctx, uint64_t *id, berth_error *error);
BERTH_API void berth_unobserve_migrations(berth_node *node, uint64_t id);

#ifdef __cplusplus
}
#endif
#endif

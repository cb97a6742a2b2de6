/* SPDX-License-Identifier: Apache-2.0 */
#include "store/commit.h"
#include "base/clock.h"
#include "base/error.h"

/* What the files of a group become once its fate is known. */
typedef enum fate {
    COMMITTED, /* the rows name the new files: the old ones go */
    UNDONE,    /* no row names the new files: they go */
    UNKNOWN,   /* the disk failed under the commit, which may yet be found after a crash: both stay,
                  and the next open sweeps the one that is not named */
} fate;

static void remove_file(const table *t, const char *name)
{
    if (name[0])
        snapfile_remove(t->snapshot_dir, name);
}

static void settle_files(table *t, change *first, size_t n, fate which)
{
    change *c = first;

    for (size_t i = 0; i < n; i++, c = c->next) {
        if (which == COMMITTED) {
            remove_file(t, c->old_file);
            remove_file(t, c->old_state);
            remove_file(t, c->old_base);
        } else if (which == UNDONE) {
            remove_file(t, c->new_file);
        }
        c->old_file[0] = c->old_state[0] = c->old_base[0] = c->new_file[0] = 0;
        c->unknown = which == UNKNOWN;
    }
}

static berth_status step(table *t, table_statement which, berth_error *error)
{
    int rc = db_run(t->statements[which]);

    return rc ? db_fail(t->db, rc, error) : BERTH_OK;
}

/* All n in one transaction, or none. */
static berth_status attempt(table *t, change *first, size_t n, commit_stats *stats,
                            berth_error *error)
{
    bool begun = false, committing = false;
    berth_status status = BERTH_OK;
    uint64_t snapshot_bytes = 0;
    change *c = first;
    int64_t start;

    for (size_t i = 0; i < n && !status; i++, c = c->next) {
        if (c->refused || c->type == CHANGE_BARRIER)
            continue;
        change_clear(c);
        if (!begun)
            status = step(t, TABLE_BEGIN, error);
        begun = true;
        if (!status)
            status = table_apply(t, c, error);
        if (!c->status && change_container(c))
            snapshot_bytes += change_container(c)->len;
    }
    if (!begun)
        return BERTH_OK;

    if (!status) {
        committing = true;
        start = clock_mono_ns();
        status = step(t, TABLE_COMMIT, error);
        stats->commit_ns += (uint64_t)(clock_mono_ns() - start);
    }
    if (!sqlite3_get_autocommit(t->db))
        db_run(t->statements[TABLE_ROLLBACK]);
    if (status) {
        bool unknown = committing && status != BERTH_ERR_NO_SPACE;

        settle_files(t, first, n, unknown ? UNKNOWN : UNDONE);
        return status;
    }
    settle_files(t, first, n, COMMITTED);
    stats->commits++;
    stats->snapshot_bytes += snapshot_bytes;
    return BERTH_OK;
}

void commit_group(table *t, change *first, size_t n, commit_stats *stats)
{
    berth_error error = {0};
    berth_status status = attempt(t, first, n, stats, &error);
    change *c = first;

    if (!status)
        return;
    if (status == BERTH_ERR_NO_SPACE && n > 1) {
        size_t half = n / 2;

        commit_group(t, first, half, stats);
        for (size_t i = 0; i < half; i++)
            c = c->next;
        commit_group(t, c, n - half, stats);
        return;
    }
    for (size_t i = 0; i < n; i++, c = c->next)
        if (!c->refused && c->type != CHANGE_BARRIER)
            change_fail(c, &error);
}

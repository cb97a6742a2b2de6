/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/realm.h"

#include "cli/commands.h"
#include "cli/entity.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/realm_signing.h"

#include "base/clock.h"
#include "base/error.h"
#include "identity/certificate_file.h"
#include "identity/revocation_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t now_s(void)
{
    return clock_wall_ns() / 1000000000;
}

/* ---- init ------------------------------------------------------------------------------------ */

static berth_status make(const char *path, const realm_key *key, berth_error *error)
{
    char *book_path = realm_book_beside(path);
    realm_book book = {0};
    berth_status status;

    if (!book_path)
        return fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", path);
    memcpy(book.realm, key->pair.entity, BERTH_ENTITY_SIZE);
    if (access(path, F_OK) != 0 && access(book_path, F_OK) == 0)
        status =
            fail(error, BERTH_ERR_EXISTS,
                 "%s: is there without its key: put that back, or choose another name", book_path);
    else
        status = realm_key_write(path, key, error);
    if (!status && (status = realm_book_write(book_path, &book, error)))
        unlink(path);
    free(book_path);
    return status;
}

int cmd_realm_init(const cli_invocation *inv)
{
    const char *path = cli_argument_at(inv, 0), *name = cli_value(inv, "name");
    realm_view view = {.path = path, .kind = REALM_IS_KEY};
    realm_measure m = {.now_s = now_s()};
    berth_error error = {0};
    berth_status status;
    int lock;

    if (name && certificate_name_check(slice_str(name), NULL) != BERTH_OK)
        return output_usage(inv,
                            "--name '%s': a realm's name has 1 to %d letters, digits, '.', '_' or "
                            "'-' and begins with a letter or digit",
                            name, CERTIFICATE_NAME_MAX);
    snprintf(view.key.name, sizeof view.key.name, "%s", name ? name : "");
    if (lock_beside(path, &lock, &error) != BERTH_OK)
        return output_fail(&error);
    berth_keypair_generate(&view.key.pair);
    status = make(path, &view.key, &error);
    realm_key_wipe(&view.key);
    lock_drop(lock);
    if (status)
        return output_fail(&error);
    realm_view_print(inv, &view, 1, &m);
    return EXIT_DONE;
}

/* ---- sign ------------------------------------------------------------------------------------ */

/* What the words and options ask for. An exit code. */
static int wanted(const cli_invocation *inv, realm_certificate *c)
{
    const char *name = cli_value(inv, "name"), *valid = cli_value(inv, "valid");
    const char *from = cli_value(inv, "from");
    uint64_t span = (uint64_t)CERTIFICATE_DEFAULT_S;
    int64_t from_ns, now = now_s();
    berth_error error = {0};

    if (!name)
        return output_usage(inv, "what is the node's --name");
    if (certificate_name_check(slice_str(name), &error) != BERTH_OK)
        return output_usage(inv, "--name '%s': %s", name, error.text);
    if (valid && (!format_parse_span(valid, &span) || !span))
        return output_usage(inv, "--valid is a number with s, m, h or d, such as 12h or 30d");
    if (from && !format_parse_time(from, &from_ns))
        return output_usage(inv, "--from '%s' is not a time such as 2026-11-30T10:00:00Z", from);
    c->not_before = from ? from_ns / 1000000000 : now;
    if (span > (uint64_t)(CERTIFICATE_TIME_MAX - c->not_before))
        return output_usage(inv, "--valid ends it after the year 9999");
    c->not_after = c->not_before + (int64_t)span;
    if (c->not_after < now)
        return output_usage(inv, "with this --from and --valid it would have ended already");
    memcpy(c->name, name, strlen(name) + 1);
    if (entity_argument(cli_argument_at(inv, 0), c->entity, &error) != BERTH_OK)
        return output_fail(&error);
    return EXIT_DONE;
}

/* The serial is used up, and that is on the disk, before anything is signed with it. */
static berth_status take_serial(realm_signing *s, const cli_invocation *inv, uint64_t *serial,
                                berth_error *error)
{
    bool given = cli_value(inv, "serial") != NULL;

    *serial = cli_number(inv, "serial", s->book.serial + 1);
    if (!s->has_book && !given)
        return fail(error, BERTH_ERR_NOT_FOUND,
                    "%s: is missing, and says which serials are used: put it back, or give a "
                    "--serial above every one that was ever used",
                    s->book_path);
    if (!given && s->book.serial == UINT64_MAX)
        return fail(error, BERTH_ERR_LIMIT, "%s: no serial is left: make another realm",
                    s->book_path);
    if (*serial <= s->book.serial)
        return fail(error, BERTH_ERR_INVALID,
                    "--serial %" PRIu64 ": serials up to %" PRIu64
                    " are used: give a higher one, or none",
                    *serial, s->book.serial);
    s->book.serial = *serial;
    return realm_book_write(s->book_path, &s->book, error);
}

static berth_status sign(const cli_invocation *inv, realm_certificate *c, berth_error *error)
{
    realm_signing s;
    berth_status status = realm_signing_begin(&s, cli_value(inv, "realm-key"), error);

    if (status)
        return status;
    status = take_serial(&s, inv, &c->serial, error);
    if (!status)
        status = certificate_sign(c, &s.key.pair, error);
    realm_signing_end(&s);
    return status;
}

int cmd_realm_sign(const cli_invocation *inv)
{
    const char *path = cli_value(inv, "output");
    realm_view view = {.kind = REALM_IS_CERTIFICATE};
    realm_measure m = {0};
    berth_error error = {0};
    char *text;
    int code;

    if (!cli_value(inv, "realm-key"))
        return output_usage(inv, "which --realm-key signs it");
    code = wanted(inv, &view.certificate);
    if (code != EXIT_DONE)
        return code;
    if (path && strcmp(path, "-") == 0)
        path = NULL;
    if (path && access(path, F_OK) == 0) {
        fail(&error, BERTH_ERR_EXISTS, "%s: exists: move it away, or choose another name", path);
        return output_fail(&error);
    }
    if (sign(inv, &view.certificate, &error) != BERTH_OK ||
        (path && certificate_file_write(path, &view.certificate, &error) != BERTH_OK))
        return output_fail(&error);
    view.path = path;
    if (path || cli_flag(inv, "json")) {
        m.realm = view.certificate.realm;
        m.now_s = now_s();
        realm_view_judge(&view, &m, NULL);
        realm_view_print(inv, &view, 1, &m);
        return EXIT_DONE;
    }
    text = certificate_file_format(&view.certificate);
    fputs(text ? text : "", stdout);
    code = text ? EXIT_DONE : EXIT_FAILED;
    free(text);
    return code;
}

/* ---- show ------------------------------------------------------------------------------------ */

/* Read and judge them all; those that can be read come first in views. An exit code: of the first
 * that is wrong. */
static int look(const cli_invocation *inv, const realm_measure *m, realm_view *views, size_t *count)
{
    berth_error *faults = calloc(inv->argument_count, sizeof *faults);
    size_t wrong = 0;
    int code = EXIT_DONE;

    *count = 0;
    for (size_t i = 0; faults && i < inv->argument_count; i++) {
        realm_view *v = &views[*count];

        if (realm_view_read(v, cli_argument_at(inv, i), &faults[wrong]) != BERTH_OK)
            wrong++;
        else if ((*count)++, realm_view_judge(v, m, &faults[wrong]) != BERTH_OK)
            wrong++;
    }
    realm_view_print(inv, views, *count, m);
    fflush(stdout);
    for (size_t i = wrong; i-- > 0;)
        code = output_exit_code(faults[i].code);
    for (size_t i = 0; i < wrong; i++)
        output_fail(&faults[i]);
    free(faults);
    return faults ? code : EXIT_FAILED;
}

int cmd_realm_show(const cli_invocation *inv)
{
    const char *list = cli_value(inv, "revoked"), *realm = cli_value(inv, "realm");
    uint8_t wanted_realm[BERTH_ENTITY_SIZE];
    revocation_list revoked = {0};
    berth_error error = {0};
    realm_measure m = {.now_s = now_s()};
    realm_view *views;
    size_t count = 0;
    int code;

    if (realm && berth_entity_parse(wanted_realm, realm, strlen(realm)) != BERTH_OK)
        return output_usage(inv, "--realm is the id of a realm: 64 hex digits");
    if (list && revocation_file_read(list, &revoked, &error) != BERTH_OK)
        return output_fail(&error);
    m.realm = realm ? wanted_realm : NULL;
    m.revoked = list ? &revoked : NULL;
    views = calloc(inv->argument_count, sizeof *views);
    code = views ? look(inv, &m, views, &count) : EXIT_FAILED;
    for (size_t i = 0; i < count; i++)
        realm_view_free(&views[i]);
    free(views);
    revocation_free(&revoked);
    return code;
}

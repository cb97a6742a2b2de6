/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/realm.h"

#include "cli/commands.h"
#include "cli/entity.h"
#include "cli/output.h"
#include "cli/realm_signing.h"

#include "base/clock.h"
#include "base/error.h"
#include "identity/entity.h"
#include "identity/revocation_file.h"

#include <inttypes.h>
#include <string.h>

/* What it means to have added an entry: that it is there. */
static berth_status no_room(berth_status status, const char *path, berth_error *error)
{
    if (status == BERTH_ERR_LIMIT)
        return fail(error, status,
                    "%s: a list has at most %d serials and %d entities: revoke a node's entity "
                    "instead of its certificates, or make another realm",
                    path, REVOCATION_SERIALS_MAX, REVOCATION_ENTITIES_MAX);
    return status == BERTH_ERR_EXISTS || !status ? BERTH_OK
                                                 : fail(error, status, "%s: out of memory", path);
}

/* Only a certificate of this realm has a serial that means something in its list. */
static berth_status add_certificate(revocation_list *what, const char *path, const uint8_t *realm,
                                    berth_error *error)
{
    realm_view view;
    berth_status status = realm_view_read(&view, path, error);

    if (!status && view.kind != REALM_IS_CERTIFICATE)
        status = fail(error, BERTH_ERR_INVALID, "%s: is not a certificate", path);
    if (!status && !entity_eq(view.certificate.realm, realm)) {
        char display[BERTH_ENTITY_DISPLAY];

        status = fail(error, BERTH_ERR_REFUSED,
                      "%s: is of realm %s: only that realm's key can revoke it", path,
                      berth_entity_display(display, view.certificate.realm));
    }
    if (!status && (status = certificate_verify(&view.certificate, error)))
        fail_prefix(error, "%s", path);
    if (!status)
        status = no_room(revocation_add_serial(what, view.certificate.serial), path, error);
    realm_view_free(&view);
    return status;
}

static berth_status gather(const cli_invocation *inv, const uint8_t *realm, revocation_list *what,
                           berth_error *error)
{
    const char *list = cli_value(inv, "list"), *text;
    uint8_t entity[BERTH_ENTITY_SIZE];
    berth_status status = BERTH_OK;
    uint64_t serial = 0;
    size_t at = 0;

    while (!status && (text = cli_next_value(inv, "serial", &at))) {
        cli_parse_number(text, &serial); /* the parser has checked it */
        status = no_room(revocation_add_serial(what, serial), list, error);
    }
    for (at = 0; !status && (text = cli_next_value(inv, "entity", &at));) {
        status = entity_argument(text, entity, error);
        if (!status)
            status = no_room(revocation_add_entity(what, entity), list, error);
    }
    for (at = 0; !status && (text = cli_next_value(inv, "certificate", &at));)
        status = add_certificate(what, text, realm, error);
    return status;
}

/* How many of them are new. */
static berth_status merge(revocation_list *list, const revocation_list *what, const char *path,
                          size_t *added, berth_error *error)
{
    berth_status status = BERTH_OK, one;

    *added = 0;
    for (uint32_t i = 0; !status && i < what->serial_count; i++) {
        one = revocation_add_serial(list, what->serials[i]);
        *added += one == BERTH_OK;
        status = no_room(one, path, error);
    }
    for (uint32_t i = 0; !status && i < what->entity_count; i++) {
        one = revocation_add_entity(list, what->entities[i]);
        *added += one == BERTH_OK;
        status = no_room(one, path, error);
    }
    return status;
}

/*
 * The list as it is; an empty one where there is none yet. A list that is not the realm's newest
 * would, under a higher number, drop what the newest one says: that takes --number.
 */
static berth_status read_list(const cli_invocation *inv, const realm_signing *s,
                              revocation_list *list, berth_error *error)
{
    const char *path = cli_value(inv, "list");
    bool number = cli_value(inv, "number") != NULL;
    berth_status status = revocation_file_read(path, list, error);

    if (status == BERTH_ERR_NOT_FOUND) {
        *error = (berth_error){0};
        if (!number && !s->has_book)
            return fail(error, BERTH_ERR_NOT_FOUND,
                        "%s: is not there, and neither is %s: put one of them back, or begin the "
                        "list with a --number above every one that the realm ever used",
                        path, s->book_path);
        if (!number && s->book.list)
            return fail(error, BERTH_ERR_NOT_FOUND,
                        "%s: is not there, and the realm has made list %" PRIu64
                        " before: put that back, or give a higher --number to begin a list that "
                        "lacks what it said",
                        path, s->book.list);
        return BERTH_OK;
    }
    if (status)
        return status;
    if (!entity_eq(list->realm, s->key.pair.entity)) {
        char display[BERTH_ENTITY_DISPLAY];

        return fail(error, BERTH_ERR_REFUSED, "%s: is the list of realm %s, not of this key's",
                    path, berth_entity_display(display, list->realm));
    }
    if (!number && list->number < s->book.list)
        return fail(error, BERTH_ERR_REFUSED,
                    "%s: is list %" PRIu64 " of the realm, whose newest is list %" PRIu64
                    ": put that there, or give a higher --number to go without what it added",
                    path, list->number, s->book.list);
    return BERTH_OK;
}

static berth_status write_list(const cli_invocation *inv, realm_signing *s, revocation_list *list,
                               berth_error *error)
{
    uint64_t last = list->number > s->book.list ? list->number : s->book.list;
    const char *path = cli_value(inv, "list");
    berth_status status;

    if (last == UINT64_MAX && !cli_value(inv, "number"))
        return fail(error, BERTH_ERR_LIMIT, "%s: no number is left: make another realm", path);
    list->number = cli_number(inv, "number", last + 1);
    if (list->number <= last)
        return fail(error, BERTH_ERR_INVALID,
                    "--number %" PRIu64 ": numbers up to %" PRIu64
                    " are used: give a higher one, or none",
                    list->number, last);
    list->issued = clock_wall_ns() / 1000000000;
    status = revocation_sign(list, &s->key.pair, error);
    if (!status)
        status = revocation_file_write(path, list, error);
    /* After the list: a crash between the two leaves a newer list, which is no harm. */
    s->book.list = list->number;
    if (!status && s->has_book)
        status = realm_book_write(s->book_path, &s->book, error);
    return status;
}

static berth_status revoke(const cli_invocation *inv, revocation_list *list, size_t *added,
                           berth_error *error)
{
    const char *path = cli_value(inv, "list");
    revocation_list what = {0};
    realm_signing s;
    berth_status status = realm_signing_begin(&s, cli_value(inv, "realm-key"), error);

    if (status)
        return status;
    status = gather(inv, s.key.pair.entity, &what, error);
    if (!status)
        status = read_list(inv, &s, list, error);
    if (!status)
        status = merge(list, &what, path, added, error);
    if (!status && (*added || cli_value(inv, "number")))
        status = write_list(inv, &s, list, error);
    revocation_free(&what);
    realm_signing_end(&s);
    return status;
}

int cmd_realm_revoke(const cli_invocation *inv)
{
    realm_view view = {.kind = REALM_IS_LIST, .path = cli_value(inv, "list")};
    berth_error error = {0};
    realm_measure m;
    size_t added = 0;

    if (!cli_value(inv, "realm-key"))
        return output_usage(inv, "which --realm-key signs the list");
    if (!view.path)
        return output_usage(inv, "which --list do the hosts read");
    if (!cli_value(inv, "serial") && !cli_value(inv, "entity") && !cli_value(inv, "certificate"))
        return output_usage(inv, "what is revoked: a --serial, an --entity or a --certificate");
    if (revoke(inv, &view.list, &added, &error) != BERTH_OK) {
        realm_view_free(&view);
        return output_fail(&error);
    }
    m = (realm_measure){.realm = view.list.realm, .now_s = clock_wall_ns() / 1000000000};
    realm_view_print(inv, &view, 1, &m);
    realm_view_free(&view);
    if (!added)
        output_note("%s: all of it was revoked already", cli_value(inv, "list"));
    return EXIT_DONE;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/mesh.h"
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

static cell_style state_style(const char *state)
{
    if (strcmp(state, "connected") == 0)
        return STYLE_GOOD;
    return strcmp(state, "failed") == 0 ? STYLE_BAD : STYLE_WARN;
}

/* "dialling in 3s", "failed, dialling in 12s", "connected" */
static char *describe_state(char out[FORMAT_MAX], struct json_object *peer)
{
    const char *state = field_text(peer, "state");
    bool dialling = strcmp(state, "dialling") == 0;
    struct json_object *due = NULL;
    char in[FORMAT_MAX];

    if (json_object_object_get_ex(peer, "dial_in_ns", &due) && due &&
        field_count(field_array(peer, "addresses")))
        snprintf(out, FORMAT_MAX, "%s in %s", dialling ? "dialling" : state,
                 format_duration(in, (int64_t)field_u64(peer, "dial_in_ns")));
    else
        snprintf(out, FORMAT_MAX, "%s", dialling ? "dialling now" : state);
    return out;
}

static const char *address_of(struct json_object *peer)
{
    struct json_object *session = field_object(peer, "session");
    struct json_object *addresses = field_array(peer, "addresses");

    if (session)
        return field_text(session, "address");
    return field_count(addresses) ? json_object_get_string(json_object_array_get_idx(addresses, 0))
                                  : "";
}

/* ---- ls -------------------------------------------------------------------------------------- */

static void list_peer(tab *t, struct json_object *peer)
{
    struct json_object *session = field_object(peer, "session");
    char text[FORMAT_MAX];

    tab_add(t, STYLE_BOLD, "%s", field_text(peer, "name"));
    tab_add(t, STYLE_FAINT, "%s", field_text(peer, "node"));
    tab_add(t, state_style(field_text(peer, "state")), "%s", describe_state(text, peer));
    tab_add(t, STYLE_PLAIN, "%s", address_of(peer));
    if (!session) {
        for (unsigned i = 0; i < 5; i++)
            tab_add(t, STYLE_PLAIN, "%s", "");
        return;
    }
    tab_add(t, STYLE_PLAIN, "%s", format_rtt(text, field_u64(session, "rtt_ns")));
    tab_add(
        t, STYLE_PLAIN, "%s",
        format_share(text, field_u64(session, "packets_lost"), field_u64(session, "packets_out")));
    tab_add(t, STYLE_PLAIN, "%s", format_bytes(text, field_u64(session, "bytes_in")));
    tab_add(t, STYLE_PLAIN, "%s", format_bytes(text, field_u64(session, "bytes_out")));
    tab_add(t, STYLE_PLAIN, "%s", field_ago(text, session, "up_since"));
}

int cmd_peer_ls(const cli_invocation *inv)
{
    static const tab_column columns[] = {{"NAME", false},    {"NODE", false}, {"STATE", false},
                                         {"ADDRESS", false}, {"RTT", true},   {"LOSS", true},
                                         {"IN", true},       {"OUT", true},   {"UP", true}};
    struct json_object *answer, *list;
    int code = ask_list(inv, "/v1/peers", "peers", &answer, &list);
    tab t;

    if (code == EXIT_DONE && cli_flag(inv, "json")) {
        output_json(answer);
    } else if (code == EXIT_DONE) {
        tab_begin(&t, columns, sizeof columns / sizeof *columns);
        for (size_t i = 0; i < field_count(list); i++)
            list_peer(&t, json_object_array_get_idx(list, i));
        tab_end(&t, stdout, output_has_colours(stdout));
    }
    json_object_put(answer);
    return code;
}

/* ---- show ------------------------------------------------------------------------------------ */

static void show_session(tab *t, struct json_object *session)
{
    char text[FORMAT_MAX], least[FORMAT_MAX], out[FORMAT_MAX];

    page_add(t, STYLE_PLAIN, "session", "with %s, %s", field_text(session, "address"),
             field_bool(session, "dialled") ? "begun here" : "begun there");
    page_add(t, STYLE_PLAIN, "up since", "%s", field_when(text, session, "up_since"));
    page_add(t, STYLE_PLAIN, "round trip", "%s, at least %s",
             format_rtt(text, field_u64(session, "rtt_ns")),
             format_rtt(least, field_u64(session, "rtt_min_ns")));
    mesh_add_loss(t, session);
    page_add(t, STYLE_PLAIN, "traffic", "%s in, %s out",
             format_bytes(text, field_u64(session, "bytes_in")),
             format_bytes(out, field_u64(session, "bytes_out")));
    page_add(t, STYLE_PLAIN, "packets", "of up to %llu bytes",
             (unsigned long long)field_u64(session, "packet_size"));
    if (field_u64(session, "queued"))
        page_add(t, STYLE_WARN, "queued", "%s", format_bytes(text, field_u64(session, "queued")));
}

static void show(struct json_object *peer)
{
    const char *state = field_text(peer, "state");
    struct json_object *session = field_object(peer, "session");
    char text[FORMAT_MAX];
    tab t;

    page_begin(&t);
    page_add(&t, STYLE_BOLD, "name", "%s", field_text(peer, "name"));
    page_add(&t, STYLE_PLAIN, "node", "%s",
             *field_text(peer, "node") ? field_text(peer, "node") : "not met yet");
    if (*field_text(peer, "entity"))
        page_add(&t, STYLE_PLAIN, "entity", "%s", field_text(peer, "entity"));
    page_add(&t, STYLE_PLAIN, "key", "%s", field_text(peer, "key"));
    page_add(&t, state_style(state), "state", "%s", describe_state(text, peer));
    page_add(&t, STYLE_PLAIN, "known by", "%s",
             field_bool(peer, "configured") ? "its key" : "a realm's certificate");
    page_add(&t, STYLE_PLAIN, "health", "%s", field_text(peer, "health"));
    if (!session && field_u64(peer, "failures"))
        page_add(&t, STYLE_WARN, "failures", "%llu dials in a row",
                 (unsigned long long)field_u64(peer, "failures"));
    mesh_add_words(&t, "addresses", field_array(peer, "addresses"), "none: it has to call");
    if (session)
        show_session(&t, session);
    if (field_u64(peer, "ping_ns"))
        page_add(&t, STYLE_PLAIN, "pings", "%s", format_rtt(text, field_u64(peer, "ping_ns")));
    mesh_add_words(&t, "may", field_array(peer, "may"), "nothing");
    mesh_add_words(&t, "says it has", field_array(peer, "capabilities"), "nothing yet");
    tab_end(&t, stdout, output_has_colours(stdout));
}

int cmd_peer_show(const cli_invocation *inv)
{
    char *path = client_path("/v1/peers/%s", cli_argument_at(inv, 0));
    int code = ask_show(inv, path, show);

    free(path);
    return code;
}

/* ---- add, rm --------------------------------------------------------------------------------- */

static void add_values(const cli_invocation *inv, struct json_object *body, const char *option,
                       const char *member)
{
    struct json_object *list = json_object_new_array();
    size_t at = 0;

    for (const char *value; (value = cli_next_value(inv, option, &at));)
        json_object_array_add(list, json_object_new_string(value));
    json_put(body, member, list);
}

int cmd_peer_add(const cli_invocation *inv)
{
    struct json_object *body = json_object_new_object(), *answer;
    char *text, state[FORMAT_MAX];
    int code;

    json_put_string(body, "name", slice_str(cli_argument_at(inv, 0)));
    json_put_string(body, "key", slice_str(cli_argument_at(inv, 1)));
    if (cli_value(inv, "entity"))
        json_put_string(body, "entity", slice_str(cli_value(inv, "entity")));
    add_values(inv, body, "address", "address");
    add_values(inv, body, "may", "may");
    text = ask_body(body);
    code = ask(inv,
               &(client_request){.method = "POST",
                                 .path = "/v1/peers",
                                 .content_type = "application/json",
                                 .body = slice_str(text)},
               &answer);
    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE)
        printf("added %s: %s; until the host's next start\n", field_text(answer, "name"),
               describe_state(state, answer));
    json_object_put(answer);
    free(text);
    return code;
}

int cmd_peer_rm(const cli_invocation *inv)
{
    char *path = client_path("/v1/peers/%s", cli_argument_at(inv, 0));
    struct json_object *answer;
    int code = ask(inv, &(client_request){.method = "DELETE", .path = path}, &answer);

    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE)
        printf("removed %s; a section of the configuration counts again after a reload\n",
               field_text(answer, "name"));
    json_object_put(answer);
    free(path);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/mesh.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"

#include <stdlib.h>

void mesh_add_words(tab *t, const char *name, struct json_object *array, const char *none)
{
    char *text = field_joined(array);

    page_add(t, STYLE_PLAIN, name, "%s", text[0] ? text : none);
    free(text);
}

void mesh_add_loss(tab *t, struct json_object *counts)
{
    uint64_t lost = field_u64(counts, "packets_lost"), out = field_u64(counts, "packets_out");
    char text[FORMAT_MAX], share[FORMAT_MAX];

    page_add(t, STYLE_PLAIN, "loss", "%s, %s packet%s of those sent",
             format_share(share, lost, out), format_count(text, lost), lost == 1 ? "" : "s");
}

void mesh_add_health(tab *t, struct json_object *mesh)
{
    uint64_t known = field_u64(mesh, "peers_known"), live = field_u64(mesh, "peers_live");
    char min[FORMAT_MAX], median[FORMAT_MAX], max[FORMAT_MAX];

    page_add(t, live < known ? STYLE_WARN : STYLE_PLAIN, "peers",
             "%llu of %llu connected, %llu session%s", (unsigned long long)live,
             (unsigned long long)known, (unsigned long long)field_u64(mesh, "sessions"),
             field_u64(mesh, "sessions") == 1 ? "" : "s");
    if (field_u64(mesh, "rtt_max_ns"))
        page_add(t, STYLE_PLAIN, "round trip", "min %s, median %s, max %s",
                 format_rtt(min, field_u64(mesh, "rtt_min_ns")),
                 format_rtt(median, field_u64(mesh, "rtt_median_ns")),
                 format_rtt(max, field_u64(mesh, "rtt_max_ns")));
    if (field_u64(mesh, "packets_out"))
        mesh_add_loss(t, mesh);
}

/* What to write down elsewhere. An address of every interface is none that can be called. */
static void show_section(struct json_object *mesh)
{
    printf("\npeer \"%s\" {\n    key = %s\n    entity = %s\n    address = { \"HOST:PORT\" }\n}\n",
           field_text(mesh, "name"), field_text(mesh, "key"), field_text(mesh, "entity"));
}

static void show(struct json_object *mesh)
{
    tab t;

    page_begin(&t);
    page_add(&t, STYLE_BOLD, "name", "%s", field_text(mesh, "name"));
    page_add(&t, STYLE_PLAIN, "node", "%s", field_text(mesh, "node"));
    page_add(&t, STYLE_PLAIN, "entity", "%s", field_text(mesh, "entity"));
    page_add(&t, STYLE_PLAIN, "key", "%s", field_text(mesh, "key"));
    mesh_add_words(&t, "listening", field_array(mesh, "listening"), "nowhere");
    mesh_add_words(&t, "udp", field_array(mesh, "udp"), "plain");
    mesh_add_health(&t, mesh);
    tab_end(&t, stdout, output_has_colours(stdout));
    show_section(mesh);
}

int cmd_mesh_show(const cli_invocation *inv)
{
    return ask_show(inv, "/v1/mesh", show);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is a whole host: what `berth run` does, with events delivered by function call
 * beside those that come by the socket.
 *
 *     host PLUGIN.so DIR        DIR: for state and socket
 */
#include <berth/node.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const char *what, const berth_error *error)
{
    fprintf(stderr, "%s: %s: %s\n", what, berth_status_name(error->code), error->text);
    return 1;
}

static int ask(berth_runtime *rt, uint64_t origin, const char *question)
{
    berth_outputs *outputs = berth_outputs_new();
    berth_error error = {0};
    berth_status status = berth_deliver(rt, origin, question, strlen(question), outputs, &error);

    for (uint64_t i = 0; i < berth_outputs_count(outputs); i++) {
        berth_output_view view = berth_outputs_at(outputs, i);

        printf("%s %.*s\n", question, (int)view.len, (const char *)view.data);
    }
    berth_outputs_free(outputs);
    return status == BERTH_OK ? 0 : failed(question, &error);
}

int main(int argc, char **argv)
{
    char state[4096], socket[4096];
    const char *plugins[] = {argc == 3 ? argv[1] : NULL};
    berth_node_options options = {.size = sizeof options,
                                  .state_dir = state,
                                  .socket = socket,
                                  .plugins = plugins,
                                  .plugin_count = 1};
    berth_daemon_config words = {.size = sizeof words, .name = "words"};
    berth_node *node = NULL;
    berth_error error = {0};
    uint64_t origin;
    int code;

    if (argc != 3) {
        fprintf(stderr, "usage: %s PLUGIN.so DIR\n", argv[0]);
        return 2;
    }
    snprintf(state, sizeof state, "%s/state", argv[2]);
    snprintf(socket, sizeof socket, "%s/run/berth.sock", argv[2]);
    if (berth_node_start(&options, &node, &error) != BERTH_OK)
        return failed("start", &error);

    /* It may have come back from the state directory. */
    berth_runtime *rt = berth_node_runtime(node);
    if (berth_daemon_find(rt, "words", &origin, NULL) != BERTH_OK &&
        berth_spawn_kind(rt, "tally", NULL, &words, &origin, &error) != BERTH_OK) {
        failed("spawn", &error);
        berth_node_free(node);
        return 1;
    }
    code = ask(rt, origin, "to be or not to be");
    if (code == 0)
        code = ask(rt, origin, "?top 2");
    if (berth_node_stop(node, 5000, &error) != BERTH_OK)
        code = failed("stop", &error);
    berth_node_free(node);
    return code;
}

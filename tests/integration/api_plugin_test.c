/* SPDX-License-Identifier: Apache-2.0 */
/* The reference plugins, loaded, used and unloaded through the API alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_client.h"
#include "plugin/load.h"

#define REFERENCE(name) BUILD_DIR "/plugins/" name ".so"

static berth_status load(void *ctx, const char *path, bool allow_downgrade, api_loaded *out,
                         berth_error *error)
{
    plugins_load_options options = {.source = PLUGINS_OPERATOR, .allow_downgrade = allow_downgrade};
    plugins_loaded loaded = {0};
    berth_status status =
        plugins_load(runtime_plugins((runtime *)ctx), path, &options, &loaded, error);

    if (status)
        return status;
    snprintf(out->name, sizeof out->name, "%s", loaded.name);
    memcpy(out->digest, loaded.digest, sizeof out->digest);
    out->already = loaded.already;
    return BERTH_OK;
}

static int start_loading(void **state)
{
    api_config config = test_config();

    (void)state;
    host_start(NULL, NULL);
    api_stop(host.api, 1000);
    config.load = load;
    config.ctx = config.rt = host.rt;
    config.socket = host.path;
    return api_start(&config, &host.api, NULL);
}

static void a_plugin_is_loaded_used_and_unloaded(void **state)
{
    (void)state;
    answers(ask("POST", "/v1/plugins", "{\"path\":\"" REFERENCE("tally") "\"}"), 201,
            "\"kinds\":[{\"name\":\"tally\"");
    answers(ask("POST", "/v1/plugins", "{\"path\":\"" REFERENCE("tally") "\"}"), 200,
            "\"name\":\"tally\"");
    answers(ask("GET", "/v1/plugins", NULL), 200, "\"signed_by\":null");
    spawned("tally", "t");
    answers(ask("POST", "/v1/daemons/t/events?framing=lines", "a b a\nc\na"), 200, "\"applied\":3");
    answers(ask("POST", "/v1/daemons/t/events?reply=1", "?count a\n"), 200, "3");
    answers(ask("DELETE", "/v1/plugins/tally", NULL), 409, "BUSY");
    answers(ask("POST", "/v1/daemons/t/events?reply=1", "?total"), 200, "5");
    answers(ask("DELETE", "/v1/daemons/t", NULL), 200, NULL);
    /* Who was told that the last daemon is stopped can unload at once. */
    answers(ask("DELETE", "/v1/plugins/tally", NULL), 200, "\"gone\":true");
    answers(ask("POST", "/v1/daemons", "{\"kind\":\"tally\"}"), 404, "KIND_UNKNOWN");
}

static void a_deferred_unload_waits_for_its_last_daemon(void **state)
{
    (void)state;
    answers(ask("POST", "/v1/plugins", "{\"path\":\"" REFERENCE("counter") "\"}"), 201, NULL);
    spawned("counter", "c");
    answers(ask("DELETE", "/v1/plugins/counter?defer=1", NULL), 200, "\"gone\":false,\"why\":\"");
    answers(ask("POST", "/v1/daemons", "{\"kind\":\"counter\"}"), 404, "KIND_UNKNOWN");
    answers(ask("POST", "/v1/daemons/c/events?reply=1", "x"), 200, "\"data\":{\"text\":\"1\"}");
    answers(ask("GET", "/v1/plugins/counter", NULL), 200, "\"retired\":true");
    answers(ask("DELETE", "/v1/daemons/c", NULL), 200, NULL);
    answers(ask("GET", "/v1/plugins/counter", NULL), 404, "NOT_FOUND");
}

static void what_is_no_plugin_is_refused_with_its_name(void **state)
{
    (void)state;
    answers(ask("POST", "/v1/plugins", "{\"path\":\"/nonexistent.so\"}"), 404, "/nonexistent.so");
    answers(ask("POST", "/v1/plugins", "{\"path\":\"/tmp\"}"), 400, "/tmp");
    answers(ask("POST", "/v1/plugins", "{\"path\":\"" SOURCE_DIR "/LICENSE\"}"), 403, "ADMISSION");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plugin_is_loaded_used_and_unloaded, start_loading, stop),
        cmocka_unit_test_setup_teardown(a_deferred_unload_waits_for_its_last_daemon, start_loading,
                                        stop),
        cmocka_unit_test_setup_teardown(what_is_no_plugin_is_refused_with_its_name, start_loading,
                                        stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

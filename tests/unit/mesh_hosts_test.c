/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts with daemons that send to one another over real sockets. */
#include "mesh_hosts.h"

static void what_a_daemon_sends_reaches_a_daemon_on_another_host(void **state)
{
    hosts h;
    uint64_t a, b;
    char text[128];

    (void)state;
    hosts_start(&h, 2);
    UNTIL(hosts_joined(&h));
    a = hosts_spawn(&h, 0, "script", 1);
    b = hosts_spawn(&h, 1, "script", 2);
    snprintf(text, sizeof text, "send:%016" PRIx64 ":add:5", b);
    OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 5);
    snprintf(text, sizeof text, "flood:%016" PRIx64 ":3000", b);
    for (unsigned i = 0; i < 10; i++)
        OK(hosts_tell(&h, 0, a, text, NULL));
    UNTIL(hosts_count(&h, 1, b) == 30005);
    hosts_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_daemon_sends_reaches_a_daemon_on_another_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

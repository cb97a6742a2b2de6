/* SPDX-License-Identifier: Apache-2.0 */
/* Names of peers and the addresses behind them. Nobody is asked but this machine's own tables. */
#include "node/resolver.h"

#include "base/log.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct changes {
    pthread_mutex_t lock;
    pthread_cond_t more;
    unsigned count;
} changes;

static void changed(void *ctx)
{
    changes *c = ctx;

    pthread_mutex_lock(&c->lock);
    c->count++;
    pthread_cond_signal(&c->more);
    pthread_mutex_unlock(&c->lock);
}

static void wait_for(changes *c, unsigned count)
{
    pthread_mutex_lock(&c->lock);
    while (c->count < count)
        pthread_cond_wait(&c->more, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

static void forget(void *ctx, log_level level, const char *room, const char *text)
{
    (void)ctx, (void)level, (void)room, (void)text;
}

static address_text named(const char *text)
{
    address_text at;

    assert_int_equal(address_parse(slice_str(text), &at, NULL), BERTH_OK);
    return at;
}

static bool is_loopback(const address *a, uint16_t port)
{
    if (a->u.any.sa_family == AF_INET)
        return ntohl(a->u.in.sin_addr.s_addr) >> 24 == 127 && ntohs(a->u.in.sin_port) == port;
    return IN6_IS_ADDR_LOOPBACK(&a->u.in6.sin6_addr) && ntohs(a->u.in6.sin6_port) == port;
}

static void a_name_gets_its_addresses_with_its_port(void **state)
{
    changes c = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
    address_text names[] = {named("localhost:4701"), named("LOCALHOST:4702"),
                            named("localhost:4702")};
    address found[LOOKUP_MAX];
    resolver *r;

    (void)state;
    assert_int_equal(resolver_new(changed, &c, &r, NULL), BERTH_OK);
    assert_int_equal(resolver_get(r, &names[0], found, LOOKUP_MAX), 0);
    assert_int_equal(resolver_want(r, names, 1, NULL), BERTH_OK);
    wait_for(&c, 1);
    assert_true(resolver_get(r, &names[0], found, LOOKUP_MAX) >= 1);
    assert_true(is_loopback(&found[0], 4701));
    assert_int_equal(resolver_get(r, &names[1], found, LOOKUP_MAX), 0); /* was not wanted */
    assert_int_equal(resolver_want(r, names, 3, NULL), BERTH_OK);
    wait_for(&c, 2);
    assert_true(resolver_get(r, &names[1], found, LOOKUP_MAX) >= 1);
    assert_true(is_loopback(&found[0], 4702));
    assert_int_equal(resolver_get(r, &names[1], found, 1), 1);
    assert_int_equal(resolver_want(r, &names[1], 1, NULL), BERTH_OK); /* what is known stays */
    assert_int_equal(resolver_get(r, &names[0], found, LOOKUP_MAX), 0);
    assert_true(resolver_get(r, &names[2], found, LOOKUP_MAX) >= 1); /* the same name */
    resolver_free(r);
}

static void a_name_that_is_not_found_keeps_no_other_from_being(void **state)
{
    changes c = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
    address_text names[] = {named("nowhere.invalid"), named("localhost")};
    address found[LOOKUP_MAX];
    berth_error error = {0};
    unsigned count;
    resolver *r;

    (void)state;
    log_set_sink(forget, NULL);
    assert_int_equal(address_lookup(&names[0], found, &count, &error), BERTH_ERR_NOT_FOUND);
    assert_int_equal(count, 0);
    assert_non_null(strstr(error.text, "the address of 'nowhere.invalid' cannot be found: "));
    assert_int_equal(resolver_new(changed, &c, &r, NULL), BERTH_OK);
    assert_int_equal(resolver_want(r, names, 2, NULL), BERTH_OK);
    wait_for(&c, 1);
    assert_int_equal(resolver_get(r, &names[0], found, LOOKUP_MAX), 0);
    assert_true(resolver_get(r, &names[1], found, LOOKUP_MAX) >= 1);
    resolver_free(r);
    log_set_sink(NULL, NULL);
}

static void a_number_is_its_own_address(void **state)
{
    address_text at = named("[2001:db8::7]:9");
    address found[LOOKUP_MAX];
    char text[ADDRESS_TEXT];
    unsigned count;

    (void)state;
    assert_int_equal(address_lookup(&at, found, &count, NULL), BERTH_OK);
    assert_int_equal(count, 1);
    assert_string_equal(address_format(text, &found[0]), "[2001:db8::7]:9");
}

static void one_that_was_never_asked_ends(void **state)
{
    resolver *r;

    (void)state;
    assert_int_equal(resolver_new(changed, NULL, &r, NULL), BERTH_OK);
    resolver_free(r);
    resolver_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_gets_its_addresses_with_its_port),
        cmocka_unit_test(a_name_that_is_not_found_keeps_no_other_from_being),
        cmocka_unit_test(a_number_is_its_own_address),
        cmocka_unit_test(one_that_was_never_asked_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Permission tokens and revocations as files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "identity/token_file.h"
#include "identity/token_revocation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW 1700000000

struct fixture {
    char dir[64], path[96];
    berth_keypair issuer;
    token_file file;
    token_revocations *revoked;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    berth_token_grant grant = {.scope = BERTH_SCOPE_SUBSCRIBE, .ttl_s = 60, .channel = 5};
    berth_token token;

    strcpy(f->dir, "/tmp/berth-token-XXXXXX");
    if (!mkdtemp(f->dir))
        return 1;
    snprintf(f->path, sizeof f->path, "%s/file", f->dir);
    berth_keypair_generate(&f->issuer);
    memset(grant.subject, 7, 32);
    berth_token_issue(&token, &f->issuer, &grant, NOW, NULL, NULL);
    berth_token_chain_of(&f->file.chain, &token);
    strcpy(f->file.channel, "a/b");
    f->revoked = token_revocations_new();
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    rmdir(f->dir);
    token_revocations_free(f->revoked);
    free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void no_token(const char *text, const char *says)
{
    static const token_file nothing;
    berth_error error = {0};
    token_file out;

    memset(&out, 0xAA, sizeof out);
    assert_int_not_equal(token_file_parse(slice_str(text), &out, &error), BERTH_OK);
    assert_memory_equal(&out, &nothing, sizeof out);
    if (!strstr(error.text, says))
        fail_msg("'%s' says: %s", text, error.text);
}

static void a_token_survives_its_file(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};
    struct stat st;
    token_file back;

    assert_int_equal(token_file_write(f->path, &f->file, &error), BERTH_OK);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(token_file_read(f->path, &back, &error), BERTH_OK);
    assert_memory_equal(&back, &f->file, sizeof back);
    assert_int_equal(token_file_write(f->path, &f->file, &error), BERTH_ERR_EXISTS);
}

static void what_is_no_token_file_says_why(void **state)
{
    struct fixture *f = *state;
    char *text = token_file_format(&f->file), *twice, cut[600];

    no_token("", "berth-token: 1");
    no_token("# nothing\n\n", "berth-token: 1");
    no_token("hello\n", "line 1: expected 'name: value'");
    no_token("chain: AA==\n", "line 1: 'berth-token: 1' must come first");
    no_token("berth-token: 2\n", "line 1: the version");
    no_token("berth-token: 1\n", "there is no 'chain'");
    no_token("berth-token: 1\n\ncolour: red\n", "line 3: an unknown name");
    no_token("berth-token: 1\nchain: !\n", "base64");
    no_token("berth-token: 1\nchain: AA==\n", "line 2: permission token: a chain has between");
    no_token("berth-token: 1\nchannel:\n", "line 2: 'channel'");
    no_token("berth-token: 1\nchannel: a\nchannel: a\n", "line 3: 'channel' is there twice");
    assert_true(asprintf(&twice, "%s%s", text, strstr(text, "chain:")) > 0);
    no_token(twice, "'chain' is there twice");
    snprintf(cut, sizeof cut, "%.*s", (int)strlen(text) - 6, text);
    no_token(cut, "chain");
    free(twice);
    free(text);
}

/* 20.5 revocation_floor_is_monotonic */
static void a_floor_never_falls(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(token_revocations_raise(f->revoked, f->issuer.entity, 5, NULL), BERTH_OK);
    assert_int_equal(token_revocations_raise(f->revoked, f->issuer.entity, 3, NULL), BERTH_OK);
    assert_int_equal(token_revocations_floor(f->revoked, f->issuer.entity), 5);
    assert_int_equal(token_revocations_version(f->revoked), 1);
    assert_int_equal(token_revocations_raise(f->revoked, f->issuer.entity, UINT32_MAX, NULL), 0);
    assert_int_equal(token_revocations_floor(f->revoked, f->issuer.entity), UINT32_MAX);
}

/* 12.6: a token is revoked iff generation < floor(issuer) */
static void what_is_below_the_floor_is_revoked(void **state)
{
    struct fixture *f = *state;
    berth_token token = f->file.chain.links[0];

    token.generation = 4;
    assert_false(token_revocations_has(f->revoked, &token));
    assert_int_equal(token_revocations_raise(f->revoked, f->issuer.entity, 4, NULL), BERTH_OK);
    assert_false(token_revocations_has(f->revoked, &token));
    assert_int_equal(token_revocations_raise(f->revoked, f->issuer.entity, 5, NULL), BERTH_OK);
    assert_true(token_revocations_has(f->revoked, &token));
    token.issuer[0] ^= 1;
    assert_false(token_revocations_has(f->revoked, &token));
}

static void one_token_is_revoked_without_its_siblings(void **state)
{
    struct fixture *f = *state;
    berth_token token = f->file.chain.links[0];
    uint8_t id[BERTH_TOKEN_ID_SIZE];

    berth_token_id(id, &token);
    assert_int_equal(token_revocations_add(f->revoked, id, token.not_after_s, NULL), BERTH_OK);
    assert_true(token_revocations_has(f->revoked, &token));
    token.nonce++;
    assert_false(token_revocations_has(f->revoked, &token));
}

static void revocations_survive_their_file(void **state)
{
    struct fixture *f = *state;
    token_revocations *back = token_revocations_new();
    berth_error error = {0};
    uint8_t id[BERTH_TOKEN_ID_SIZE];
    char *a, *b;

    berth_token_id(id, &f->file.chain.links[0]);
    token_revocations_add(f->revoked, id, NOW + 60, NULL);
    for (uint8_t i = 0; i < 20; i++) {
        uint8_t issuer[32] = {i};

        token_revocations_raise(f->revoked, issuer, 1u + i, NULL);
    }
    assert_int_equal(token_revocations_write(f->revoked, f->path, NOW, &error), BERTH_OK);
    assert_int_equal(token_revocations_read(back, f->path, &error), BERTH_OK);
    a = token_revocations_format(f->revoked, NOW);
    b = token_revocations_format(back, NOW);
    assert_string_equal(a, b);
    assert_int_equal(token_revocations_count(back), 21);
    assert_true(token_revocations_has(back, &f->file.chain.links[0]));
    free(a);
    free(b);
    token_revocations_free(back);
}

static void what_has_ended_by_itself_is_not_written_any_more(void **state)
{
    struct fixture *f = *state;
    uint8_t id[BERTH_TOKEN_ID_SIZE] = {1};
    char *text;

    token_revocations_add(f->revoked, id, NOW, NULL);
    text = token_revocations_format(f->revoked, NOW + 299);
    assert_non_null(strstr(text, "token: 01"));
    free(text);
    text = token_revocations_format(f->revoked, NOW + 300);
    assert_null(strstr(text, "token: 01"));
    free(text);
}

static void a_list_that_others_may_write_is_not_read(void **state)
{
    struct fixture *f = *state;
    berth_error error = {0};

    assert_int_equal(token_revocations_read(f->revoked, f->path, &error), BERTH_ERR_NOT_FOUND);
    assert_int_equal(token_revocations_write(f->revoked, f->path, NOW, &error), BERTH_OK);
    chmod(f->path, 0666);
    assert_int_equal(token_revocations_read(f->revoked, f->path, &error), BERTH_ERR_PERMISSION);
    assert_non_null(strstr(error.text, "chmod"));
}

static void no_list(struct fixture *f, const char *text, const char *says)
{
    berth_error error = {0};

    assert_int_not_equal(token_revocations_parse(f->revoked, slice_str(text), &error), BERTH_OK);
    if (!strstr(error.text, says))
        fail_msg("'%s' says: %s", text, error.text);
}

static void what_is_no_list_says_why(void **state)
{
    struct fixture *f = *state;
    char line[256];

#define HEAD "berth-revoked-tokens: 1\n"
#define ID32 "0123456789abcdef0123456789abcdef"
    no_list(f, "", "berth-revoked-tokens: 1");
    no_list(f, "berth-token: 1\n", "must come first");
    no_list(f, HEAD "floor: 12 1\n", "line 2: 'floor'");
    no_list(f, HEAD "floor: " ID32 ID32 "\n", "line 2: 'floor'");
    no_list(f, HEAD "floor: " ID32 ID32 " x\n", "line 2: 'floor'");
    no_list(f, HEAD "floor: " ID32 ID32 " 4294967296\n", "line 2: 'floor'");
    no_list(f, HEAD "token: " ID32 " 18446744073709551616\n", "line 2: 'token'");
    no_list(f, HEAD "token: " ID32 ID32 " 1\n", "line 2: 'token'");
    no_list(f, HEAD "nobody: 1\n", "line 2: an unknown name");
    assert_int_equal(token_revocations_count(f->revoked), 0);
    snprintf(line, sizeof line, HEAD "floor: %s 4294967295\ntoken: %s 18446744073709551615\n",
             ID32 ID32, ID32);
    assert_int_equal(token_revocations_parse(f->revoked, slice_str(line), NULL), BERTH_OK);
    assert_int_equal(token_revocations_count(f->revoked), 2);
}

static void a_full_list_takes_no_more_and_says_so(void **state)
{
    struct fixture *f = *state;
    uint8_t id[32] = {0};
    berth_error error = {0};

    for (uint32_t i = 0; i < REVOCATION_TOKENS_MAX; i++) {
        memcpy(id, &i, sizeof i);
        assert_int_equal(token_revocations_add(f->revoked, id, 1, NULL), BERTH_OK);
        assert_int_equal(token_revocations_raise(f->revoked, id, 1, NULL), BERTH_OK);
    }
    id[8] = 1;
    assert_int_equal(token_revocations_add(f->revoked, id, 1, &error), BERTH_ERR_LIMIT);
    assert_non_null(strstr(error.text, "raise the floor"));
    assert_int_equal(token_revocations_raise(f->revoked, id, 1, &error), BERTH_ERR_LIMIT);
    id[8] = 0;
    assert_int_equal(token_revocations_raise(f->revoked, id, 2, NULL), BERTH_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_survives_its_file),
        TEST(what_is_no_token_file_says_why),
        TEST(a_floor_never_falls),
        TEST(what_is_below_the_floor_is_revoked),
        TEST(one_token_is_revoked_without_its_siblings),
        TEST(revocations_survive_their_file),
        TEST(what_has_ended_by_itself_is_not_written_any_more),
        TEST(a_list_that_others_may_write_is_not_read),
        TEST(what_is_no_list_says_why),
        TEST(a_full_list_takes_no_more_and_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

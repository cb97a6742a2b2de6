/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/token.h"

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/output.h"

#include "base/clock.h"
#include "base/error.h"
#include "chain/channel.h"
#include "identity/keyfile.h"

#include <stdlib.h>
#include <string.h>

#define VALID_DEFAULT_S (30 * 86400)

static uint64_t now_s(void)
{
    return (uint64_t)(clock_wall_ns() / 1000000000);
}

/* A token file, or standard input. The name of the channel, when it is there, has to be right. */
static berth_status read_token(const char *path, token_file *out, berth_error *error)
{
    berth_status status;
    buf *text = NULL;

    if (strcmp(path, "-") != 0) {
        status = token_file_read(path, out, error);
    } else {
        status = input_read(path, TOKEN_FILE_MAX, &text, error);
        if (!status)
            status = token_file_parse(slice_of(text->data, text->len), out, error);
        buf_unref(text);
    }
    if (status || !out->channel[0])
        return status;
    status = channel_name_check(slice_str(out->channel), error);
    if (!status && !berth_token_allows(&out->chain.links[out->chain.count - 1],
                                       out->chain.links[out->chain.count - 1].scope,
                                       channel_hash(slice_str(out->channel))))
        status = fail(error, BERTH_ERR_CORRUPT,
                      "the token is not for the channel '%s' that the file names: the file was "
                      "altered",
                      out->channel);
    return status ? fail_prefix(error, "%s", path) : BERTH_OK;
}

/* ---- issue ----------------------------------------------------------------------------------- */

/* What the words and options ask for. An exit code. */
static int wanted(const cli_invocation *inv, berth_token_grant *grant, token_file *f)
{
    const char *subject = cli_argument_at(inv, 0), *channel = cli_argument_at(inv, 1);
    const char *valid = cli_value(inv, "valid"), *word;
    bool parent = cli_value(inv, "parent") != NULL, all = cli_flag(inv, "all-channels");
    uint64_t depth = cli_number(inv, "depth", 0), generation = cli_number(inv, "generation", 0);
    berth_error error = {0};
    uint32_t bit;
    size_t at = 0;

    if (berth_entity_parse(grant->subject, subject, strlen(subject)) != BERTH_OK)
        return output_usage(inv,
                            "'%s' is not an entity id: 64 hex digits, as 'berth identity "
                            "show' prints them",
                            subject);
    if (channel && all)
        return output_usage(inv, "either a channel or --all-channels");
    if (!channel && !all && !parent)
        return output_usage(inv, "which channel is it for");
    if (depth > UINT8_MAX || generation > UINT32_MAX)
        return output_usage(inv, "--depth is 255 at most, --generation %u", UINT32_MAX);
    if (parent && cli_value(inv, "generation"))
        return output_usage(inv, "--generation is the parent's");
    grant->ttl_s = parent ? 0 : VALID_DEFAULT_S;
    if (valid && (!format_parse_span(valid, &grant->ttl_s) || !grant->ttl_s))
        return output_usage(inv, "--valid is a number with s, m, h or d, such as 12h or 30d");
    if (channel) {
        if (channel_name_check(slice_str(channel), &error) != BERTH_OK)
            return output_usage(inv, "%s", error.text);
        snprintf(f->channel, sizeof f->channel, "%s", channel);
        grant->channel = channel_hash(slice_str(channel));
    }
    while ((word = cli_next_value(inv, "allow", &at)))
        if (token_scope_parse(slice_str(word), &bit))
            grant->scope |= bit;
    if (!grant->scope)
        return output_usage(inv, "what does it --allow");
    if (all)
        grant->scope |= BERTH_SCOPE_WILDCARD;
    if (depth)
        grant->scope |= BERTH_SCOPE_DELEGATE;
    grant->depth = (uint8_t)depth;
    grant->generation = (uint32_t)generation;
    return EXIT_DONE;
}

/* A token at the end of the parent's chain. */
static berth_status delegate(const char *path, const berth_keypair *key,
                             const berth_token_grant *grant, token_file *f, berth_error *error)
{
    token_file parent;
    const berth_token *leaf;
    berth_token token;
    berth_status status = read_token(path, &parent, error);

    if (status)
        return status;
    leaf = &parent.chain.links[parent.chain.count - 1];
    if (f->channel[0] && !berth_token_allows(leaf, leaf->scope, grant->channel))
        return fail(error, BERTH_ERR_REFUSED, "%s: is for another channel than '%s'", path,
                    f->channel);
    if (grant->scope & ~leaf->scope) {
        char scope[TOKEN_SCOPE_TEXT];

        return fail(error, BERTH_ERR_REFUSED, "%s: does not have what is to be passed on: %s", path,
                    token_scope_text(scope, grant->scope & ~leaf->scope));
    }
    if (grant->depth && grant->depth >= leaf->depth)
        return fail(error, BERTH_ERR_REFUSED,
                    "%s: what is passed on from it can itself be passed on %d times at most", path,
                    leaf->depth ? leaf->depth - 1 : 0);
    if (!f->channel[0] && berth_scope_has(leaf->scope, BERTH_SCOPE_WILDCARD) &&
        !berth_scope_has(grant->scope, BERTH_SCOPE_WILDCARD))
        return fail(error, BERTH_ERR_INVALID,
                    "%s: is for all channels: name one, or pass on --all-channels", path);
    status = berth_token_delegate(&token, leaf, key, grant, now_s(), NULL, error);
    if (status)
        return fail_prefix(error, "%s", path);
    if (!f->channel[0])
        memcpy(f->channel, parent.channel, sizeof f->channel);
    f->chain = parent.chain;
    return berth_token_chain_add(&f->chain, &token, error);
}

static berth_status issue(const cli_invocation *inv, const berth_token_grant *grant, token_file *f,
                          berth_error *error)
{
    const char *parent = cli_value(inv, "parent"), *path = cli_value(inv, "identity");
    berth_token token;
    berth_keypair key;
    berth_status status = keyfile_read(path, &key, error);

    if (status)
        return status;
    if (parent) {
        status = delegate(parent, &key, grant, f, error);
    } else {
        status = berth_token_issue(&token, &key, grant, now_s(), NULL, error);
        if (!status)
            berth_token_chain_of(&f->chain, &token);
    }
    berth_keypair_wipe(&key);
    return status;
}

int cmd_token_issue(const cli_invocation *inv)
{
    const char *path = cli_value(inv, "output");
    berth_token_grant grant = {0};
    berth_error error = {0};
    token_file f = {0};
    int code;
    char *text;

    if (!cli_value(inv, "identity"))
        return output_usage(inv, "whose --identity issues it");
    code = wanted(inv, &grant, &f);
    if (code != EXIT_DONE)
        return code;
    if (issue(inv, &grant, &f, &error) != BERTH_OK)
        return output_fail(&error);
    if (path && strcmp(path, "-") == 0)
        path = NULL;
    if (path && token_file_write(path, &f, &error) != BERTH_OK)
        return output_fail(&error);
    if (path || cli_flag(inv, "json")) {
        token_view view = {.file = &f, .path = path, .now_s = now_s()};

        token_view_print(inv, &view, token_view_fault(&view, NULL));
        return EXIT_DONE;
    }
    text = token_file_format(&f);
    fputs(text ? text : "", stdout);
    code = text ? EXIT_DONE : EXIT_FAILED;
    free(text);
    return code;
}

/* ---- show ------------------------------------------------------------------------------------ */

/* The entity ids of --root, malloc'd. False: one is none. */
static bool take_roots(const cli_invocation *inv, uint8_t **roots, size_t *count)
{
    const char *text;
    size_t at = 0;

    *roots = malloc((inv->given_count + 1) * BERTH_ENTITY_SIZE);
    *count = 0;
    if (!*roots)
        return false;
    while ((text = cli_next_value(inv, "root", &at)))
        if (berth_entity_parse(*roots + BERTH_ENTITY_SIZE * (*count)++, text, strlen(text)) !=
            BERTH_OK)
            return false;
    return true;
}

int cmd_token_show(const cli_invocation *inv)
{
    const char *list = cli_value(inv, "revoked");
    token_revocations *revoked = list ? token_revocations_new() : NULL;
    berth_error error = {0};
    uint8_t *roots = NULL;
    token_file f;
    token_view view = {.file = &f, .revoked = revoked, .now_s = now_s()};
    int code = EXIT_DONE;

    if (!take_roots(inv, &roots, &view.root_count)) {
        code = output_usage(inv, "--root is an entity id: 64 hex digits");
        goto out;
    }
    view.roots = roots;
    if ((list && token_revocations_read(revoked, list, &error) != BERTH_OK) ||
        read_token(cli_argument_at(inv, 0), &f, &error) != BERTH_OK) {
        code = output_fail(&error);
        goto out;
    }
    token_view_print(inv, &view, token_view_fault(&view, &error));
    if (error.code != BERTH_OK) {
        fflush(stdout);
        output_fail(&error);
        code = EXIT_REFUSED;
    }
out:
    free(roots);
    token_revocations_free(revoked);
    return code;
}

/* ---- revoke ---------------------------------------------------------------------------------- */

/* What is to be revoked: one token, or all of an issuer below a generation. */
typedef struct target {
    bool one;
    berth_token token;
    uint8_t issuer[BERTH_ENTITY_SIZE];
    uint32_t floor;
} target;

static int target_issuer(const cli_invocation *inv, const char *issuer, target *out)
{
    uint64_t below = cli_number(inv, "below", 0);

    if (cli_argument_at(inv, 0))
        return output_usage(inv, "either a token or --issuer");
    if (berth_entity_parse(out->issuer, issuer, strlen(issuer)) != BERTH_OK)
        return output_usage(inv, "--issuer is an entity id: 64 hex digits");
    if (!below || below > UINT32_MAX)
        return output_usage(inv, "--issuer needs --below: a generation from 1 to %u", UINT32_MAX);
    out->floor = (uint32_t)below;
    return EXIT_DONE;
}

static int target_of(const cli_invocation *inv, target *out)
{
    const char *path = cli_argument_at(inv, 0), *issuer = cli_value(inv, "issuer");
    berth_error error = {0};
    token_file f;
    uint64_t link;

    memset(out, 0, sizeof *out);
    if (issuer)
        return target_issuer(inv, issuer, out);
    if (cli_value(inv, "below"))
        return output_usage(inv, "--below needs --issuer");
    if (!path)
        return output_usage(inv, "which token, or whose with --issuer");
    if (read_token(path, &f, &error) != BERTH_OK)
        return output_fail(&error);
    link = cli_number(inv, "link", f.chain.count);
    if (!link || link > f.chain.count)
        return output_usage(inv, "--link is 1 to %u here", f.chain.count);
    out->token = f.chain.links[link - 1];
    out->one = !cli_flag(inv, "all");
    memcpy(out->issuer, out->token.issuer, BERTH_ENTITY_SIZE);
    if (!out->one && out->token.generation == UINT32_MAX) {
        fail(&error, BERTH_ERR_LIMIT, "%s: its generation is the last; revoke the token alone",
             path);
        return output_fail(&error);
    }
    out->floor = out->token.generation + 1;
    return EXIT_DONE;
}

static berth_status add_to_list(const char *list, const target *t, berth_error *error)
{
    token_revocations *r = token_revocations_new();
    uint8_t id[BERTH_TOKEN_ID_SIZE];
    int lock = -1;
    berth_status status = lock_beside(list, &lock, error);

    if (status)
        goto out;
    if (!r)
        status = fail(error, BERTH_ERR_NO_MEMORY, "%s: out of memory", list);
    else
        status = token_revocations_read(r, list, error);
    if (status == BERTH_ERR_NOT_FOUND)
        status = BERTH_OK;
    if (status)
        goto out;
    memset(error, 0, sizeof *error);
    if (t->one) {
        berth_token_id(id, &t->token);
        status = token_revocations_add(r, id, t->token.not_after_s, error);
    } else {
        status = token_revocations_raise(r, t->issuer, t->floor, error);
    }
    if (!status)
        status = token_revocations_write(r, list, now_s(), error);
out:
    lock_drop(lock);
    token_revocations_free(r);
    return status;
}

int cmd_token_revoke(const cli_invocation *inv)
{
    const char *list = cli_value(inv, "list");
    char issuer[BERTH_ENTITY_TEXT];
    berth_error error = {0};
    target t;
    int code;

    if (!list)
        return output_usage(inv, "which --list does the host read");
    code = target_of(inv, &t);
    if (code != EXIT_DONE)
        return code;
    if (add_to_list(list, &t, &error) != BERTH_OK)
        return output_fail(&error);
    berth_entity_text(issuer, t.issuer);
    if (cli_flag(inv, "json")) {
        struct json_object *object = json_object_new_object();
        uint8_t id[BERTH_TOKEN_ID_SIZE];

        json_put_string(object, "list", slice_str(list));
        json_put_string(object, "issuer", slice_str(issuer));
        if (t.one) {
            berth_token_id(id, &t.token);
            json_put_hex(object, "token", slice_of(id, sizeof id));
        } else {
            json_put_u64(object, "floor", t.floor);
        }
        output_json(object);
        json_object_put(object);
    } else if (t.one) {
        printf("revoked one token of %s in %s\n", issuer, list);
    } else {
        printf("revoked all tokens of %s below generation %u in %s\n"
               "New ones need --generation %u.\n",
               issuer, t.floor, list, t.floor);
    }
    return EXIT_DONE;
}

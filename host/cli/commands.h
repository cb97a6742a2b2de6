/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/commands.h: the handlers that the table names, one file per noun. Each answers an exit code
 * and has said on standard error what went wrong.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/parse.h"

int cmd_run(const cli_invocation *inv);
int cmd_status(const cli_invocation *inv);
int cmd_metrics(const cli_invocation *inv);

int cmd_plugin_inspect(const cli_invocation *inv);
int cmd_plugin_verify(const cli_invocation *inv);
int cmd_plugin_check(const cli_invocation *inv);
int cmd_plugin_sign(const cli_invocation *inv);
int cmd_plugin_keygen(const cli_invocation *inv);
int cmd_plugin_new(const cli_invocation *inv);
int cmd_plugin_load(const cli_invocation *inv);
int cmd_plugin_unload(const cli_invocation *inv);
int cmd_plugin_ls(const cli_invocation *inv);
int cmd_plugin_show(const cli_invocation *inv);

int cmd_daemon_spawn(const cli_invocation *inv);
int cmd_daemon_ls(const cli_invocation *inv);
int cmd_daemon_show(const cli_invocation *inv);
int cmd_daemon_stop(const cli_invocation *inv);
int cmd_daemon_snapshot(const cli_invocation *inv);
int cmd_daemon_restore(const cli_invocation *inv);
int cmd_daemon_control(const cli_invocation *inv);
int cmd_daemon_evacuate(const cli_invocation *inv);

int cmd_migrate(const cli_invocation *inv);
int cmd_migration_ls(const cli_invocation *inv);
int cmd_migration_show(const cli_invocation *inv);
int cmd_migration_watch(const cli_invocation *inv);
int cmd_migration_abort(const cli_invocation *inv);
int cmd_migration_resolve(const cli_invocation *inv);

int cmd_send(const cli_invocation *inv);
int cmd_tail(const cli_invocation *inv);

int cmd_channel_ls(const cli_invocation *inv);
int cmd_channel_show(const cli_invocation *inv);
int cmd_channel_pub(const cli_invocation *inv);
int cmd_channel_sub(const cli_invocation *inv);
int cmd_channel_unsub(const cli_invocation *inv);
int cmd_channel_tail(const cli_invocation *inv);

int cmd_call(const cli_invocation *inv);
int cmd_service_ls(const cli_invocation *inv);

int cmd_mesh_show(const cli_invocation *inv);

int cmd_peer_ls(const cli_invocation *inv);
int cmd_peer_show(const cli_invocation *inv);
int cmd_peer_add(const cli_invocation *inv);
int cmd_peer_rm(const cli_invocation *inv);
int cmd_peer_ping(const cli_invocation *inv);

int cmd_identity_new(const cli_invocation *inv);
int cmd_identity_show(const cli_invocation *inv);

int cmd_token_issue(const cli_invocation *inv);
int cmd_token_show(const cli_invocation *inv);
int cmd_token_give(const cli_invocation *inv);
int cmd_token_revoke(const cli_invocation *inv);

int cmd_realm_init(const cli_invocation *inv);
int cmd_realm_sign(const cli_invocation *inv);
int cmd_realm_show(const cli_invocation *inv);
int cmd_realm_revoke(const cli_invocation *inv);

int cmd_completion(const cli_invocation *inv);
int cmd_help(const cli_invocation *inv);

#endif

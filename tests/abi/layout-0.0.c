/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of ABI 0.0: every size and offset, as plugins built from that header have them. This
 * file is never edited. A minor version that appends members gets a file of its own; for this one
 * to hold then, members must not move. Compiled as C and as C++.
 */
#include "berth/abi.h"

#if defined(__cplusplus)
#define SAME(a, b) static_assert((a) == (b), #a)
#else
#define SAME(a, b) _Static_assert((a) == (b), #a)
#endif
#define AT(type, member, offset, size)                                                             \
    SAME(offsetof(type, member), offset);                                                          \
    SAME(sizeof(((type *)0)->member), size)

SAME(sizeof(berth_code), 4);
SAME(sizeof(void (*)(void)), 8);

AT(berth_bytes, ptr, 0, 8);
AT(berth_bytes, len, 8, 8);
SAME(sizeof(berth_bytes), 16);

AT(berth_ref, w, 0, 32);
SAME(sizeof(berth_ref), 32);

AT(berth_event, size, 0, 4);
AT(berth_event, type, 4, 2);
AT(berth_event, flags, 6, 2);
AT(berth_event, origin, 8, 8);
AT(berth_event, sequence, 16, 8);
AT(berth_event, time_ns, 24, 8);
AT(berth_event, seed, 32, 16);
AT(berth_event, data, 48, 16);
AT(berth_event, channel, 64, 16);
AT(berth_event, reply_to, 80, 32);
AT(berth_event, request, 112, 8);
AT(berth_event, status, 120, 4);
AT(berth_event, attempt, 124, 4);
SAME(sizeof(berth_event) >= 128, 1);

AT(berth_birth, size, 0, 4);
AT(berth_birth, state_version, 4, 4);
AT(berth_birth, origin, 8, 8);
AT(berth_birth, daemon, 16, 8);
AT(berth_birth, name, 24, 16);
AT(berth_birth, config, 40, 16);
AT(berth_birth, state, 56, 16);
AT(berth_birth, max_event, 72, 8);
AT(berth_birth, max_outputs, 80, 8);
AT(berth_birth, max_output_bytes, 88, 8);
AT(berth_birth, max_state, 96, 8);
AT(berth_birth, time_ns, 104, 8);
AT(berth_birth, seed, 112, 16);
SAME(sizeof(berth_birth) >= 128, 1);

AT(berth_output, size, 0, 4);
AT(berth_output, to, 4, 2);
AT(berth_output, flags, 6, 2);
AT(berth_output, data, 8, 16);
AT(berth_output, origin, 24, 8);
AT(berth_output, channel, 32, 16);
AT(berth_output, reply_to, 48, 32);
AT(berth_output, request, 80, 8);
AT(berth_output, delay_ns, 88, 8);
SAME(sizeof(berth_output) >= 96, 1);

AT(berth_subscription, size, 0, 4);
AT(berth_subscription, flags, 4, 4);
AT(berth_subscription, publisher, 8, 8);
AT(berth_subscription, channel, 16, 16);
SAME(sizeof(berth_subscription) >= 32, 1);

AT(berth_spawn, size, 0, 4);
AT(berth_spawn, flags, 4, 4);
AT(berth_spawn, kind, 8, 16);
AT(berth_spawn, name, 24, 16);
AT(berth_spawn, config, 40, 16);
AT(berth_spawn, request, 56, 8);
SAME(sizeof(berth_spawn) >= 64, 1);

AT(berth_call_api, size, 0, 4);
AT(berth_call_api, reserved, 4, 4);
AT(berth_call_api, emit, 8, 8);
AT(berth_call_api, output, 16, 8);
AT(berth_call_api, reserve, 24, 8);
AT(berth_call_api, commit, 32, 8);
AT(berth_call_api, write, 40, 8);
AT(berth_call_api, fail, 48, 8);
AT(berth_call_api, subscribe, 56, 8);
AT(berth_call_api, unsubscribe, 64, 8);
AT(berth_call_api, spawn, 72, 8);
SAME(sizeof(berth_call_api) >= 80, 1);
AT(struct berth_call, api, 0, 8);

AT(berth_host, size, 0, 4);
AT(berth_host, abi_minor, 4, 4);
AT(berth_host, log, 8, 8);
AT(berth_host, post, 16, 8);
AT(berth_host, extension, 24, 8);
SAME(sizeof(berth_host) >= 32, 1);
AT(struct berth_daemon, host, 0, 8);

AT(berth_daemon_status, size, 0, 4);
AT(berth_daemon_status, health, 4, 4);
AT(berth_daemon_status, saturation_ppm, 8, 4);
AT(berth_daemon_status, reserved, 12, 4);
AT(berth_daemon_status, state_bytes, 16, 8);
SAME(sizeof(berth_daemon_status) >= 24, 1);

AT(berth_kind, size, 0, 4);
AT(berth_kind, reserved, 4, 4);
AT(berth_kind, name, 8, 16);
AT(berth_kind, create, 24, 8);
AT(berth_kind, destroy, 32, 8);
AT(berth_kind, process, 40, 8);
AT(berth_kind, snapshot, 48, 8);
AT(berth_kind, status, 56, 8);
AT(berth_kind, on_start, 64, 8);
AT(berth_kind, on_timer, 72, 8);
AT(berth_kind, on_reply, 80, 8);
AT(berth_kind, on_post, 88, 8);
AT(berth_kind, on_control, 96, 8);
AT(berth_kind, extension, 104, 8);
SAME(sizeof(berth_kind) >= 112, 1);

AT(berth_note, owner_size, 0, 4);
AT(berth_note, json_size, 4, 4);
AT(berth_note, type, 8, 4);
AT(berth_note, owner, 12, 8);
SAME(sizeof(berth_note), 20);
SAME(BERTH_NOTE_TYPE, 0x42450000u);

AT(berth_plugin, size, 0, 4);
AT(berth_plugin, kind_count, 4, 4);
AT(berth_plugin, kinds, 8, 8);
AT(berth_plugin, manifest, 16, 8);
AT(berth_plugin, init, 24, 8);
AT(berth_plugin, deinit, 32, 8);
AT(berth_plugin, extension, 40, 8);
SAME(sizeof(berth_plugin) >= 48, 1);

/* Values are as much a part of it as offsets. */
SAME(BERTH_OK, 0);
SAME(BERTH_E_REJECT, 1);
SAME(BERTH_E_BROKEN, 2);
SAME(BERTH_E_NOT_NOW, 3);
SAME(BERTH_E_LIMIT, 4);
SAME(BERTH_E_ARGUMENT, 5);
SAME(BERTH_E_NEWER, 6);
SAME(BERTH_E_FULL, 7);
SAME(BERTH_E_VERSION, 8);
SAME(BERTH_E_STATE, 9);
SAME(BERTH_E_CONFIG, 10);
SAME(BERTH_E_MEMORY, 11);
SAME(BERTH_EVENT_START, 1);
SAME(BERTH_EVENT_MESSAGE, 2);
SAME(BERTH_EVENT_TIMER, 3);
SAME(BERTH_EVENT_REPLY, 4);
SAME(BERTH_EVENT_POST, 5);
SAME(BERTH_EVENT_CONTROL, 6);
SAME(BERTH_START_NEW, 1);
SAME(BERTH_START_RESTORED, 2);
SAME(BERTH_START_MIGRATED, 3);
SAME(BERTH_START_UPGRADED, 4);
SAME(BERTH_START_PROMOTED, 5);
SAME(BERTH_START_FORKED, 6);
SAME(BERTH_REPLY_OK, 0);
SAME(BERTH_REPLY_TIMEOUT, 1);
SAME(BERTH_REPLY_UNKNOWN, 2);
SAME(BERTH_REPLY_REFUSED, 3);
SAME(BERTH_REPLY_LOST, 4);
SAME(BERTH_CONTROL_SHUTDOWN, 1);
SAME(BERTH_CONTROL_DRAIN_START, 2);
SAME(BERTH_CONTROL_DRAIN_FINISH, 3);
SAME(BERTH_CONTROL_BACKPRESSURE_ON, 4);
SAME(BERTH_CONTROL_BACKPRESSURE_OFF, 5);
SAME(BERTH_MORE, 1);
SAME(BERTH_CANCEL, 2);
SAME(BERTH_REFUSE, 4);
SAME(BERTH_TO_CALLER, 0);
SAME(BERTH_TO_DAEMON, 1);
SAME(BERTH_TO_CHANNEL, 2);
SAME(BERTH_TO_REPLY, 3);
SAME(BERTH_TO_SELF, 4);
SAME(BERTH_LOG_ERROR, 0);
SAME(BERTH_LOG_WARN, 1);
SAME(BERTH_LOG_INFO, 2);
SAME(BERTH_LOG_DEBUG, 3);
SAME(BERTH_HEALTHY, 0);
SAME(BERTH_DEGRADED, 1);
SAME(BERTH_UNHEALTHY, 2);

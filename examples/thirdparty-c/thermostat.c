/* SPDX-License-Identifier: Apache-2.0 */
/*
 * org.example.thermostat, in C: switches the heat on half a degree below the target and off half a
 * degree above it.
 *
 * Configuration: the target in degrees, as "21.5"; 20 when empty. An event is a reading, in the
 * same form. Outputs: "heat on" and "heat off", when that changes. Ten minutes without a reading
 * switch the heat off and make the daemon degraded.
 *
 * State, version 1: last reading i64, heating u8. Version 2 adds: readings u64, silent u8.
 * Temperatures are in thousandths of a degree.
 */
#include <berth/plugin.h>

#include <stdlib.h>

#define SILENCE_TIMER 1
#define SILENCE_NS    INT64_C(600000000000)
#define MARGIN        500

typedef struct thermostat {
    int64_t target;
    int64_t last;
    uint64_t readings;
    uint8_t heating;
    uint8_t silent;
} thermostat;

/* Reads "-12.345": up to three digits on either side of the dot. False when it is anything else. */
static int parse_degrees(berth_bytes text, int64_t *out)
{
    const char *p = text.ptr;
    uint64_t i = 0, digits;
    int64_t value = 0, scale = 1000;
    int negative = 0;

    while (text.len > 0 && (p[text.len - 1] == '\n' || p[text.len - 1] == ' '))
        text.len--;
    if (i < text.len && p[i] == '-') {
        negative = 1;
        i++;
    }
    for (digits = 0; i < text.len && p[i] >= '0' && p[i] <= '9'; i++, digits++)
        value = value * 10 + (p[i] - '0') * 1000;
    if (digits < 1 || digits > 3)
        return 0;
    if (i < text.len && p[i] == '.') {
        i++;
        for (digits = 0; i < text.len && p[i] >= '0' && p[i] <= '9' && digits < 3; i++, digits++) {
            scale /= 10;
            value += (p[i] - '0') * scale;
        }
        if (digits < 1)
            return 0;
    }
    *out = negative ? -value : value;
    return i == text.len;
}

static int read_state(thermostat *t, const berth_birth *birth)
{
    berth_reader state = berth_reader_of(birth->state);

    t->last = berth_read_i64(&state);
    t->heating = berth_read_u8(&state);
    if (birth->state_version >= 2) {
        t->readings = berth_read_u64(&state);
        t->silent = berth_read_u8(&state);
    }
    return berth_reader_done(&state) && t->heating <= 1 && t->silent <= 1;
}

static berth_code thermostat_create(berth_call *call, const berth_birth *birth, void **self)
{
    thermostat *t;

    if (birth->state.ptr && (birth->state_version < 1 || birth->state_version > 2))
        return berth_fail(call, BERTH_E_VERSION, "state versions 1 and 2 are read");
    t = calloc(1, sizeof *t);
    if (!t)
        return BERTH_E_MEMORY;
    t->target = 20000;
    if (birth->config.len > 0 && !parse_degrees(birth->config, &t->target)) {
        free(t);
        return berth_fail(call, BERTH_E_CONFIG, "the target must be degrees, as 21.5");
    }
    if (birth->state.ptr && !read_state(t, birth)) {
        free(t);
        return berth_fail(call, BERTH_E_STATE, "the state is damaged");
    }
    *self = t;
    return BERTH_OK;
}

static void thermostat_destroy(void *self, berth_call *call)
{
    (void)call;
    free(self);
}

static berth_code set_heating(thermostat *t, berth_call *call, int on)
{
    t->heating = (uint8_t)on;
    return berth_emit_str(call, on ? "heat on" : "heat off");
}

static berth_code thermostat_start(void *self, berth_call *call, const berth_event *event)
{
    (void)self;
    /* A daemon that continues has its timer still. */
    if (event->status != BERTH_START_NEW)
        return BERTH_OK;
    return berth_timer_set(call, SILENCE_TIMER, SILENCE_NS, berth_nothing());
}

static berth_code thermostat_process(void *self, berth_call *call, const berth_event *event)
{
    thermostat *t = self;
    int64_t reading;

    if (!parse_degrees(event->data, &reading))
        return berth_fail(call, BERTH_E_REJECT, "a reading must be degrees, as 20.4");
    t->last = reading;
    t->readings++;
    t->silent = 0;
    if (!t->heating && reading < t->target - MARGIN)
        set_heating(t, call, 1);
    else if (t->heating && reading > t->target + MARGIN)
        set_heating(t, call, 0);
    return berth_timer_set(call, SILENCE_TIMER, SILENCE_NS, berth_nothing());
}

static berth_code thermostat_timer(void *self, berth_call *call, const berth_event *event)
{
    thermostat *t = self;

    if (event->request != SILENCE_TIMER)
        return BERTH_OK;
    t->silent = 1;
    return t->heating ? set_heating(t, call, 0) : BERTH_OK;
}

static berth_code thermostat_snapshot(void *self, berth_call *call, uint32_t want_version)
{
    const thermostat *t = self;
    berth_writer state;

    if (want_version < 1 || want_version > 2)
        return BERTH_E_VERSION;
    berth_writer_begin(&state, call);
    berth_write_i64(&state, t->last);
    berth_write_u8(&state, t->heating);
    if (want_version >= 2) {
        berth_write_u64(&state, t->readings);
        berth_write_u8(&state, t->silent);
    }
    return berth_writer_end(&state);
}

static berth_code thermostat_status(void *self, berth_call *call, berth_daemon_status *out)
{
    const thermostat *t = self;

    (void)call;
    out->health = t->silent ? BERTH_DEGRADED : BERTH_HEALTHY;
    out->state_bytes = 18;
    return BERTH_OK;
}

static const berth_kind thermostat_kind = {
    .size = sizeof(berth_kind),
    .name = BERTH_NAME("org.example.thermostat"),
    .create = thermostat_create,
    .destroy = thermostat_destroy,
    .process = thermostat_process,
    .snapshot = thermostat_snapshot,
    .status = thermostat_status,
    .on_start = thermostat_start,
    .on_timer = thermostat_timer,
};

static const berth_kind *const kinds[] = {&thermostat_kind};

const berth_plugin berth_plugin_0 = {
    .size = sizeof(berth_plugin),
    .kind_count = 1,
    .kinds = kinds,
    .manifest = BERTH_EMBEDDED_MANIFEST,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * org.example.thermostat, in C++: switches the heat on half a degree below the target and off half
 * a degree above it. ../thirdparty-c/thermostat.c says what it does; this one does the same, to the
 * byte.
 */
#include <berth/plugin.h>

#include <cstdint>
#include <new>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace
{

constexpr uint64_t silence_timer = 1;
constexpr int64_t silence_ns = 600'000'000'000;
constexpr int64_t margin = 500;

std::string_view view(const berth_bytes &bytes)
{
    return {static_cast<const char *>(bytes.ptr), static_cast<size_t>(bytes.len)};
}

/* How a function says no: a code for the host, a text for people. */
struct refusal {
    berth_code code;
    const char *text;
};

std::optional<int64_t> parse_degrees(std::string_view text)
{
    while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
        text.remove_suffix(1);
    const bool negative = !text.empty() && text.front() == '-';
    if (negative)
        text.remove_prefix(1);

    auto digits = [&text] {
        size_t n = 0;
        while (n < text.size() && text[n] >= '0' && text[n] <= '9')
            n++;
        auto taken = text.substr(0, n);
        text.remove_prefix(n);
        return taken;
    };
    int64_t value = 0;
    const auto whole = digits();
    if (whole.empty() || whole.size() > 3)
        return std::nullopt;
    for (char c : whole)
        value = value * 10 + (c - '0') * 1000;
    if (!text.empty() && text.front() == '.') {
        text.remove_prefix(1);
        const auto fraction = digits();
        if (fraction.empty() || fraction.size() > 3)
            return std::nullopt;
        int64_t scale = 1000;
        for (char c : fraction)
            value += (c - '0') * (scale /= 10);
    }
    if (!text.empty())
        return std::nullopt;
    return negative ? -value : value;
}

class thermostat
{
  public:
    explicit thermostat(const berth_birth &birth)
    {
        if (birth.state.ptr && (birth.state_version < 1 || birth.state_version > 2))
            throw refusal{BERTH_E_VERSION, "state versions 1 and 2 are read"};
        if (birth.config.len > 0) {
            const auto degrees = parse_degrees(view(birth.config));
            if (!degrees)
                throw refusal{BERTH_E_CONFIG, "the target must be degrees, as 21.5"};
            target = *degrees;
        }
        if (birth.state.ptr)
            read(birth);
    }

    void start(berth_call *call, const berth_event &event)
    {
        /* A daemon that continues has its timer still. */
        if (event.status == BERTH_START_NEW)
            wait_for_reading(call);
    }

    void process(berth_call *call, const berth_event &event)
    {
        const auto reading = parse_degrees(view(event.data));
        if (!reading)
            throw refusal{BERTH_E_REJECT, "a reading must be degrees, as 20.4"};
        last = *reading;
        readings++;
        silent = false;
        if (!heating && *reading < target - margin)
            heat(call, true);
        else if (heating && *reading > target + margin)
            heat(call, false);
        wait_for_reading(call);
    }

    void timer(berth_call *call, const berth_event &event)
    {
        if (event.request != silence_timer)
            return;
        silent = true;
        if (heating)
            heat(call, false);
    }

    berth_code snapshot(berth_call *call, uint32_t version) const
    {
        if (version < 1 || version > 2)
            return BERTH_E_VERSION;
        berth_writer state;
        berth_writer_begin(&state, call);
        berth_write_i64(&state, last);
        berth_write_u8(&state, heating);
        if (version >= 2) {
            berth_write_u64(&state, readings);
            berth_write_u8(&state, silent);
        }
        return berth_writer_end(&state);
    }

    void status(berth_daemon_status &out) const
    {
        out.health = silent ? BERTH_DEGRADED : BERTH_HEALTHY;
        out.state_bytes = 18;
    }

  private:
    void read(const berth_birth &birth)
    {
        berth_reader state = berth_reader_of(birth.state);
        uint8_t is_silent = 0;
        last = berth_read_i64(&state);
        const uint8_t is_heating = berth_read_u8(&state);
        if (birth.state_version >= 2) {
            readings = berth_read_u64(&state);
            is_silent = berth_read_u8(&state);
        }
        if (!berth_reader_done(&state) || is_heating > 1 || is_silent > 1)
            throw refusal{BERTH_E_STATE, "the state is damaged"};
        heating = is_heating != 0;
        silent = is_silent != 0;
    }

    void heat(berth_call *call, bool on)
    {
        heating = on;
        berth_emit_str(call, on ? "heat on" : "heat off");
    }

    static void wait_for_reading(berth_call *call)
    {
        berth_timer_set(call, silence_timer, silence_ns, berth_nothing());
    }

    int64_t target = 20000;
    int64_t last = 0;
    uint64_t readings = 0;
    bool heating = false;
    bool silent = false;
};

/* Nothing may be thrown into the host: turn it into a code. */
template <typename Run> berth_code guarded(berth_call *call, Run run) noexcept
{
    try {
        return run();
    } catch (const refusal &no) {
        return berth_fail(call, no.code, no.text);
    } catch (const std::bad_alloc &) {
        return BERTH_E_MEMORY;
    } catch (const std::exception &e) {
        return berth_fail(call, BERTH_E_BROKEN, e.what());
    } catch (...) {
        return BERTH_E_BROKEN;
    }
}

template <void (thermostat::*Handle)(berth_call *, const berth_event &)>
berth_code handler(void *self, berth_call *call, const berth_event *event) noexcept
{
    return guarded(call, [&] {
        (static_cast<thermostat *>(self)->*Handle)(call, *event);
        return BERTH_OK;
    });
}

constexpr berth_kind make_kind()
{
    berth_kind kind{};
    kind.size = sizeof(kind);
    kind.name = BERTH_NAME("org.example.thermostat");
    kind.create = [](berth_call *call, const berth_birth *birth, void **self) noexcept {
        return guarded(call, [&] {
            *self = new thermostat(*birth);
            return BERTH_OK;
        });
    };
    kind.destroy = [](void *self, berth_call *) noexcept {
        delete static_cast<thermostat *>(self);
    };
    kind.process = handler<&thermostat::process>;
    kind.on_start = handler<&thermostat::start>;
    kind.on_timer = handler<&thermostat::timer>;
    kind.snapshot = [](void *self, berth_call *call, uint32_t version) noexcept {
        return guarded(call,
                       [&] { return static_cast<thermostat *>(self)->snapshot(call, version); });
    };
    kind.status = [](void *self, berth_call *, berth_daemon_status *out) noexcept {
        static_cast<const thermostat *>(self)->status(*out);
        return berth_code{BERTH_OK};
    };
    return kind;
}

constexpr berth_kind kind = make_kind();
constexpr const berth_kind *kinds[] = {&kind};

} // namespace

const berth_plugin berth_plugin_0 = {
    sizeof(berth_plugin), 1, kinds, BERTH_EMBEDDED_MANIFEST, nullptr, nullptr, nullptr,
};

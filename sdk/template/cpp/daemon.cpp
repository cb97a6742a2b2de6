/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@: an event is somebody's name; the output greets them. The configuration is the greeting.
 */
#include <berth/plugin.h>

#include <exception>
#include <string>
#include <string_view>

namespace
{

constexpr uint32_t state_version = 1;

std::string_view view(const berth_bytes &bytes)
{
    return {static_cast<const char *>(bytes.ptr), static_cast<size_t>(bytes.len)};
}

struct greeter {
    uint64_t count = 0; /* the state: how many were greeted */
    std::string greeting = "hello";
};

/* No exception may reach the host: one that does ends the process. */
template <typename Run> berth_code guarded(berth_call *call, Run run) noexcept
{
    try {
        return run();
    } catch (const std::exception &e) {
        return berth_fail(call, BERTH_E_BROKEN, e.what());
    } catch (...) {
        return BERTH_E_BROKEN;
    }
}

/* Born new, or to continue from what snapshot wrote, perhaps on another machine. */
berth_code create(berth_call *call, const berth_birth *birth, void **self) noexcept
{
    return guarded(call, [&] {
        greeter g;
        if (birth->config.len > 0)
            g.greeting = view(birth->config);
        if (birth->state.ptr) {
            if (birth->state_version != state_version)
                return berth_code{BERTH_E_VERSION};
            berth_reader state = berth_reader_of(birth->state);
            g.count = berth_read_u64(&state);
            if (!berth_reader_done(&state))
                return berth_fail(call, BERTH_E_STATE, "the state has 8 bytes");
        }
        *self = new greeter(std::move(g));
        return berth_code{BERTH_OK};
    });
}

void destroy(void *self, berth_call *) noexcept
{
    delete static_cast<greeter *>(self);
}

/* Outputs leave only if this returns BERTH_OK; on any other code the state must be as before. */
berth_code process(void *self, berth_call *call, const berth_event *event) noexcept
{
    return guarded(call, [&] {
        auto &g = *static_cast<greeter *>(self);
        if (event->data.len == 0)
            return berth_fail(call, BERTH_E_REJECT, "a name has at least one byte");
        const std::string text = g.greeting + ", " + std::string(view(event->data));
        const berth_code code = berth_emit(call, text.data(), text.size());
        if (code == BERTH_OK)
            g.count++;
        return code;
    });
}

/* The same state gives the same bytes; berth_write_* are the same on every architecture. */
berth_code snapshot(void *self, berth_call *call, uint32_t want_version) noexcept
{
    if (want_version != state_version)
        return BERTH_E_VERSION;
    berth_writer state;
    berth_writer_begin(&state, call);
    berth_write_u64(&state, static_cast<greeter *>(self)->count);
    return berth_writer_end(&state);
}

constexpr berth_kind make_kind()
{
    berth_kind kind{};
    kind.size = sizeof(kind);
    kind.name = BERTH_NAME("@NAME@");
    kind.create = create;
    kind.destroy = destroy;
    kind.process = process;
    kind.snapshot = snapshot;
    return kind;
}

constexpr berth_kind kind = make_kind();
constexpr const berth_kind *kinds[] = {&kind};

} // namespace

const berth_plugin berth_plugin_0 = {
    sizeof(berth_plugin), 1, kinds, BERTH_EMBEDDED_MANIFEST, nullptr, nullptr, nullptr,
};

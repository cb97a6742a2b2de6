/* SPDX-License-Identifier: Apache-2.0 */
/* unique.cpp: what g++ makes of a static in an inline function when nobody says -fno-gnu-unique. */
#include "berth/plugin.h"

#include <cstdlib>

template <typename T> struct counted {
    static T count;
};
template <typename T> T counted<T>::count;

template struct counted<uint64_t>;

static berth_code create(berth_call *, const berth_birth *, void **self) noexcept
{
    *self = &counted<uint64_t>::count;
    return BERTH_OK;
}

static void destroy(void *, berth_call *) noexcept
{
}

static berth_code process(void *, berth_call *call, const berth_event *event) noexcept
{
    counted<uint64_t>::count++;
    return berth_emit(call, event->data.ptr, event->data.len);
}

static constexpr berth_kind make_kind()
{
    berth_kind k{};
    k.size = sizeof(k);
    k.name = BERTH_NAME(KIND);
    k.create = create;
    k.destroy = destroy;
    k.process = process;
    return k;
}

static constexpr berth_kind kind = make_kind();
static constexpr const berth_kind *kinds[] = {&kind};

const berth_plugin berth_plugin_0 = {
    sizeof(berth_plugin), 1, kinds, BERTH_EMBEDDED_MANIFEST, nullptr, nullptr, nullptr,
};

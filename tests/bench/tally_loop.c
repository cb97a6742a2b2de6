/* SPDX-License-Identifier: Apache-2.0 */
/* The floor of send.sh: a plugin's own process function on the lines of a file. Prints
 * milliseconds. */
#include "bench.h"

#include "berth/abi.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static berth_code emit(berth_call *call, const void *ptr, uint64_t len) BERTH_NOEXCEPT
{
    (void)call, (void)ptr, (void)len;
    return BERTH_OK;
}

static berth_code refuse(berth_call *call, berth_code code, const char *ptr,
                         uint64_t len) BERTH_NOEXCEPT
{
    (void)call, (void)ptr, (void)len;
    return code;
}

static void log_nothing(const berth_host *host, berth_daemon *daemon, int32_t level,
                        const berth_bytes *text)
{
    (void)host, (void)daemon, (void)level, (void)text;
}

int main(int argc, char **argv)
{
    static const berth_call_api api = {.size = sizeof(api), .emit = emit, .fail = refuse};
    static const berth_host host = {.size = sizeof(host), .log = log_nothing};
    berth_call call = {&api};
    berth_daemon daemon = {&host};
    berth_birth birth = {.size = sizeof(birth),
                         .daemon = &daemon,
                         .config = {"", 0},
                         .max_event = 1 << 20,
                         .max_outputs = 4096,
                         .max_output_bytes = 64 << 20,
                         .max_state = UINT32_MAX};
    struct stat st;
    void *self = NULL;
    void *handle = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    const berth_plugin *plugin = handle ? dlsym(handle, BERTH_PLUGIN_SYMBOL) : NULL;
    int fd = plugin ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st))
        return 1;
    const char *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    const berth_kind *kind = plugin->kinds[0];
    if (text == MAP_FAILED || (plugin->init && plugin->init(&host)) ||
        kind->create(&call, &birth, &self))
        return 1;
    berth_event event = {.size = sizeof(event), .type = BERTH_EVENT_MESSAGE};
    int64_t t = bench_now();
    for (const char *at = text, *end = text + st.st_size; at < end;) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (!line)
            line = end;
        event.data = (berth_bytes){at, (uint64_t)(line - at)};
        kind->process(self, &call, &event);
        at = line + 1;
    }
    printf("%lld\n", (long long)((bench_now() - t) / 1000000));
    return 0;
}

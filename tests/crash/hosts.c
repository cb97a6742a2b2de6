/* SPDX-License-Identifier: Apache-2.0 */
#include "crash.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

host hosts[HOSTS];
char the_dir[64], ledger[24];

static void write_config(const host *h)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof path, "%s.conf", h->dir);
    f = fopen(path, "w");
    fprintf(f,
            "host { name = %s }\n"
            "mesh { listen = { %s }\n heartbeat = 500ms\n timeout = 2s }\n"
            "migration { precopy_from = %s }\n",
            h->name, h->address, h == hosts ? "1MiB" : "1"); /* from two of three it runs on */
    for (int i = 0; i < HOSTS; i++)
        if (&hosts[i] != h && hosts[i].key[0])
            fprintf(f,
                    "peer %s {\n    key = %s\n    address = { %s }\n"
                    "    may = { migrate-in, orchestrate }\n}\n",
                    hosts[i].name, hosts[i].key, hosts[i].address);
    fclose(f);
}

void host_start(host *h)
{
    char config[160], state[160], plugin[256], berth[256], log[160];
    pid_t pid;

    snprintf(config, sizeof config, "%s.conf", h->dir);
    snprintf(state, sizeof state, "%s/state", h->dir);
    snprintf(log, sizeof log, "%s.log", h->dir);
    snprintf(plugin, sizeof plugin, "%s/tests/plugins/ledger.so", build_dir);
    snprintf(berth, sizeof berth, "%s/berth", build_dir);
    pid = fork();
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        dup2(fd, 1);
        dup2(fd, 2);
        execl(berth, berth, "run", "--config", config, "--state", state, "--socket", h->socket,
              "--plugin", plugin, (char *)NULL);
        _exit(127);
    }
    if (pid < 0)
        broken("no process can be made");
    h->pid = pid;
}

void host_kill(host *h)
{
    pid_t pid = h->pid;

    if (!pid)
        return;
    h->pid = 0;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

bool host_ready(const host *h)
{
    reply r = http(h, "GET", "/v1/health", NULL, NULL, 1000);
    bool ready = r.status == 200;

    reply_free(&r);
    return ready;
}

static unsigned count_of(const char *text, const char *what)
{
    unsigned n = 0;

    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

bool hosts_connected(void)
{
    bool all = true;

    for (int i = 0; i < HOSTS && all; i++) {
        reply r = http(&hosts[i], "GET", "/v1/peers", NULL, NULL, 1000);

        all = r.status == 200 && count_of(r.body, "\"state\":\"connected\"") == HOSTS - 1;
        reply_free(&r);
    }
    return all;
}

/* The store commits in order: when the row of a new daemon is on disk, so is all before it. */
void make_durable(const host *h)
{
    char path[64], origin[24];
    reply r = http(h, "POST", "/v1/daemons", NULL,
                   "{\"kind\":\"ledger\",\"durability\":\"snapshot\"}", 20000);

    if (r.status != 201)
        broken("nothing can be spawned on %s: %s", h->name, r.body);
    snprintf(path, sizeof path, "/v1/daemons/%s", member(r.body, "origin", origin, sizeof origin));
    reply_free(&r);
    r = http(h, "DELETE", path, NULL, NULL, 20000);
    reply_free(&r);
}

place place_on(const host *h, const char *origin, unsigned timeout_ms)
{
    char path[64], state[32];
    place p = {0};
    reply r;

    snprintf(path, sizeof path, "/v1/daemons/%s", origin);
    r = http(h, "GET", path, NULL, NULL, timeout_ms);
    p.answered = r.status != 0;
    p.there = r.status == 200;
    if (p.there) {
        p.running = strcmp(member(r.body, "state", state, sizeof state), "running") == 0;
        p.epoch = member_u64(r.body, "epoch");
        p.incarnation = member_u64(r.body, "incarnation");
    }
    reply_free(&r);
    return p;
}

/* Every host on an address of its own, so that nobody takes its port while it is down. */
void hosts_begin(void)
{
    unsigned at = (unsigned)getpid() % 60000;

    snprintf(the_dir, sizeof the_dir, "%s/berth-crash-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(the_dir))
        broken("no directory");
    for (int i = 0; i < HOSTS; i++) {
        host *h = &hosts[i];

        h->name[0] = (char)('a' + i);
        snprintf(h->dir, sizeof h->dir, "%s/%c", the_dir, h->name[0]);
        snprintf(h->socket, sizeof h->socket, "%s/%c/run/sock", the_dir, h->name[0]);
        snprintf(h->address, sizeof h->address, "127.%u.%u.%d:4711", 1 + at / 250, 1 + at % 250,
                 i + 1);
        mkdir(h->dir, 0700);
        write_config(h);
        host_start(h);
    }
    for (int i = 0; i < HOSTS; i++) {
        uint64_t until = now_ms() + 20000;
        reply r;

        while (!host_ready(&hosts[i]))
            if (now_ms() > until)
                broken("host %s does not come up", hosts[i].name);
            else
                nap_us(5000);
        r = http(&hosts[i], "GET", "/v1/mesh", NULL, NULL, 2000);
        member(r.body, "key", hosts[i].key, sizeof hosts[i].key);
        reply_free(&r);
    }
    for (int i = 0; i < HOSTS; i++) {
        write_config(&hosts[i]);
        kill(hosts[i].pid, SIGHUP);
    }
}

static int remove_entry(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

void hosts_end(void)
{
    for (int i = 0; i < HOSTS; i++)
        host_kill(&hosts[i]);
    nftw(the_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A machine without randomness ends the process (compute-core K22). */
#include "base/error.h" /* before cmocka.h, which has a macro fail */
#include "base/random.h"
#include "berth/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* From here on the system gives no random bytes: getrandom fails, and nothing can be opened. False:
 * this system does not let us. */
static bool take_randomness_away(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { SKIPPED = 77, WENT_ON = 78 };

static void make_bytes(void)
{
    uint8_t bytes[32];

    random_bytes(bytes, sizeof bytes);
}

static void make_number(void)
{
    random_u64();
}

static void make_key(void)
{
    berth_keypair key;

    berth_keypair_generate(&key);
}

static void without_randomness_nobody_gets_a_number_or_a_key(void **state)
{
    static void (*const make[])(void) = {make_bytes, make_number, make_key};

    (void)state;
    for (size_t i = 0; i < sizeof make / sizeof *make; i++) {
        const struct rlimit no_core = {0};
        int how;
        pid_t pid;

        make[i](); /* with randomness it returns, here and in the child */
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            signal(SIGABRT, SIG_DFL);
            setrlimit(RLIMIT_CORE, &no_core);
            make[i]();
            if (!take_randomness_away())
                _exit(SKIPPED);
            make[i]();
            _exit(WENT_ON);
        }
        assert_int_equal(waitpid(pid, &how, 0), pid);
        if (WIFEXITED(how) && WEXITSTATUS(how) == SKIPPED)
            skip();
        if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGABRT)
            fail_msg("%zu: went on without randomness, status %x", i, (unsigned)how);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_randomness_nobody_gets_a_number_or_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

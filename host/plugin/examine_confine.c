/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/examine_confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIMIT_MEMORY  (1ull << 30)
#define LIMIT_SECONDS 5 /* of a processor; SIGXCPU tells it from being killed by someone */

static void limit(int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit r = {soft, hard};

    (void)setrlimit(resource, &r);
}

void confine_resources(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_FSIZE, 0, 0);
    limit(RLIMIT_NPROC, 0, 0);
    limit(RLIMIT_CPU, LIMIT_SECONDS, LIMIT_SECONDS + 1);
    limit(RLIMIT_AS, LIMIT_MEMORY, LIMIT_MEMORY);
    alarm(60); /* should the host have ended before it could be the reason for our end */
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH
#define WORD(member) (uint32_t) offsetof(struct seccomp_data, member)
#define ARG(i)       (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (i)) /* its low half */
#define LOAD(at)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define ANSWER(how)  BPF_STMT(BPF_RET | BPF_K, how)
#define ALLOW        SECCOMP_RET_ALLOW
#define REFUSE       (SECCOMP_RET_ERRNO | EPERM)
/* If the loaded word is this value, the next statement counts; else it is skipped. */
#define ONLY_IF(value)  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1)
#define PERMIT(syscall) ONLY_IF(syscall), ANSWER(ALLOW)
#endif

void confine_calls(int answer_fd)
{
#ifdef ARCH
    /* Refused with an error, not with death: a C library that asks for something new is told no,
     * and a good file is still read. */
    struct sock_filter filter[] = {
        LOAD(WORD(arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        ANSWER(REFUSE),
        LOAD(WORD(nr)),
        PERMIT(SYS_brk),
        PERMIT(SYS_munmap),
        PERMIT(SYS_mremap),
        PERMIT(SYS_madvise),
        PERMIT(SYS_futex),
        PERMIT(SYS_getrandom),
        PERMIT(SYS_sysinfo),
        PERMIT(SYS_rt_sigprocmask),
        PERMIT(SYS_rt_sigreturn),
        PERMIT(SYS_exit),
        PERMIT(SYS_exit_group),
        /* write: to the answer */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3),
        LOAD(ARG(0)),
        PERMIT((uint32_t)answer_fd),
        /* mmap: memory that is not to be run. A write to elsewhere comes here too. */
        LOAD(WORD(nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
        LOAD(ARG(2)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
        ANSWER(ALLOW),
        ANSWER(REFUSE),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
#else
    (void)answer_fd;
#endif
}

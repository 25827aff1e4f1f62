/* Holds a process to an older class of x86 processor: LD_PRELOAD it, and set EDGEAD_HELD_TO.
 *
 * Engines choose their kernels by the CPUID instruction. Where the processor and Linux can make that
 * instruction trap (arch_prctl(ARCH_SET_CPUID, 0); "cpuid_fault" in /proc/cpuinfo), it's answered here, without
 * what the older class lacks. So every library of the process is held, and what it does runs at full speed.
 *
 * EDGEAD_HELD_TO=AVX2      no AVX-512, no VNNI in either form, no AMX
 * EDGEAD_HELD_TO=AVX-512   AVX-512 as the first processors had it: no VNNI, no BF16, no FP16, no AMX
 *
 * Exit code 97: the instruction can't be made to trap here. 98: no such class.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
#define BIT(n) (1u << (n))

static int only_avx2;

static void hold(uint32_t leaf, uint32_t sub, uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
    if (leaf == 7 && sub == 0) {
        *c &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14)); /* VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
        *d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25)); /* ..., AMX, FP16 */
        if (only_avx2)
            *b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
    } else if (leaf == 7 && sub == 1) {
        *a &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23)); /* AVX-VNNI, BF16, AMX-FP16, AVX-IFMA */
        *d &= ~(BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19)); /* AVX-VNNI-INT8 and -INT16, ..., AVX10 */
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)r[REG_RIP];
    uint32_t a = (uint32_t)r[REG_RAX], b, c = (uint32_t)r[REG_RCX], d, leaf = a, sub = c;
    (void)number;
    /* A jump to nowhere has its own address for the fault: there's no instruction to read then. */
    if (info->si_addr == at || !at || at[0] != 0x0f || at[1] != 0xa2) {
        signal(SIGSEGV, SIG_DFL); /* a real fault: it comes again, and ends the process */
        return;
    }
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    hold(leaf, sub, &a, &b, &c, &d);
    r[REG_RAX] = a, r[REG_RBX] = b, r[REG_RCX] = c, r[REG_RDX] = d;
    r[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void)
{
    const char *wanted = getenv("EDGEAD_HELD_TO");
    struct sigaction action;
    if (!wanted || (strcmp(wanted, "AVX2") && strcmp(wanted, "AVX-512")))
        _exit(98);
    only_avx2 = !strcmp(wanted, "AVX2");
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0))
        _exit(97);
}

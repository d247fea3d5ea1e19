/* hv/boot/hypercalls.h - find the hypercall instructions of a loaded kernel.
 *
 * For an engine that never sees vmcall and vmmcall.  Linux has them in two
 * functions of 16 bytes side by side: vmmcall and a return, vmcall and a return
 * (arch/x86/xen/xen-head.S); every other such instruction is for another
 * hypervisor and stays as it is.
 */
#ifndef HV_BOOT_HYPERCALLS_H
#define HV_BOOT_HYPERCALLS_H

#include <stddef.h>
#include <stdint.h>

#define HYPERCALL_LEN 3u

/* Replaces both instructions of every such pair in code[0..n) by insn's three
 * bytes.  Returns how many pairs there were. */
unsigned hypercalls_replace(uint8_t *code, size_t n, const uint8_t insn[HYPERCALL_LEN]);

#endif

/* hv/boot/ram.h - where a kernel can be loaded: the guest's low RAM.
 *
 * Guest-physical 0 up to the hole, contiguous in host memory.  RAM above 4 GiB
 * never holds anything the loader writes (a PVH entry point is 32-bit).
 */
#ifndef HV_BOOT_RAM_H
#define HV_BOOT_RAM_H

#include <stdint.h>

struct boot_ram {
	uint8_t *host; /* borrowed */
	uint64_t size; /* bytes */
};

#endif

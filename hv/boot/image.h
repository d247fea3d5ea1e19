/* hv/boot/image.h - a kernel file into guest memory, and its PVH entry point.
 *
 * Takes what distributions ship: ELF64 or ELF32 with Xen's PHYS32_ENTRY note,
 * the same packed, or a bzImage whose payload is that.  The file is hostile:
 * it may shrink or change while it is read, and every number in it may lie.
 * Sources: System V gABI (ELF), Linux Documentation/x86/boot.rst (setup
 * header), <xen/elfnote.h>.
 */
#ifndef HV_BOOT_IMAGE_H
#define HV_BOOT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "hv/boot/ram.h"

#define IMAGE_PHDRS_MAX 128u
#define IMAGE_NOTES_MAX (1u << 20) /* bytes of one PT_NOTE */

struct boot_image {
	uint32_t entry;	     /* physical, inside a loaded segment */
	uint64_t start, end; /* guest-physical bytes the segments span */
};

/* fd is borrowed and read with pread.  A negative errno comes with one line in
 * err saying what is wrong and what to do; guest memory may then have been
 * written, *ret not. */
int image_load(int fd, const struct boot_ram *ram, struct boot_image *ret, char *err,
	       size_t errlen);

/* Load a whole file as high as it fits below the end of RAM, page-aligned and
 * not below floor.  Errors as above. */
int ramdisk_load(int fd, const struct boot_ram *ram, uint64_t floor, uint64_t *ret_gpa,
		 uint64_t *ret_size, char *err, size_t errlen);

#endif

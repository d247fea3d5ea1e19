/* tests/fuzz/fuzz_image.c - a kernel file of any bytes is loaded or refused
 * with a reason; what is outside guest RAM is never touched (ASan sees it). */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/boot/image.h"

enum { RAM_SIZE = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct boot_ram ram = { .host = malloc(RAM_SIZE), .size = RAM_SIZE };
	struct boot_image img = { 0 };
	char err[256] = "";
	int fd = memfd_create("image", MFD_CLOEXEC), r;

	if (!ram.host || fd < 0 || write(fd, data, n) != (ssize_t)n)
		abort();
	r = image_load(fd, &ram, &img, err, sizeof(err));
	if (r < 0 && !err[0])
		abort();
	if (r == 0 && (img.entry < img.start || img.entry >= img.end || img.end > RAM_SIZE))
		abort();
	close(fd);
	free(ram.host);
	return 0;
}

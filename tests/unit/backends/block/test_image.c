/* backends/block/image.c: what is opened, what is refused, and that nothing leaks. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends/block/image.h"
#include "daemons/sys.h"

static char path[32];

static int make(void **state)
{
	int fd;

	strcpy(path, "/tmp/dz-imgXXXXXX");
	fd = mkstemp(path);
	if (fd < 0 || ftruncate(fd, 65536) < 0)
		return -1;
	return close(fd);
}

static int drop(void **state)
{
	return unlink(path);
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void opening_survives_every_fault(void **state)
{
	struct image *sentinel = (struct image *)(uintptr_t)1, *img;
	unsigned fds = count_fds();
	long n;
	int r;

	for (n = 0;; n++) {
		img = sentinel;
		fault_arm(n, EIO);
		r = image_open(path, true, &img);
		if (!fault_disarm())
			break;
		assert_true(r < 0);
		assert_ptr_equal(img, sentinel);
		assert_int_equal(count_fds(), fds);
	}
	assert_int_equal(r, 0);
	assert_int_equal(n, 2); /* open, alloc */
	image_free(img);
}

static void two_writers_or_a_writer_and_a_reader_are_refused(void **state)
{
	struct image *a, *b = NULL;

	assert_int_equal(image_open(path, true, &a), 0);
	assert_int_equal(image_open(path, true, &b), -EAGAIN);
	assert_int_equal(image_open(path, false, &b), -EAGAIN);
	image_free(a);
	assert_int_equal(image_open(path, false, &a), 0);
	assert_int_equal(image_open(path, false, &b), 0);
	image_free(a);
	image_free(b);
}

static void what_is_no_disk_is_refused(void **state)
{
	char fifo[40];
	struct image *img;

	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(image_open(fifo, true, &img), -EINVAL);
	unlink(fifo);
	assert_int_equal(image_open("/dev/null", true, &img), -EINVAL);
	assert_int_equal(image_open("/nonexistent", false, &img), -ENOENT);
}

static void bytes_come_back_and_the_end_is_an_error(void **state)
{
	static char a[1024] __attribute__((aligned(4096))), b[1024] __attribute__((aligned(4096)));
	struct iovec w = { a, sizeof(a) }, r[2] = { { b, 512 }, { b + 512, 512 } };
	struct iovec end = { a, sizeof(a) };
	struct image_info info;
	struct image *img;

	memset(a, 'x', 512);
	memset(a + 512, 'y', 512);
	assert_int_equal(image_open(path, true, &img), 0);
	assert_int_equal(image_info(img, &info), 0);
	assert_true(info.bytes == 65536 && info.sector_size == 512 && !info.block_device);
	assert_int_equal(image_do(img, IO_WRITE, &w, 1, 4096, 0), 0);
	assert_int_equal(image_do(img, IO_FLUSH, NULL, 0, 0, 0), 0);
	assert_int_equal(image_do(img, IO_READ, r, 2, 4096, 0), 0);
	assert_memory_equal(b, a, 1024);
	assert_int_equal(image_do(img, IO_READ, &end, 1, 65536 - 512, 0), -ENODATA);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(opening_survives_every_fault, make, drop),
		cmocka_unit_test_setup_teardown(two_writers_or_a_writer_and_a_reader_are_refused,
						make, drop),
		cmocka_unit_test_setup_teardown(what_is_no_disk_is_refused, make, drop),
		cmocka_unit_test_setup_teardown(bytes_come_back_and_the_end_is_an_error, make,
						drop),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}

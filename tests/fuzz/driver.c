/* tests/fuzz/driver.c - runs a fuzz target over files, where there is no
 * libFuzzer: so the corpus is a regression test of every build.
 *
 * driver FOLDER: each file of it, and a few cuts and bit flips of each, with
 * TAP output.  An empty folder fails: a target without a corpus tests nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FILE_LIMIT = 4 << 20, FLIPS = 64 };

static void run_copy(const uint8_t *data, size_t n)
{
	/* An exact allocation: an overrun of one byte is seen by ASan. */
	uint8_t *p = malloc(n ? n : 1);

	if (!p)
		abort();
	memcpy(p, data, n);
	(void)LLVMFuzzerTestOneInput(p, n); /* the result is reserved by libFuzzer */
	free(p);
}

static int run_file(const char *path)
{
	uint8_t *data = malloc(FILE_LIMIT);
	FILE *f = fopen(path, "re");
	uint32_t seed = 1;
	size_t n;

	if (!f || !data)
		abort();
	n = fread(data, 1, FILE_LIMIT, f);
	fclose(f);
	run_copy(data, n);
	for (size_t cut = 0; cut < n; cut += n / 32 + 1)
		run_copy(data, cut);
	for (int i = 0; n && i < FLIPS; i++) {
		seed = seed * 1664525u + 1013904223u;
		data[(seed >> 8) % n] ^= (uint8_t)(1u << (seed & 7));
		run_copy(data, n);
	}
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	struct dirent **names;
	int n = argc == 2 ? scandir(argv[1], &names, NULL, alphasort) : -1, ran = 0;

	for (int i = 0; i < n; i++) {
		char path[4096];

		if (names[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", argv[1], names[i]->d_name);
			run_file(path);
			printf("ok %d - survives %s, cut and flipped\n", ++ran, names[i]->d_name);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	if (!ran)
		printf("not ok %d - there is a corpus\n", ++ran);
	printf("1..%d\n", ran);
	return 0;
}

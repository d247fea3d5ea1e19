/* Kernel files a toolstack could be handed: the good ones, packed every way,
 * and the hostile ones (K1, K2, K3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bzlib.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4hc.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "hv/boot/image.h"

#define MIB	  (1u << 20)
#define RAM_SIZE  (16u * MIB)
#define LOAD_AT	  (1u * MIB)
#define TEXT_SIZE 70000u
#define BSS_SIZE  5000u
#define ENTRY	  (LOAD_AT + 0x40)

struct file {
	uint8_t *p;
	size_t n;
};

static struct boot_ram ram;
static char err[256];

static int make_ram(void **state)
{
	ram.size = RAM_SIZE;
	ram.host = malloc(RAM_SIZE);
	assert_non_null(ram.host);
	memset(ram.host, 0xa5, RAM_SIZE);
	err[0] = '\0';
	return 0;
}

static int free_ram(void **state)
{
	free(ram.host);
	return 0;
}

static int fd_of(const void *p, size_t n)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), (ssize_t)n);
	return fd;
}

static int load(const void *p, size_t n, struct boot_image *img)
{
	int fd = fd_of(p, n), r;

	r = image_load(fd, &ram, img, err, sizeof(err));
	close(fd);
	return r;
}

static uint8_t text_byte(unsigned i)
{
	return (uint8_t)(i * 7 + (i >> 9) * 13);
}

#define EHDR(f)	   ((Elf64_Ehdr *)(f).p)
#define PHDR(f, i) ((Elf64_Phdr *)((f).p + EHDR(f)->e_phoff) + (i))

/* A kernel of one loaded segment and one note segment. */
static struct file make_elf(void)
{
	static const uint8_t note[] = { 4,
					0,
					0,
					0,
					5,
					0,
					0,
					0,
					6,
					0,
					0,
					0,
					'X',
					'e',
					'n',
					0,
					'L',
					'i',
					'n',
					'u',
					'x',
					0,
					0,
					0,
					4,
					0,
					0,
					0,
					8,
					0,
					0,
					0,
					18,
					0,
					0,
					0,
					'X',
					'e',
					'n',
					0,
					ENTRY & 0xff,
					ENTRY >> 8 & 0xff,
					ENTRY >> 16 & 0xff,
					0,
					0,
					0,
					0,
					0 };
	const size_t text = 0x1000, notes = text + TEXT_SIZE;
	struct file f = { .n = notes + sizeof(note) };

	f.p = calloc(1, f.n);
	assert_non_null(f.p);
	*EHDR(f) = (Elf64_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
				 .e_type = ET_EXEC,
				 .e_machine = EM_X86_64,
				 .e_phoff = sizeof(Elf64_Ehdr),
				 .e_phentsize = sizeof(Elf64_Phdr),
				 .e_phnum = 2 };
	*PHDR(f, 0) = (Elf64_Phdr){ .p_type = PT_LOAD,
				    .p_offset = text,
				    .p_vaddr = 0xffffffff81000000,
				    .p_paddr = LOAD_AT,
				    .p_filesz = TEXT_SIZE,
				    .p_memsz = TEXT_SIZE + BSS_SIZE };
	*PHDR(f, 1) = (Elf64_Phdr){ .p_type = PT_NOTE,
				    .p_offset = notes,
				    .p_filesz = sizeof(note),
				    .p_memsz = sizeof(note),
				    .p_align = 4 };
	for (unsigned i = 0; i < TEXT_SIZE; i++)
		f.p[text + i] = text_byte(i);
	memcpy(f.p + notes, note, sizeof(note));
	return f;
}

static void assert_loaded(const struct boot_image *img)
{
	assert_int_equal(img->entry, ENTRY);
	assert_int_equal(img->start, LOAD_AT);
	assert_int_equal(img->end, LOAD_AT + TEXT_SIZE + BSS_SIZE);
	for (unsigned i = 0; i < TEXT_SIZE; i++)
		assert_int_equal(ram.host[LOAD_AT + i], text_byte(i));
	for (unsigned i = 0; i < BSS_SIZE; i++)
		assert_int_equal(ram.host[LOAD_AT + TEXT_SIZE + i], 0);
	assert_int_equal(ram.host[img->end], 0xa5);
	assert_int_equal(ram.host[LOAD_AT - 1], 0xa5);
}

static void an_elf64_kernel_loads_at_its_physical_addresses(void **state)
{
	struct file f = make_elf();
	struct boot_image img;

	assert_int_equal(load(f.p, f.n, &img), 0);
	assert_loaded(&img);
	free(f.p);
}

static void an_elf32_kernel_with_the_note_loads_too(void **state)
{
	struct {
		Elf32_Ehdr eh;
		Elf32_Phdr ph[2];
		uint32_t note[5];
		uint8_t text[64];
	} k = {
		.eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1 },
			.e_machine = EM_386,
			.e_phoff = sizeof(Elf32_Ehdr),
			.e_phentsize = sizeof(Elf32_Phdr),
			.e_phnum = 2 },
		.note = { 4, 4, 18, 0x006e6558, 0x200010 },
	};
	struct boot_image img;

	k.ph[0] = (Elf32_Phdr){ .p_type = PT_NOTE,
				.p_offset = (Elf32_Off)((char *)k.note - (char *)&k),
				.p_filesz = sizeof(k.note) };
	k.ph[1] = (Elf32_Phdr){ .p_type = PT_LOAD,
				.p_offset = (Elf32_Off)((char *)k.text - (char *)&k),
				.p_paddr = 0x200000,
				.p_filesz = sizeof(k.text),
				.p_memsz = sizeof(k.text) };
	memset(k.text, 0x90, sizeof(k.text));
	assert_int_equal(load(&k, sizeof(k), &img), 0);
	assert_int_equal(img.entry, 0x200010);
	assert_int_equal(ram.host[0x20003f], 0x90);
}

/* ---- packing, with the libraries the distributions' tools use ---- */

static struct file pack_gzip(struct file f)
{
	struct file o = { .n = f.n + 4096 };
	z_stream z = { .next_in = f.p, .avail_in = (uInt)f.n };

	o.p = malloc(o.n);
	z.next_out = o.p;
	z.avail_out = (uInt)o.n;
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	o.n = z.total_out;
	deflateEnd(&z);
	return o;
}

static struct file pack_bzip2(struct file f)
{
	unsigned n = (unsigned)f.n + 4096;
	struct file o = { .p = malloc(n) };

	assert_int_equal(
		BZ2_bzBuffToBuffCompress((char *)o.p, &n, (char *)f.p, (unsigned)f.n, 9, 0, 0),
		BZ_OK);
	o.n = n;
	return o;
}

static struct file run_encoder(lzma_stream *s, struct file f)
{
	struct file o = { .p = malloc(f.n + 65536) };

	s->next_in = f.p;
	s->avail_in = f.n;
	s->next_out = o.p;
	s->avail_out = f.n + 65536;
	assert_int_equal(lzma_code(s, LZMA_FINISH), LZMA_STREAM_END);
	o.n = s->total_out;
	lzma_end(s);
	return o;
}

static struct file pack_xz(struct file f)
{
	lzma_stream s = LZMA_STREAM_INIT;

	assert_int_equal(lzma_easy_encoder(&s, 1, LZMA_CHECK_CRC32), LZMA_OK);
	return run_encoder(&s, f);
}

static struct file pack_lzma(struct file f)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_options_lzma o;

	assert_false(lzma_lzma_preset(&o, 1));
	assert_int_equal(lzma_alone_encoder(&s, &o), LZMA_OK);
	return run_encoder(&s, f);
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* Blocks of 8 MiB as the format demands, so larger inputs take several. */
static struct file pack_lz4(struct file f)
{
	struct file o = { .p = malloc(f.n + f.n / 100 + 65536), .n = 4 };

	put32(o.p, 0x184c2102);
	for (size_t at = 0; at < f.n; at += 8 * MIB) {
		int left = (int)(f.n - at < 8 * MIB ? f.n - at : 8 * MIB);
		int got = LZ4_compress_HC((char *)f.p + at, (char *)o.p + o.n + 4, left,
					  LZ4_compressBound(left), 3);

		assert_true(got > 0);
		put32(o.p + o.n, (uint32_t)got);
		o.n += 4 + (size_t)got;
	}
	return o;
}

static struct file pack_zstd(struct file f)
{
	struct file o = { .p = malloc(ZSTD_compressBound(f.n)) };

	o.n = ZSTD_compress(o.p, ZSTD_compressBound(f.n), f.p, f.n, 3);
	assert_false(ZSTD_isError(o.n));
	return o;
}

static struct file pack_none(struct file f)
{
	struct file o = { .p = malloc(f.n), .n = f.n };

	memcpy(o.p, f.p, f.n);
	return o;
}

static const struct packer {
	const char *name;
	struct file (*run)(struct file f);
	bool has_size; /* its own: the kernel's build appends none */
} packers[] = {
	{ "none", pack_none, true },  { "gzip", pack_gzip, true }, { "bzip2", pack_bzip2, false },
	{ "lzma", pack_lzma, false }, { "xz", pack_xz, false },	   { "lz4", pack_lz4, false },
	{ "zstd", pack_zstd, false },
};
#define NR_PACKERS (sizeof(packers) / sizeof(packers[0]))

#define SETUP_SECTS 27u

/* A bzImage around payload: real-mode part, a stretch of loader code, payload. */
static struct file make_bzimage(struct file payload, bool has_size, uint32_t unpacked)
{
	const size_t setup = (SETUP_SECTS + 1) * 512, loader = 0x300;
	struct file f = { .n = setup + loader + payload.n + 4 + 100 };

	f.p = calloc(1, f.n);
	f.p[0x1f1] = SETUP_SECTS;
	f.p[0x1fe] = 0x55;
	f.p[0x1ff] = 0xaa;
	memcpy(f.p + 0x202, "HdrS\x0f\x02", 6);
	put32(f.p + 0x248, loader);
	put32(f.p + 0x24c, (uint32_t)(payload.n + (has_size ? 0 : 4)));
	memcpy(f.p + setup + loader, payload.p, payload.n);
	put32(f.p + setup + loader + payload.n, unpacked);
	return f;
}

static void a_bzimage_loads_whatever_its_compression(void **state)
{
	struct file elf = make_elf();

	for (unsigned i = 0; i < NR_PACKERS; i++) {
		struct file packed = packers[i].run(elf);
		struct file bz = make_bzimage(packed, packers[i].has_size, (uint32_t)elf.n);
		struct boot_image img;

		memset(ram.host, 0xa5, RAM_SIZE);
		print_message("# %s\n", packers[i].name);
		assert_int_equal(load(bz.p, bz.n, &img), 0);
		assert_loaded(&img);
		free(bz.p);
		free(packed.p);
	}
	free(elf.p);
}

static void a_packed_elf_without_a_bzimage_loads(void **state)
{
	struct file elf = make_elf();
	struct file packed = pack_gzip(elf);
	struct boot_image img;

	assert_int_equal(load(packed.p, packed.n, &img), 0);
	assert_loaded(&img);
	free(packed.p);
	free(elf.p);
}

static void every_truncation_of_a_packed_kernel_is_an_error(void **state)
{
	struct file elf = make_elf();
	struct boot_image img = { .entry = 7 };

	for (unsigned i = 0; i < NR_PACKERS; i++) {
		struct file packed = packers[i].run(elf);
		size_t step = packed.n / 60 + 1;

		/* Cut before the last byte of the data that counts. */
		for (size_t cut = 1; cut + 16 < packed.n; cut += step) {
			struct file part = { packed.p, cut };
			struct file bz = make_bzimage(part, true, 0);

			assert_true(load(bz.p, (SETUP_SECTS + 1) * 512 + 0x300 + cut, &img) < 0);
			assert_int_equal(img.entry, 7);
			assert_true(err[0]);
			free(bz.p);
		}
		free(packed.p);
	}
	free(elf.p);
}

static void a_flipped_bit_never_crashes_the_decoder(void **state)
{
	struct file elf = make_elf();

	for (unsigned i = 0; i < NR_PACKERS; i++) {
		struct file packed = packers[i].run(elf);
		struct file bz = make_bzimage(packed, packers[i].has_size, (uint32_t)elf.n);
		size_t at = (SETUP_SECTS + 1) * 512 + 0x300, step = packed.n / 40 + 1;
		struct boot_image img;

		for (size_t o = 0; o < packed.n; o += step) {
			bz.p[at + o] ^= 1u << (o % 8);
			(void)load(bz.p, bz.n,
				   &img); /* either result: the data may be stored as is */
			bz.p[at + o] ^= 1u << (o % 8);
		}
		free(bz.p);
		free(packed.p);
	}
	free(elf.p);
}

static void a_bomb_stops_at_the_guests_memory(void **state)
{
	struct file zeros = { .p = calloc(1, 20 * MIB), .n = 20 * MIB };

	memcpy(zeros.p, ELFMAG, SELFMAG);
	for (unsigned i = 1; i < NR_PACKERS; i++) {
		struct file packed = packers[i].run(zeros);
		struct file bz = make_bzimage(packed, packers[i].has_size, (uint32_t)zeros.n);
		struct boot_image img;

		print_message("# %s: %zu bytes unpack to %zu\n", packers[i].name, packed.n,
			      zeros.n);
		assert_int_equal(load(bz.p, bz.n, &img), -ENOMEM);
		assert_non_null(strstr(err, "more memory"));
		free(bz.p);
		free(packed.p);
	}
	free(zeros.p);
}

static void setup_sects_255_reads_past_the_end_and_fails(void **state)
{
	struct file elf = make_elf();
	struct file bz = make_bzimage(elf, true, 0);
	struct boot_image img;

	bz.p[0x1f1] = 255;
	assert_int_equal(load(bz.p, bz.n, &img), -ENOEXEC);
	bz.p[0x1f1] = SETUP_SECTS;
	put32(bz.p + 0x248, 0xffffffff);
	assert_int_equal(load(bz.p, bz.n, &img), -ENOEXEC);
	put32(bz.p + 0x248, 0x300);
	put32(bz.p + 0x24c, 0xffffffff);
	assert_int_equal(load(bz.p, bz.n, &img), -ENOMEM);
	put32(bz.p + 0x24c, 0);
	assert_int_equal(load(bz.p, bz.n, &img), -ENOEXEC);
	bz.p[0x206] = 7;
	assert_int_equal(load(bz.p, bz.n, &img), -ENOEXEC);
	assert_non_null(strstr(err, "too old"));
	free(bz.p);
	free(elf.p);
}

/* ---- K1: one lie per case ---- */

static void lie_phnum_65535(struct file f)
{
	EHDR(f)->e_phnum = 65535;
}
static void lie_phnum_0(struct file f)
{
	EHDR(f)->e_phnum = 0;
}
static void lie_phoff_max(struct file f)
{
	EHDR(f)->e_phoff = UINT64_MAX;
}
static void lie_phoff_wraps(struct file f)
{
	EHDR(f)->e_phoff = UINT64_MAX - 8;
}
static void lie_phentsize(struct file f)
{
	EHDR(f)->e_phentsize = 32;
}
static void lie_machine(struct file f)
{
	EHDR(f)->e_machine = EM_AARCH64;
}
static void lie_offset_max(struct file f)
{
	PHDR(f, 0)->p_offset = UINT64_MAX;
}
static void lie_offset_past_the_end(struct file f)
{
	PHDR(f, 0)->p_offset = f.n - TEXT_SIZE + 1;
}
static void lie_filesz_above_memsz(struct file f)
{
	PHDR(f, 0)->p_filesz = PHDR(f, 0)->p_memsz + 1;
}
static void lie_sizes_max(struct file f)
{
	PHDR(f, 0)->p_filesz = PHDR(f, 0)->p_memsz = UINT64_MAX;
}
static void lie_memsz_one_past_ram(struct file f)
{
	PHDR(f, 0)->p_memsz = RAM_SIZE - LOAD_AT + 1;
}
static void lie_paddr_max(struct file f)
{
	PHDR(f, 0)->p_paddr = UINT64_MAX;
}
static void lie_paddr_wraps(struct file f)
{
	PHDR(f, 0)->p_paddr = UINT64_MAX - TEXT_SIZE;
}
static void lie_overlap(struct file f)
{
	*PHDR(f, 1) = *PHDR(f, 0);
	PHDR(f, 1)->p_paddr += TEXT_SIZE + BSS_SIZE - 1;
}
static void lie_no_note(struct file f)
{
	PHDR(f, 1)->p_type = PT_NULL;
}
static void lie_nothing_loaded(struct file f)
{
	PHDR(f, 0)->p_type = PT_NULL;
}
static void lie_huge_note_segment(struct file f)
{
	PHDR(f, 1)->p_filesz = UINT64_MAX;
}
static void lie_note_segment_past_the_limit(struct file f)
{
	PHDR(f, 1)->p_filesz = IMAGE_NOTES_MAX + 1;
}
#define NOTE(f) ((f).p + PHDR(f, 1)->p_offset)
static void lie_note_name_max(struct file f)
{
	put32(NOTE(f), UINT32_MAX);
}
static void lie_note_desc_max(struct file f)
{
	put32(NOTE(f) + 4, UINT32_MAX);
}
static void lie_note_desc_short(struct file f)
{
	put32(NOTE(f) + 28, 3);
}
static void lie_entry_outside(struct file f)
{
	put32(NOTE(f) + 40, LOAD_AT + TEXT_SIZE + BSS_SIZE);
}
static void lie_entry_above_4g(struct file f)
{
	put32(NOTE(f) + 44, 1);
}

static void no_lie_in_an_elf_file_gets_past_the_loader(void **state)
{
	static const struct {
		const char *name;
		void (*tell)(struct file f);
		int want;
		const char *word;
	} lies[] = {
		{ "phnum 65535", lie_phnum_65535, -ENOEXEC, "program headers" },
		{ "phnum 0", lie_phnum_0, -ENOEXEC, "program headers" },
		{ "phoff 2^64-1", lie_phoff_max, -ENOEXEC, "truncated" },
		{ "phoff wraps", lie_phoff_wraps, -ENOEXEC, "truncated" },
		{ "phentsize 32", lie_phentsize, -ENOEXEC, "odd size" },
		{ "another machine", lie_machine, -ENOEXEC, "not for x86" },
		{ "p_offset 2^64-1", lie_offset_max, -ENOEXEC, "truncated" },
		{ "p_offset past the end", lie_offset_past_the_end, -ENOEXEC, "truncated" },
		{ "p_filesz > p_memsz", lie_filesz_above_memsz, -ENOEXEC, "more bytes" },
		{ "sizes 2^64-1", lie_sizes_max, -ENOMEM, "more memory" },
		{ "one byte past RAM", lie_memsz_one_past_ram, -ENOMEM, "more memory" },
		{ "p_paddr 2^64-1", lie_paddr_max, -ENOMEM, "more memory" },
		{ "p_paddr wraps", lie_paddr_wraps, -ENOMEM, "more memory" },
		{ "overlap", lie_overlap, -ENOEXEC, "overlap" },
		{ "no PVH note", lie_no_note, -ENOEXEC, "CONFIG_PVH" },
		{ "nothing to load", lie_nothing_loaded, -ENOEXEC, "nothing to load" },
		{ "note segment 2^64-1", lie_huge_note_segment, -ENOEXEC, "notes" },
		{ "note segment limit+1", lie_note_segment_past_the_limit, -ENOEXEC, "notes" },
		{ "namesz 2^32-1", lie_note_name_max, -ENOEXEC, "CONFIG_PVH" },
		{ "descsz 2^32-1", lie_note_desc_max, -ENOEXEC, "CONFIG_PVH" },
		{ "descsz 3", lie_note_desc_short, -ENOEXEC, "not 4 or 8" },
		{ "entry just outside", lie_entry_outside, -ENOEXEC, "outside" },
		{ "entry above 4 GiB", lie_entry_above_4g, -ENOEXEC, "outside" },
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct file f = make_elf();
		struct boot_image img = { .entry = 7 };

		print_message("# %s\n", lies[i].name);
		lies[i].tell(f);
		assert_int_equal(load(f.p, f.n, &img), lies[i].want);
		assert_non_null(strstr(err, lies[i].word));
		assert_int_equal(img.entry, 7);
		free(f.p);
	}
}

static void a_segment_that_ends_with_ram_is_accepted(void **state)
{
	struct file f = make_elf();
	struct boot_image img;

	PHDR(f, 0)->p_memsz = RAM_SIZE - LOAD_AT;
	assert_int_equal(load(f.p, f.n, &img), 0);
	assert_int_equal(img.end, RAM_SIZE);
	free(f.p);
}

static void what_is_no_kernel_is_named_as_such(void **state)
{
	struct boot_image img;
	uint8_t junk[4096];
	int fd;

	memset(junk, 'x', sizeof(junk));
	assert_int_equal(load(junk, sizeof(junk), &img), -ENOEXEC);
	assert_non_null(strstr(err, "no kernel"));
	assert_int_equal(load(junk, 0, &img), -ENOEXEC);
	assert_int_equal(load(junk, 51, &img), -ENOEXEC);
	memcpy(junk, "\x89LZO", 4);
	assert_int_equal(load(junk, sizeof(junk), &img), -ENOEXEC);
	assert_non_null(strstr(err, "lzo"));
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(image_load(fd, &ram, &img, err, sizeof(err)), -EISDIR);
	close(fd);
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	assert_int_equal(image_load(fd, &ram, &img, err, sizeof(err)), -EINVAL);
	close(fd);
}

static void a_ramdisk_lies_high_and_whole(void **state)
{
	uint8_t data[10000];
	uint64_t gpa, size;
	int fd;

	memset(data, 0x3c, sizeof(data));
	fd = fd_of(data, sizeof(data));
	assert_int_equal(ramdisk_load(fd, &ram, LOAD_AT, &gpa, &size, err, sizeof(err)), 0);
	assert_int_equal(gpa, RAM_SIZE - 3 * 4096);
	assert_int_equal(size, sizeof(data));
	assert_memory_equal(ram.host + gpa, data, sizeof(data));
	close(fd);
}

static void a_ramdisk_that_does_not_fit_is_refused(void **state)
{
	uint64_t gpa = 7, size = 7;
	int fd = fd_of("x", 1);

	/* Exactly the room there is, one byte more, more than any RAM, nothing. */
	assert_int_equal(ftruncate(fd, RAM_SIZE - LOAD_AT), 0);
	assert_int_equal(ramdisk_load(fd, &ram, LOAD_AT, &gpa, &size, err, sizeof(err)), 0);
	assert_int_equal(gpa, LOAD_AT);
	assert_int_equal(ftruncate(fd, RAM_SIZE - LOAD_AT + 1), 0);
	assert_int_equal(ramdisk_load(fd, &ram, LOAD_AT, &gpa, &size, err, sizeof(err)), -ENOMEM);
	assert_non_null(strstr(err, "more memory"));
	assert_int_equal(ftruncate(fd, 1ll << 45), 0);
	assert_int_equal(ramdisk_load(fd, &ram, LOAD_AT, &gpa, &size, err, sizeof(err)), -ENOMEM);
	assert_int_equal(ramdisk_load(fd, &ram, UINT64_MAX, &gpa, &size, err, sizeof(err)),
			 -ENOMEM);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ramdisk_load(fd, &ram, LOAD_AT, &gpa, &size, err, sizeof(err)), -EINVAL);
	assert_int_equal(gpa, LOAD_AT);
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_ram, free_ram)
	const struct CMUnitTest tests[] = {
		T(an_elf64_kernel_loads_at_its_physical_addresses),
		T(an_elf32_kernel_with_the_note_loads_too),
		T(a_bzimage_loads_whatever_its_compression),
		T(a_packed_elf_without_a_bzimage_loads),
		T(every_truncation_of_a_packed_kernel_is_an_error),
		T(a_flipped_bit_never_crashes_the_decoder),
		T(a_bomb_stops_at_the_guests_memory),
		T(setup_sects_255_reads_past_the_end_and_fails),
		T(no_lie_in_an_elf_file_gets_past_the_loader),
		T(a_segment_that_ends_with_ram_is_accepted),
		T(what_is_no_kernel_is_named_as_such),
		T(a_ramdisk_lies_high_and_whole),
		T(a_ramdisk_that_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests_name("hv/boot/image", tests, NULL, NULL);
}

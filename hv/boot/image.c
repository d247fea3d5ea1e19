/* hv/boot/image.c - ELF and bzImage loading; decoders are in unpack.c.
 *
 * Everything is checked before the first byte is placed.  A checked number is
 * a copy: the file is never asked twice for the same field.
 */
#include "hv/boot/image.h"

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xen/elfnote.h>

#include "hv/boot/unpack.h"

#define PAGE 4096u
/* Linux setup header, offsets from the start of the file. */
#define SETUP_SECTS	    0x1f1
#define SETUP_BOOT_FLAG	    0x1fe
#define SETUP_HDRS	    0x202
#define SETUP_VERSION	    0x206
#define SETUP_PAYLOAD_OFF   0x248
#define SETUP_PAYLOAD_LEN   0x24c
#define SETUP_SIZE	    0x250
#define SETUP_SECTS_DEFAULT 4u
#define SETUP_HAS_PAYLOAD   0x0208u

/* A file, or its unpacked bytes. */
struct src {
	int fd;		    /* when mem is NULL */
	const uint8_t *mem; /* borrowed */
	size_t len;	    /* of mem */
};

struct err {
	char *buf;
	size_t len;
};

struct segment {
	uint64_t off, paddr, filesz, memsz;
};

struct elf {
	struct segment load[IMAGE_PHDRS_MAX];
	unsigned n;
	bool has_entry;
	uint64_t entry;
};

__attribute__((format(printf, 3, 4))) static int fail(const struct err *e, int r, const char *fmt,
						      ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e->buf, e->len, fmt, ap); /* a cut message is still a message */
	va_end(ap);
	return r;
}

/* Exactly n bytes from off, or -ENODATA if the source ends before that. */
static int src_read(const struct src *s, uint64_t off, void *buf, uint64_t n)
{
	uint8_t *p = buf;

	if (s->mem) {
		if (off > s->len || n > s->len - off)
			return -ENODATA;
		memcpy(buf, s->mem + off, n);
		return 0;
	}
	if (off > INT64_MAX || n > INT64_MAX - off)
		return -ENODATA;
	while (n) {
		ssize_t got = pread(s->fd, p, n < (1u << 30) ? n : 1u << 30, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -ENODATA;
		p += got;
		off += (uint64_t)got;
		n -= (uint64_t)got;
	}
	return 0;
}

static int read_failed(const struct err *e, int r, const char *what)
{
	if (r == -ENODATA)
		return fail(e, -ENOEXEC, "the kernel file is truncated: %s lies behind its end",
			    what);
	return fail(e, r, "can't read the kernel file: %s", strerror(-r));
}

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)le16(p) | (uint32_t)le16(p + 2) << 16;
}

static uint64_t le64(const uint8_t *p)
{
	return (uint64_t)le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* A note's entry address is 4 or 8 bytes, as the kernel's pointers are. */
static int note_entry(const uint8_t *desc, uint32_t descsz, struct elf *elf, const struct err *e)
{
	if (descsz != 4 && descsz != 8)
		return fail(e, -ENOEXEC, "the kernel's PVH entry note has %u bytes, not 4 or 8",
			    descsz);
	elf->entry = descsz == 4 ? le32(desc) : le64(desc);
	elf->has_entry = true;
	return 0;
}

static int scan_notes(const uint8_t *p, size_t n, size_t align, struct elf *elf,
		      const struct err *e)
{
	while (n >= sizeof(Elf32_Nhdr)) {
		uint32_t namesz = le32(p), descsz = le32(p + 4), type = le32(p + 8);
		size_t name_room, desc_room;

		p += sizeof(Elf32_Nhdr);
		n -= sizeof(Elf32_Nhdr);
		if (namesz > n || descsz > n)
			break;
		name_room = (namesz + align - 1) & ~(align - 1);
		desc_room = (descsz + align - 1) & ~(align - 1);
		if (name_room > n || descsz > n - name_room)
			break;
		if (type == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 && !memcmp(p, "Xen", 4))
			return note_entry(p + name_room, descsz, elf, e);
		if (desc_room > n - name_room)
			break; /* the last note may go without padding */
		p += name_room + desc_room;
		n -= name_room + desc_room;
	}
	return 0;
}

static int read_notes(const struct src *s, uint64_t off, uint64_t size, uint64_t align,
		      struct elf *elf, const struct err *e)
{
	uint8_t *buf;
	int r;

	if (size > IMAGE_NOTES_MAX)
		return fail(e, -ENOEXEC, "the kernel's notes take %llu bytes; at most %u are read",
			    (unsigned long long)size, IMAGE_NOTES_MAX);
	buf = malloc(size + 1);
	if (!buf)
		return fail(e, -ENOMEM, "out of memory reading the kernel's notes");
	r = src_read(s, off, buf, size);
	if (r < 0)
		r = read_failed(e, r, "a note segment");
	else
		r = scan_notes(buf, size, align == 8 ? 8 : 4, elf, e);
	free(buf);
	return r;
}

static int add_segment(const struct segment *g, const struct boot_ram *ram, struct elf *elf,
		       const struct err *e)
{
	if (!g->memsz && !g->filesz)
		return 0;
	if (g->filesz > g->memsz)
		return fail(e, -ENOEXEC,
			    "a kernel segment has more bytes in the file than in memory");
	if (g->paddr > ram->size || g->memsz > ram->size - g->paddr)
		return fail(
			e, -ENOMEM,
			"a kernel segment of %llu KiB at 0x%llx does not fit the guest's %llu MiB: "
			"give it more memory",
			(unsigned long long)(g->memsz >> 10), (unsigned long long)g->paddr,
			(unsigned long long)(ram->size >> 20));
	for (unsigned i = 0; i < elf->n; i++)
		if (g->paddr < elf->load[i].paddr + elf->load[i].memsz &&
		    elf->load[i].paddr < g->paddr + g->memsz)
			return fail(e, -ENOEXEC, "two kernel segments overlap at 0x%llx",
				    (unsigned long long)g->paddr);
	elf->load[elf->n++] = *g;
	return 0;
}

static int elf_phdr(const struct src *s, bool is64, const uint8_t *p, const struct boot_ram *ram,
		    struct elf *elf, const struct err *e)
{
	uint32_t type = le32(p);
	struct segment g;
	uint64_t align;

	if (is64) {
		g = (struct segment){ le64(p + 8), le64(p + 24), le64(p + 32), le64(p + 40) };
		align = le64(p + 48);
	} else {
		g = (struct segment){ le32(p + 4), le32(p + 12), le32(p + 16), le32(p + 20) };
		align = le32(p + 28);
	}
	if (type == PT_LOAD)
		return add_segment(&g, ram, elf, e);
	if (type == PT_NOTE && !elf->has_entry)
		return read_notes(s, g.off, g.filesz, align, elf, e);
	return 0;
}

static int elf_headers(const struct src *s, const struct boot_ram *ram, struct elf *elf,
		       const struct err *e)
{
	uint8_t eh[sizeof(Elf64_Ehdr)], *ph;
	uint64_t phoff;
	unsigned phnum, phentsize;
	bool is64;
	int r;

	r = src_read(s, 0, eh, sizeof(Elf32_Ehdr));
	if (r < 0)
		return read_failed(e, r, "the ELF header");
	is64 = eh[EI_CLASS] == ELFCLASS64;
	if ((!is64 && eh[EI_CLASS] != ELFCLASS32) || eh[EI_DATA] != ELFDATA2LSB ||
	    le16(eh + 18) != (is64 ? EM_X86_64 : EM_386))
		return fail(e, -ENOEXEC, "the kernel is an ELF file, but not for x86");
	r = src_read(s, 0, eh, is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr));
	if (r < 0)
		return read_failed(e, r, "the ELF header");
	phoff = is64 ? le64(eh + 32) : le32(eh + 28);
	phentsize = le16(eh + (is64 ? 54 : 42));
	phnum = le16(eh + (is64 ? 56 : 44));
	if (phentsize != (is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return fail(e, -ENOEXEC, "the kernel's program headers have an odd size (%u bytes)",
			    phentsize);
	if (!phnum || phnum > IMAGE_PHDRS_MAX)
		return fail(e, -ENOEXEC, "the kernel has %u program headers; 1 to %u are accepted",
			    phnum, IMAGE_PHDRS_MAX);

	ph = malloc((size_t)phnum * phentsize);
	if (!ph)
		return fail(e, -ENOMEM, "out of memory reading the kernel's headers");
	r = src_read(s, phoff, ph, (uint64_t)phnum * phentsize);
	if (r < 0)
		r = read_failed(e, r, "the program header table");
	for (unsigned i = 0; r >= 0 && i < phnum; i++)
		r = elf_phdr(s, is64, ph + (size_t)i * phentsize, ram, elf, e);
	free(ph);
	return r;
}

static int elf_entry_check(const struct elf *elf, const struct err *e)
{
	if (!elf->n)
		return fail(e, -ENOEXEC, "the kernel has nothing to load");
	if (!elf->has_entry)
		return fail(e, -ENOEXEC,
			    "the kernel has no PVH entry point (Xen note 18): "
			    "use one built with CONFIG_PVH");
	for (unsigned i = 0; i < elf->n; i++)
		if (elf->entry >= elf->load[i].paddr &&
		    elf->entry - elf->load[i].paddr < elf->load[i].memsz &&
		    elf->entry <= UINT32_MAX)
			return 0;
	return fail(e, -ENOEXEC, "the kernel's entry point 0x%llx lies outside what it loads",
		    (unsigned long long)elf->entry);
}

static int elf_load(const struct src *s, const struct boot_ram *ram, struct boot_image *ret,
		    const struct err *e)
{
	struct elf elf = { 0 };
	struct boot_image img = { .start = UINT64_MAX };
	int r;

	r = elf_headers(s, ram, &elf, e);
	if (r < 0)
		return r;
	r = elf_entry_check(&elf, e);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < elf.n; i++) {
		const struct segment *g = &elf.load[i];

		r = src_read(s, g->off, ram->host + g->paddr, g->filesz);
		if (r < 0)
			return read_failed(e, r, "a segment");
		memset(ram->host + g->paddr + g->filesz, 0, g->memsz - g->filesz);
		if (g->paddr < img.start)
			img.start = g->paddr;
		if (g->paddr + g->memsz > img.end)
			img.end = g->paddr + g->memsz;
	}
	img.entry = (uint32_t)elf.entry;
	*ret = img;
	return 0;
}

/* Scratch memory of a guest's size, paid for only where it is touched. */
static uint8_t *scratch_new(uint64_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int unpack_failed(const struct err *e, int r, enum unpack_kind kind, uint64_t cap)
{
	if (r == -EFBIG)
		return fail(
			e, -ENOMEM,
			"the kernel unpacks to more than the guest's %llu MiB: give it more memory",
			(unsigned long long)(cap >> 20));
	if (r == -EOPNOTSUPP)
		return fail(e, -ENOEXEC, "kernels packed with %s are not supported: repack it",
			    unpack_name(kind));
	if (r == -ENOMEM)
		return fail(e, r, "out of memory unpacking the kernel");
	return fail(e, -ENOEXEC, "the kernel's %s data is damaged or truncated", unpack_name(kind));
}

/* The n packed bytes at off: unpack them and load the ELF file they hold.
 * Both sizes are limited by the guest's memory: what is larger can't fit. */
static int packed_load(const struct src *s, uint64_t off, uint64_t n, const struct boot_ram *ram,
		       struct boot_image *ret, const struct err *e)
{
	struct src elf = { .fd = -1 };
	enum unpack_kind kind;
	uint8_t *in = NULL, *out = NULL;
	int r;

	if (n < UNPACK_MAGIC_MAX || n > ram->size)
		return fail(e, n > ram->size ? -ENOMEM : -ENOEXEC,
			    "the kernel's payload of %llu KiB does not fit a guest of %llu MiB",
			    (unsigned long long)(n >> 10), (unsigned long long)(ram->size >> 20));
	in = scratch_new(n);
	out = scratch_new(ram->size);
	if (!in || !out) {
		r = fail(e, -ENOMEM, "out of memory unpacking the kernel");
		goto out;
	}
	r = src_read(s, off, in, n);
	if (r < 0) {
		r = read_failed(e, r, "the payload");
		goto out;
	}
	kind = unpack_probe(in, n);
	if (kind == UNPACK_NONE) {
		elf.mem = in;
		elf.len = n;
	} else {
		r = unpack(kind, in, n, out, ram->size, &elf.len);
		if (r < 0) {
			r = unpack_failed(e, r, kind, ram->size);
			goto out;
		}
		elf.mem = out;
	}
	if (elf.len < SELFMAG || memcmp(elf.mem, ELFMAG, SELFMAG))
		r = fail(e, -ENOEXEC, "the kernel's payload is not an ELF file");
	else
		r = elf_load(&elf, ram, ret, e);
out:
	if (in)
		(void)munmap(in, n);
	if (out)
		(void)munmap(out, ram->size);
	return r;
}

static int bzimage_load(const struct src *s, const uint8_t *hdr, const struct boot_ram *ram,
			struct boot_image *ret, const struct err *e)
{
	unsigned sects = hdr[SETUP_SECTS] ? hdr[SETUP_SECTS] : SETUP_SECTS_DEFAULT;
	uint64_t off = le32(hdr + SETUP_PAYLOAD_OFF);

	if (le16(hdr + SETUP_VERSION) < SETUP_HAS_PAYLOAD)
		return fail(
			e, -ENOEXEC,
			"the bzImage is too old (boot protocol %x.%02x): it has no payload field",
			hdr[SETUP_VERSION + 1], hdr[SETUP_VERSION]);
	return packed_load(s, (sects + 1) * 512 + off, le32(hdr + SETUP_PAYLOAD_LEN), ram, ret, e);
}

static bool is_bzimage(const uint8_t *hdr)
{
	return le16(hdr + SETUP_BOOT_FLAG) == 0xaa55 && !memcmp(hdr + SETUP_HDRS, "HdrS", 4);
}

static int file_size(int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret = (uint64_t)st.st_size;
	return 0;
}

int image_load(int fd, const struct boot_ram *ram, struct boot_image *ret, char *err, size_t errlen)
{
	const struct err e = { err, errlen };
	struct src s = { .fd = fd };
	uint8_t hdr[SETUP_SIZE] = { 0 };
	uint64_t size = 0;
	int r;

	r = file_size(fd, &size);
	if (r < 0)
		return fail(&e, r, "the kernel is not an ordinary file: %s", strerror(-r));
	if (size < sizeof(Elf32_Ehdr))
		return fail(&e, -ENOEXEC, "the kernel file is empty or too short (%llu bytes)",
			    (unsigned long long)size);
	r = src_read(&s, 0, hdr, size < sizeof(hdr) ? size : sizeof(hdr));
	if (r < 0)
		return read_failed(&e, r, "the header");
	if (!memcmp(hdr, ELFMAG, SELFMAG))
		return elf_load(&s, ram, ret, &e);
	if (is_bzimage(hdr))
		return bzimage_load(&s, hdr, ram, ret, &e);
	if (unpack_probe(hdr, sizeof(hdr)) != UNPACK_NONE)
		return packed_load(&s, 0, size, ram, ret, &e);
	return fail(&e, -ENOEXEC,
		    "this file is no kernel: it is neither an ELF file nor a bzImage");
}

int ramdisk_load(int fd, const struct boot_ram *ram, uint64_t floor, uint64_t *ret_gpa,
		 uint64_t *ret_size, char *err, size_t errlen)
{
	const struct err e = { err, errlen };
	const struct src s = { .fd = fd };
	uint64_t size = 0, top = ram->size & ~(uint64_t)(PAGE - 1), gpa;
	int r;

	r = file_size(fd, &size);
	if (r < 0)
		return fail(&e, r, "the ramdisk is not an ordinary file: %s", strerror(-r));
	if (!size)
		return fail(&e, -EINVAL, "the ramdisk file is empty");
	if (floor > top || size > top - floor || ((top - size) & ~(uint64_t)(PAGE - 1)) < floor)
		return fail(&e, -ENOMEM,
			    "the ramdisk of %llu MiB does not fit beside the kernel in the guest's "
			    "%llu MiB: give it more memory",
			    (unsigned long long)((size + (1u << 20) - 1) >> 20),
			    (unsigned long long)(ram->size >> 20));
	gpa = (top - size) & ~(uint64_t)(PAGE - 1);
	r = src_read(&s, 0, ram->host + gpa, size);
	if (r == -ENODATA)
		return fail(&e, -EIO, "the ramdisk file shrank while it was read");
	if (r < 0)
		return fail(&e, r, "can't read the ramdisk file: %s", strerror(-r));
	*ret_gpa = gpa;
	*ret_size = size;
	return 0;
}

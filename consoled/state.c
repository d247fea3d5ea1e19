/* consoled/state.c - slots in chunks of a locked, preallocated, mapped file.
 *
 * Blocks are reserved before they are mapped, so a full /run is an error here
 * and never a SIGBUS later.  Contents are checked when the file is opened:
 * it may stem from another version or a disk fault.
 */
#include "consoled/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemons/sys.h"

#define STATE_MAGIC 0x32746e6f637a6407ull /* changes with the layout */
#define SLOT_HEAD   1024u
#define CHUNK_SLOTS 16u
#define HEADER_SIZE 4096u

struct slot {
	uint32_t used;
	uint16_t domid, pad;
	uint32_t con, pad2;
	uint64_t born_ns;
	uint32_t in_cur, out_cur; /* 0 or 1: the copy that counts */
	uint32_t cons_done, pad3; /* step 3 was done up to this index */
	struct slot_in in[2];
	struct slot_out out[2];
	char log[LOG_NAME_MAX];
	uint8_t spool[SPOOL_SIZE] __attribute__((aligned(SLOT_HEAD)));
};

static_assert(offsetof(struct slot, spool) == SLOT_HEAD, "slot header grew");
static_assert(sizeof(struct slot) == SLOT_HEAD + SPOOL_SIZE, "slot size");

struct state_head {
	uint64_t magic;
	uint32_t slot_size, chunk_slots;
};

#define CHUNK_SIZE (CHUNK_SLOTS * sizeof(struct slot))

/* What the search needs, in plain memory: walking the slots would touch a page
 * for each of thousands. */
struct known {
	struct slot_id id;
	bool used;
};

struct state {
	int fd;		      /* -1: plain memory */
	struct slot **chunks; /* each a mapping of CHUNK_SIZE; owned */
	struct known *known;  /* one for each slot; owned */
	size_t nchunks;
	size_t free_hint; /* no free slot below this number */
};

static struct slot *nth(const struct state *st, size_t i)
{
	return st->chunks[i / CHUNK_SLOTS] + i % CHUNK_SLOTS;
}

static int map_chunk(struct state *st)
{
	off_t off = (off_t)(HEADER_SIZE + st->nchunks * CHUNK_SIZE);
	size_t slots = (st->nchunks + 1) * CHUNK_SLOTS;
	struct slot **v, *p;
	struct known *k;
	int r = 0;

	v = sys_realloc(st->chunks, (st->nchunks + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	st->chunks = v;
	k = sys_realloc(st->known, slots * sizeof(*k));
	if (!k)
		return -ENOMEM;
	memset(k + slots - CHUNK_SLOTS, 0, CHUNK_SLOTS * sizeof(*k));
	st->known = k;
	if (st->fd < 0) {
		p = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
		if (p == MAP_FAILED)
			return -ENOMEM;
	} else {
		r = posix_fallocate(st->fd, off, CHUNK_SIZE);
		if (r)
			return -r;
		p = sys_mmap_shared(st->fd, CHUNK_SIZE, off, PROT_READ | PROT_WRITE, &r);
		if (!p)
			return r;
	}
	st->chunks[st->nchunks++] = p;
	return 0;
}

/* Something a killed process can't have left: not ours, or damaged. */
static bool slot_sane(const struct slot *s)
{
	uint32_t fill = s->in[s->in_cur & 1].head - s->out[s->out_cur & 1].tail;

	return s->in_cur < 2 && s->out_cur < 2 && fill <= SPOOL_SIZE &&
	       s->in[s->in_cur].fmt.utf8_len < 4 && log_name_valid(s->log);
}

static int load(struct state *st)
{
	struct state_head h = { 0 };
	struct stat sb;
	size_t n;
	int r;

	if (fstat(st->fd, &sb) < 0 || pread(st->fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
	    !S_ISREG(sb.st_mode))
		return -EBADMSG;
	if (h.magic != STATE_MAGIC || h.slot_size != sizeof(struct slot) ||
	    h.chunk_slots != CHUNK_SLOTS || sb.st_size < (off_t)HEADER_SIZE)
		return -EBADMSG;
	n = ((size_t)sb.st_size - HEADER_SIZE) / CHUNK_SIZE;
	while (st->nchunks < n) {
		r = map_chunk(st);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < n * CHUNK_SLOTS; i++) {
		struct slot *s = nth(st, i);

		if (s->used && !slot_sane(s))
			s->used = 0;
		st->known[i] = (struct known){ .id = slot_id(s), .used = s->used };
	}
	return 0;
}

static int create(struct state *st)
{
	struct state_head h = { .magic = STATE_MAGIC,
				.slot_size = sizeof(struct slot),
				.chunk_slots = CHUNK_SLOTS };
	ssize_t r = posix_fallocate(st->fd, 0, HEADER_SIZE);

	if (r)
		return (int)-r;
	r = sys_pwrite(st->fd, &h, sizeof(h), 0);
	return r < 0 ? (int)r : r == (ssize_t)sizeof(h) ? 0 : -ENOSPC;
}

static void unmap(struct state *st)
{
	while (st->nchunks)
		munmap(st->chunks[--st->nchunks], CHUNK_SIZE);
}

static int open_file(struct state *st, const char *path)
{
	char old[512];
	struct stat sb;
	int r;

	for (int attempt = 0; attempt < 2; attempt++) {
		st->fd = sys_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
		if (st->fd < 0)
			return st->fd;
		if (flock(st->fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (fstat(st->fd, &sb) < 0)
			return -errno;
		r = sb.st_size == 0 ? create(st) : load(st);
		if (r != -EBADMSG)
			return r;
		unmap(st);
		if ((size_t)snprintf(old, sizeof(old), "%s.old", path) >= sizeof(old))
			return -ENAMETOOLONG;
		r = sys_rename(path, old);
		if (r < 0)
			return r;
		close(st->fd);
		st->fd = -1;
	}
	return -EBADMSG;
}

int state_open(const char *path, struct state **ret)
{
	struct state *st = sys_zalloc(sizeof(*st));
	int r;

	if (!st)
		return -ENOMEM;
	st->fd = -1;
	r = path ? open_file(st, path) : 0;
	if (r < 0) {
		state_close(st);
		return r;
	}
	*ret = st;
	return 0;
}

struct state *state_close(struct state *st)
{
	if (!st)
		return NULL;
	unmap(st);
	if (st->fd >= 0)
		close(st->fd);
	free(st->chunks);
	free(st->known);
	free(st);
	return NULL;
}

struct slot *state_find(struct state *st, const struct slot_id *id)
{
	for (size_t i = 0; i < st->nchunks * CHUNK_SLOTS; i++) {
		const struct known *k = &st->known[i];

		if (k->used && k->id.domid == id->domid && k->id.con == id->con &&
		    k->id.born_ns == id->born_ns)
			return nth(st, i);
	}
	return NULL;
}

int state_add(struct state *st, const struct slot_id *id, const char *log, struct slot **ret)
{
	struct slot *s;
	int r;

	while (st->free_hint < st->nchunks * CHUNK_SLOTS && st->known[st->free_hint].used)
		st->free_hint++;
	if (st->free_hint == st->nchunks * CHUNK_SLOTS) {
		r = map_chunk(st);
		if (r < 0)
			return r;
	}
	s = nth(st, st->free_hint);
	memset(s, 0, SLOT_HEAD);
	s->domid = id->domid;
	s->con = id->con;
	s->born_ns = id->born_ns;
	snprintf(s->log, sizeof(s->log), "%s", log);
	__atomic_store_n(&s->used, 1, __ATOMIC_RELEASE);
	st->known[st->free_hint] = (struct known){ .id = *id, .used = true };
	*ret = s;
	return 0;
}

void state_del(struct state *st, struct slot *s)
{
	for (size_t i = 0; i < st->nchunks * CHUNK_SLOTS; i++)
		if (st->known[i].used && nth(st, i) == s) {
			st->known[i].used = false;
			if (i < st->free_hint)
				st->free_hint = i;
			break;
		}
	__atomic_store_n(&s->used, 0, __ATOMIC_RELEASE);
}

void state_each(struct state *st, void (*fn)(void *arg, struct slot *s), void *arg)
{
	for (size_t i = 0; i < st->nchunks * CHUNK_SLOTS; i++)
		if (st->known[i].used)
			fn(arg, nth(st, i));
}

struct slot_id slot_id(const struct slot *s)
{
	return (struct slot_id){ .domid = s->domid, .con = s->con, .born_ns = s->born_ns };
}

const char *slot_log(const struct slot *s)
{
	return s->log;
}

/* The name and what it means for out (no file yet) can't be flipped in one
 * store, but with an empty spool neither order loses or doubles a byte. */
void slot_set_log(struct slot *s, const char *log)
{
	struct slot_out o = { .tail = slot_out(s)->tail };

	assert(slot_in(s)->head == o.tail);
	slot_took(s, &o);
	snprintf(s->log, sizeof(s->log), "%s", log);
}

const struct slot_in *slot_in(const struct slot *s)
{
	return &s->in[s->in_cur];
}

const struct slot_out *slot_out(const struct slot *s)
{
	return &s->out[__atomic_load_n(&s->out_cur, __ATOMIC_ACQUIRE)];
}

void slot_put(struct slot *s, const void *p, size_t n, struct slot_in *next)
{
	uint32_t head = slot_in(s)->head, at = head % SPOOL_SIZE;
	size_t first = n < SPOOL_SIZE - at ? n : SPOOL_SIZE - at;
	uint32_t other = !s->in_cur;

	assert(n <= SPOOL_SIZE);
	if (n) { /* p may be NULL without bytes */
		memcpy(s->spool + at, p, first);
		memcpy(s->spool, (const uint8_t *)p + first, n - first);
	}
	next->head = head + (uint32_t)n;
	s->in[other] = *next;
	__atomic_store_n(&s->in_cur, other, __ATOMIC_RELEASE);
}

void slot_set_done(struct slot *s)
{
	__atomic_store_n(&s->cons_done, slot_in(s)->cons_after, __ATOMIC_RELEASE);
}

bool slot_is_done(const struct slot *s)
{
	return s->cons_done == slot_in(s)->cons_after;
}

size_t slot_span(const struct slot *s, uint32_t tail, uint32_t head, const uint8_t **ret)
{
	uint32_t at = tail % SPOOL_SIZE, n = head - tail;

	*ret = s->spool + at;
	return n < SPOOL_SIZE - at ? n : SPOOL_SIZE - at;
}

void slot_took(struct slot *s, const struct slot_out *next)
{
	uint32_t other = !s->out_cur;

	s->out[other] = *next;
	__atomic_store_n(&s->out_cur, other, __ATOMIC_RELEASE);
}

/* backends/block/keep.c - a table of kept grants: hashed by number, listed by use.
 *
 * Kept grants are mapped for writing whatever the request is, since the next one
 * may be a read.  A guest that keeps its promise grants them so; one that grants
 * for reading only is served all the same, one request at a time.
 */
#include "backends/block/keep.h"

#include <errno.h>
#include <stdlib.h>

#include "daemons/sys.h"

#define BUCKETS 1024u
#define NONE	0u /* entry 0 is the head of the list of uses and holds no grant */

struct kept {
	void *page;
	uint64_t used_ns;
	uint32_t gref;
	uint16_t users;
	uint16_t chain;	       /* of its hash, or of the free ones */
	uint16_t newer, older; /* ring through entry 0 */
};

struct keep {
	struct keep_conf c;
	unsigned count;
	uint16_t bucket[BUCKETS], free;
	struct kept e[KEEP_MAX + 1];
};

static uint16_t *bucket_of(struct keep *k, uint32_t gref)
{
	return &k->bucket[(gref * 2654435761u) >> 22];
}

static uint16_t find(struct keep *k, uint32_t gref)
{
	uint16_t i = *bucket_of(k, gref);

	while (i != NONE && k->e[i].gref != gref)
		i = k->e[i].chain;
	return i;
}

static void unlist(struct keep *k, uint16_t i)
{
	k->e[k->e[i].newer].older = k->e[i].older;
	k->e[k->e[i].older].newer = k->e[i].newer;
}

/* As the one used last. */
static void list(struct keep *k, uint16_t i, uint64_t now_ns)
{
	k->e[i].used_ns = now_ns;
	k->e[i].newer = 0;
	k->e[i].older = k->e[0].older;
	k->e[k->e[0].older].newer = i;
	k->e[0].older = i;
}

static void note(struct keep *k, uint16_t i, uint32_t what)
{
	if (k->c.kept)
		__atomic_store_n(&k->c.kept[i - 1], what, __ATOMIC_SEQ_CST);
}

static void drop(struct keep *k, uint16_t i)
{
	uint16_t *p = bucket_of(k, k->e[i].gref);

	while (*p != i)
		p = &k->e[*p].chain;
	*p = k->e[i].chain;
	unlist(k, i);
	hvc_grant_unmap(k->c.guest, k->e[i].gref, true, k->e[i].page);
	note(k, i, 0);
	k->e[i].chain = k->free;
	k->free = i;
	k->count--;
}

/* An entry for a new grant, NONE if all are in use. */
static uint16_t room(struct keep *k)
{
	uint16_t i = k->free;

	if (i == NONE) {
		i = k->e[0].newer; /* the ring's other end: the longest unused */
		while (i != 0 && k->e[i].users)
			i = k->e[i].newer;
		if (i == 0)
			return NONE;
		drop(k, i);
	}
	k->free = k->e[i].chain;
	return i;
}

static int add(struct keep *k, uint16_t i, uint32_t gref, uint64_t now_ns)
{
	uint16_t *b = bucket_of(k, gref);
	int r;

	note(k, i, gref + 1);
	r = hvc_grant_map(k->c.guest, gref, true, &k->e[i].page);
	if (r < 0) {
		note(k, i, 0);
		k->e[i].chain = k->free;
		k->free = i;
		return r;
	}
	k->e[i].gref = gref;
	k->e[i].users = 0;
	k->e[i].chain = *b;
	*b = i;
	k->count++;
	list(k, i, now_ns);
	return 0;
}

/* Mapped as its predecessor left it, at the same place; a hole stays free. */
static void adopt(struct keep *k, uint64_t now_ns)
{
	for (uint32_t i = 0; i < KEEP_MAX; i++) {
		uint32_t what = __atomic_load_n(&k->c.kept[i], __ATOMIC_RELAXED);
		uint16_t at;

		if (!what || find(k, what - 1) != NONE) {
			k->c.kept[i] = 0;
			continue;
		}
		/* Its own place may be taken by now: entries are filled from 1 on,
		 * and those before i were looked at. */
		at = k->free;
		k->free = k->e[at].chain;
		(void)add(k, at, what - 1, now_ns); /* ended meanwhile: not there to be kept */
		if (at != i + 1)
			k->c.kept[i] = 0;
	}
}

int keep_new(const struct keep_conf *c, uint64_t now_ns, struct keep **ret)
{
	struct keep *k = sys_zalloc(sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->c = *c;
	for (uint16_t i = KEEP_MAX; i > 0; i--) {
		k->e[i].chain = k->free;
		k->free = i;
	}
	if (c->kept && c->adopt)
		adopt(k, now_ns);
	*ret = k;
	return 0;
}

struct keep *keep_free(struct keep *k, bool leave)
{
	while (k && !leave && k->e[0].newer)
		drop(k, k->e[0].newer);
	free(k);
	return NULL;
}

int keep_map(struct keep *k, uint32_t gref, bool write, uint64_t now_ns, struct hold *ret)
{
	struct hold h = { .gref = gref, .write = write };
	int r;

	if (k->c.persistent && gref != UINT32_MAX) {
		h.kept = find(k, gref);
		if (h.kept == NONE) {
			h.kept = room(k);
			if (h.kept != NONE && add(k, h.kept, gref, now_ns) < 0)
				h.kept = NONE;
		}
	}
	if (h.kept != NONE) {
		struct kept *e = &k->e[h.kept];

		unlist(k, h.kept);
		list(k, h.kept, now_ns);
		e->users++;
		h.page = e->page;
	} else {
		r = hvc_grant_map(k->c.guest, gref, write, &h.page);
		if (r < 0)
			return r;
	}
	*ret = h;
	return 0;
}

void keep_unmap(struct keep *k, const struct hold *h)
{
	if (h->kept != NONE)
		k->e[h->kept].users--;
	else
		hvc_grant_unmap(k->c.guest, h->gref, h->write, h->page);
}

uint64_t keep_idle(struct keep *k, uint64_t now_ns)
{
	uint16_t i = k->e[0].newer, next;

	for (; i != 0 && k->e[i].used_ns + KEEP_IDLE_NS <= now_ns; i = next) {
		next = k->e[i].newer;
		if (!k->e[i].users)
			drop(k, i);
	}
	return i ? k->e[i].used_ns + KEEP_IDLE_NS : UINT64_MAX;
}

unsigned keep_count(const struct keep *k)
{
	return k->count;
}

/* xenstored/childmap.c - the hash trie; recursion is over its levels only, of
 * which a 64-bit hash has thirteen. */
#include "xenstored/childmap.h"

#include <errno.h>
#include <string.h>

#include "xenstored/siphash.h"

#define LEVEL_BITS 5u
#define SHIFT_MAX  60u

static struct branch *branch_ptr(const struct arena *a, aref r)
{
	return arena_ptr(a, r);
}

static uint32_t slot_bit(uint64_t h, unsigned shift)
{
	return 1u << ((h >> shift) & 31u);
}

static unsigned index_of(const struct branch *b, uint32_t bit)
{
	return (unsigned)__builtin_popcount((b->data | b->sub) & (bit - 1));
}

static unsigned count(const struct branch *b)
{
	return (unsigned)__builtin_popcount(b->data | b->sub);
}

static uint64_t hash_of(const struct edit *e, aref kid)
{
	const struct node *n = node_ptr(e->a, kid);

	return siphash(e->key, n->data, n->nlen);
}

aref childmap_find(const struct arena *a, const uint64_t *key, aref map, const char *name,
		   size_t len)
{
	uint64_t h = siphash(key, name, len);

	for (unsigned shift = 0;; shift += LEVEL_BITS) {
		const struct branch *b = branch_ptr(a, map);
		uint32_t bit = slot_bit(h, shift);
		const struct node *n;

		if (b->sub & bit) {
			map = b->e[index_of(b, bit)];
			continue;
		}
		if (!(b->data & bit))
			return 0;
		map = b->e[index_of(b, bit)];
		n = node_ptr(a, map);
		return n->nlen == len && memcmp(n->data, name, len) == 0 ? map : 0;
	}
}

int childmap_each(const struct arena *a, aref map, int (*f)(void *arg, aref kid), void *arg)
{
	const struct branch *b = branch_ptr(a, map);
	uint32_t bits = b->data | b->sub;
	int r = 0;

	for (unsigned i = 0; bits && r == 0; i++, bits &= bits - 1)
		r = b->sub & bits & -bits ? childmap_each(a, b->e[i], f, arg) : f(arg, b->e[i]);
	return r;
}

/* An owned branch with n entries in place of *r; the first min(old, n) are
 * copied, the rest is for the caller, who also sets the bits. */
static struct branch *remake(struct edit *e, aref *r, unsigned n)
{
	struct branch *old = branch_ptr(e->a, *r), *b;
	unsigned had = count(old), keep = had < n ? had : n;
	uint32_t refs;
	aref new;

	if (edit_owns(e, *r) && had == n)
		return old;
	new = edit_alloc(e, sizeof(*b) + n * sizeof(b->e[0]));
	if (!new)
		return NULL;
	b = branch_ptr(e->a, new);
	refs = b->refs;
	memcpy(b, old, sizeof(*b) + keep * sizeof(b->e[0]));
	b->refs = refs;
	if (edit_replace(e, *r))
		for (unsigned i = 0; i < keep; i++)
			++*(uint32_t *)arena_ptr(e->a, b->e[i]);
	*r = new;
	return b;
}

/* A branch at this level for two children whose hashes agree so far. */
static aref split(struct edit *e, unsigned shift, aref one, uint64_t h1, aref two, uint64_t h2)
{
	uint32_t bit1 = slot_bit(h1, shift), bit2 = slot_bit(h2, shift);
	struct branch *b;
	aref r, below;

	if (shift > SHIFT_MAX)
		return 0; /* two names with one 64-bit hash: refused like a full store */
	if (bit1 == bit2) {
		below = split(e, shift + LEVEL_BITS, one, h1, two, h2);
		r = below ? edit_alloc(e, sizeof(*b) + sizeof(aref)) : 0;
		if (!r)
			return 0;
		b = branch_ptr(e->a, r);
		b->data = 0;
		b->sub = bit1;
		b->e[0] = below;
		return r;
	}
	r = edit_alloc(e, sizeof(*b) + 2 * sizeof(aref));
	if (!r)
		return 0;
	b = branch_ptr(e->a, r);
	b->data = bit1 | bit2;
	b->sub = 0;
	b->e[bit1 > bit2] = one;
	b->e[bit1 < bit2] = two;
	return r;
}

static int add_at(struct edit *e, aref *map, unsigned shift, aref kid, uint64_t h)
{
	uint32_t bit = slot_bit(h, shift);
	struct branch *b = branch_ptr(e->a, *map);
	unsigned i = index_of(b, bit), n = count(b);

	if (b->sub & bit) {
		b = remake(e, map, n);
		return b ? add_at(e, &b->e[i], shift + LEVEL_BITS, kid, h) : -ENOMEM;
	}
	if (b->data & bit) {
		aref below;

		b = remake(e, map, n);
		if (!b)
			return -ENOMEM;
		below = split(e, shift + LEVEL_BITS, b->e[i], hash_of(e, b->e[i]), kid, h);
		if (!below)
			return -ENOMEM;
		b->e[i] = below;
		b->data &= ~bit;
		b->sub |= bit;
		return 0;
	}
	b = remake(e, map, n + 1);
	if (!b)
		return -ENOMEM;
	memmove(&b->e[i + 1], &b->e[i], (n - i) * sizeof(b->e[0]));
	b->e[i] = kid;
	b->data |= bit;
	return 0;
}

int childmap_add(struct edit *e, aref *map, aref kid)
{
	uint64_t h = hash_of(e, kid);
	struct branch *b;
	aref r;

	if (*map)
		return add_at(e, map, 0, kid, h);
	r = edit_alloc(e, sizeof(*b) + sizeof(b->e[0]));
	if (!r)
		return -ENOMEM;
	b = branch_ptr(e->a, r);
	b->data = slot_bit(h, 0);
	b->sub = 0;
	b->e[0] = kid;
	*map = r;
	return 0;
}

aref *childmap_own(struct edit *e, aref *map, const char *name, size_t len)
{
	uint64_t h = siphash(e->key, name, len);

	for (unsigned shift = 0;; shift += LEVEL_BITS) {
		struct branch *b = branch_ptr(e->a, *map);
		uint32_t bit = slot_bit(h, shift);

		b = remake(e, map, count(b));
		if (!b)
			return NULL;
		map = &b->e[index_of(b, bit)];
		if (b->data & bit)
			return map;
	}
}

/* A branch left with one child gives it to its parent, so that a map's shape
 * depends on what is in it and not on what was.  Both are owned. */
static void pull_up(struct edit *e, struct branch *b, unsigned i, uint32_t bit)
{
	const struct branch *below = branch_ptr(e->a, b->e[i]);
	aref kid;

	if (below->sub || count(below) != 1)
		return;
	kid = below->e[0];
	(void)edit_replace(e, b->e[i]); /* owned: frees it */
	b->e[i] = kid;
	b->sub &= ~bit;
	b->data |= bit;
}

static int del_at(struct edit *e, aref *map, unsigned shift, uint64_t h)
{
	struct branch *b = branch_ptr(e->a, *map);
	uint32_t bit = slot_bit(h, shift);
	unsigned i = index_of(b, bit), n = count(b);
	int r;

	if (b->sub & bit) {
		b = remake(e, map, n);
		r = b ? del_at(e, &b->e[i], shift + LEVEL_BITS, h) : -ENOMEM;
		if (r < 0)
			return r;
		if (b->e[i]) {
			pull_up(e, b, i, bit);
			return 0;
		}
		b->sub &= ~bit; /* the branch below is gone */
	} else {
		if (n == 1) {
			/* Its one reference, to the child, is the caller's to drop. */
			if (edit_replace(e, *map))
				++*(uint32_t *)arena_ptr(e->a, b->e[0]);
			*map = 0;
			return 0;
		}
		b = remake(e, map, n);
		if (!b)
			return -ENOMEM;
		b->data &= ~bit;
	}
	/* The entry at i is dead; close the gap, and give room back when half is. */
	memmove(&b->e[i], &b->e[i + 1], (n - 1 - i) * sizeof(b->e[0]));
	if (n == 1) {
		(void)edit_replace(e, *map); /* owned: frees it */
		*map = 0;
	}
	return 0;
}

int childmap_del(struct edit *e, aref *map, const char *name, size_t len)
{
	return del_at(e, map, 0, siphash(e->key, name, len));
}

void childmap_unref(struct arena *a, aref map, void (*f)(void *arg, aref kid), void *arg)
{
	struct branch *b = branch_ptr(a, map);
	uint32_t bits = b->data | b->sub;

	if (--b->refs)
		return;
	for (unsigned i = 0; bits; i++, bits &= bits - 1) {
		if (b->sub & bits & -bits)
			childmap_unref(a, b->e[i], f, arg);
		else
			f(arg, b->e[i]);
	}
	arena_free(a, map);
}

static int recover_at(struct arena *a, aref map, unsigned shift, int (*f)(void *arg, aref kid),
		      void *arg)
{
	struct branch *b;
	uint32_t bits;
	int first = arena_mark(a, map, sizeof(*b) + sizeof(b->e[0])), r = 0;

	if (first < 0 || shift > SHIFT_MAX)
		return -EBADMSG;
	b = branch_ptr(a, map);
	b->refs = first ? 1 : b->refs + 1;
	if (!first)
		return 0;
	bits = b->data | b->sub;
	if (!bits || (b->data & b->sub) ||
	    arena_room(a, map) < sizeof(*b) + count(b) * sizeof(b->e[0]))
		return -EBADMSG;
	for (unsigned i = 0; bits && r == 0; i++, bits &= bits - 1)
		r = b->sub & bits & -bits ? recover_at(a, b->e[i], shift + LEVEL_BITS, f, arg)
					  : f(arg, b->e[i]);
	return r;
}

int childmap_recover(struct arena *a, aref map, int (*f)(void *arg, aref kid), void *arg)
{
	return recover_at(a, map, 0, f, arg);
}

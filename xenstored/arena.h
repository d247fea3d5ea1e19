/* xenstored/arena.h - memory in a mapped file that outlives the process.
 *
 * Blocks are named by references (8-byte units from the start of the file), so
 * they mean the same after the file is mapped again elsewhere.  What is in use
 * is not recorded: after a restart the owner marks every block it can reach
 * from the root, and the rest is free.  So there is nothing to repair, as long
 * as a block that the root reaches is never changed or freed before the root
 * moves on.  The file's pages are reserved before they are touched: a full
 * file system is an error here and never a SIGBUS.
 */
#ifndef XENSTORED_ARENA_H
#define XENSTORED_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t aref; /* 0: none */

#define ARENA_PAGE	65536u
#define ARENA_BLOCK_MAX 8192u
#define ARENA_ROOT_SIZE 128u

struct arena_page {
	uint32_t next, prev; /* in its class's list of pages with room; 0: none */
	uint16_t used, bump; /* blocks in use; blocks ever handed out */
	uint16_t free;	     /* first free block + 1, 0: none */
	uint8_t cls;	     /* 0: the page is free */
	bool listed;
};

struct arena {
	uint8_t *base; /* owned mapping */
	int fd;	       /* owned; -1: private memory, for tests */
	uint32_t npages, max_pages;
	struct arena_page *pages;
	uint32_t ready, nready; /* free pages that have memory, linked by next */
	uint32_t punched;	/* free pages that gave theirs back */
	uint32_t partial[64];
	size_t live;	/* bytes in blocks in use */
	aref dead;	/* the owner's list of what it has still to free (node_reap) */
	uint8_t *marks; /* during recovery: one bit per unit */
};

/* fd: an empty file or one made by us; owned by the arena also on failure.
 * -1: private memory.  *ret_old tells whether it holds an earlier state, which
 * must be marked (arena_mark) and swept before the first allocation.
 * -EBADMSG: the file is not ours. */
int arena_init(struct arena *a, int fd, size_t max_bytes, bool *ret_old);
void arena_fini(struct arena *a);

static inline void *arena_ptr(const struct arena *a, aref r)
{
	return a->base + (size_t)r * 8;
}

/* Uninitialised block of n bytes, or 0. */
aref arena_alloc(struct arena *a, size_t n);
void arena_free(struct arena *a, aref r);
/* Make sure that n more bytes in blocks of any size can be had. -ENOMEM. */
int arena_reserve(struct arena *a, size_t n);

/* ARENA_ROOT_SIZE bytes that the owner uses as it likes; the owner moves from
 * state to state by one aligned store in it. */
void *arena_root(const struct arena *a);

/* Recovery: 1 if r (of at least n bytes) is met for the first time, 0 if it
 * was marked before, -EBADMSG if it can't be a block. */
int arena_mark(struct arena *a, aref r, size_t n);
/* How many bytes there are from the start of the block r; 0 if it can't be one. */
size_t arena_room(const struct arena *a, aref r);
void arena_sweep(struct arena *a); /* ends recovery */

#endif

/* backends/block/serve.c and ring.c: a hostile frontend with its own RAM and grant
 * table, against a real image file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/xen.h>
#include <xen/grant_table.h>

#include "backends/block/serve.h"
#include "daemons/sys.h"
#include "hv/client/grants.h"

#define PAGES	 320u
#define RING_GFN 1u
#define IND_GFN	 2u
#define DATA_GFN 8u
#define SECTORS	 4096u

struct front {
	uint8_t *ram;
	struct grant_entry_v1 *gnt;
	struct serve_conf c;
	struct serve *s;
	struct image *image;
	struct hvc_guest *guest;
	bool notify;
	unsigned abandoned;
	uint32_t prod;
	uint64_t id;
	char path[32];
};

static uint8_t *page(struct front *f, uint32_t gfn)
{
	return f->ram + gfn * 4096;
}

/* Grant n is frame n. */
static void grant(struct front *f, uint32_t ref, uint16_t flags, uint16_t domid)
{
	f->gnt[ref] = (struct grant_entry_v1){ flags, domid, ref };
}

static enum blkio_kind kind = BLKIO_AUTO;

static enum blkio_kind kind_of(void **state)
{
	return kind;
}

static void open_ring(struct front *f, bool resume)
{
	void *p = page(f, RING_GFN);

	f->s = serve_free(f->s, true);
	ring_init(&f->c.ring, &p, 0, BLK_ABI_64);
	f->c.resume = resume;
	assert_int_equal(serve_new(&f->c, 0, &f->s), 0);
}

/* Until nothing more is to be done. */
static void serve_now(struct front *f)
{
	static struct io_watch none[1];
	struct serve_turn t;

	f->notify = false;
	for (;;) {
		do {
			serve_turn(f->s, 0, false, &t);
			f->notify |= t.notify;
		} while (t.busy);
		if (!serve_in_flight(f->s))
			return;
		blkio_wait(f->c.io, none, 0);
	}
}

static struct vbd_stats stats(struct front *f)
{
	struct vbd_stats st = { 0 };

	serve_stats(f->s, &st);
	return st;
}

static int set_up(void **state)
{
	struct front *f = calloc(1, sizeof(*f));
	int ram = sys_memfd("ram", PAGES * 4096), gnt = sys_memfd("gnt", 4096), r, fd;

	strcpy(f->path, "/tmp/dz-srvXXXXXX");
	fd = mkstemp(f->path);
	assert_true(ram >= 0 && gnt >= 0 && fd >= 0);
	assert_int_equal(ftruncate(fd, SECTORS * 512), 0);
	close(fd);
	f->ram = sys_mmap_shared(ram, PAGES * 4096, 0, PROT_READ | PROT_WRITE, &r);
	f->gnt = sys_mmap_shared(gnt, 4096, 0, PROT_READ | PROT_WRITE, &r);
	assert_int_equal(grants_open(ram, PAGES, gnt, 1, &f->guest), 0);
	close(ram);
	close(gnt);
	for (uint32_t i = 1; i < PAGES; i++)
		grant(f, i, GTF_permit_access, 0);
	assert_int_equal(image_open(f->path, true, &f->image), 0);
	f->c.guest = f->guest;
	f->c.geom = (struct blk_geom){ SECTORS, 512, false, true };
	assert_int_equal(blkio_open(f->image, 32, kind_of(state), &f->c.io), 0);
	open_ring(f, false);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct front *f = *state;

	f->s = serve_free(f->s, false);
	blkio_close(f->c.io);
	/* Whatever happened, no grant is still held. */
	for (uint32_t i = 1; i < PAGES; i++)
		assert_false(f->gnt[i].flags & (GTF_reading | GTF_writing));
	hvc_guest_close(f->guest);
	image_free(f->image);
	munmap(f->ram, PAGES * 4096);
	munmap(f->gnt, 4096);
	unlink(f->path);
	free(f);
	return 0;
}

static uint32_t *idx(struct front *f, unsigned at)
{
	return (uint32_t *)(void *)(page(f, RING_GFN) + at);
}

static uint8_t *raw(struct front *f)
{
	uint8_t *p = page(f, RING_GFN) + 64 + (f->prod & 31) * 112;

	memset(p, 0, 112);
	return p;
}

static void seg(uint8_t *p, uint32_t gref, uint8_t first, uint8_t last)
{
	memcpy(p, &gref, 4);
	p[4] = first;
	p[5] = last;
}

/* Serve what was pushed; the response must be to it.  Returns the status. */
static int push(struct front *f, uint8_t *p, uint8_t op)
{
	const uint8_t *rsp = p;
	uint64_t id = ++f->id;
	int16_t st;

	memcpy(p + 8, &id, 8);
	*idx(f, 0) = ++f->prod;
	serve_now(f);
	assert_int_equal(*idx(f, 8), f->prod);
	assert_memory_equal(rsp, &id, 8);
	assert_int_equal(rsp[8], op);
	memcpy(&st, rsp + 10, 2);
	return st;
}

static int rw(struct front *f, uint8_t op, uint64_t sector, uint32_t gref)
{
	uint8_t *p = raw(f);

	p[0] = op;
	p[1] = 1;
	memcpy(p + 16, &sector, 8);
	seg(p + 24, gref, 0, 7);
	return push(f, p, op);
}

static int indirect(struct front *f, uint8_t op, uint16_t n, uint64_t sector)
{
	uint32_t gref = IND_GFN;
	uint8_t *p = raw(f);

	p[0] = BLK_INDIRECT;
	p[1] = op;
	memcpy(p + 2, &n, 2);
	memcpy(p + 16, &sector, 8);
	memcpy(p + 28, &gref, 4);
	for (uint32_t i = 0; i < n && i < 300; i++)
		seg(page(f, IND_GFN) + i * 8, DATA_GFN + i, 0, 7);
	return push(f, p, op);
}

static void what_is_written_comes_back(void **state)
{
	struct front *f = *state;

	memset(page(f, 10), 0x5a, 4096);
	assert_int_equal(rw(f, BLK_WRITE, 24, 10), BLK_OKAY);
	assert_int_equal(rw(f, BLK_READ, 24, 11), BLK_OKAY);
	assert_memory_equal(page(f, 10), page(f, 11), 4096);
	assert_true(stats(f).wr_sect == 8 && stats(f).rd_sect == 8);
}

static void indirect_requests_move_256_pages_and_not_one_more(void **state)
{
	struct front *f = *state;
	static uint8_t want[256 * 4096];

	for (uint32_t i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 7 + i / 4096);
	memcpy(page(f, DATA_GFN), want, sizeof(want));
	assert_int_equal(indirect(f, BLK_WRITE, 256, 8), BLK_OKAY);
	memset(page(f, DATA_GFN), 0, sizeof(want));
	assert_int_equal(indirect(f, BLK_READ, 256, 8), BLK_OKAY);
	assert_memory_equal(page(f, DATA_GFN), want, sizeof(want));
	assert_int_equal(indirect(f, BLK_READ, 257, 8), BLK_ERROR);
	assert_int_equal(indirect(f, BLK_READ, 65535, 8), BLK_ERROR);
	assert_int_equal(indirect(f, BLK_READ, 0, 8), BLK_ERROR);
	assert_int_equal(indirect(f, BLK_DISCARD, 1, 8), BLK_ERROR);
	assert_int_equal(indirect(f, BLK_INDIRECT, 1, 8), BLK_ERROR);
	grant(f, IND_GFN, 0, 0);
	assert_int_equal(indirect(f, BLK_READ, 4, 8), BLK_ERROR);
}

static void bad_grants_are_errors_and_leave_nothing_mapped(void **state)
{
	struct front *f = *state;
	uint8_t *p;

	grant(f, 20, 0, 0);
	assert_int_equal(rw(f, BLK_READ, 0, 20), BLK_ERROR);
	grant(f, 20, GTF_permit_access, 7);
	assert_int_equal(rw(f, BLK_READ, 0, 20), BLK_ERROR);
	grant(f, 20, GTF_permit_access | GTF_readonly, 0);
	assert_int_equal(rw(f, BLK_READ, 0, 20), BLK_ERROR);
	assert_int_equal(rw(f, BLK_WRITE, 0, 20), BLK_OKAY);
	assert_int_equal(rw(f, BLK_READ, 0, 512), BLK_ERROR);
	assert_int_equal(rw(f, BLK_READ, 0, UINT32_MAX), BLK_ERROR);
	f->gnt[20] = (struct grant_entry_v1){ GTF_permit_access, 0, PAGES };
	assert_int_equal(rw(f, BLK_READ, 0, 20), BLK_ERROR);
	/* The third of three can't be mapped: the first two are let go. */
	p = raw(f);
	p[1] = 3;
	seg(p + 24, 10, 0, 7);
	seg(p + 32, 10, 0, 7);
	seg(p + 40, 20, 0, 7);
	assert_int_equal(push(f, p, BLK_READ), BLK_ERROR);
}

static void one_page_may_be_all_segments(void **state)
{
	struct front *f = *state;
	uint8_t *p = raw(f);

	p[1] = 11;
	for (int i = 0; i < 11; i++)
		seg(p + 24 + i * 8, 10, 0, 7);
	assert_int_equal(push(f, p, BLK_READ), BLK_OKAY);
}

static void an_impossible_req_prod_halts_the_ring_for_good(void **state)
{
	static const uint32_t bad[] = { 33, 0x80000000u, 0xffffffffu };
	struct front *f = *state;

	for (int i = 0; i < 3; i++) {
		open_ring(f, false);
		*idx(f, 0) = bad[i];
		serve_now(f);
		assert_true(serve_halted(f->s));
		*idx(f, 0) = 1;
		serve_now(f);
		assert_true(serve_halted(f->s));
		assert_int_equal(*idx(f, 8), 0);
	}
}

static void indices_may_wrap(void **state)
{
	struct front *f = *state;

	f->prod = UINT32_MAX - 1;
	*idx(f, 0) = *idx(f, 8) = f->prod;
	open_ring(f, true);
	for (int i = 0; i < 5; i++)
		assert_int_equal(rw(f, BLK_READ, 0, 10), BLK_OKAY);
	assert_int_equal(*idx(f, 8), 3);
}

static void a_successor_goes_on_where_the_ring_stands(void **state)
{
	struct front *f = *state;

	assert_int_equal(rw(f, BLK_READ, 0, 10), BLK_OKAY);
	memset(page(f, 10), 0x77, 4096);
	(void)raw(f);
	f->prod += 1;
	{
		uint8_t *p = page(f, RING_GFN) + 64 + 112;

		p[0] = BLK_WRITE;
		p[1] = 1;
		seg(p + 24, 10, 0, 7);
	}
	*idx(f, 0) = f->prod;
	/* Its predecessor died with the page's grant taken. */
	f->gnt[10].flags |= GTF_reading;
	open_ring(f, true);
	serve_now(f);
	assert_int_equal(*idx(f, 8), 2);
	assert_int_equal(rw(f, BLK_READ, 0, 11), BLK_OKAY);
	assert_memory_equal(page(f, 10), page(f, 11), 4096);
}

static void events_are_asked_for_and_given(void **state)
{
	struct front *f = *state;
	uint8_t *p = raw(f);

	assert_false(serve_rest(f->s));
	assert_int_equal(*idx(f, 4), 1);
	*idx(f, 12) = 1;
	p[1] = 1;
	seg(p + 24, 10, 0, 7);
	*idx(f, 0) = ++f->prod;
	assert_true(serve_rest(f->s));
	serve_now(f);
	assert_true(f->notify);
	(void)raw(f);
	*idx(f, 0) = ++f->prod;
	serve_now(f);
	assert_false(f->notify); /* rsp_event is behind */
}

static void a_smaller_disk_refuses_what_is_beyond(void **state)
{
	struct front *f = *state;

	assert_int_equal(rw(f, BLK_READ, SECTORS - 8, 10), BLK_OKAY);
	assert_int_equal(truncate(f->path, 512 * 512), 0);
	assert_int_equal(rw(f, BLK_READ, SECTORS - 8, 10), BLK_ERROR); /* not yet told */
	serve_resize(f->s, 512);
	assert_int_equal(rw(f, BLK_WRITE, 512, 10), BLK_ERROR);
	assert_int_equal(rw(f, BLK_WRITE, 504, 10), BLK_OKAY);
}

static void flushes_and_discards_are_done(void **state)
{
	struct front *f = *state;
	uint64_t n = 8;
	uint8_t *p;

	memset(page(f, 10), 1, 4096);
	assert_int_equal(rw(f, BLK_BARRIER, 0, 10), BLK_OKAY);
	p = raw(f);
	p[0] = BLK_FLUSH;
	assert_int_equal(push(f, p, BLK_FLUSH), BLK_OKAY);
	p = raw(f);
	p[0] = BLK_DISCARD;
	p[1] = 1;
	memcpy(p + 24, &n, 8);
	assert_int_equal(push(f, p, BLK_DISCARD), BLK_OKAY);
	assert_int_equal(rw(f, BLK_READ, 0, 10), BLK_OKAY);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(page(f, 10)[i], 0);
}

/* Killed with the ring full, at every number of requests already answered. */
static void with_a_journal_a_successor_repeats_what_the_guest_has_no_answer_to(void **state)
{
	struct journal *j = calloc(1, sizeof(*j));
	struct front *f = *state;

	f->c.journal = j;
	for (unsigned lost = 0; lost <= 32; lost++) {
		struct serve_turn t;
		uint32_t base;

		open_ring(f, lost > 0);
		base = f->prod;
		for (uint32_t i = 0; i < 32; i++) {
			uint64_t sector = i * 8, id = base + i;
			uint8_t *p = raw(f);

			memset(page(f, DATA_GFN + i), (int)(lost + i), 4096);
			p[0] = BLK_WRITE;
			p[1] = 1;
			memcpy(p + 8, &id, 8);
			memcpy(p + 16, &sector, 8);
			seg(p + 24, DATA_GFN + i, 0, 7);
			f->prod++;
		}
		*idx(f, 0) = f->prod;
		/* Taken and begun; the first `lost` get out of order answers that the
		 * guest never sees, and the process ends. */
		serve_turn(f->s, 0, false, &t);
		assert_int_equal(serve_in_flight(f->s), 32);
		while (serve_in_flight(f->s)) {
			static struct io_watch none[1];

			blkio_wait(f->c.io, none, 0);
			for (struct io_op *op = blkio_reap(f->c.io); op; op = op->next)
				f->abandoned++;
			if (f->abandoned == 32)
				break;
		}
		f->abandoned = 0;
		for (uint32_t i = 0; i < lost; i++)
			journal_answered(j, 31 - i, base + i);
		memset(page(f, RING_GFN) + 64, 0xee, lost * 112); /* their slots are overwritten */
		assert_int_equal(truncate(f->path, 0) | truncate(f->path, SECTORS * 512), 0);
		open_ring(f, true);
		serve_now(f);
		assert_int_equal(*idx(f, 8), f->prod);
		for (uint32_t i = 0; i < 32; i++)
			assert_int_equal(rw(f, BLK_READ, i * 8, 100 + i), BLK_OKAY);
		for (uint32_t i = 0; i < 32; i++)
			assert_memory_equal(page(f, 100 + i), page(f, DATA_GFN + i), 4096);
	}
	f->s = serve_free(f->s, false);
	free(j);
	f->c.journal = NULL;
}

/* Random requests over a random ring: the daemon lives, and tear_down finds
 * no grant held. */
static void noise_does_no_harm(void **state)
{
	struct front *f = *state;
	uint32_t x = 12345;

	grant(f, RING_GFN, 0, 0); /* else a read that hits it halts the ring */

	for (int i = 0; i < 20000; i++) {
		uint8_t *p = raw(f);

		for (int k = 0; k < 112; k++) {
			x = x * 1664525u + 1013904223u;
			p[k] = (uint8_t)(x >> 24) & ((x >> 8) % 3 ? 0x07 : 0xff);
		}
		for (int k = 16 + 2; k < 24; k++)
			p[k] &= (x >> 20) % 2 ? 0 : 0xff;
		/* Half of them nearly right, so that grants are taken and let go. */
		for (int k = 24; i % 2 && k < 112; k += 8) {
			p[k + 1] = p[k + 2] = p[k + 3] = 0;
			p[k + 4] = 0;
			p[1] &= 3;
		}
		if (p[0] == BLK_FLUSH || p[0] == BLK_BARRIER)
			p[1] |= 0x80; /* fdatasync 5,000 times tells nothing new */
		*idx(f, 0) = ++f->prod;
		serve_now(f);
		assert_int_equal(*idx(f, 8), f->prod);
		memset(page(f, IND_GFN), (int)(x >> 24) & 7, 64);
	}
	assert_true(stats(f).rd_req > 100 && stats(f).rd_req < 19000);
}

int main(int argc, char **argv)
{
#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(what_is_written_comes_back),
		T(indirect_requests_move_256_pages_and_not_one_more),
		T(bad_grants_are_errors_and_leave_nothing_mapped),
		T(one_page_may_be_all_segments),
		T(an_impossible_req_prod_halts_the_ring_for_good),
		T(indices_may_wrap),
		T(a_successor_goes_on_where_the_ring_stands),
		T(events_are_asked_for_and_given),
		T(a_smaller_disk_refuses_what_is_beyond),
		T(flushes_and_discards_are_done),
		T(with_a_journal_a_successor_repeats_what_the_guest_has_no_answer_to),
		T(noise_does_no_harm),
	};
#undef T

	/* The same with threads in io_uring's place. */
	kind = argc > 1 ? BLKIO_THREADS : BLKIO_AUTO;
	return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}

/* backends/block/request.c: the verdicts on hostile requests, by numbers alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backends/block/request.h"

#define SECTORS 1000u

static const struct blk_geom disk = { SECTORS, 512, false, true };
static const struct blk_geom rodisk = { SECTORS, 512, true, true };
static const struct blk_geom disk4k = { SECTORS, 4096, false, true };

static struct blk_req req(uint8_t op, uint64_t sector, uint32_t nseg)
{
	static struct blk_seg room[8][BLK_SEGS_INDIRECT];
	static unsigned turn;
	struct blk_req q = { .op = op, .sector = sector, .nseg = nseg, .seg = room[turn++ % 8] };

	for (uint32_t i = 0; i < nseg && i < BLK_SEGS_INDIRECT; i++)
		q.seg[i] = (struct blk_seg){ i, 0, 7 };
	return q;
}

static int judge(struct blk_req q, const struct blk_geom *g)
{
	return request_judge(&q, g);
}

static void segment_counts_have_limits(void **state)
{
	struct blk_req q = req(BLK_READ, 0, 1);

	assert_int_equal(judge(req(BLK_READ, 0, 0), &disk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_WRITE, 0, 0), &disk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_READ, 0, 11), &disk), BLK_OKAY);
	assert_int_equal(judge(req(BLK_READ, 0, 12), &disk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_READ, 0, 255), &disk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_FLUSH, 0, 12), &disk), BLK_ERROR);
	q.indirect = true;
	q.nseg = 257;
	assert_int_equal(request_precheck(&q, &disk), BLK_ERROR);
	q.nseg = 65535;
	assert_int_equal(request_precheck(&q, &disk), BLK_ERROR);
	q.nseg = 256;
	assert_int_equal(request_precheck(&q, &disk), BLK_OKAY);
}

static void segments_stay_in_their_page(void **state)
{
	static const uint8_t bad[][2] = { { 1, 0 }, { 0, 8 }, { 0, 255 }, { 255, 255 }, { 7, 6 } };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct blk_req q = req(BLK_READ, 0, 2);

		q.seg[1].first = bad[i][0];
		q.seg[1].last = bad[i][1];
		assert_int_equal(judge(q, &disk), BLK_ERROR);
	}
}

static void the_end_of_the_device_is_the_end(void **state)
{
	assert_int_equal(judge(req(BLK_READ, SECTORS - 8, 1), &disk), BLK_OKAY);
	assert_int_equal(judge(req(BLK_READ, SECTORS - 7, 1), &disk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_READ, SECTORS, 1), &disk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_READ, UINT64_MAX, 1), &disk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_WRITE, UINT64_MAX - 7, 1), &disk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_READ, UINT64_MAX / 512, 1), &disk), BLK_ERROR);
}

static void unknown_operations_are_not_supported(void **state)
{
	static const uint8_t ops[] = { 4, 6, 7, 128, 255 };

	for (size_t i = 0; i < sizeof(ops); i++)
		assert_int_equal(judge(req(ops[i], 0, 1), &disk), BLK_NOTSUPP);
}

static void only_reads_and_writes_may_be_indirect(void **state)
{
	static const uint8_t ops[] = { BLK_BARRIER, BLK_FLUSH, BLK_DISCARD, BLK_INDIRECT, 9 };

	for (size_t i = 0; i < sizeof(ops); i++) {
		struct blk_req q = req(ops[i], 0, 1);

		q.indirect = true;
		assert_int_equal(request_precheck(&q, &disk), BLK_ERROR);
	}
}

static void a_read_only_disk_takes_no_change(void **state)
{
	struct blk_req d = req(BLK_DISCARD, 0, 0);

	d.nsect = 8;
	assert_int_equal(judge(d, &rodisk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_WRITE, 0, 1), &rodisk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_BARRIER, 0, 1), &rodisk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_FLUSH, 0, 1), &rodisk), BLK_ERROR);
	assert_int_equal(judge(req(BLK_FLUSH, UINT64_MAX, 0), &rodisk), BLK_OKAY);
	assert_int_equal(judge(req(BLK_READ, 0, 1), &rodisk), BLK_OKAY);
}

static void discards_are_bounded_and_aligned(void **state)
{
	static const struct {
		uint64_t sector, n;
		int want;
	} t[] = { { 0, 0, BLK_ERROR },
		  { 0, UINT64_MAX, BLK_ERROR },
		  { 8, UINT64_MAX - 7, BLK_ERROR },
		  { 0, SECTORS, BLK_OKAY },
		  { 0, SECTORS + 1, BLK_ERROR },
		  { SECTORS, 1, BLK_ERROR },
		  { 1, 8, BLK_OKAY } };
	struct blk_req q = req(BLK_DISCARD, 0, 0);
	struct blk_geom none = disk;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		q.sector = t[i].sector;
		q.nsect = t[i].n;
		assert_int_equal(judge(q, &disk), t[i].want);
	}
	q.sector = 1;
	q.nsect = 8;
	assert_int_equal(judge(q, &disk4k), BLK_ERROR);
	none.discard = false;
	assert_int_equal(judge(q, &none), BLK_NOTSUPP);
}

static void large_sectors_refuse_parts_of_them(void **state)
{
	struct blk_req q = req(BLK_READ, 8, 1);

	assert_int_equal(judge(q, &disk4k), BLK_OKAY);
	q.sector = 4;
	assert_int_equal(judge(q, &disk4k), BLK_ERROR);
	q.sector = 8;
	q.seg[0].last = 0;
	assert_int_equal(judge(q, &disk4k), BLK_ERROR);
	q.seg[0] = (struct blk_seg){ 0, 4, 7 };
	assert_int_equal(judge(q, &disk4k), BLK_ERROR);
}

static void put(uint8_t *raw, unsigned at, uint64_t v, unsigned n)
{
	memcpy(raw + at, &v, n);
}

/* Offsets written out from <xen/io/blkif.h> by hand, not by our tables. */
static void both_layouts_are_read(void **state)
{
	static const struct {
		enum blk_abi abi;
		unsigned id, sector, seg, dn, grefs;
	} t[] = { { BLK_ABI_64, 8, 16, 24, 24, 28 }, { BLK_ABI_32, 4, 12, 20, 20, 24 } };

	for (int i = 0; i < 2; i++) {
		uint8_t raw[RING_REQ_MAX] = { BLK_WRITE, 11 };
		struct blk_seg room[BLK_SEGS_DIRECT];
		struct blk_req q = { .seg = room };

		put(raw, t[i].id, 0x1122334455667788, 8);
		put(raw, t[i].sector, 0x99aabbccdd, 8);
		put(raw, t[i].seg + 80, 0xabcdef, 4);
		raw[t[i].seg + 84] = 3;
		raw[t[i].seg + 85] = 5;
		request_parse(raw, t[i].abi, &q);
		assert_int_equal(q.op, BLK_WRITE);
		assert_true(q.id == 0x1122334455667788 && q.sector == 0x99aabbccdd);
		assert_true(q.seg[10].gref == 0xabcdef && q.seg[10].first == 3 &&
			    q.seg[10].last == 5);
		raw[0] = BLK_DISCARD;
		raw[1] = 1; /* secure */
		put(raw, t[i].dn, 77, 8);
		request_parse(raw, t[i].abi, &q);
		assert_true(q.op == BLK_DISCARD && q.nsect == 77 && q.nseg == 0);
		raw[0] = BLK_INDIRECT;
		raw[1] = BLK_READ;
		put(raw, 2, 300, 2);
		put(raw, t[i].grefs, 4711, 4);
		request_parse(raw, t[i].abi, &q);
		assert_true(q.indirect && q.op == BLK_READ && q.nseg == 300 &&
			    q.indirect_gref == 4711);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segment_counts_have_limits),
		cmocka_unit_test(segments_stay_in_their_page),
		cmocka_unit_test(the_end_of_the_device_is_the_end),
		cmocka_unit_test(unknown_operations_are_not_supported),
		cmocka_unit_test(only_reads_and_writes_may_be_indirect),
		cmocka_unit_test(a_read_only_disk_takes_no_change),
		cmocka_unit_test(discards_are_bounded_and_aligned),
		cmocka_unit_test(large_sectors_refuse_parts_of_them),
		cmocka_unit_test(both_layouts_are_read),
	};

	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}

/* backends/block/request.c - layouts of both ABIs and the verdicts on a request.
 *
 * The layouts are <xen/io/blkif.h>'s structs as a 64-bit and as a 32-bit x86
 * compiler lays them out: the latter aligns u64 to 4 bytes.
 */
#include "backends/block/request.h"

#include <string.h>

static const struct abi {
	unsigned id, sector, segs, nr_sectors, grefs;
} abis[] = {
	[BLK_ABI_64] = { 8, 16, 24, 24, 28 },
	[BLK_ABI_32] = { 4, 12, 20, 20, 24 },
};

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void parse_segs(struct blk_req *q, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++, p += BLK_SEG_SIZE)
		q->seg[i] = (struct blk_seg){ get32(p), p[4], p[5] };
}

void request_parse(const uint8_t raw[RING_REQ_MAX], enum blk_abi abi, struct blk_req *ret)
{
	const struct abi *a = &abis[abi];

	ret->op = raw[0];
	ret->indirect = ret->op == BLK_INDIRECT;
	ret->id = get64(raw + a->id);
	ret->sector = get64(raw + a->sector);
	ret->secure = false;
	ret->nsect = 0;
	ret->nseg = raw[1];
	ret->indirect_gref = 0;
	if (ret->indirect) {
		ret->op = raw[1];
		ret->nseg = (uint32_t)raw[2] | (uint32_t)raw[3] << 8;
		ret->indirect_gref = get32(raw + a->grefs);
	} else if (ret->op == BLK_DISCARD) {
		ret->secure = raw[1] & 1;
		ret->nseg = 0;
		ret->nsect = get64(raw + a->nr_sectors);
	} else if (ret->nseg <= BLK_SEGS_DIRECT) {
		parse_segs(ret, raw + a->segs, ret->nseg);
	}
}

enum blk_status request_precheck(const struct blk_req *q, const struct blk_geom *g)
{
	uint32_t max = q->indirect ? BLK_SEGS_INDIRECT : BLK_SEGS_DIRECT;

	if (q->indirect && q->op != BLK_READ && q->op != BLK_WRITE)
		return BLK_ERROR;
	switch (q->op) {
	case BLK_FLUSH:
	case BLK_BARRIER:
		if (q->nseg == 0)
			return BLK_OKAY;
		break;
	case BLK_DISCARD:
		if (!g->discard)
			return g->readonly ? BLK_ERROR : BLK_NOTSUPP;
		return g->readonly ? BLK_ERROR : BLK_OKAY;
	case BLK_READ:
	case BLK_WRITE: break;
	default: return BLK_NOTSUPP;
	}
	if (q->nseg == 0 || q->nseg > max)
		return BLK_ERROR;
	return q->op != BLK_READ && g->readonly ? BLK_ERROR : BLK_OKAY;
}

void request_segments(struct blk_req *q, const uint8_t *copy)
{
	parse_segs(q, copy, q->nseg);
}

static bool in_device(const struct blk_req *q, const struct blk_geom *g)
{
	uint32_t unit = g->sector_size / BLK_SECTOR;

	return q->sector <= g->sectors && q->nsect <= g->sectors - q->sector &&
	       q->sector % unit == 0 && q->nsect % unit == 0;
}

enum blk_status request_judge(struct blk_req *q, const struct blk_geom *g)
{
	uint32_t unit = g->sector_size / BLK_SECTOR;
	enum blk_status st = request_precheck(q, g);

	if (st != BLK_OKAY)
		return st;
	if (q->op == BLK_DISCARD) {
		q->secure &= g->secure_discard; /* not offered: the flag means nothing */
		return q->nsect && in_device(q, g) ? BLK_OKAY : BLK_ERROR;
	}
	q->nsect = 0;
	for (uint32_t i = 0; i < q->nseg; i++) {
		const struct blk_seg *s = &q->seg[i];

		if (s->last > 7 || s->first > s->last || s->first % unit || (s->last + 1u) % unit)
			return BLK_ERROR;
		q->nsect += s->last - s->first + 1u;
	}
	if (q->nsect == 0) /* a flush without data: its sector says nothing */
		return BLK_OKAY;
	return in_device(q, g) ? BLK_OKAY : BLK_ERROR;
}

/* backends/block/serve.c - from a copied request to its response. */
#include "backends/block/serve.h"

#include <errno.h>
#include <stdbool.h>

/* The guest must find no mark on a grant when it sees the response. */
static void let_go(struct serve *s, uint32_t n, bool to_guest)
{
	for (uint32_t i = 0; i < n; i++)
		hvc_grant_unmap(s->guest, s->req.seg[i].gref, to_guest, s->page[i]);
}

static int map_all(struct serve *s, bool to_guest)
{
	for (uint32_t i = 0; i < s->req.nseg; i++) {
		const struct blk_seg *seg = &s->req.seg[i];
		int r = hvc_grant_map(s->guest, seg->gref, to_guest, &s->page[i]);

		if (r < 0) {
			let_go(s, i, to_guest);
			return r;
		}
		s->iov[i].iov_base = (char *)s->page[i] + seg->first * BLK_SECTOR;
		s->iov[i].iov_len = (seg->last - seg->first + 1u) * BLK_SECTOR;
	}
	return 0;
}

static int move(struct serve *s)
{
	struct blk_req *q = &s->req;
	bool to_guest = q->op == BLK_READ;
	int r = map_all(s, to_guest);

	if (r < 0)
		return r;
	if (to_guest)
		r = image_read(s->image, s->iov, (int)q->nseg, q->sector * BLK_SECTOR);
	else
		r = image_write(s->image, s->iov, (int)q->nseg, q->sector * BLK_SECTOR);
	let_go(s, q->nseg, to_guest);
	return r;
}

static int do_read(struct serve *s)
{
	int r = move(s);

	s->counts.rd_req++;
	s->counts.rd_sect += r == 0 ? s->req.nsect : 0;
	return r;
}

static int do_write(struct serve *s)
{
	int r = move(s);

	s->counts.wr_req++;
	s->counts.wr_sect += r == 0 ? s->req.nsect : 0;
	return r;
}

static int do_flush(struct serve *s)
{
	int r = image_flush(s->image);

	s->counts.f_req++;
	if (r == 0 && s->req.nseg) { /* what was before, then this, then all of it */
		r = do_write(s);
		if (r == 0)
			r = image_flush(s->image);
	}
	return r;
}

static int do_discard(struct serve *s)
{
	s->counts.ds_req++;
	return image_discard(s->image, s->req.sector * BLK_SECTOR, s->req.nsect * BLK_SECTOR);
}

static int (*const ops[])(struct serve *s) = {
	[BLK_READ] = do_read,	[BLK_WRITE] = do_write,	    [BLK_BARRIER] = do_flush,
	[BLK_FLUSH] = do_flush, [BLK_DISCARD] = do_discard,
};

/* The page is read once; what the guest writes there later is not seen. */
static enum blk_status fetch_segments(struct serve *s)
{
	uint8_t copy[BLK_SEGS_INDIRECT * BLK_SEG_SIZE];
	void *page;

	if (hvc_grant_map(s->guest, s->req.indirect_gref, false, &page) < 0)
		return BLK_ERROR;
	ring_copy(copy, page, s->req.nseg * BLK_SEG_SIZE);
	hvc_grant_unmap(s->guest, s->req.indirect_gref, false, page);
	request_segments(&s->req, copy);
	return BLK_OKAY;
}

static enum blk_status perform(struct serve *s)
{
	struct blk_geom g = s->geom;
	enum blk_status st;
	int r;

	g.sectors = __atomic_load_n(&s->geom.sectors, __ATOMIC_RELAXED);
	st = request_precheck(&s->req, &g);
	if (st == BLK_OKAY && s->req.indirect)
		st = fetch_segments(s);
	if (st == BLK_OKAY)
		st = request_judge(&s->req, &g);
	if (st != BLK_OKAY) {
		s->counts.refused++;
		return st;
	}
	r = ops[s->req.op](s);
	if (r == -EOPNOTSUPP)
		return BLK_NOTSUPP;
	return r < 0 ? BLK_ERROR : BLK_OKAY;
}

int serve_one(struct serve *s, bool *ret_notify)
{
	uint8_t raw[RING_REQ_MAX];
	enum blk_status st;
	int r = ring_take(&s->ring, raw);

	if (r <= 0)
		return r;
	request_parse(raw, s->ring.abi, &s->req);
	st = perform(s);
	*ret_notify = ring_answer(&s->ring, s->req.id, s->req.op, (int16_t)st);
	return 1;
}

void serve_resize(struct serve *s, uint64_t sectors)
{
	__atomic_store_n(&s->geom.sectors, sectors, __ATOMIC_RELAXED);
}

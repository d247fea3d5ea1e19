/* backends/block/serve.c - from a copied request to its response.
 *
 *   taken -> (journal) -> judged -> lane of reads or writes -> blkio -> answered
 *                            |          limits say when          |
 *                            +--refused--------------------------+
 *
 * What comes after a barrier, or after a request that finds no room, stays in
 * the ring until that one could go on.
 */
#include "backends/block/serve.h"

#include <errno.h>
#include <stdlib.h>

#include "daemons/sys.h"

struct room { /* for the pages of one request */
	struct room *next;
	struct blk_seg seg[BLK_SEGS_INDIRECT];
	struct hold hold[BLK_SEGS_INDIRECT];
	struct iovec iov[BLK_SEGS_INDIRECT];
};

struct work {
	struct io_op op; /* first: what blkio gives back */
	struct blk_req q;
	uint32_t idx;  /* in the ring's order */
	uint32_t held; /* grants mapped */
	uint8_t step;  /* of an operation that takes several */
	int16_t status;
	struct work *next;
	struct room *room; /* NULL: the small one */
	struct blk_seg seg[BLK_SEGS_DIRECT];
	struct hold hold[BLK_SEGS_DIRECT];
	struct iovec iov[BLK_SEGS_DIRECT];
};

struct lane {
	struct work *head, **end;
	bool reserved; /* the head has its time */
	uint64_t at;
	uint32_t epoch;
};

struct serve {
	struct serve_conf c;
	struct blk_ring ring;
	struct keep *keep;
	uint64_t sectors; /* atomic */
	struct vbd_stats stats;
	unsigned busy;	    /* taken and not answered */
	unsigned in_flight; /* in the blkio */
	struct work *works, *free;
	struct work *again, **again_end;   /* of a predecessor, in its order */
	struct work *stuck;		   /* taken, but needs room */
	struct work *gate;		   /* a barrier */
	struct work *told;		   /* answered, not yet published */
	struct work *done[RING_SLOTS_MAX]; /* without a journal: by index */
	struct lane lane[2];		   /* reads, writes */
	struct room *rooms;
	unsigned rooms_made;
};

static void count(uint64_t *n, uint64_t add)
{
	__atomic_store_n(n, *n + add, __ATOMIC_RELAXED); /* one writer */
}

/* ---- answers ---- */

static struct hold *holds(struct work *w)
{
	return w->room ? w->room->hold : w->hold;
}

/* The guest must find no mark on a grant when it sees the response. */
static void let_go(struct serve *s, struct work *w)
{
	for (uint32_t i = 0; i < w->held; i++)
		keep_unmap(s->keep, &holds(w)[i]);
	w->held = 0;
	if (w->room) {
		w->room->next = s->rooms;
		s->rooms = w->room;
		w->room = NULL;
	}
}

static uint32_t slot_of(const struct serve *s, const struct work *w)
{
	return (uint32_t)(w - s->works);
}

static void put(struct serve *s, struct work *w)
{
	if (s->c.journal)
		journal_answered(s->c.journal, slot_of(s, w), s->ring.rsp_next);
	ring_put(&s->ring, w->q.id, w->q.op, w->status);
	w->next = s->told;
	s->told = w;
}

static void answer(struct serve *s, struct work *w, enum blk_status st)
{
	struct work **head;

	let_go(s, w);
	w->status = (int16_t)st;
	s->busy--;
	if (s->gate == w)
		s->gate = NULL;
	if (s->c.journal) {
		put(s, w);
		return;
	}
	s->done[w->idx & (s->ring.slots - 1)] = w;
	while (*(head = &s->done[s->ring.rsp_next & (s->ring.slots - 1)])) {
		put(s, *head);
		*head = NULL;
	}
}

static bool publish(struct serve *s)
{
	struct work *w = s->told, *next;
	bool notify;

	if (!w)
		return false;
	notify = ring_publish(&s->ring);
	s->told = NULL;
	for (; w; w = next) {
		next = w->next;
		if (s->c.journal)
			journal_forget(s->c.journal, slot_of(s, w));
		w->next = s->free;
		s->free = w;
	}
	return notify;
}

/* ---- work ---- */

static int map_all(struct serve *s, struct work *w, uint64_t now_ns)
{
	struct iovec *iov = w->room ? w->room->iov : w->iov;
	bool to_guest = w->q.op == BLK_READ;

	w->op.iov = iov;
	w->op.n = 0;
	for (uint32_t i = 0; i < w->q.nseg; i++) {
		const struct blk_seg *seg = &w->q.seg[i];
		size_t len = (seg->last - seg->first + 1u) * BLK_SECTOR;
		struct iovec *last = &iov[w->op.n ? w->op.n - 1 : 0];
		int r = keep_map(s->keep, seg->gref, to_guest, now_ns, &holds(w)[i]);
		char *at;

		if (r < 0)
			return r;
		w->held++;
		at = (char *)holds(w)[i].page + seg->first * BLK_SECTOR;
		if (w->op.n && (char *)last->iov_base + last->iov_len == at)
			last->iov_len += len;
		else
			iov[w->op.n++] = (struct iovec){ at, len };
	}
	return 0;
}

static enum blk_status status_of(int r)
{
	return r == -EOPNOTSUPP ? BLK_NOTSUPP : r < 0 ? BLK_ERROR : BLK_OKAY;
}

static void count_done(struct serve *s, const struct work *w)
{
	struct vbd_stats *st = &s->stats;
	bool ok = w->op.res == 0;

	switch (w->q.op) {
	case BLK_READ:
		count(&st->rd_req, 1);
		count(&st->rd_sect, ok ? w->q.nsect : 0);
		break;
	case BLK_WRITE:
		count(&st->wr_req, 1);
		count(&st->wr_sect, ok ? w->q.nsect : 0);
		break;
	case BLK_DISCARD: count(&st->ds_req, 1); break;
	default:
		count(&st->f_req, 1);
		count(&st->wr_sect, ok ? w->q.nsect : 0);
		break;
	}
}

static void queue(struct serve *s, struct work *w, enum io_kind kind, uint64_t now_ns)
{
	bool data = kind == IO_READ || kind == IO_WRITE;
	int r = data ? map_all(s, w, now_ns) : 0;

	if (r < 0) {
		w->op.res = r;
		count_done(s, w);
		answer(s, w, BLK_ERROR);
		return;
	}
	w->op.kind = kind;
	w->op.off = w->q.sector * BLK_SECTOR;
	w->op.len = w->q.nsect * BLK_SECTOR;
	s->in_flight++;
	blkio_queue(s->c.io, &w->op);
}

/* A flush with data: what was before, then this, then all of it. */
static void start(struct serve *s, struct work *w, uint64_t now_ns)
{
	switch (w->q.op) {
	case BLK_READ: queue(s, w, IO_READ, now_ns); break;
	case BLK_WRITE: queue(s, w, IO_WRITE, now_ns); break;
	case BLK_DISCARD: queue(s, w, w->q.secure ? IO_SECURE_DISCARD : IO_DISCARD, now_ns); break;
	default: queue(s, w, w->step == 1 ? IO_WRITE : IO_FLUSH, now_ns); break;
	}
}

static void finished(struct serve *s, struct work *w, uint64_t now_ns)
{
	bool flush = w->q.op == BLK_FLUSH || w->q.op == BLK_BARRIER;

	s->in_flight--;
	if (w->op.res == 0 && flush && w->q.nseg && w->step < 2) {
		w->step++;
		start(s, w, now_ns);
		return;
	}
	count_done(s, w);
	answer(s, w, status_of(w->op.res));
}

static void to_lane(struct serve *s, struct work *w)
{
	struct lane *l = &s->lane[w->q.op != BLK_READ];

	w->next = NULL;
	*l->end = w;
	l->end = &w->next;
}

/* In order, as the limits permit.  When to look again. */
static uint64_t run_lane(struct serve *s, struct lane *l, uint64_t now_ns)
{
	struct work *w;

	while ((w = l->head)) {
		uint32_t epoch = s->c.limit ? limit_epoch(s->c.limit) : 0;

		if (!l->reserved || l->epoch != epoch) {
			bool discard = w->q.op == BLK_DISCARD; /* counts, but moves nothing */

			l->at = !s->c.limit ? now_ns
					    : limit_reserve(s->c.limit, now_ns, w->q.op != BLK_READ,
							    discard ? 0 : w->q.nsect * BLK_SECTOR);
			if (l->at > now_ns && !l->reserved)
				count(&s->stats.oo_req, 1);
			l->reserved = true;
			l->epoch = epoch;
		}
		if (l->at > now_ns)
			return l->at;
		l->reserved = false;
		l->head = w->next;
		if (!l->head)
			l->end = &l->head;
		start(s, w, now_ns);
	}
	return UINT64_MAX;
}

/* ---- new requests ---- */

/* The page is read once; what the guest writes there later is not seen. */
static enum blk_status fetch_segments(struct serve *s, struct blk_req *q, uint64_t now_ns)
{
	uint8_t copy[BLK_SEGS_INDIRECT * BLK_SEG_SIZE];
	struct hold h;

	if (keep_map(s->keep, q->indirect_gref, false, now_ns, &h) < 0)
		return BLK_ERROR;
	ring_copy(copy, h.page, q->nseg * BLK_SEG_SIZE);
	keep_unmap(s->keep, &h);
	request_segments(q, copy);
	return BLK_OKAY;
}

static bool get_room(struct serve *s, struct work *w)
{
	struct room *r = s->rooms;

	if (w->q.nseg <= BLK_SEGS_DIRECT)
		return true;
	if (r) {
		s->rooms = r->next;
	} else if (s->rooms_made < SERVE_LARGE) {
		r = sys_zalloc(sizeof(*r));
		s->rooms_made += r != NULL;
	}
	w->room = r;
	if (r)
		w->q.seg = r->seg;
	return r != NULL;
}

/* Judged and on its way.  False: for want of room not yet. */
static bool admit(struct serve *s, struct work *w, uint64_t now_ns)
{
	struct blk_geom g = s->c.geom;
	enum blk_status st;

	g.sectors = __atomic_load_n(&s->sectors, __ATOMIC_RELAXED);
	st = request_precheck(&w->q, &g);
	if (st == BLK_OKAY && w->q.indirect) {
		if (!get_room(s, w))
			return false;
		st = fetch_segments(s, &w->q, now_ns);
	}
	if (st == BLK_OKAY)
		st = request_judge(&w->q, &g);
	if (st != BLK_OKAY)
		answer(s, w, st);
	else if (w->q.op == BLK_BARRIER)
		s->gate = w;
	else if (w->q.op == BLK_FLUSH && !w->q.nseg)
		start(s, w, now_ns);
	else
		to_lane(s, w);
	return true;
}

static void parse(struct serve *s, struct work *w, const uint8_t *raw, uint32_t idx)
{
	w->idx = idx;
	w->step = 0;
	w->held = 0;
	w->room = NULL;
	w->next = NULL;
	w->q.seg = w->seg;
	request_parse(raw, s->ring.abi, &w->q);
	s->busy++;
}

/* The next to admit: stuck, of a predecessor, or new.  NULL: none. */
static struct work *next_work(struct serve *s)
{
	struct work *w = s->stuck;
	uint8_t raw[RING_REQ_MAX];

	s->stuck = NULL;
	if (w)
		return w;
	w = s->again;
	if (w) {
		s->again = w->next;
		return w;
	}
	w = s->free; /* as many as slots: there is one for each request of a sane ring */
	if (!w || ring_take(&s->ring, raw) <= 0)
		return NULL;
	s->free = w->next;
	if (s->c.journal)
		journal_note(s->c.journal, slot_of(s, w), s->ring.req_cons - 1, raw);
	parse(s, w, raw, s->ring.req_cons - 1);
	return w;
}

static bool take(struct serve *s, uint64_t now_ns)
{
	struct work *w;
	bool any = false;

	while (!s->gate && (w = next_work(s))) {
		if (!admit(s, w, now_ns)) {
			count(&s->stats.oo_req, !any);
			s->stuck = w;
			break;
		}
		any = true;
	}
	return any;
}

void serve_turn(struct serve *s, uint64_t now_ns, bool ending, struct serve_turn *ret)
{
	struct io_op *op = blkio_reap(s->c.io), *next;
	uint64_t at;

	*ret = (struct serve_turn){ .busy = op != NULL };
	for (; op; op = next) {
		next = op->next;
		finished(s, (struct work *)op, now_ns);
	}
	ret->wake_ns = keep_idle(s->keep, now_ns);
	if (!ending) {
		ret->busy |= take(s, now_ns);
		for (int i = 0; i < 2; i++) {
			at = run_lane(s, &s->lane[i], now_ns);
			ret->wake_ns = at < ret->wake_ns ? at : ret->wake_ns;
		}
		if (s->gate && s->busy == 1 && !s->in_flight) { /* all before it is done */
			start(s, s->gate, now_ns);
		}
	}
	ret->busy |= s->told != NULL;
	ret->notify = publish(s);
}

bool serve_rest(struct serve *s)
{
	return ring_rest(&s->ring) && !s->gate && !s->stuck;
}

unsigned serve_in_flight(const struct serve *s)
{
	return s->in_flight;
}

bool serve_halted(const struct serve *s)
{
	return s->ring.halted;
}

void serve_resize(struct serve *s, uint64_t sectors)
{
	__atomic_store_n(&s->sectors, sectors, __ATOMIC_RELAXED);
}

void serve_stats(const struct serve *s, struct vbd_stats *sum)
{
#define X(name) sum->name += __atomic_load_n(&s->stats.name, __ATOMIC_RELAXED);
	VBD_STAT_LIST(X)
#undef X
}

/* ---- start and end ---- */

/* What a predecessor took and did not answer, in its order. */
static int recover(struct serve *s)
{
	uint16_t slots[RING_SLOTS_MAX];
	uint32_t rsp_prod = ring_published(&s->ring);
	int n = journal_recover(s->c.journal, rsp_prod, slots);

	if (n < 0)
		return n;
	ring_resume(&s->ring, rsp_prod, (uint32_t)n);
	for (int i = 0; i < n; i++) {
		struct work *w = &s->works[slots[i]];

		parse(s, w, s->c.journal->entry[slots[i]].raw,
		      s->c.journal->entry[slots[i]].req_idx);
		*s->again_end = w;
		s->again_end = &w->next;
	}
	return 0;
}

static int set_up_ring(struct serve *s)
{
	struct journal *j = s->c.journal;
	uint32_t slots = s->ring.slots;
	bool known = j && s->c.resume && journal_is_of(j, slots, s->c.ring_ref, s->c.port);
	int r = known ? recover(s) : 0;

	if (!known && s->c.resume) /* a predecessor without a journal answered in order */
		ring_resume(&s->ring, ring_published(&s->ring), 0);
	if (!known && j)
		journal_begin(j, slots, s->c.ring_ref, s->c.port);
	for (uint32_t i = 0; r == 0 && i < slots; i++) {
		struct work *w = &s->works[i];

		if (w->q.seg) /* taken by recover() */
			continue;
		w->next = s->free;
		s->free = w;
	}
	return r;
}

int serve_new(const struct serve_conf *c, uint64_t now_ns, struct serve **ret)
{
	struct keep_conf k = { .guest = c->guest,
			       .kept = c->journal ? c->journal->kept : NULL,
			       .persistent = c->persistent,
			       .adopt = c->resume };
	struct serve *s = sys_zalloc(sizeof(*s));
	int r = -ENOMEM;

	if (!s)
		return r;
	s->c = *c;
	s->ring = c->ring;
	s->sectors = c->geom.sectors;
	s->again_end = &s->again;
	for (int i = 0; i < 2; i++)
		s->lane[i].end = &s->lane[i].head;
	s->works = sys_zalloc(s->ring.slots * sizeof(*s->works));
	if (s->works)
		r = set_up_ring(s);
	if (r == 0)
		r = keep_new(&k, now_ns, &s->keep);
	if (r < 0) {
		serve_free(s, true);
		return r;
	}
	*ret = s;
	return 0;
}

struct serve *serve_free(struct serve *s, bool leave)
{
	struct room *r;

	if (!s)
		return NULL;
	for (uint32_t i = 0; s->works && i < s->ring.slots; i++)
		let_go(s, &s->works[i]); /* those that never started hold room only */
	while ((r = s->rooms)) {
		s->rooms = r->next;
		free(r);
	}
	if (s->keep)
		keep_free(s->keep, leave);
	free(s->works);
	free(s);
	return NULL;
}

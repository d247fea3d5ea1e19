/* consoled/hvlog.c - polls the hypervisor's ring; the place read up to lives
 * beside the spool, so a restart neither repeats nor skips a byte. */
#include "consoled/hvlog.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consoled/console.h"
#include "consoled/logfile.h"
#include "daemons/clock.h"
#include "daemons/sys.h"
#include "hv/client/domctl.h"

#define POLL_MS	  1000
#define READ_MAX  4096u
#define FILE_NAME "hypervisor.log"

struct hvlog {
	struct conset *cs;
	struct hvc *h;
	struct slot *slot;
	struct logsrc *src;
	struct event timer;
};

/* Takes at most one read.  True if there may be more at once. */
static bool take(struct hvlog *l)
{
	struct fmt_ctx c = { .conf = &l->cs->conf->fmt_hv };
	struct slot_in in = *slot_in(l->slot);
	char text[READ_MAX];
	uint8_t out[4 * READ_MAX];
	uint64_t next;
	size_t used, put, room = logsrc_room(l->src);
	int n;

	if (room < sizeof(out) / 2)
		return false; /* on_room() goes on */
	n = hvc_dmesg(l->h, in.place, text, sizeof(text), &next);
	if (n < 0)
		return false;
	if (n == 0) {
		if (next >= in.place)
			return false;
		in.place = next; /* another hvd, whose log begins anew */
		slot_put(l->slot, NULL, 0, &in);
		return true;
	}
	clock_gettime(CLOCK_REALTIME, &c.now);
	put = fmt_run(&c, &in.fmt, (const uint8_t *)text, (size_t)n, &used, out,
		      room < sizeof(out) ? room : sizeof(out));
	in.place = next - ((uint64_t)n - used);
	slot_put(l->slot, out, put, &in);
	logsrc_kick(l->src);
	return used != 0;
}

static void poll_now(struct hvlog *l)
{
	uint64_t t0 = clock_mono_ns();
	struct timeval tv = { POLL_MS / 1000, 0 };

	for (int i = 0; i < 4; i++)
		if (!take(l)) {
			/* The consoles wait while we ask: never more than a hundredth
			 * of the time, should the hypervisor be slow to answer. */
			tv.tv_sec += (time_t)((clock_mono_ns() - t0) / 10000000u);
			(void)evtimer_add(&l->timer, &tv);
			return;
		}
	tv = (struct timeval){ 0, 1000 }; /* much to read: others first */
	(void)evtimer_add(&l->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	poll_now(arg);
}

static void on_room(void *arg) {}

void hvlog_poke(struct hvlog *l)
{
	static const struct timeval soon = { 0, 10000 };
	struct timeval due, now;

	if (!l)
		return;
	(void)evutil_gettimeofday(&now, NULL);
	/* Not when the timer was set far off for a slow hypervisor. */
	if (!evtimer_pending(&l->timer, &due) || due.tv_sec - now.tv_sec <= POLL_MS / 1000)
		(void)evtimer_add(&l->timer, &soon);
}

int hvlog_new(struct conset *cs, struct logdir *logs, struct hvc *h, struct hvlog **ret)
{
	const struct slot_id id = { .domid = SLOT_HV };
	struct hvlog *l = sys_zalloc(sizeof(*l));
	bool adopt;
	int r = 0;

	if (!l)
		return -ENOMEM;
	l->cs = cs;
	l->h = h;
	l->slot = state_find(cs->state, &id);
	adopt = l->slot != NULL;
	if (!adopt)
		r = state_add(cs->state, &id, FILE_NAME, &l->slot);
	if (r == 0)
		r = logsrc_new(logs, l->slot, adopt, on_room, l, &l->src);
	if (r < 0) {
		free(l);
		return r;
	}
	(void)evtimer_assign(&l->timer, cs->base, on_timer, l);
	poll_now(l);
	*ret = l;
	return 0;
}

struct hvlog *hvlog_free(struct hvlog *l)
{
	if (!l)
		return NULL;
	evtimer_del(&l->timer);
	logsrc_drop(l->src);
	free(l);
	return NULL;
}

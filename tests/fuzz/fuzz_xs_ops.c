/* tests/fuzz/fuzz_xs_ops.c - any messages, by domain 0 and by a guest, leave a
 * store whose books are right.  Each message is led by a byte that says whose. */
#include <stdlib.h>
#include <string.h>

#include "daemons/log.h"
#include "tests/fake/xs_rig.h"
#include "xenstored/ops.h"

#define RUNS_PER_STORE 500

static bool harmless(const struct xs_msg *m)
{
	/* These may open files or end the process: they are domain 0's right. */
	return m->type != XS_CONTROL || m->len < 4 ||
	       (memcmp(m->body, "logf", 4) != 0 && memcmp(m->body, "live", 4) != 0);
}

static void feed(struct conn *const c[2], const uint8_t *p, size_t n)
{
	struct xs_msg m;

	while (n > 1) {
		struct conn *who = c[p[0] & 1];
		int used = xs_msg_decode(p + 1, n - 1, &m);

		if (used <= 0)
			return;
		if (harmless(&m) && op_dispatch(who, &m, 0, NULL) < 0)
			server_unpark(who);
		outbuf_drop(&who->out, who->out.len);
		p += 1 + used;
		n -= 1 + (size_t)used;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct rig r;
	static unsigned runs;
	struct conn *c[2];
	char *why = NULL;

	if (runs++ % RUNS_PER_STORE == 0) {
		log_init("fuzz", LOG_ERR_);
		if (runs > 1)
			rig_fini(&r);
		rig_init(&r, false);
		rig_start(&r);
	}
	c[0] = rig_conn(&r, 0);
	c[1] = rig_conn(&r, 1);
	feed(c, data, n);
	rig_conn_free(c[0]);
	rig_conn_free(c[1]);
	rig_turn(&r);
	if (server_check(&r.srv, &why) < 0 || why)
		abort();
	return 0;
}

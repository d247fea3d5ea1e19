/* tests/fuzz/fuzz_xs_state.c - a live update's stream, damaged in any way, is
 * refused or taken, and the server works on. */
#include <stdlib.h>

#include "daemons/log.h"
#include "tests/fake/xs_rig.h"
#include "xenstored/lu.h"
#include "xenstored/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct rig r;
	struct conn *c, *next;
	int lfd;

	if (!r.base) {
		log_init("fuzz", LOG_ERR_);
		rig_init(&r, false);
		rig_start(&r);
	}
	(void)lu_load(&r.srv, data, n, &lfd);
	for (c = TAILQ_FIRST(&r.srv.conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->sock)
			sock_close(c);
	}
	rig_turn(&r);
	return 0;
}

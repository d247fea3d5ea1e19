/* tests/fuzz/fuzz_xs_ring.c - whatever a guest puts into its page, the daemon
 * lives and another guest is served.  The input is written over the page in
 * pieces: two bytes of offset, one of length, the bytes; the daemon looks at
 * the page after each. */
#include <stdlib.h>
#include <string.h>

#include "daemons/log.h"
#include "tests/fake/xs_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct rig r;
	static struct conn *dom0;
	uint8_t *page;

	if (!dom0) {
		log_init("fuzz", LOG_ERR_);
		rig_init(&r, false);
		rig_start(&r);
		dom0 = rig_conn(&r, 0);
		if (RIG_ASK(dom0, XS_INTRODUCE, 0, "2\00077\0003\0") < 0)
			abort();
		rig_turn(&r);
	}
	page = (uint8_t *)(void *)r.dom[1].page;
	memset(page, 0, 4096);
	if (RIG_ASK(dom0, XS_INTRODUCE, 0, "1\00077\0003\0") < 0)
		abort();
	rig_turn(&r);
	while (n > 3) {
		size_t off = (data[0] | data[1] << 8) % sizeof(struct ring_page), len = data[2];

		data += 3;
		n -= 3;
		len = len < n ? len : n;
		len = len < sizeof(struct ring_page) - off ? len : sizeof(struct ring_page) - off;
		memcpy(page + off, data, len);
		data += len;
		n -= len;
		guest_kick(&r.dom[1]);
		rig_turn(&r);
	}
	if (guest_ask(&r, 2, XS_GET_DOMAIN_PATH, 0, "2", 2, NULL, NULL) < 0)
		abort();
	if (RIG_ASK(dom0, XS_RELEASE, 0, "1\0") < 0)
		abort();
	return 0;
}

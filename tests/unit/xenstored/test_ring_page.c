/* Our view of the shared page is the public header's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <xen/io/xs_wire.h>

#include "xenstored/ring_page.h"

#define SAME(field)                                         \
	assert_int_equal(offsetof(struct ring_page, field), \
			 offsetof(struct xenstore_domain_interface, field))

static void the_page_is_laid_out_as_in_the_public_header(void **state)
{
	SAME(req);
	SAME(rsp);
	SAME(req_cons);
	SAME(req_prod);
	SAME(rsp_cons);
	SAME(rsp_prod);
	SAME(server_features);
	SAME(connection);
	SAME(error);
	assert_int_equal(offsetof(struct ring_page, evtchn_port), 2076);
	assert_int_equal(RING_BYTES, XENSTORE_RING_SIZE);
	assert_int_equal(RING_CONNECTED, XENSTORE_CONNECTED);
	assert_int_equal(RING_RECONNECT, XENSTORE_RECONNECT);
	assert_int_equal(RING_ERROR_COMM, XENSTORE_ERROR_COMM);
	assert_int_equal(RING_ERROR_RINGIDX, XENSTORE_ERROR_RINGIDX);
	assert_int_equal(RING_ERROR_PROTO, XENSTORE_ERROR_PROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_is_laid_out_as_in_the_public_header),
	};

	return cmocka_run_group_tests_name("xenstored/ring_page", tests, NULL, NULL);
}

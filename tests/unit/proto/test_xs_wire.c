/* tests/unit/proto/test_xs_wire.c - XenStore messages, and the ways to break one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include <cmocka.h>

#include "proto/xs_wire.h"

static void an_oversized_payload_is_refused_before_it_arrives(void **state)
{
	uint8_t hdr[16] = { [12] = 0x01, [13] = 0x10 }; /* 4097 */
	struct xs_msg m;

	assert_int_equal(xs_msg_decode(hdr, sizeof(hdr), &m), -EBADMSG);
	hdr[12] = 0; /* 4096: legal, wait */
	assert_int_equal(xs_msg_decode(hdr, sizeof(hdr), &m), 0);
}

static void a_header_decodes_to_what_was_encoded(void **state)
{
	uint8_t b[XS_HDR_SIZE + 3] = { 0 };
	struct xs_msg m;

	xs_hdr_encode(b, XS_WRITE, 0x01020304, 0xfffffffe, 3);
	assert_int_equal(xs_msg_decode(b, sizeof(b) - 1, &m), 0);
	assert_int_equal(xs_msg_decode(b, sizeof(b), &m), (int)sizeof(b));
	assert_int_equal(m.type, XS_WRITE);
	assert_int_equal(m.req_id, 0x01020304);
	assert_int_equal(m.tx_id, 0xfffffffe);
	assert_int_equal(m.len, 3);
	assert_ptr_equal(m.body, b + XS_HDR_SIZE);
}

static void names_follow_the_public_table(void **state)
{
	assert_string_equal(xs_op_name(XS_INTRODUCE), "INTRODUCE");
	assert_string_equal(xs_op_name(27), "?");
	assert_string_equal(xs_errno_name(EAGAIN), "EAGAIN");
	assert_string_equal(xs_errno_name(EXDEV), "EINVAL");
	assert_int_equal(xs_errno_from_name("ENOSPC"), ENOSPC);
	assert_int_equal(xs_errno_from_name("EQUOTA"), EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_oversized_payload_is_refused_before_it_arrives),
		cmocka_unit_test(a_header_decodes_to_what_was_encoded),
		cmocka_unit_test(names_follow_the_public_table),
	};

	return cmocka_run_group_tests_name("proto/xs_wire", tests, NULL, NULL);
}

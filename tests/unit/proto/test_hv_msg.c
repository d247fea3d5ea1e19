/* tests/unit/proto/test_hv_msg.c - every control message there and back, cut, stretched and forged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/hv_msg.h"

static const uint16_t types[] = {
#define M(name, num) num,
	HV_MSGS(M)
#undef M
};
#define N_TYPES (sizeof(types) / sizeof(types[0]))

static uint32_t rnd_state = 12345;

static uint32_t rnd(void)
{
	rnd_state = rnd_state * 1664525u + 1013904223u;
	return rnd_state >> 8;
}

static void fill_u64s(uint64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v[i] = (uint64_t)rnd() << 32 | rnd();
}

static void fill_str(char *s, size_t max)
{
	size_t n = rnd() % max;

	memset(s, 0, max);
	for (size_t i = 0; i < n; i++)
		s[i] = (char)(1 + rnd() % 255);
}

/* Random contents for every field, driven by the same lists as the codec. */
static uint8_t blob[HV_BLOB_MAX];

#define FILL_U16(f, n)	 m->f = (uint16_t)rnd();
#define FILL_U32(f, n)	 m->f = rnd();
#define FILL_U64(f, n)	 fill_u64s(&m->f, 1);
#define FILL_BYTES(f, n) memset(m->f, (int)rnd(), n);
#define FILL_STR(f, n)	 fill_str(m->f, n);
#define FILL_U64S(f, n)               \
	m->f##_n = rnd() % ((n) + 1); \
	fill_u64s(m->f, m->f##_n);
#define FILL_BLOB(f, n)               \
	m->f##_n = rnd() % ((n) + 1); \
	m->f = blob;
#define FILL_INFO(f, n) fill_INFO(&m->f);
#define FILL_INFOS(f, n)                        \
	m->f##_n = rnd() % ((n) + 1);           \
	for (uint32_t i = 0; i < m->f##_n; i++) \
		fill_INFO(&m->f[i]);
#define FILL(kind, f, n) FILL_##kind(f, n)

static void fill_INFO(struct hv_INFO *m){ HV_FIELDS_INFO(FILL) }

#define M(name, num)                                 \
	static void fill_##name(struct hv_##name *m) \
	{                                            \
		HV_FIELDS_##name(FILL)               \
	}
HV_MSGS(M)
#undef M

	static void fill(struct hv_msg *m, uint16_t type)
{
	memset(m, 0, sizeof(*m));
	m->type = type;
	m->seq = rnd();
	m->status = -(int32_t)(rnd() % 4096);
	switch (type) {
#define M(name, num) \
	case num: fill_##name(&m->u.name); break;
		HV_MSGS(M)
#undef M
	}
}

static uint8_t bytes[HV_MSG_MAX], again[HV_MSG_MAX];
static struct hv_msg in, out;

static void every_message_survives_a_round_trip(void **state)
{
	for (size_t t = 0; t < N_TYPES; t++)
		for (int i = 0; i < 50; i++) {
			int n, n2;

			fill(&in, types[t]);
			n = hv_msg_encode(&in, bytes, sizeof(bytes));
			assert_true(n >= (int)HV_HDR_SIZE);
			assert_int_equal(hv_msg_decode(bytes, (size_t)n, &out), 0);
			assert_int_equal(out.type, in.type);
			assert_int_equal(out.seq, in.seq);
			assert_int_equal(out.status, in.status);
			/* Equal bytes from the decoded form: no field was lost. */
			n2 = hv_msg_encode(&out, again, sizeof(again));
			assert_int_equal(n2, n);
			assert_memory_equal(again, bytes, (size_t)n);
		}
}

static void every_truncation_and_every_longer_form_is_refused(void **state)
{
	for (size_t t = 0; t < N_TYPES; t++) {
		int n;

		do {
			fill(&in, types[t]);
			n = hv_msg_encode(&in, bytes, sizeof(bytes) - 1);
		} while (n > 3000);
		for (int cut = 0; cut < n; cut++)
			assert_int_equal(hv_msg_decode(bytes, (size_t)cut, &out), -EBADMSG);
		assert_int_equal(hv_msg_decode(bytes, (size_t)n + 1, &out), -EBADMSG);
		/* A body cut short whose header says so, too. */
		for (int cut = (int)HV_HDR_SIZE; cut < n; cut++) {
			uint32_t len = (uint32_t)cut - HV_HDR_SIZE;

			memcpy(bytes + 16, &len, 4);
			assert_int_equal(hv_msg_decode(bytes, (size_t)cut, &out), -EBADMSG);
		}
	}
}

static void a_failed_decode_leaves_the_output_alone(void **state)
{
	static struct hv_msg before;
	int n;

	fill(&in, HV_CREATE);
	n = hv_msg_encode(&in, bytes, sizeof(bytes));
	memset(&out, 0x5a, sizeof(out));
	before = out;
	assert_int_equal(hv_msg_decode(bytes, (size_t)n - 1, &out), -EBADMSG);
	assert_memory_equal(&out, &before, sizeof(out));
}

static void a_string_may_fill_its_array_but_not_pass_its_end(void **state)
{
	int n;

	memset(&in, 0, sizeof(in));
	in.type = HV_D_LOG;
	memset(in.u.D_LOG.text, 'x', HV_TEXT_MAX - 1);
	n = hv_msg_encode(&in, bytes, sizeof(bytes));
	assert_int_equal(n, HV_HDR_SIZE + 2 + HV_TEXT_MAX - 1);
	assert_int_equal(hv_msg_decode(bytes, (size_t)n, &out), 0);
	assert_int_equal(strlen(out.u.D_LOG.text), HV_TEXT_MAX - 1);

	in.u.D_LOG.text[HV_TEXT_MAX - 1] = 'x'; /* no end */
	assert_int_equal(hv_msg_encode(&in, bytes, sizeof(bytes)), -EMSGSIZE);

	bytes[HV_HDR_SIZE] = HV_TEXT_MAX & 0xff; /* one byte more than fits */
	bytes[HV_HDR_SIZE + 1] = HV_TEXT_MAX >> 8;
	bytes[16] = (HV_TEXT_MAX + 2) & 0xff;
	bytes[17] = (HV_TEXT_MAX + 2) >> 8;
	assert_int_equal(hv_msg_decode(bytes, HV_HDR_SIZE + 2 + HV_TEXT_MAX, &out), -EBADMSG);
}

static void a_string_with_a_zero_inside_is_refused(void **state)
{
	int n;

	memset(&in, 0, sizeof(in));
	in.type = HV_D_LOG;
	strcpy(in.u.D_LOG.text, "abc");
	n = hv_msg_encode(&in, bytes, sizeof(bytes));
	bytes[HV_HDR_SIZE + 3] = 0;
	assert_int_equal(hv_msg_decode(bytes, (size_t)n, &out), -EBADMSG);
}

static void counts_at_the_limit_work_and_one_past_it_does_not(void **state)
{
	int n;

	memset(&in, 0, sizeof(in));
	in.type = HV_DOMLIST_REPLY;
	in.u.DOMLIST_REPLY.items_n = HV_INFOS_MAX;
	n = hv_msg_encode(&in, bytes, sizeof(bytes));
	assert_true(n > 0);
	assert_int_equal(hv_msg_decode(bytes, (size_t)n, &out), 0);
	bytes[HV_HDR_SIZE]++;
	assert_int_equal(hv_msg_decode(bytes, (size_t)n, &out), -EBADMSG);
	in.u.DOMLIST_REPLY.items_n++;
	assert_int_equal(hv_msg_encode(&in, bytes, sizeof(bytes)), -EMSGSIZE);

	memset(&in, 0, sizeof(in));
	in.type = HV_DMESG_REPLY;
	in.u.DMESG_REPLY.text = blob;
	in.u.DMESG_REPLY.text_n = HV_BLOB_MAX;
	n = hv_msg_encode(&in, bytes, sizeof(bytes));
	assert_true(n > 0);
	assert_int_equal(hv_msg_decode(bytes, (size_t)n, &out), 0);
	in.u.DMESG_REPLY.text_n++;
	assert_int_equal(hv_msg_encode(&in, bytes, sizeof(bytes)), -EMSGSIZE);
}

static void foreign_headers_are_refused(void **state)
{
	static const struct {
		unsigned at;
		uint8_t val;
	} bad[] = { { 0, 0 }, { 4, 200 }, { 6, 1 }, { 15, 0x7f }, { 13, 0x80 }, { 19, 1 } };
	int n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&in, 0, sizeof(in));
		in.type = HV_OK;
		n = hv_msg_encode(&in, bytes, sizeof(bytes));
		assert_int_equal(hv_msg_decode(bytes, (size_t)n, &out), 0);
		bytes[bad[i].at] = bad[i].val;
		assert_int_equal(hv_msg_decode(bytes, (size_t)n, &out), -EBADMSG);
	}
}

static void an_encoder_never_writes_past_its_buffer(void **state)
{
	int n;

	fill(&in, HV_CREATE);
	n = hv_msg_encode(&in, bytes, sizeof(bytes));
	for (int room = 0; room < n; room++) {
		uint8_t *exact = malloc((size_t)room + 1);

		exact[room] = 0xee;
		assert_int_equal(hv_msg_encode(&in, exact, (size_t)room), -EMSGSIZE);
		assert_int_equal(exact[room], 0xee);
		free(exact);
	}
}

static void messages_in_a_row_are_read_one_by_one(void **state)
{
	size_t at = 0, end = 0;

	for (size_t t = 0; t < N_TYPES; t++) {
		int n;

		memset(&in, 0, sizeof(in));
		in.type = types[t];
		n = hv_msg_encode(&in, bytes + end, sizeof(bytes) - end);
		assert_true(n > 0);
		end += (size_t)n;
	}
	for (size_t t = 0; t < N_TYPES; t++) {
		int n = hv_msg_decode_next(bytes + at, end - at, &out);

		assert_true(n > 0);
		assert_int_equal(out.type, types[t]);
		at += (size_t)n;
	}
	assert_int_equal(at, end);
	assert_int_equal(hv_msg_decode_next(bytes + at, 0, &out), -EBADMSG);
}

static void names_follow_the_list(void **state)
{
	assert_string_equal(hv_msg_name(HV_PORT_BIND), "PORT_BIND");
	assert_string_equal(hv_msg_name(0), "?");
	assert_string_equal(hv_msg_name(HV_MSG_TYPES), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_survives_a_round_trip),
		cmocka_unit_test(every_truncation_and_every_longer_form_is_refused),
		cmocka_unit_test(a_failed_decode_leaves_the_output_alone),
		cmocka_unit_test(a_string_may_fill_its_array_but_not_pass_its_end),
		cmocka_unit_test(a_string_with_a_zero_inside_is_refused),
		cmocka_unit_test(counts_at_the_limit_work_and_one_past_it_does_not),
		cmocka_unit_test(foreign_headers_are_refused),
		cmocka_unit_test(an_encoder_never_writes_past_its_buffer),
		cmocka_unit_test(messages_in_a_row_are_read_one_by_one),
		cmocka_unit_test(names_follow_the_list),
	};

	return cmocka_run_group_tests_name("hv_msg", tests, NULL, NULL);
}

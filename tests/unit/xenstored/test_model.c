/* The store against a naive model: a list of paths, copied whole for each
 * transaction.  Thousands of random operations by several domains, with
 * permissions and transactions, must get the same answers from both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/xs_rig.h"

#define NODES 400
#define CONNS 4
#define LOG   64
#define STEPS 60000

struct mnode {
	char path[40];
	char val[16];
	char perms[24]; /* letters and domids, in pairs: "n0r2" */
	unsigned long seq;
};
struct model {
	struct mnode n[NODES];
	int count;
	unsigned long seq;
};
struct mlog {
	uint32_t type;
	char path[40], data[24];
	size_t len;
	char answer[5000];
	size_t alen;
};
struct mtxn {
	bool open, failed;
	uint32_t id;
	struct model m;
	struct mlog log[LOG];
	int n;
	bool writes;
};
struct actor {
	struct conn *c;
	int domid;
	struct mtxn t;
};

static unsigned long seed = 1;
static unsigned rnd(unsigned n)
{
	seed = seed * 6364136223846793005ul + 1442695040888963407ul;
	return (unsigned)(seed >> 33) % n;
}

static struct mnode *mfind(struct model *m, const char *path)
{
	for (int i = 0; i < m->count; i++)
		if (strcmp(m->n[i].path, path) == 0)
			return &m->n[i];
	return NULL;
}

static void mparent(const char *path, char *out)
{
	char *slash;

	strcpy(out, path);
	slash = strrchr(out, '/');
	slash[slash == out] = '\0';
}

static int mbits(char letter)
{
	return letter == 'n' ? 0 : letter == 'r' ? 1 : letter == 'w' ? 2 : 3;
}

static int mperms(const struct mnode *n, int domid)
{
	if (domid == 0 || n->perms[1] - '0' == domid)
		return 3;
	for (size_t i = 2; i < strlen(n->perms); i += 2)
		if (n->perms[i + 1] - '0' == domid)
			return mbits(n->perms[i]);
	return mbits(n->perms[0]);
}

/* 0 and the node, -ENOENT or -EACCES as the nearest existing ancestor says. */
static int mget(struct model *m, const char *path, int domid, int need, struct mnode **ret)
{
	char at[40];

	strcpy(at, path);
	while (!(*ret = mfind(m, at))) {
		char up[40];

		mparent(at, up);
		strcpy(at, up);
	}
	if ((mperms(*ret, domid) & need) != need)
		return -EACCES;
	return strcmp(at, path) == 0 ? 0 : -ENOENT;
}

static void mcreate(struct model *m, const char *path, int domid)
{
	char up[40];
	struct mnode *p, *n;

	mparent(path, up);
	if (!mfind(m, up))
		mcreate(m, up, domid);
	p = mfind(m, up);
	assert_true(m->count < NODES);
	n = &m->n[m->count++];
	memset(n, 0, sizeof(*n));
	strcpy(n->path, path);
	strcpy(n->perms, p->perms);
	if (domid)
		n->perms[1] = (char)('0' + domid);
	n->seq = ++m->seq;
}

static bool below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static int mrm(struct model *m, const char *path, int domid)
{
	struct mnode *n;
	char up[40];
	int r = mget(m, path, domid, 2, &n), out = 0;

	mparent(path, up);
	if (r == -ENOENT)
		return mfind(m, up) ? 0 : -ENOENT;
	if (r < 0)
		return r;
	for (int i = 0; i < m->count; i++)
		if (!below(m->n[i].path, path))
			m->n[out++] = m->n[i];
	m->count = out;
	return 0;
}

static int by_mseq(const void *x, const void *y)
{
	const struct mnode *const *a = x, *const *b = y;

	return (*a)->seq < (*b)->seq ? -1 : 1;
}

static void mlist(struct model *m, const char *path, char *out, size_t *ret)
{
	struct mnode *kids[NODES];
	char up[40];
	int k = 0;
	size_t at = 0;

	for (int i = 0; i < m->count; i++) {
		if (strcmp(m->n[i].path, "/") == 0)
			continue;
		mparent(m->n[i].path, up);
		if (strcmp(up, path) == 0)
			kids[k++] = &m->n[i];
	}
	qsort(kids, (size_t)k, sizeof(kids[0]), by_mseq);
	for (int i = 0; i < k; i++) {
		strcpy(out + at, strrchr(kids[i]->path, '/') + 1);
		at += strlen(out + at) + 1;
	}
	*ret = at;
}

static int mset_perms(struct model *m, const char *path, const char *data, size_t n, int domid)
{
	struct mnode *node;
	char p[24] = "";
	int r = mget(m, path, domid, 2, &node);

	for (size_t at = 0; at < n; at += strlen(data + at) + 1)
		strcat(p, data + at);
	if (r < 0)
		return r;
	if (domid && node->perms[1] - '0' != domid)
		return -EACCES;
	if (domid && p[1] - '0' != domid)
		return -EPERM;
	strcpy(node->perms, p);
	return 0;
}

/* One operation on the model; the answer as the wire has it, errors as "!n". */
static void mdo(struct model *m, int domid, uint32_t type, const char *path, const char *data,
		size_t len, char *out, size_t *ret)
{
	struct mnode *n = NULL;
	int r = 0;

	*ret = 0;
	switch (type) {
	case XS_READ:
	case XS_DIRECTORY:
	case XS_GET_PERMS: r = mget(m, path, domid, 1, &n); break;
	case XS_WRITE:
	case XS_MKDIR:
		r = mget(m, path, domid, 2, &n);
		if (r == -ENOENT) {
			mcreate(m, path, domid);
			n = mfind(m, path);
			r = 0;
		}
		if (r == 0 && type == XS_WRITE) {
			memset(n->val, 0, sizeof(n->val));
			memcpy(n->val, data, len);
		}
		break;
	case XS_RM: r = strcmp(path, "/") ? mrm(m, path, domid) : domid ? -EACCES : -EINVAL; break;
	default: r = mset_perms(m, path, data, len, domid);
	}
	if (r < 0) {
		*ret = (size_t)sprintf(out, "!%d", r);
	} else if (type == XS_READ) {
		*ret = strlen(n->val);
		memcpy(out, n->val, *ret);
	} else if (type == XS_DIRECTORY) {
		mlist(m, path, out, ret);
	} else if (type == XS_GET_PERMS) {
		for (size_t i = 0; i < strlen(n->perms); i += 2)
			*ret += (size_t)sprintf(out + *ret, "%c%c", n->perms[i], n->perms[i + 1]) +
				1;
	} else {
		memcpy(out, "OK", 3);
		*ret = 3;
	}
}

static void random_op(uint32_t *type, char *path, char *data, size_t *len)
{
	static const uint32_t types[] = { XS_READ,  XS_READ,	 XS_DIRECTORY, XS_GET_PERMS,
					  XS_WRITE, XS_WRITE,	 XS_WRITE,     XS_MKDIR,
					  XS_RM,    XS_SET_PERMS };
	int depth = 1 + (int)rnd(3);

	*type = types[rnd(10)];
	if (*type == XS_RM && rnd(3))
		*type = XS_WRITE;
	*path = '\0';
	for (int i = 0; i < depth; i++)
		sprintf(path + strlen(path), "/%c%u", "abx"[rnd(3)], rnd(3));
	*len = 0;
	if (*type == XS_WRITE)
		*len = (size_t)sprintf(data, "v%u", rnd(1000));
	if (*type == XS_SET_PERMS) {
		int n = 1 + (int)rnd(3);

		for (int i = 0; i < n; i++)
			*len += (size_t)sprintf(data + *len, "%c%u", "nrwb"[rnd(4)], rnd(CONNS)) +
				1;
	}
}

static void ask_real(struct actor *a, uint32_t type, uint32_t tx, const char *path,
		     const char *data, size_t len, char *out, size_t *ret)
{
	char body[100], got[5000];
	size_t n = strlen(path) + 1, gn;
	int r;

	memcpy(body, path, n);
	memcpy(body + n, data, len);
	r = rig_ask(a->c, type, tx, body, n + len, got, &gn);
	if (r < 0) {
		*ret = (size_t)sprintf(out, "!%d", r);
		return;
	}
	memcpy(out, got, gn);
	*ret = gn;
}

static void must_agree(const struct actor *a, uint32_t type, const char *path, const char *real,
		       size_t rn, const char *want, size_t wn)
{
	if (rn == wn && memcmp(real, want, rn) == 0)
		return;
	fail_msg("domain %d %s %s: got %zu bytes '%.*s', the model says %zu '%.*s'", a->domid,
		 xs_op_name(type), path, rn, (int)rn, real, wn, (int)wn, want);
}

static void end_txn(struct actor *a, struct model *m)
{
	static struct model trial;
	bool same = true;
	char out[5000];
	size_t n;
	int r = RIG_ASK(a->c, XS_TRANSACTION_END, a->t.id, "T\0");

	a->t.open = false;
	trial = *m;
	for (int i = 0; i < a->t.n && same; i++) {
		struct mlog *l = &a->t.log[i];

		mdo(&trial, a->domid, l->type, l->path, l->data, l->len, out, &n);
		same = n == l->alen && memcmp(out, l->answer, n) == 0;
	}
	if (!a->t.writes)
		assert_int_equal(r, 0);
	else
		assert_int_equal(r, same ? 0 : -EAGAIN);
	if (r == 0 && a->t.writes)
		*m = trial;
}

static void step(struct actor *a, struct model *m)
{
	char path[40], data[24], real[5000], want[5000];
	struct model *on = m;
	size_t len, rn, wn;
	uint32_t type;

	if (!a->t.open && rnd(12) == 0) {
		assert_int_equal(rig_ask(a->c, XS_TRANSACTION_START, 0, "", 1, real, &rn), 0);
		a->t.open = true;
		a->t.id = (uint32_t)atoi(real);
		a->t.n = 0;
		a->t.writes = false;
		return;
	}
	if (a->t.open && (a->t.n == LOG || rnd(10) == 0)) {
		end_txn(a, m);
		return;
	}
	random_op(&type, path, data, &len);
	if (a->t.open && rnd(5)) {
		on = &a->t.m;
		if (a->t.n == 0)
			*on = *m; /* it starts with its first operation */
	}
	ask_real(a, type, on == m ? 0 : a->t.id, path, data, len, real, &rn);
	mdo(on, a->domid, type, path, data, len, want, &wn);
	must_agree(a, type, path, real, rn, want, wn);
	if (on != m) {
		struct mlog *l = &a->t.log[a->t.n++];

		l->type = type;
		strcpy(l->path, path);
		memcpy(l->data, data, len);
		l->len = len;
		memcpy(l->answer, want, wn);
		l->alen = wn;
		a->t.writes |= type != XS_READ && type != XS_DIRECTORY && type != XS_GET_PERMS;
	}
}

static void the_store_answers_as_the_model_does(void **state)
{
	static struct actor a[CONNS];
	static struct model m;
	struct rig r;
	char *why = NULL;
	size_t idle;

	rig_init(&r, false);
	rig_start(&r);
	idle = r.srv.store.a.live;
	m.count = 1;
	strcpy(m.n[0].path, "/");
	strcpy(m.n[0].perms, "b0");
	for (int i = 0; i < CONNS; i++) {
		a[i].domid = i;
		a[i].c = rig_conn(&r, (uint16_t)i);
	}
	assert_int_equal(RIG_ASK(a[0].c, XS_SET_PERMS, 0, "/\0b0\0"), 0);
	assert_int_equal(RIG_ASK(a[0].c, XS_RM, 0, "/tool\0"), 0);
	for (int i = 0; i < STEPS; i++) {
		step(&a[rnd(CONNS)], &m);
		if (i % 1000 == 0) {
			assert_int_equal(server_check(&r.srv, &why), 0);
			if (why)
				fail_msg("%s", why);
		}
	}
	for (int i = 0; i < CONNS; i++)
		rig_conn_free(a[i].c);
	for (char c = 0; c < 9; c++) {
		char body[] = { '/', "abx"[c / 3], (char)('0' + c % 3), 0 };
		struct conn *d0 = rig_conn(&r, 0);

		rig_ask(d0, XS_RM, 0, body, sizeof(body), NULL, NULL);
		rig_conn_free(d0);
	}
	while (node_reap(&r.srv.store.a, 1000))
		;
	/* Only the two nodes of /tool are less than in the beginning. */
	assert_in_range(r.srv.store.a.live, idle - 200, idle + 100);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_store_answers_as_the_model_does),
	};

	return cmocka_run_group_tests_name("xenstored/model", tests, NULL, NULL);
}

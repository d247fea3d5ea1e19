/* xenstored/store.c - opening, recovering and committing the state.
 *
 * The arena's root area holds two descriptions of the state and a word that
 * says which one counts.  A commit fills in the other one and then stores the
 * word; a process that is killed between the two leaves the old state.  (The
 * kernel and any later process see this process's stores in program order.)
 */
#include "xenstored/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemons/sys.h"
#include "xenstored/perms.h"

#define STORE_VERSION 1u
#define STORE_MAX     ((size_t)16 << 30)
#define META_ROOM     (64u << 10)

struct state {
	aref root, meta;
	uint64_t gen;
	uint32_t last_domid, last_seq;
};

struct root_area {
	uint32_t version; /* 0: nothing was committed yet */
	uint32_t current; /* which of s[] */
	uint64_t key[2];
	struct state s[2];
};
_Static_assert(sizeof(struct root_area) <= ARENA_ROOT_SIZE, "fits the arena's root area");

static int make_empty(struct store *st)
{
	static const struct perm root_perms[] = { { .domid = 0, .bits = 0 } };
	static const struct perm release_perms[] = { { .domid = 0, .bits = 0 },
						     { .domid = XS_DOMID_ANY, .bits = PERM_READ } };
	struct tree t = store_tree(st), m = store_meta(st);
	aref p, any;
	int r;

	if (getrandom(st->key, sizeof(st->key), 0) != sizeof(st->key))
		return -EIO;
	edit_init(&st->e, &st->a, st->key, true);
	p = perms_new(&st->e, root_perms, 1);
	any = p ? perms_new(&st->e, release_perms, 2) : 0;
	st->root = any ? node_new(&st->e, "", 0, p, ++st->gen) : 0;
	st->meta = st->root ? node_new(&st->e, "", 0, p, ++st->gen) : 0;
	if (!st->meta)
		return -ENOMEM;
	r = tree_add(&t, "/tool", 5, p, NULL, 0);
	if (r == 0)
		r = tree_add(&t, "/tool/xenstored", 15, p, NULL, 0);
	if (r == 0)
		r = tree_add(&m, "/@introduceDomain", 17, p, NULL, 0);
	if (r == 0)
		r = tree_add(&m, "/@releaseDomain", 15, any, NULL, 0);
	if (r == 0)
		r = tree_add(&m, "/d", 2, p, NULL, 0);
	if (r == 0)
		r = tree_add(&m, "/q", 2, p, NULL, 0);
	if (r < 0)
		return r;
	perms_ptr(&st->a, p)->refs--; /* ours; the nodes have theirs */
	perms_ptr(&st->a, any)->refs--;
	store_commit(st, 0, 0);
	return 0;
}

static void show_first(const struct store *st, void (*f)(void *arg, const struct node *n),
		       void *arg)
{
	static const char *const paths[] = { "/", "/tool", "/tool/xenstored" };
	aref n;

	for (size_t i = 0; f && i < sizeof(paths) / sizeof(paths[0]); i++)
		if (store_find(st, paths[i], strlen(paths[i]), &n) == 0)
			f(arg, node_ptr(&st->a, n));
}

static int recover(struct store *st, void (*f)(void *arg, const struct node *n), void *arg)
{
	const struct root_area *ra = arena_root(&st->a);
	const struct state *s = &ra->s[ra->current & 1];
	int r;

	if (ra->version != STORE_VERSION)
		return -EBADMSG;
	memcpy(st->key, ra->key, sizeof(st->key));
	edit_init(&st->e, &st->a, st->key, true);
	st->root = st->was_root = s->root;
	st->meta = st->was_meta = s->meta;
	st->gen = s->gen;
	st->last_domid = s->last_domid;
	st->last_seq = s->last_seq;
	r = node_recover(&st->a, st->root, f, arg);
	if (r == 0)
		r = node_recover(&st->a, st->meta, NULL, NULL);
	if (r == 0)
		arena_sweep(&st->a);
	return r;
}

int store_open(struct store *st, const char *path, void (*f)(void *arg, const struct node *n),
	       void *arg, bool *ret_old)
{
	bool old = false;
	int fd = -1, r;

	*st = (struct store){ .a.fd = -1 };
	if (path) {
		fd = sys_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
		if (fd < 0)
			return fd;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			close(fd);
			return -EBUSY;
		}
	}
	r = arena_init(&st->a, fd, STORE_MAX, &old);
	/* A file that was made but never committed to is an empty one. */
	if (r == 0 && old && ((struct root_area *)arena_root(&st->a))->version == 0) {
		arena_sweep(&st->a);
		old = false;
	}
	if (r == 0)
		r = old ? recover(st, f, arg) : make_empty(st);
	if (r == 0 && !old)
		show_first(st, f, arg);
	if (r < 0) {
		store_close(st);
		return r;
	}
	*ret_old = old;
	return 0;
}

void store_close(struct store *st)
{
	if (st->e.a)
		edit_fini(&st->e);
	arena_fini(&st->a);
	*st = (struct store){ .a.fd = -1 };
}

int store_reserve(struct store *st, size_t bytes)
{
	return arena_reserve(&st->a, bytes);
}

void store_commit(struct store *st, uint32_t domid, uint32_t seq)
{
	struct root_area *ra = arena_root(&st->a);
	uint32_t other = !(ra->current & 1);

	ra->s[other] = (struct state){ .root = st->root,
				       .meta = st->meta,
				       .gen = st->gen,
				       .last_domid = domid,
				       .last_seq = seq };
	if (ra->version == 0)
		memcpy(ra->key, st->key, sizeof(ra->key));
	__atomic_store_n(&ra->current, other, __ATOMIC_SEQ_CST);
	if (ra->version == 0)
		__atomic_store_n(&ra->version, STORE_VERSION, __ATOMIC_SEQ_CST);
	st->was_root = st->root;
	st->was_meta = st->meta;
	st->last_domid = domid;
	st->last_seq = seq;
	edit_commit(&st->e);
}

void store_abort(struct store *st)
{
	edit_fini(&st->e);
	st->root = st->was_root;
	st->meta = st->was_meta;
}

int meta_set(struct store *st, const char *path, const void *val, size_t n)
{
	struct tree t = store_meta(st);
	size_t len = strlen(path), covered;
	int r;

	r = store_reserve(st, META_ROOM);
	while (r == 0) {
		aref at = tree_deepest(&st->a, st->key, st->meta, path, len, &covered);
		const char *end;

		if (covered == len)
			return tree_set_value(&t, path, len, val, n);
		end = memchr(path + covered + 1, '/', len - covered - 1);
		if (!end)
			return tree_add(&t, path, len, node_ptr(&st->a, at)->perms, val, n);
		r = tree_add(&t, path, (size_t)(end - path), node_ptr(&st->a, at)->perms, NULL, 0);
	}
	return r;
}

int meta_del(struct store *st, const char *path)
{
	struct tree t = store_meta(st);
	int r = store_reserve(st, META_ROOM);

	if (r == 0)
		r = tree_del(&t, path, strlen(path));
	return r == -ENOENT ? 0 : r;
}

int meta_find(const struct store *st, const char *path, const struct node **ret)
{
	aref n;
	int r = tree_find(&st->a, st->key, st->meta, path, strlen(path), &n);

	if (r == 0)
		*ret = node_ptr(&st->a, n);
	return r;
}

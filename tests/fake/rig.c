/* tests/fake/rig.c - see rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fake/rig.h"

#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consoled/journal.h"
#include "consoled/pty.h"
#include "daemons/clock.h"
#include "daemons/log.h"
#include "hv/client/hvc.h"

#define LIMIT_NS 20000000000ull

void rig_init(struct rig *r, const char *const *args)
{
	char *argv[16] = { "consoled" }, log_dir[64], err[256];
	int argc = 1;

	*r = (struct rig){ .dir = "/tmp/consoled.XXXXXX" };
	signal(SIGPIPE, SIG_IGN);
	log_init("test", LOG_ERR_);
	assert_non_null(mkdtemp(r->dir));
	snprintf(log_dir, sizeof(log_dir), "--log-dir=%s/logs", r->dir);
	argv[argc++] = log_dir;
	while (args && *args)
		argv[argc++] = (char *)*args++;
	err[0] = '\0';
	if (conf_parse(&r->conf, argc, argv, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	rig_start(r);
}

void rig_start(struct rig *r)
{
	const struct logdir_conf lc = { .path = r->conf.log_dir,
					.max_size = r->conf.log_size,
					.keep = (unsigned)r->conf.log_files,
					.compress = r->conf.compress,
					.max_open = (unsigned)r->conf.log_fds };
	char path[64];

	r->base = event_base_new();
	assert_non_null(r->base);
	conset_init(&r->cs, r->base);
	r->cs.conf = &r->conf;
	snprintf(path, sizeof(path), "%s/state", r->dir);
	assert_int_equal(state_open(path, &r->cs.state), 0);
	assert_int_equal(pool_new(r->base, !r->sync, &r->pool), 0);
	assert_int_equal(logdir_new(r->base, r->pool, &lc, &r->logs), 0);
	if (r->conf.log_guest)
		r->cs.logs = r->logs;
	if (r->conf.pty)
		assert_int_equal(ptys_new(r->base, &r->cs.ptys), 0);
	if (r->conf.journal)
		assert_int_equal(journal_new(NULL, &r->cs.journal), 0);
}

void rig_stop(struct rig *r)
{
	pool_free(r->pool);
	conset_fini(&r->cs);
	logdir_free(r->logs);
	ptys_free(r->cs.ptys);
	journal_free(r->cs.journal);
	state_close(r->cs.state);
	event_base_free(r->base);
}

void rig_fini(struct rig *r)
{
	char cmd[64];

	rig_stop(r);
	conf_fini(&r->conf);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", r->dir);
	assert_int_equal(system(cmd), 0);
}

static void release(void *arg, void *page) {}

struct console *rig_console(struct rig *r, uint16_t domid, const char *name, struct fake_guest *g)
{
	const struct slot_id id = { .domid = domid, .born_ns = 1 };
	struct console *con;
	struct con_link l = { .release = release };

	assert_int_equal(console_new(&r->cs, &id, name, &con), 0);
	l.page = g->ring;
	l.port = fake_port(g, &r->closed);
	assert_int_equal(console_connect(con, &l), 0);
	return con;
}

void rig_until(struct rig *r, bool (*cond)(void *arg), void *arg)
{
	uint64_t stop = clock_mono_ns() + LIMIT_NS;
	struct timeval tick = { 0, 1000 };

	while (!cond(arg)) {
		assert_true(clock_mono_ns() < stop);
		(void)event_base_loopexit(r->base, &tick);
		(void)event_base_dispatch(r->base);
	}
}

void rig_spin(struct rig *r, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	(void)event_base_loopexit(r->base, &tv);
	(void)event_base_dispatch(r->base);
}

static bool idle(void *arg)
{
	return logdir_idle(((struct rig *)arg)->logs);
}

void rig_idle(struct rig *r)
{
	rig_spin(r, 1);
	rig_until(r, idle, r);
}

static bool drained(void *arg)
{
	struct fake_guest *g = arg;

	return g->ring->out_cons == g->ring->out_prod;
}

void rig_print(struct rig *r, struct fake_guest *g, const void *p, size_t n)
{
	const char *s = p;

	while (n) {
		size_t k = fake_guest_put(g, s, n);

		s += k;
		n -= k;
		fake_guest_kick(g);
		rig_until(r, drained, g);
	}
	rig_idle(r);
}

char *rig_file(struct rig *r, const char *name, size_t *ret_n)
{
	char path[512], *buf;
	struct stat sb;
	int fd;

	snprintf(path, sizeof(path), "%s/logs/%s", r->dir, name);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	assert_int_equal(fstat(fd, &sb), 0);
	buf = calloc(1, (size_t)sb.st_size + 1);
	assert_non_null(buf);
	assert_int_equal(read(fd, buf, (size_t)sb.st_size), sb.st_size);
	close(fd);
	if (ret_n)
		*ret_n = (size_t)sb.st_size;
	return buf;
}

unsigned rig_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

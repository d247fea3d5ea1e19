/* tests/fake/guest.c - see guest.h. */
#include "tests/fake/guest.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/client/provider.h"

int fake_guest_init(struct fake_guest *g)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	g->ring = p;
	g->notify = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	g->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return g->notify < 0 || g->kick < 0 ? -errno : 0;
}

void fake_guest_fini(struct fake_guest *g)
{
	munmap(g->ring, 4096);
	close(g->notify);
	close(g->kick);
}

size_t fake_guest_put(struct fake_guest *g, const void *p, size_t n)
{
	uint32_t prod = g->ring->out_prod;
	uint32_t room = 2048 - (prod - __atomic_load_n(&g->ring->out_cons, __ATOMIC_ACQUIRE));
	const char *s = p;

	if (n > room)
		n = room;
	for (size_t i = 0; i < n; i++)
		g->ring->out[(prod + i) % 2048] = s[i];
	__atomic_store_n(&g->ring->out_prod, prod + (uint32_t)n, __ATOMIC_RELEASE);
	return n;
}

size_t fake_guest_get(struct fake_guest *g, void *p, size_t n)
{
	uint32_t cons = g->ring->in_cons;
	uint32_t have = __atomic_load_n(&g->ring->in_prod, __ATOMIC_ACQUIRE) - cons;
	char *s = p;

	if (n > have)
		n = have;
	for (size_t i = 0; i < n; i++)
		s[i] = g->ring->in[(cons + i) % 1024];
	__atomic_store_n(&g->ring->in_cons, cons + (uint32_t)n, __ATOMIC_RELEASE);
	return n;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static void drain_fd(int fd)
{
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
}

void fake_guest_kick(struct fake_guest *g)
{
	signal_fd(g->notify);
}

bool fake_guest_wait(struct fake_guest *g, int ms)
{
	struct pollfd p = { .fd = g->kick, .events = POLLIN };

	if (poll(&p, 1, ms) <= 0)
		return false;
	drain_fd(g->kick);
	return true;
}

struct port {
	struct hvc_port base;
	struct fake_guest *g;
	unsigned *closed;
};

static struct hvc_port *port_close(struct hvc_port *p)
{
	struct port *fp = (struct port *)p;

	if (fp->closed)
		(*fp->closed)++;
	free(fp);
	return NULL;
}

static int port_fd(const struct hvc_port *p)
{
	return ((const struct port *)p)->g->notify;
}

static void port_ack(struct hvc_port *p)
{
	drain_fd(((struct port *)p)->g->notify);
}

static void port_notify(struct hvc_port *p)
{
	signal_fd(((struct port *)p)->g->kick);
}

struct hvc_port *fake_port(struct fake_guest *g, unsigned *closed)
{
	static const struct hvc_port_ops ops = { .close = port_close,
						 .leave = port_close,
						 .fd = port_fd,
						 .ack = port_ack,
						 .notify = port_notify };
	struct port *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->base.ops = &ops;
	p->g = g;
	p->closed = closed;
	return &p->base;
}

/* tests/unit/hv/client/test_xen.c - the provider for a real Xen, on libraries
 * that are played here: no such host is at hand when tests run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include "daemons/sys.h"
#include "hv/client/domctl.h"
#include "hv/client/provider.h"

/* ---- a Xen of a few lines ---- */

#define FAKE_DOMS 600

static struct {
	xc_domaininfo_t doms[FAKE_DOMS];
	unsigned n;
	int handles, mappings; /* open now */
	bool virq_taken;
	unsigned notified;
	bool page_error;
} fake;

struct xenevtchn_handle {
	int fd;
	evtchn_port_t port;
};

static uint8_t page[4096];
static struct xenevtchn_handle *virq_handle, *port_handle;

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
				unsigned open_flags)
{
	fake.handles++;
	return (xc_interface *)&fake;
}

int xc_interface_close(xc_interface *xch)
{
	fake.handles--;
	return 0;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int max,
			  xc_domaininfo_t *info)
{
	unsigned n = 0;

	for (unsigned i = 0; i < fake.n && n < max; i++)
		if (fake.doms[i].domain >= first)
			info[n++] = fake.doms[i];
	return (int)n;
}

xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned flags)
{
	fake.handles++;
	return (xenforeignmemory_handle *)&fake;
}

int xenforeignmemory_close(xenforeignmemory_handle *h)
{
	fake.handles--;
	return 0;
}

void *xenforeignmemory_map(xenforeignmemory_handle *h, uint32_t dom, int prot, size_t pages,
			   const xen_pfn_t arr[], int err[])
{
	assert_int_equal(pages, 1);
	assert_int_equal(prot, PROT_READ | PROT_WRITE);
	err[0] = fake.page_error ? -EINVAL : 0;
	fake.mappings++;
	return page;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *h, void *addr, size_t pages)
{
	assert_ptr_equal(addr, page);
	fake.mappings--;
	return 0;
}

xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned flags)
{
	struct xenevtchn_handle *h = calloc(1, sizeof(*h));

	h->fd = eventfd(0, EFD_SEMAPHORE);
	fake.handles++;
	return h;
}

int xenevtchn_close(xenevtchn_handle *h)
{
	close(h->fd);
	free(h);
	fake.handles--;
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *h)
{
	return h->fd;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *h, unsigned int virq)
{
	assert_int_equal(virq, VIRQ_DOM_EXC);
	if (fake.virq_taken) {
		errno = EEXIST;
		return -1;
	}
	virq_handle = h;
	return 5;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t domid,
						     evtchn_port_t remote)
{
	if (remote == 99) {
		errno = EINVAL;
		return -1;
	}
	port_handle = h;
	h->port = 7;
	(void)!write(h->fd, &(uint64_t){ 1 }, 8); /* Xen: pending when bound */
	return 7;
}

int xenevtchn_unbind(xenevtchn_handle *h, evtchn_port_t port)
{
	assert_int_equal(port, 7);
	return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *h)
{
	uint64_t n;

	return read(h->fd, &n, sizeof(n)) == sizeof(n) ? (int)h->port : -1;
}

int xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port)
{
	return 0;
}

int xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port)
{
	assert_int_equal(port, 7);
	fake.notified++;
	return 0;
}

xengnttab_handle *xengnttab_open(xentoollog_logger *logger, unsigned flags)
{
	fake.handles++;
	return (xengnttab_handle *)&fake;
}

int xengnttab_close(xengnttab_handle *h)
{
	fake.handles--;
	return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *h, uint32_t domid, uint32_t ref, int prot)
{
	if (ref == 8 && (prot & PROT_WRITE))
		return NULL; /* a read-only grant */
	fake.mappings++;
	return page;
}

int xengnttab_unmap(xengnttab_handle *h, void *addr, uint32_t count)
{
	fake.mappings--;
	return 0;
}

int xc_readconsolering(xc_interface *xch, char *buffer, unsigned int *pnr_chars, int clear,
		       int incremental, uint32_t *pindex)
{
	unsigned n = *pnr_chars < 5 ? *pnr_chars : 5;

	assert_int_equal(clear, 0);
	assert_int_equal(incremental, 1);
	memcpy(buffer, "12345", n);
	*pnr_chars = n;
	*pindex += n;
	return 0;
}

static void add_dom(uint16_t domid, uint32_t flags, uint8_t uuid)
{
	xc_domaininfo_t *d = &fake.doms[fake.n++];

	*d = (xc_domaininfo_t){
		.domain = domid, .flags = flags, .tot_pages = 10, .max_vcpu_id = 1
	};
	d->handle[0] = uuid;
}

/* ---- tests ---- */

static int setup(void **state)
{
	memset(&fake, 0, sizeof(fake));
	add_dom(0, XEN_DOMINF_running, 0);
	return xen_open((struct hvc **)state);
}

static int teardown(void **state)
{
	hvc_close(*state);
	assert_int_equal(fake.handles, 0);
	assert_int_equal(fake.mappings, 0);
	return 0;
}

static void flags_and_reasons_are_translated(void **state)
{
	struct hvc_dominfo d, e;

	add_dom(3, XEN_DOMINF_paused | XEN_DOMINF_shutdown | 3u << XEN_DOMINF_shutdownshift, 9);
	assert_int_equal(hvc_dominfo(*state, 3, &d), 0);
	assert_int_equal(d.flags, HVC_DOM_PAUSED | HVC_DOM_SHUTDOWN);
	assert_int_equal(d.shutdown_reason, 3);
	assert_int_equal(d.max_vcpus, 2);
	assert_int_equal(d.uuid[0], 9);
	assert_string_equal(d.engine, "xen");
	assert_int_equal(hvc_dominfo(*state, 2, &d), -ESRCH);
	assert_int_equal(hvc_dominfo(*state, 4, &d), -ESRCH);
	/* The same number with another handle is seen to be another domain. */
	assert_int_equal(hvc_dominfo(*state, 3, &d), 0);
	fake.doms[1].handle[0] = 10;
	assert_int_equal(hvc_dominfo(*state, 3, &e), 0);
	assert_true(d.created_ns != e.created_ns);
}

static void a_long_list_comes_in_batches_without_gaps(void **state)
{
	struct hvc_dominfo all[FAKE_DOMS];

	for (uint16_t i = 1; i < FAKE_DOMS; i++)
		add_dom((uint16_t)(i * 3), XEN_DOMINF_blocked, 1);
	assert_int_equal(hvc_domlist(*state, 0, all, FAKE_DOMS), FAKE_DOMS);
	for (int i = 0; i < FAKE_DOMS; i++)
		assert_int_equal(all[i].domid, i * 3);
	assert_int_equal(hvc_domlist(*state, 4, all, 2), 2);
	assert_int_equal(all[0].domid, 6);
}

static void the_virq_makes_events_of_what_changed(void **state)
{
	struct hvc_event e;

	add_dom(1, XEN_DOMINF_running, 1);
	assert_true(hvc_event_fd(*state) >= 0);
	assert_int_equal(hvc_event_next(*state, &e), 0); /* what was there is no news */
	fake.doms[1].flags =
		XEN_DOMINF_shutdown | XEN_DOMINF_dying | 1u << XEN_DOMINF_shutdownshift;
	assert_int_equal(hvc_event_next(*state, &e), 0); /* nobody said so */
	assert_int_equal(write(virq_handle->fd, &(uint64_t){ 1 }, 8), 8);
	assert_int_equal(hvc_event_next(*state, &e), 1);
	assert_int_equal(e.kind, HVC_EV_SHUTDOWN);
	assert_int_equal(e.reason, 1);
	assert_int_equal(hvc_event_next(*state, &e), 1);
	assert_int_equal(e.kind, HVC_EV_DYING);
	assert_int_equal(hvc_event_next(*state, &e), 0);
	fake.n = 1;
	assert_int_equal(write(virq_handle->fd, &(uint64_t){ 1 }, 8), 8);
	assert_int_equal(hvc_event_next(*state, &e), 1);
	assert_int_equal(e.kind, HVC_EV_DESTROYED);
	assert_int_equal(e.domid, 1);
}

static void without_the_virq_it_looks_by_itself(void **state)
{
	struct hvc_event e;
	int i;

	fake.virq_taken = true;
	assert_true(hvc_event_fd(*state) >= 0);
	add_dom(4, XEN_DOMINF_paused, 1);
	for (i = 0; i < 500 && hvc_event_next(*state, &e) == 0; i++)
		usleep(10000);
	assert_true(i < 500);
	assert_int_equal(e.kind, HVC_EV_CREATED);
	assert_int_equal(e.domid, 4);
}

static void pages_and_grants_are_mapped_and_given_back(void **state)
{
	struct hvc_guest *g;
	void *p, *q;

	assert_int_equal(hvc_map_page(*state, 1, 0xfeffc, &p), 0);
	hvc_unmap_page(*state, p);
	fake.page_error = true;
	assert_int_equal(hvc_map_page(*state, 1, 0xfeffc, &p), -ENOENT);
	assert_int_equal(hvc_guest_open(*state, 1, &g), 0);
	assert_int_equal(hvc_grant_map(g, 8, true, &q), -EINVAL);
	assert_int_equal(hvc_grant_map(g, 8, false, &q), 0);
	hvc_grant_unmap(g, 8, false, q);
	hvc_guest_close(g);
}

static void an_ack_never_waits(void **state)
{
	struct hvc_port *p;

	assert_int_equal(hvc_port_bind(*state, 1, 99, &p), -EINVAL);
	assert_int_equal(hvc_port_bind(*state, 1, 2, &p), 0);
	assert_int_equal(hvc_port_fd(p), port_handle->fd);
	hvc_port_ack(p); /* pending when bound */
	hvc_port_ack(p); /* and now nothing is */
	hvc_port_notify(p);
	assert_int_equal(fake.notified, 1);
	hvc_port_close(p);
}

static void the_log_is_read_on_past_what_xen_can_count(void **state)
{
	uint64_t next = 0;
	char buf[8];

	assert_int_equal(hvc_dmesg(*state, 0, buf, sizeof(buf), &next), 5);
	assert_int_equal(next, 5);
	assert_memory_equal(buf, "12345", 5);
	assert_int_equal(hvc_dmesg(*state, 0x1fffffffeu, buf, sizeof(buf), &next), 5);
	assert_true(next == 0x200000003u);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(flags_and_reasons_are_translated),
		T(a_long_list_comes_in_batches_without_gaps),
		T(the_virq_makes_events_of_what_changed),
		T(without_the_virq_it_looks_by_itself),
		T(pages_and_grants_are_mapped_and_given_back),
		T(an_ack_never_waits),
		T(the_log_is_read_on_past_what_xen_can_count),
	};

	return cmocka_run_group_tests_name("xen", tests, NULL, NULL);
}

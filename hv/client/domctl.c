/* hv/client/domctl.c - the toolstack's requests; only hvd understands them. */
#include "hv/client/domctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hv/client/bundled.h"

static int put_str(char *to, size_t n, const char *from)
{
	size_t len = from ? strlen(from) : 0;

	if (len >= n)
		return -EINVAL;
	memcpy(to, from ? from : "", len + 1);
	return 0;
}

static int create_request(const struct hvc_create *c, struct hv_CREATE *ret, char *err,
			  size_t errlen)
{
	ret->mem_pages = c->mem_pages;
	ret->max_pages = c->max_pages;
	ret->vcpus = c->vcpus;
	ret->max_vcpus = c->max_vcpus;
	ret->has_ramdisk = c->ramdisk_fd >= 0;
	memcpy(ret->uuid, c->uuid, sizeof(ret->uuid));
	if (put_str(ret->name, sizeof(ret->name), c->name) < 0) {
		(void)snprintf(err, errlen, "the name is longer than %d bytes", HV_NAME_MAX - 1);
		return -EINVAL;
	}
	if (put_str(ret->engine, sizeof(ret->engine), c->engine ? c->engine : "auto") < 0) {
		(void)snprintf(err, errlen, "no such engine: use auto, soft or kvm");
		return -EINVAL;
	}
	if (put_str(ret->cmdline, sizeof(ret->cmdline), c->cmdline) < 0) {
		(void)snprintf(err, errlen, "the kernel's command line is longer than %u bytes",
			       DOMAIN_CMDLINE_MAX - 1);
		return -EINVAL;
	}
	return 0;
}

int hvc_create(struct hvc *h, const struct hvc_create *c, struct hvc_created *ret, char *err,
	       size_t errlen)
{
	struct bundled *b = bundled_of(h);
	struct hv_msg m = { .type = HV_CREATE };
	int fds[2] = { c->kernel_fd, c->ramdisk_fd };
	struct call call = { .req = &m,
			     .fds = fds,
			     .nfds = c->ramdisk_fd >= 0 ? 2 : 1,
			     .want = HV_CREATE_REPLY,
			     .timeout_s = CALL_CREATE_S,
			     .err = err,
			     .errlen = errlen };
	const struct hv_CREATE_REPLY *a;
	int r;

	if (!b) {
		(void)snprintf(err, errlen, "domains are made by Xen's own toolstack here");
		return -EOPNOTSUPP;
	}
	r = create_request(c, &m.u.CREATE, err, errlen);
	if (r == 0)
		r = bundled_call(b, &call, NULL);
	if (r < 0)
		return r;
	a = &b->reply.u.CREATE_REPLY;
	*ret = (struct hvc_created){ .domid = a->domid,
				     .store_gfn = a->store_gfn,
				     .console_gfn = a->console_gfn,
				     .store_port = a->store_port,
				     .console_port = a->console_port };
	return 0;
}

static int simple(struct hvc *h, struct hv_msg *m, unsigned timeout_s)
{
	struct bundled *b = bundled_of(h);

	return b ? bundled_simple(b, m, timeout_s) : -EOPNOTSUPP;
}

int hvc_pause(struct hvc *h, uint16_t domid)
{
	struct hv_msg m = { .type = HV_PAUSE, .u.PAUSE.domid = domid };

	return simple(h, &m, CALL_SHORT_S);
}

int hvc_unpause(struct hvc *h, uint16_t domid)
{
	struct hv_msg m = { .type = HV_UNPAUSE, .u.UNPAUSE.domid = domid };

	return simple(h, &m, CALL_SHORT_S);
}

int hvc_destroy(struct hvc *h, uint16_t domid)
{
	struct hv_msg m = { .type = HV_DESTROY, .u.DESTROY.domid = domid };

	return simple(h, &m, CALL_DESTROY_S);
}

int hvc_set_max_pages(struct hvc *h, uint16_t domid, uint64_t pages)
{
	struct hv_msg m = { .type = HV_SET_MAX_PAGES,
			    .u.SET_MAX_PAGES = { .domid = domid, .pages = pages } };

	return simple(h, &m, CALL_SHORT_S);
}

int hvc_nmi(struct hvc *h, uint16_t domid, uint32_t vcpu)
{
	struct hv_msg m = { .type = HV_NMI, .u.NMI = { .domid = domid, .vcpu = vcpu } };

	return simple(h, &m, CALL_SHORT_S);
}

int hvc_debug_virq(struct hvc *h, uint16_t domid)
{
	struct hv_msg m = { .type = HV_DEBUG_VIRQ, .u.DEBUG_VIRQ.domid = domid };

	return simple(h, &m, CALL_SHORT_S);
}

int hvc_vcpu_times(struct hvc *h, uint16_t domid, uint64_t *ret_ns, size_t n)
{
	struct bundled *b = bundled_of(h);
	struct hv_msg m = { .type = HV_VCPU_TIMES, .u.VCPU_TIMES.domid = domid };
	struct call c = { .req = &m, .want = HV_VCPU_TIMES_REPLY, .timeout_s = CALL_SHORT_S };
	int r;

	if (!b)
		return -EOPNOTSUPP;
	r = bundled_call(b, &c, NULL);
	if (r < 0)
		return r;
	if (n > b->reply.u.VCPU_TIMES_REPLY.ns_n)
		n = b->reply.u.VCPU_TIMES_REPLY.ns_n;
	memcpy(ret_ns, b->reply.u.VCPU_TIMES_REPLY.ns, n * sizeof(*ret_ns));
	return (int)n;
}

int hvc_hostinfo(struct hvc *h, struct hvc_hostinfo *ret)
{
	struct bundled *b = bundled_of(h);
	struct hv_msg m = { .type = HV_HOSTINFO };
	struct call c = { .req = &m, .want = HV_HOSTINFO_REPLY, .timeout_s = CALL_SHORT_S };
	const struct hv_HOSTINFO_REPLY *a;
	int r;

	if (!b)
		return -EOPNOTSUPP;
	r = bundled_call(b, &c, NULL);
	if (r < 0)
		return r;
	a = &b->reply.u.HOSTINFO_REPLY;
	*ret = (struct hvc_hostinfo){
		.nr_cpus = a->nr_cpus,
		.threads_per_core = a->threads_per_core,
		.cores_per_socket = a->cores_per_socket,
		.cpu_khz = a->cpu_khz,
		.total_kib = a->total_kib,
		.free_kib = a->free_kib,
		.xen_major = a->xen_major,
		.xen_minor = a->xen_minor,
		.boot_time_s = a->boot_time_s,
	};
	memcpy(ret->xen_extra, a->xen_extra, sizeof(ret->xen_extra));
	memcpy(ret->xen_caps, a->xen_caps, sizeof(ret->xen_caps));
	memcpy(ret->version, a->version, sizeof(ret->version));
	memcpy(ret->engine, a->engine, sizeof(ret->engine));
	memcpy(ret->engine_reason, a->engine_reason, sizeof(ret->engine_reason));
	return 0;
}

int hvc_dmesg(struct hvc *h, uint64_t off, char *buf, size_t n, uint64_t *ret_next)
{
	struct bundled *b = bundled_of(h);
	struct hv_msg m = { .type = HV_DMESG };
	struct call c = { .req = &m, .want = HV_DMESG_REPLY, .timeout_s = CALL_SHORT_S };
	const struct hv_DMESG_REPLY *a;
	int r;

	if (h->ops->dmesg)
		return h->ops->dmesg(h, off, buf, n, ret_next);
	if (!b)
		return -EOPNOTSUPP;
	m.u.DMESG.off = off;
	m.u.DMESG.max = n < HV_BLOB_MAX ? (uint32_t)n : HV_BLOB_MAX;
	r = bundled_call(b, &c, NULL);
	if (r < 0)
		return r;
	a = &b->reply.u.DMESG_REPLY;
	if (a->text_n > n)
		return -EBADMSG;
	if (a->text_n)
		memcpy(buf, a->text, a->text_n);
	*ret_next = a->next;
	return (int)a->text_n;
}

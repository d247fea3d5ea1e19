/* hv/domain/hc_version.c - xen_version, vm_assist, console_io: small talk. */
#include <errno.h>
#include <string.h>
#include <stdint.h>

#include <xen/version.h>
#include <xen/features.h>

#include "hv/domain/hypercall.h"
#include "hv/domain/machine.h"

#define XEN_MAJOR 4u
#define XEN_MINOR 17u
#define FEATURES                                                                      \
	(1u << XENFEAT_writable_page_tables | 1u << XENFEAT_auto_translated_physmap | \
	 1u << XENFEAT_hvm_callback_vector | 1u << XENFEAT_hvm_safe_pvclock |         \
	 1u << XENFEAT_memory_op_vnode_supported | 1u << XENFEAT_not_direct_mapped)
#define CONSOLE_CHUNK 1024u

/* Fixed-size text results, zero padded. */
static int64_t put_text(struct mvcpu *v, uint64_t va, const char *text, size_t size)
{
	char buf[1024] = { 0 };

	strncpy(buf, text, size - 1);
	return guest_put(v, va, buf, size);
}

static int64_t get_features(struct mvcpu *v, uint64_t va)
{
	struct xen_feature_info a;

	if (guest_get(v, va, &a, sizeof(a)) < 0)
		return -EFAULT;
	if (a.submap_idx >= XENFEAT_NR_SUBMAPS)
		return -EINVAL;
	a.submap = a.submap_idx ? 0 : FEATURES;
	return guest_put(v, va, &a, sizeof(a));
}

int64_t hc_version(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	struct xen_compile_info compile = { "C11", "domzero", "", "" };
	uint64_t zero = 0;

	switch (arg[0]) {
	case XENVER_version: return XEN_MAJOR << 16 | XEN_MINOR;
	case XENVER_extraversion: return put_text(v, arg[1], ".0-domzero", XEN_EXTRAVERSION_LEN);
	case XENVER_compile_info: return guest_put(v, arg[1], &compile, sizeof(compile));
	case XENVER_capabilities:
		return put_text(v, arg[1], "xen-3.0-x86_64 hvm-3.0-x86_64",
				XEN_CAPABILITIES_INFO_LEN);
	case XENVER_changeset: return put_text(v, arg[1], DZ_VERSION, XEN_CHANGESET_INFO_LEN);
	case XENVER_platform_parameters: return guest_put(v, arg[1], &zero, sizeof(zero));
	case XENVER_get_features: return get_features(v, arg[1]);
	case XENVER_pagesize: return arg[1] ? -EINVAL : P2M_PAGE_SIZE;
	case XENVER_guest_handle: return guest_put(v, arg[1], v->d->uuid, sizeof(v->d->uuid));
	case XENVER_commandline: return put_text(v, arg[1], "", 1024);
	default: return -ENOSYS;
	}
}

int64_t hc_vm_assist(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	/* A translated guest has use for one of them only. */
	if (arg[1] != VMASST_TYPE_runstate_update_flag)
		return -EINVAL;
	switch (arg[0]) {
	case VMASST_CMD_enable: atomic_fetch_or(&v->d->vm_assist, 1u << arg[1]); return 0;
	case VMASST_CMD_disable: atomic_fetch_and(&v->d->vm_assist, ~(1u << arg[1])); return 0;
	default: return -ENOSYS;
	}
}

/* A line of the guest's debug output, with nothing in it that could forge ours. */
static void console_byte(struct domain *d, char c)
{
	char line[DOMAIN_CONSOLE_LINE] = "";

	pthread_mutex_lock(&d->log.lock);
	if (c >= ' ' && c < 0x7f)
		d->log.line[d->log.len++] = c;
	if ((c == '\n' && d->log.len) || d->log.len == sizeof(d->log.line) - 1) {
		memcpy(line, d->log.line, d->log.len);
		line[d->log.len] = '\0';
		d->log.len = 0;
	}
	pthread_mutex_unlock(&d->log.lock);
	if (line[0])
		domain_log(d, LOGK_CONSOLE, "guest: %s", line);
}

int64_t hc_console_io(struct mvcpu *v, const uint64_t arg[HC_ARGS])
{
	uint32_t count = (uint32_t)arg[1], n = count < CONSOLE_CHUNK ? count : CONSOLE_CHUNK;
	char buf[CONSOLE_CHUNK];

	if (arg[0] != CONSOLEIO_write)
		return -EPERM; /* reading Xen's console is dom0's */
	if (guest_get(v, arg[2], buf, n) < 0)
		return -EFAULT;
	for (uint32_t i = 0; i < n; i++)
		console_byte(v->d, buf[i]);
	return n < count ? hc_again(v, arg[0], count - n, arg[2] + n) : 0;
}

/* hv/domain/build.c - a kernel, its tables and its first vCPU into a domain.
 *
 * Memory from low to high: the kernel where it wants to be, start_info and the
 * command line behind it, the ramdisk below the end of low RAM; ACPI tables
 * and the toolstack's pages in the hole.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/hvm/params.h>

#include "hv/boot/acpi.h"
#include "hv/boot/hypercalls.h"
#include "hv/boot/image.h"
#include "hv/boot/start_info.h"
#include "hv/domain/cpuid.h"
#include "hv/domain/evtchn.h"
#include "hv/domain/machine.h"
#include "hv/domain/service.h"

#define PAGE_UP(x) (((x) + P2M_PAGE_SIZE - 1) & ~(uint64_t)(P2M_PAGE_SIZE - 1))

static int say(char *err, size_t errlen, int r, const char *what)
{
	(void)snprintf(err, errlen, "%s: %s", what, strerror(-r)); /* a cut message will do */
	return r;
}

/* Kernel, ramdisk, start_info; *ret_img and *ret_info for the first vCPU. */
static int load_guest(struct domain *d, struct boot_image *ret_img, uint64_t *ret_info, char *err,
		      size_t errlen)
{
	struct memory *m = &d->mem;
	uint64_t low = m->ram_pages < P2M_HOLE_GFN ? m->ram_pages : P2M_HOLE_GFN;
	const struct boot_ram ram = { .host = m->ram, .size = low * P2M_PAGE_SIZE };
	struct start_info_cfg si = { .cmdline = d->cmdline, .rsdp = ACPI_GFN * P2M_PAGE_SIZE };
	struct boot_image img;
	uint64_t info;
	int r;

	r = image_load(d->kernel_fd, &ram, &img, err, errlen);
	if (r < 0)
		return r;
	info = PAGE_UP(img.end);
	if (d->ramdisk_fd >= 0) {
		r = ramdisk_load(d->ramdisk_fd, &ram, info + START_INFO_SIZE, &si.initrd,
				 &si.initrd_size, err, errlen);
		if (r < 0)
			return r;
	}
	start_info_map(
		&si, m->ram_pages, P2M_HOLE_GFN, P2M_HIGH_GFN,
		(struct start_info_range){ .addr = SPECIAL_GFN_STORE * P2M_PAGE_SIZE,
					   .size = (SPECIAL_GFN_CONSOLE + 1 - SPECIAL_GFN_STORE) *
						   P2M_PAGE_SIZE },
		(struct start_info_range){ .addr = ACPI_GFN * P2M_PAGE_SIZE,
					   .size = ACPI_TABLES_SIZE });
	r = start_info_write(&ram, info, &si);
	if (r < 0)
		return say(err, errlen, r, "no room for the start info behind the kernel");
	*ret_img = img;
	*ret_info = info;
	return 0;
}

static int overlay_special(struct domain *d)
{
	static const struct {
		uint64_t gfn;
		unsigned page;
	} pages[] = { { SPECIAL_GFN_STORE, SPECIAL_PAGE_STORE },
		      { SPECIAL_GFN_CONSOLE, SPECIAL_PAGE_CONSOLE },
		      { ACPI_GFN, SPECIAL_PAGE_ACPI } };
	int r = 0;

	acpi_build(d->mem.special + SPECIAL_PAGE_ACPI * P2M_PAGE_SIZE, ACPI_GFN * P2M_PAGE_SIZE,
		   d->max_vcpus);
	for (unsigned i = 0; r >= 0 && i < sizeof(pages) / sizeof(pages[0]); i++)
		r = p2m_overlay(d->mem.p2m, pages[i].gfn,
				d->mem.special + pages[i].page * P2M_PAGE_SIZE, 0);
	return r;
}

/* dom0 reaches the two rings by grants as well, as under Xen's toolstack. */
static void seed_grants(struct domain *d)
{
	grant_entry_v1_t *t = (grant_entry_v1_t *)d->mem.gnttab;

	t[GNTTAB_RESERVED_CONSOLE] =
		(grant_entry_v1_t){ .flags = GTF_permit_access, .frame = SPECIAL_GFN_CONSOLE };
	t[GNTTAB_RESERVED_XENSTORE] =
		(grant_entry_v1_t){ .flags = GTF_permit_access, .frame = SPECIAL_GFN_STORE };
	d->mem.grant_frames = 1;
}

static int open_ports(struct domain *d)
{
	uint64_t *param = d->evt.param;
	uint32_t store, console;
	int r;

	r = evt_alloc_unbound(d, 0, &store);
	if (r >= 0)
		r = evt_alloc_unbound(d, 0, &console);
	if (r < 0)
		return r;
	if (store != DOMAIN_PORT_STORE || console != DOMAIN_PORT_CONSOLE)
		return -EPROTO;
	param[HVM_PARAM_STORE_PFN] = d->no_store ? 0 : SPECIAL_GFN_STORE;
	param[HVM_PARAM_STORE_EVTCHN] = d->no_store ? 0 : store;
	param[HVM_PARAM_CONSOLE_PFN] = SPECIAL_GFN_CONSOLE;
	param[HVM_PARAM_CONSOLE_EVTCHN] = console;
	return 0;
}

/* 32-bit protected mode without paging, EBX to start_info (Xen docs/misc/pvh). */
static int load_entry_state(struct mvcpu *v, uint32_t entry, uint64_t info)
{
	const struct seg code = { .limit = UINT32_MAX, .sel = 0x8, .attr = 0x0c9b };
	const struct seg data = { .limit = UINT32_MAX, .sel = 0x10, .attr = 0x0c93 };
	struct vcpu_state st = { 0 };

	for (unsigned i = S_ES; i <= S_GS; i++)
		st.s[i] = data;
	st.s[S_CS] = code;
	st.s[S_LDTR] = (struct seg){ .attr = 0x82 | SEG_UNUSABLE };
	st.s[S_TR] = (struct seg){ .limit = 0x67, .sel = 0x18, .attr = 0x8b };
	st.r[R_RBX] = info;
	st.rip = entry;
	st.rflags = 2;
	st.cr0 = 0x11; /* PE, and ET that is always set */
	st.dr[6] = 0xffff0ff0;
	st.dr[7] = 0x400;
	st.xcr0 = 1;
	st.pat = 0x0007040600070406;
	st.fx[0] = 0x7f; /* FCW 0x037f */
	st.fx[1] = 0x03;
	st.fx[24] = 0x80; /* MXCSR 0x1f80 */
	st.fx[25] = 0x1f;
	return v->d->ops->vcpu_load(v->hw, &st);
}

static int make_vcpus(struct domain *d)
{
	const struct vm_config cfg = { .p2m = d->mem.p2m,
				       .max_vcpus = d->max_vcpus,
				       .tsc_khz = d->clock.tsc_khz,
				       .kvm_fd = d->kvm_fd };
	int64_t offset = -(int64_t)d->clock.cur.tsc0; /* guest TSC 0 is guest time 0 */
	struct cpuid_leaf leaves[CPUID_LEAVES_MAX];
	int r;

	r = d->ops->vm_new(&cfg, &d->vm);
	for (unsigned i = 0; r >= 0 && i < d->max_vcpus; i++) {
		const struct cpuid_cfg c = { .ops = d->ops,
					     .vcpu = i,
					     .max_vcpus = d->max_vcpus,
					     .domid = d->domid,
					     .tsc_khz = (uint32_t)d->clock.tsc_khz,
					     .tsc_mul = d->clock.cur.mul,
					     .tsc_shift = d->clock.cur.shift };
		size_t n = cpuid_build(&c, leaves);

		r = d->ops->vcpu_new(d->vm, i, leaves, n, &d->vcpu[i].hw);
		if (r < 0)
			break;
		d->vcpu[i].tsc_offset = offset;
		d->ops->vcpu_set_tsc_offset(d->vcpu[i].hw, offset);
		d->vcpu[i].wait_sipi = i > 0;
	}
	return r;
}

/* Back to what domain_new left, so that a build can be tried again. */
static void undo_vcpus(struct domain *d)
{
	for (unsigned i = 0; i < d->max_vcpus; i++) {
		if (d->vcpu[i].hw)
			d->ops->vcpu_free(d->vcpu[i].hw);
		d->vcpu[i].hw = NULL;
	}
	if (d->vm)
		d->ops->vm_free(d->vm);
	d->vm = NULL;
}

static int start_threads(struct domain *d)
{
	int r = service_start(d);

	for (unsigned i = 0; r >= 0 && i < d->max_vcpus; i++) {
		r = vcpu_start(&d->vcpu[i]);
		if (r < 0)
			break;
		/* It comes to the gate and takes itself off, perhaps before this. */
		pthread_mutex_lock(&d->life.lock);
		d->life.active++;
		pthread_mutex_unlock(&d->life.lock);
	}
	return r;
}

static void fit_hypercalls(struct domain *d, const struct boot_image *img)
{
	const uint8_t *insn = d->ops->vm_hypercall_insn ? d->ops->vm_hypercall_insn(d->vm) : NULL;
	unsigned n;

	if (!insn)
		return;
	n = hypercalls_replace(d->mem.ram + img->start, img->end - img->start, insn);
	if (n != 1) /* older kernels call through the page that they ask us to fill */
		domain_log(d, LOGK_LIFE, "%u places in the kernel make hypercalls, not 1", n);
}

int build_guest(struct domain *d, char *err, size_t errlen)
{
	struct boot_image img = { 0 };
	uint64_t info = 0;
	int r;

	r = load_guest(d, &img, &info, err, errlen);
	if (r < 0)
		return r;
	gclock_start(&d->clock);
	r = overlay_special(d);
	if (r < 0)
		return say(err, errlen, r, "can't place the special pages");
	r = make_vcpus(d);
	if (r >= 0)
		r = load_entry_state(&d->vcpu[0], img.entry, info);
	if (r < 0) {
		undo_vcpus(d);
		return say(err, errlen, r, "the engine can't make the vCPUs");
	}
	fit_hypercalls(d, &img);
	seed_grants(d);
	evt_reset(d);
	r = open_ports(d);
	if (r >= 0)
		r = start_threads(d);
	if (r < 0) /* threads that did start wait at the gate until domain_free */
		return say(err, errlen, r, "can't start the vCPU threads");
	atomic_store(&d->vcpu[0].initialised, true);
	atomic_store(&d->vcpu[0].up, true);
	wallclock_publish(d);
	return 0;
}

/* hv/boot/start_info.c - see start_info.h. */
#include "hv/boot/start_info.h"

#include <errno.h>
#include <string.h>

#define PAGE_SHIFT 12

struct start_info_page {
	struct hvm_start_info si;
	struct hvm_modlist_entry mod;
	struct hvm_memmap_table_entry map[START_INFO_RANGES];
};
_Static_assert(sizeof(struct start_info_page) <= START_INFO_CMDLINE, "one page of structures");

int start_info_write(const struct boot_ram *ram, uint64_t gpa, const struct start_info_cfg *cfg)
{
	size_t len = strlen(cfg->cmdline);
	struct start_info_page p;

	if (len >= START_INFO_SIZE - START_INFO_CMDLINE || cfg->nr_map > START_INFO_RANGES)
		return -EINVAL;
	if (gpa > ram->size || START_INFO_SIZE > ram->size - gpa)
		return -ENOMEM;

	memset(&p, 0, sizeof(p)); /* padding included: none of ours reaches a guest */
	p.si.magic = XEN_HVM_START_MAGIC_VALUE;
	p.si.version = 1;
	p.si.cmdline_paddr = gpa + START_INFO_CMDLINE;
	p.si.rsdp_paddr = cfg->rsdp;
	p.si.memmap_paddr = gpa + offsetof(struct start_info_page, map);
	p.si.memmap_entries = cfg->nr_map;
	if (cfg->initrd_size) {
		p.si.nr_modules = 1;
		p.si.modlist_paddr = gpa + offsetof(struct start_info_page, mod);
		p.mod.paddr = cfg->initrd;
		p.mod.size = cfg->initrd_size;
	}
	for (unsigned i = 0; i < cfg->nr_map; i++) {
		p.map[i].addr = cfg->map[i].addr;
		p.map[i].size = cfg->map[i].size;
		p.map[i].type = cfg->map[i].type;
	}
	memset(ram->host + gpa, 0, START_INFO_SIZE);
	memcpy(ram->host + gpa, &p, sizeof(p));
	memcpy(ram->host + gpa + START_INFO_CMDLINE, cfg->cmdline, len);
	return 0;
}

void start_info_map(struct start_info_cfg *cfg, uint64_t ram_pages, uint64_t hole_gfn,
		    uint64_t high_gfn, struct start_info_range special,
		    struct start_info_range acpi)
{
	uint64_t low = ram_pages < hole_gfn ? ram_pages : hole_gfn;

	cfg->nr_map = 0;
	cfg->map[cfg->nr_map++] =
		(struct start_info_range){ 0, low << PAGE_SHIFT, XEN_HVM_MEMMAP_TYPE_RAM };
	acpi.type = XEN_HVM_MEMMAP_TYPE_ACPI;
	cfg->map[cfg->nr_map++] = acpi;
	special.type = XEN_HVM_MEMMAP_TYPE_RESERVED;
	cfg->map[cfg->nr_map++] = special;
	if (ram_pages > low)
		cfg->map[cfg->nr_map++] =
			(struct start_info_range){ high_gfn << PAGE_SHIFT,
						   (ram_pages - low) << PAGE_SHIFT,
						   XEN_HVM_MEMMAP_TYPE_RAM };
}

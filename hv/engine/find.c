/* hv/engine/find.c - engines by name; the one place that knows them all. */
#include <string.h>

#include "hv/engine/kvm/kvm.h"
#include "hv/engine/soft/soft.h"

const struct engine_ops *engine_find(const char *name)
{
	static const struct engine_ops *const engines[] = { &engine_soft, &engine_soft_ref,
							    &engine_kvm };

	for (size_t k = 0; k < sizeof(engines) / sizeof(engines[0]); k++)
		if (!strcmp(engines[k]->name, name))
			return engines[k];
	return NULL;
}

/* hv/engine/soft/soft.h - the software engine, for engine_find(). */
#ifndef HV_ENGINE_SOFT_SOFT_H
#define HV_ENGINE_SOFT_SOFT_H

#include "hv/engine/engine.h"

/* "soft": translated code over decoded blocks; "soft-ref": decoded blocks alone,
 * the reference the translator is checked against. */
extern const struct engine_ops engine_soft, engine_soft_ref;

#endif

/* hv/engine/soft/soft.h - the software engine, for engine_find(). */
#ifndef HV_ENGINE_SOFT_SOFT_H
#define HV_ENGINE_SOFT_SOFT_H

#include "hv/engine/engine.h"

extern const struct engine_ops engine_soft;

#endif

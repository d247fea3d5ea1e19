/* apid/doms_int.h - shared by doms.c (definitions) and domruns.c (runs). */
#ifndef APID_DOMS_INT_H
#define APID_DOMS_INT_H

#include "apid/doms.h"

struct dom *dom_new(const char *uuid, const char *name, const char *config); /* NULL: no memory */
struct dom *dom_free(struct dom *d);

/* Memory only.  insert: -EEXIST, -ENOMEM; takes d on success.  forget frees. */
int doms_insert(struct doms *ds, struct dom *d);
void doms_forget(struct doms *ds, struct dom *d);

/* A change is begin, statements, finish(their result), then memory. */
int doms_begin(struct doms *ds, struct problem *p);
int doms_finish(struct doms *ds, int r, struct problem *p); /* commit, or roll back if r < 0 */
int doms_delete_row(struct doms *ds, const struct dom *d);

#endif

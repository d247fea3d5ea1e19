/* apid/ops_int.h - shared by the files with handlers: ops.c, ops_domains.c. */
#ifndef APID_OPS_INT_H
#define APID_OPS_INT_H

#include "apid/call.h"

const char *call_param(struct call *c, const char *name); /* borrowed; NULL: not given */

int op_get_domain(struct call *c);
int op_list_domains(struct call *c);
int op_create_domain(struct call *c);
int op_update_domain(struct call *c);
int op_delete_domain(struct call *c);
int op_action(struct call *c);
int op_start_domain(struct call *c);
int op_console_log(struct call *c);
int op_list_vcpus(struct call *c);

#endif

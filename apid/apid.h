/* apid/apid.h - what every part of the process shares; made by main.c. */
#ifndef APID_APID_H
#define APID_APID_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "apid/apidoc.h"
#include "apid/db.h"
#include "apid/doms.h"
#include "apid/events.h"
#include "apid/tasks.h"
#include "apid/toolstack/ts.h"

/* Owned by the watcher; read under lock. */
struct host_state {
	pthread_mutex_t lock;
	bool hv_up, xs_up, con_up;
	bool have_info;
	struct hvc_hostinfo info;
};

struct apid {
	struct db *db;
	struct events *ev;
	struct doms *doms;
	struct tasks *tasks;
	struct apidoc doc;
	struct host_state host;
	char host_uuid[UUID_LEN + 1];
	int64_t started_ms;
	struct helpers *helpers;   /* apid/call.h */
	uint64_t restart_pause_ms; /* apid/restart.c */
	int watch_fd;		   /* eventfd: the watcher should look now */
	_Atomic uint64_t requests, rpc_calls, sse_streams, consoles;
};

/* A thread that runs tasks or slow calls. */
struct worker {
	struct apid *a;
	struct ts ts;
};

/* Ask the watcher to look at the hypervisor now. */
void apid_watch_now(struct apid *a);

#endif

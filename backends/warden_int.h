/* backends/warden_int.h - the warden's insides, shared by warden*.c only.
 *
 *   warden.c        which guests there are; start and end
 *   warden_child.c  their processes: start, adopt, bury, listen to their log
 *   warden_door.c   the sockets in a jail's root, and what is asked at "open"
 *   warden_dev.c    devices' descriptors, and journals
 */
#ifndef BACKENDS_WARDEN_INT_H
#define BACKENDS_WARDEN_INT_H

#include <event2/event.h>
#include <event2/listener.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "backends/relay.h"
#include "backends/warden.h"
#include "daemons/log.h"
#include "daemons/xs_client.h"

struct warden_config {
	char *group, *binary;
	uint64_t uid_base;
};

struct warden {
	const struct warden_kind *kind;
	void *arg; /* what kind->start made */
	struct warden_config cfg;
	char binary[PATH_MAX], run[80]; /* run: <run>/backend */
	char hv_path[108], xs_path[108];
	char folder[48]; /* in XenStore */
	bool jailed;
	struct event_base *base;
	struct xs_client *watcher;
	struct xs_watch *watch;
	struct xs_sync *xs;
	struct guest *guests;
	struct evconnlistener *door;
	struct event *look, *sigs[2];
};

enum { DOOR_HV, DOOR_XS, DOOR_OPEN, DOORS };

struct door {
	struct guest *g;
	unsigned which;
	int fd; /* -1: none */
	struct event *ev;
};

/* A connection at "open". */
struct visitor {
	struct visitor *next;
	struct guest *g;
	int fd;
	struct event *ev;
};

struct device {
	struct device *next;
	uint32_t devid;
	bool seen, open;
	struct warden_dev dev; /* if open */
};

struct guest {
	struct guest *next;
	struct warden *w;
	uint16_t domid;
	uid_t uid;
	bool seen;
	char dir[96]; /* <run>/backend/KIND-DOMID: root/ is its jail's */

	pid_t pid; /* 0: not running */
	bool ours; /* a child of this process: it is waited for */
	int pidfd, log_fd;
	struct event *dead_ev, *log_ev;
	unsigned backoff_ms;
	uint64_t started_ns, due_ns, gone_ns; /* gone_ns: its devices are; 0: not */
	char line[256];
	size_t line_n;
	unsigned lines;
	uint64_t lines_until_ns;
	struct log_window refused_quota, slow_quota;

	struct door doors[DOORS];
	struct visitor *visitors;
	unsigned nr_visitors;
	struct relay_host relays;
	struct device *devs;
};

/* ---- warden.c ---- */
void warden_look_in(struct warden *w, unsigned ms);

/* ---- warden_child.c ---- */
int child_spawn(struct guest *g); /* at once; a failure is tried again later */
/* The process a former warden started, if it still lives: 0, or -ESRCH. */
int child_adopt(struct guest *g);
int child_open_log(struct guest *g);
void child_fini(struct guest *g); /* forgets it; it lives on */
void child_kill(struct guest *g, int sig);

/* ---- warden_door.c ---- */
int doors_open(struct guest *g);
void doors_close(struct guest *g);

/* ---- warden_dev.c ---- */
struct device *dev_find(struct guest *g, uint32_t devid);
/* What a look at XenStore found; devices that are there no more are dropped. */
int dev_saw(struct guest *g, uint32_t devid);
void dev_drop_unseen(struct guest *g);
void dev_drop_all(struct guest *g);
/* Answers rq; *ret_fd are borrowed, but for ret_own, which is to be closed. */
void dev_answer(struct guest *g, const struct warden_req *rq, struct warden_rep *rep,
		const int **ret_fds, size_t *ret_nfds, int *ret_own);
/* Everything below the guest's folder, and the folder. */
void dev_remove_folder(const char *dir);

#endif

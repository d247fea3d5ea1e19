/* hv/broker/hvd.h - what the parts of hvd know of each other.
 *
 * One thread, one event loop, nothing blocks.  A request that a domain process
 * must answer becomes a dlink call whose callback runs exactly once: with the
 * answer, at its deadline, or when the process dies.
 *
 *   BUILDING --built--> ALIVE --process died--> DYING --destroyed--> gone
 *   BUILDING --error, timeout, client gone--> (killed) --> gone
 *   ADOPTING (found by a restarted hvd) --> ALIVE, or DYING if unreachable
 */
#ifndef HV_BROKER_HVD_H
#define HV_BROKER_HVD_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemons/hv_link.h"

#define DOMIDS	       0x7ff0u /* DOMID_FIRST_RESERVED of <xen/xen.h> */
#define CLIENTS_MAX    1024u
#define PENDING_MAX    64u /* requests of one client, or to one domain process, under way */
#define SHUTDOWN_CRASH 3u  /* SHUTDOWN_crash of <xen/sched.h> */

struct client;
struct dom;
struct logring;

/* enum hvc_event_kind and enum hvc_dom_flags of hv/client/hvc.h, as sent. */
enum { EV_CREATED, EV_SHUTDOWN, EV_DYING, EV_DESTROYED, EV_RESYNC };
enum { INFO_RUNNING = 1, INFO_BLOCKED = 2, INFO_PAUSED = 4, INFO_SHUTDOWN = 8, INFO_DYING = 16 };

struct hvd_config {
	char *domain_binary; /* NULL: found beside hvd */
	char *group;
	char *log_level, *kvm_device;
	uint64_t uid_base;
	bool overcommit, destroy_all;
};

struct hvd {
	struct hvd_config cfg;
	struct event_base *base;
	char binary[4096];
	/* Below path_run(); own_dir and dom_dir are for root alone. */
	char own_dir[88], dom_dir[88], root_dir[88], state_path[96], log_path[96], lock_path[96];
	bool have_group;
	gid_t group;
	bool kvm_usable;
	int kvm_fd; /* if kvm_usable */
	char engine_reason[256];

	int lock_fd, listen_fd;
	struct event *listen_ev;
	struct client *clients;
	unsigned nr_clients;
	uint64_t last_client;

	struct dom *doms[DOMIDS];
	unsigned nr_doms, adopting;
	uint16_t last_domid;
	uint64_t last_cookie, boot_time_s;
	struct logring *log;
	void (*adopted)(struct hvd *h); /* once, when no domain is ADOPTING any more */

	/* Scratch for one message: nothing keeps a pointer into it. */
	struct hv_link_buf buf;
	struct hv_msg in, out;
	char text[HV_TEXT_MAX]; /* why a request failed; "": strerror */
};

/* Who waits for an answer; the client may be gone when it comes. */
struct token {
	uint64_t client; /* 0: nobody */
	uint32_t seq;
};

/* ---- client.c: connections and replies ---- */
int clients_listen(struct hvd *h);
void clients_fini(struct hvd *h);
/* h->out with its type and u set; fds are borrowed. */
void reply_out(struct hvd *h, struct token t, const int *fds, size_t nfds);
void reply_ok(struct hvd *h, struct token t);
void reply_error(struct hvd *h, struct token t, int r, const char *text); /* text NULL: strerror */
void send_event(struct hvd *h, uint32_t kind, uint16_t domid, uint32_t reason);

/* ---- requests.c: one entry per request ---- */
/* Consumes what it sets to -1 in fds.  A negative result is answered ERROR. */
int request_run(struct hvd *h, struct token t, bool root, const struct hv_msg *m, int *fds,
		size_t nfds);

/* ---- dlink.c: the socket to a domain process ---- */
struct call;
/* r: 0 and m is of the wanted type (fds: take what you keep, set it to -1), or
 * the process's own error, -ETIMEDOUT, -ESRCH.  m is NULL unless the process
 * answered.  Must not free d. */
typedef void dlink_cb(struct dom *d, int r, const struct hv_msg *m, int *fds, struct token t,
		      uint64_t arg);
struct dlink_req {
	uint16_t want; /* reply type; HV_OK for plain ones */
	size_t want_fds;
	unsigned timeout_ms;
	dlink_cb *cb;
	struct token token;
	uint64_t arg;
};
/* m->seq is set here; fds are borrowed.  Negative: cb will not run. */
int dlink_call(struct dom *d, struct hv_msg *m, const int *fds, size_t nfds,
	       const struct dlink_req *req);
int dlink_open(struct dom *d, int sock); /* sock is consumed */
void dlink_drain(struct dom *d);
void dlink_close(struct dom *d); /* every call ends with -ESRCH */
enum { DLINK_SHORT_MS = 8000, DLINK_STATS_MS = 1000, DLINK_BUILD_MS = 280000 };

/* ---- dom.c: the table and a domain's life ---- */
enum dom_phase { DOM_BUILDING, DOM_ADOPTING, DOM_ALIVE, DOM_DYING };

struct waiter {
	struct waiter *next;
	struct token token;
};
struct port;

struct dom {
	struct hvd *h;
	enum dom_phase phase;
	struct hv_STATE_DOM id; /* what the state file says of it */

	int pidfd;
	bool child, condemned; /* condemned: killed by us, goes when it is dead */
	struct event *pid_ev;
	int ram_fd, special_fd, gnttab_fd;

	int sock;
	struct event *sock_ev, *tick_ev;
	struct call *calls;
	unsigned nr_calls;
	uint32_t seq;
	uint64_t eof_ns;	/* when the process hung up, or 0 */
	bool mute;		/* left a D_STATS unanswered */
	uint64_t log_filled_ns; /* token bucket of its log lines */
	unsigned log_tokens, log_dropped;

	struct hv_D_STATS_REPLY stats; /* last known */
	struct port *ports;
	unsigned nr_ports;

	struct token creator; /* while BUILDING */
	int fail_r;
	char fail_text[HV_TEXT_MAX];
	struct waiter *waiters; /* for its end */
};

struct dom *dom_find(struct hvd *h, uint16_t domid);		/* ALIVE or DYING, or NULL */
int dom_alive(struct hvd *h, uint16_t domid, struct dom **ret); /* -ESRCH */
int dom_create(struct hvd *h, struct token t, const struct hv_CREATE *m, int *fds, char *err,
	       size_t errlen);
int dom_destroy(struct hvd *h, struct token t, uint16_t domid);
/* The process must go: it failed, or broke the protocol.  Later: dom_died. */
void dom_condemn(struct dom *d, int r, const char *text);
void dom_client_gone(struct hvd *h, uint64_t client);
void dom_info(const struct dom *d, struct hv_INFO *ret);
/* A domain known from the state file, not yet reached. */
int dom_add(struct hvd *h, const struct hv_STATE_DOM *id, struct dom **ret);
int dom_watch_process(struct dom *d, int pidfd, bool child); /* pidfd is consumed */
void dom_release(struct dom *d);			     /* frees it and its files */
void dom_mark_dead(struct dom *d, const char *why);
void dom_forget_all(struct hvd *h); /* at exit: frees memory, touches no process or file */
void on_domain_event(struct dom *d, const struct hv_msg *m);

/* ---- ports.c: event channels ---- */
int port_bind(struct dom *d, struct token t, uint32_t port);
int port_close(struct dom *d, struct token t, uint32_t port, uint64_t cookie);
int port_adopt(struct dom *d, uint32_t port, uint64_t cookie, int fds[2]); /* consumes */
void ports_free(struct dom *d);

/* ---- state.c, adopt.c: life after kill -9 ---- */
int state_save(struct hvd *h);
int state_save_dom(const struct dom *d);
void state_remove_dom(const struct hvd *h, uint16_t domid);
int state_load(struct hvd *h);
void adopt_all(struct hvd *h, void (*done)(struct hvd *h));
void adopt_finished(struct hvd *h, struct dom *d);
char *dom_sock_path(const struct hvd *h, uint16_t domid, char buf[108]);

/* ---- engines.c ---- */
/* Once, before the first request: tries /dev/kvm, for some seconds at worst. */
void engines_choose(struct hvd *h);
const char *engine_auto(const struct hvd *h); /* static storage */
/* The engine for a domain that asks for wish. */
int engine_pick(const struct hvd *h, const char *wish, char ret[HV_ENGINE_MAX], char *err,
		size_t errlen);

/* ---- hostinfo.c ---- */
void hostinfo(struct hvd *h, struct hv_HOSTINFO_REPLY *ret);
/* What is neither used nor promised to a domain that has not touched it yet. */
uint64_t host_free_kib(const struct hvd *h);

/* ---- logring.c ---- */
int logring_open(const char *path, struct logring **ret);
struct logring *logring_close(struct logring *r);
/* domid < 0: hvd's own line.  text is escaped. */
void logring_add(struct logring *r, int domid, const char *text);
uint32_t logring_read(const struct logring *r, uint64_t off, char *buf, uint32_t n,
		      uint64_t *ret_next);
void hvd_log(struct hvd *h, int domid, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif

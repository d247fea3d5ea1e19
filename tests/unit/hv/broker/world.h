/* tests/unit/hv/broker/world.h - an hvd of one's own, in a folder of its own. */
#ifndef TESTS_WORLD_H
#define TESTS_WORLD_H

#include <stdbool.h>
#include <sys/types.h>

#include "hv/client/domctl.h"

struct world {
	char run[64], sock[108];
	pid_t hvd;
	struct hvc *h;
	int kernel;
};

/* The programs under test. */
extern const char *hvd_path, *domain_path;

int setup(void **state);
int teardown(void **state);
void nap(long ms);
void start_hvd(struct world *w);
void kill_hvd(struct world *w, int sig); /* SIGTERM must end well */
int create(struct world *w, const char *cmdline, struct hvc_created *ret, char err[256]);
uint16_t must_create(struct world *w, const char *cmdline);
unsigned dom_files(struct world *w); /* in the folder of sockets and states */
unsigned hvd_fds(struct world *w);
long hvd_rss_kib(struct world *w);
pid_t domain_pid(struct world *w, uint16_t domid);
bool process_gone(pid_t pid); /* within five seconds */
bool wait_event(struct world *w, enum hvc_event_kind kind, struct hvc_event *ret);
bool readable(int fd);

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif

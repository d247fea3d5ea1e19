/* tests/fake/rig.h - consoled's core without domains: an event loop, a log
 * folder of its own, and consoles whose guests are fake. */
#ifndef TESTS_FAKE_RIG_H
#define TESTS_FAKE_RIG_H

#include "consoled/conf.h"
#include "consoled/console.h"
#include "consoled/logfile.h"
#include "consoled/pool.h"
#include "tests/fake/guest.h"

struct rig {
	char dir[32]; /* logs, state */
	struct event_base *base;
	struct conf conf;
	struct pool *pool;
	struct logdir *logs;
	struct conset cs;
	unsigned closed; /* ports */
	bool sync;	 /* no threads */
};

/* args: more settings, NULL-terminated. */
void rig_init(struct rig *r, const char *const *args);
void rig_stop(struct rig *r);  /* as the daemon does at its end; the folder stays */
void rig_start(struct rig *r); /* again, with the same folder and settings */
void rig_fini(struct rig *r);  /* removes the folder */

struct console *rig_console(struct rig *r, uint16_t domid, const char *name, struct fake_guest *g);
/* Run the loop until cond(arg) holds; fails the test after some seconds. */
void rig_until(struct rig *r, bool (*cond)(void *arg), void *arg);
void rig_spin(struct rig *r, int ms);
/* The guest prints all of it, the loop runs until the ring is empty and
 * everything is in the log. */
void rig_print(struct rig *r, struct fake_guest *g, const void *p, size_t n);
void rig_idle(struct rig *r);
/* The file's bytes, malloc'ed, NUL-terminated; NULL if there is none. */
char *rig_file(struct rig *r, const char *name, size_t *ret_n);
unsigned rig_fds(void); /* open descriptors */

#endif

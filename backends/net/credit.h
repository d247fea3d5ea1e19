/* backends/net/credit.h - how much a guest may send: rate="<bytes>,<usecs>" of its
 * backend's folder, as xl writes it.
 *
 * A bucket gets `bytes` every `usecs`, and holds that much, or 128 KiB if that
 * is more: one packet of any size always fits.  All queues of a device share
 * one; calls lock.
 */
#ifndef BACKENDS_NET_CREDIT_H
#define BACKENDS_NET_CREDIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define CREDIT_BURST_MIN (128u * 1024)

struct credit_rate {
	uint64_t bytes; /* 0: no limit */
	uint64_t usecs;
};

/* 0, or -EINVAL for text that is no rate; "0,0", "" and NULL are no limit. */
int credit_parse(const char *s, struct credit_rate *ret);

struct credit {
	pthread_mutex_t lock;
	struct credit_rate rate;
	uint64_t left;	  /* bytes */
	uint64_t next_ns; /* when the next ones come */
	bool limited;	  /* rate.bytes != 0; read without the lock */
};

void credit_init(struct credit *c);
void credit_fini(struct credit *c);
/* Takes effect at once; the same rate again changes nothing. */
void credit_set(struct credit *c, const struct credit_rate *rate, uint64_t now_ns);
/* 0: taken.  Else nothing was, and the answer is when to try again (ns). */
uint64_t credit_take(struct credit *c, uint32_t bytes, uint64_t now_ns);

#endif

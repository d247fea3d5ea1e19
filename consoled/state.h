/* consoled/state.h - what must outlive a killed consoled, in a mapped file.
 *
 * One slot per console holds a spool of formatted log bytes and two records.
 * A record has two copies and a word that says which one counts; the other is
 * filled, then the word is flipped.  A process can be killed between any two
 * instructions and the file is right:
 *
 *   taking from the ring                     after a kill
 *   1 bytes into the spool beyond head       as if it never happened
 *   2 flip the in record                     the bytes are taken; the ring's
 *     {head, cons before and after}          out_cons is set to "after"
 *   3 ring's out_cons = after
 *
 *   writing to the log                       after a kill
 *   4 write at the file's known offset       the same bytes are written to the
 *   5 flip the out record                    same place again
 *     {tail, file, offset}
 *
 * The file is flock'ed: there is one consoled per file.  A thread that writes
 * a log may flip the out record of its slot; all else is the main thread's.
 */
#ifndef CONSOLED_STATE_H
#define CONSOLED_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consoled/fmt.h"
#include "consoled/names.h"

#define SPOOL_SIZE 16384u

enum slot_mark { MARK_NONE, MARK_ENDED }; /* the end of the domain was written */

struct slot_in {
	uint32_t head; /* bytes ever put, mod 2^32 */
	uint32_t cons_before, cons_after;
	uint32_t mark;
	uint64_t place; /* hypervisor log: offset to read next */
	uint64_t lost;	/* bytes not logged and not told yet */
	int32_t lost_why;
	uint32_t pad;
	struct fmt_state fmt;
};

struct slot_out {
	uint32_t tail; /* bytes ever written to logs, mod 2^32 */
	uint32_t pad;
	uint64_t dev, ino, off; /* the next byte goes to off of this file; ino 0: none yet */
};

struct slot; /* in the mapping */
struct state;

#define SLOT_HV 0xffffu /* domid of the hypervisor's own slot */

struct slot_id {
	uint16_t domid;
	uint32_t con;
	uint64_t born_ns; /* hvc_dominfo.created_ns: a reused domid is another guest */
};

/* path NULL: plain memory that dies with the process.  -EBUSY: another process
 * has it.  A file of another version or a broken one is set aside as
 * "<path>.old".  *ret is owned. */
int state_open(const char *path, struct state **ret);
struct state *state_close(struct state *st); /* keeps the file's contents */

/* Find, or make with this log name.  A slot stays where it is until
 * state_del().  -ENOSPC when the file can't grow, -ENOMEM. */
struct slot *state_find(struct state *st, const struct slot_id *id);
int state_add(struct state *st, const struct slot_id *id, const char *log, struct slot **ret);
void state_del(struct state *st, struct slot *s);
/* fn may delete the slot it is shown. */
void state_each(struct state *st, void (*fn)(void *arg, struct slot *s), void *arg);

struct slot_id slot_id(const struct slot *s);
const char *slot_log(const struct slot *s);
void slot_set_log(struct slot *s, const char *log); /* spool must be empty */

const struct slot_in *slot_in(const struct slot *s);
const struct slot_out *slot_out(const struct slot *s);
/* Put n bytes (they fit) and flip to *next, whose head is set here. */
void slot_put(struct slot *s, const void *p, size_t n, struct slot_in *next);
/* Step 3 was done for the record that counts; whether it is known to be.  (A
 * ring that begins anew must not be taken for one that lacks it.) */
void slot_set_done(struct slot *s);
bool slot_is_done(const struct slot *s);
/* The contiguous bytes at tail. */
size_t slot_span(const struct slot *s, uint32_t tail, uint32_t head, const uint8_t **ret);
void slot_took(struct slot *s, const struct slot_out *next);

#endif

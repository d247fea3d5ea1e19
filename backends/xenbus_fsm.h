/* backends/xenbus_fsm.h - what a backend does when its frontend's state moves.
 *
 *   INIT --ready--> INIT_WAIT --Initialised/Connected--> CONNECTED --Closing--> CLOSING
 *                       ^                                    |                     |
 *                       |                                 Closed/gone          Closed/gone
 *                       +------Initialising------ CLOSED <---+---------------------+
 *
 * Pure: no store, no ring, no descriptor.  The caller performs the action, then
 * publishes the state; a frontend's state without a rule is ignored.  When the
 * toolstack takes the device away (online = 0), be_offline tells instead.
 */
#ifndef BACKENDS_XENBUS_FSM_H
#define BACKENDS_XENBUS_FSM_H

#include <stdbool.h>

enum xb_state { /* as stored in .../state, <xen/io/xenbus.h> */
		XB_UNKNOWN,
		XB_INITIALISING,
		XB_INIT_WAIT,
		XB_INITIALISED,
		XB_CONNECTED,
		XB_CLOSING,
		XB_CLOSED,
		XB_STATE_MAX
};
/* The ring is held in XB_CONNECTED and nowhere else. */
enum be_act { ACT_NONE, ACT_CONNECT, ACT_DISCONNECT };

struct be_step {
	enum xb_state to; /* ours */
	enum be_act act;
};

struct be_step be_next(enum xb_state from, enum xb_state peer);
/* Going away: CLOSING until the frontend has closed or is gone. */
struct be_step be_offline(enum xb_state from, enum xb_state peer);

/* "4" is XB_CONNECTED; anything that is not a state is XB_UNKNOWN. */
enum xb_state xb_state_parse(const char *s);

#endif

/* backends/warden_msg.h - what a backend and its warden say to each other on the
 * socket "open": one datagram (SOCK_SEQPACKET) each way, native layout (both are
 * of one build and one machine), descriptors beside the answer. */
#ifndef BACKENDS_WARDEN_MSG_H
#define BACKENDS_WARDEN_MSG_H

#include <stdint.h>

#define WARDEN_FDS_MAX	8u
#define WARDEN_BLOB_MAX 1024u
#define WARDEN_TEXT_MAX 256u

#define WARDEN_JOURNALS_MAX 64u	       /* of one guest */
#define WARDEN_JOURNAL_MAX  (1u << 20) /* bytes of one */

enum warden_type {
	WARDEN_OPEN = 1,   /* devid -> descriptors and blob of the device */
	WARDEN_CLOSE = 2,  /* devid: the next OPEN opens anew */
	WARDEN_JOURNAL = 3 /* devid, index, size -> one descriptor of shared memory */
};

struct warden_req {
	uint32_t type; /* enum warden_type */
	uint32_t seq;  /* comes back */
	uint32_t devid;
	uint32_t index, size; /* of a JOURNAL */
};

struct warden_rep {
	uint32_t seq;
	int32_t status; /* 0 or a negative errno */
	uint32_t fresh; /* of a JOURNAL: it was made for this request and is all zeroes */
	uint32_t blob_len;
	char text[WARDEN_TEXT_MAX]; /* for a person, of a failure */
	uint8_t blob[WARDEN_BLOB_MAX];
};

#endif

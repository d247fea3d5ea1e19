/* proto/vbd_nodes.h - two nodes of a block device's backend folder that are ours:
 * its I/O limits (toolstack to backend) and its counters (backend to toolstack).
 *
 *   /local/domain/0/backend/vbd/<domid>/<devid>/limits
 *       "total_iops_sec=1000,total_iops_sec_max=4000,total_iops_sec_max_length=5"
 *   .../stats
 *       "oo_req=0,rd_req=12,wr_req=3,f_req=1,ds_req=0,rd_sect=96,wr_sect=24"
 *
 * One node each, so that a change is atomic.  Names and meanings of limits are
 * libvirt's <iotune>.  A missing node, an empty one or a value of 0: no limit.
 * The toolstack may write limits at any time; the backend writes stats about
 * every 2 seconds while they change.
 */
#ifndef PROTO_VBD_NODES_H
#define PROTO_VBD_NODES_H

#include <stddef.h>
#include <stdint.h>

#define VBD_NODE_LIMITS "limits"
#define VBD_NODE_STATS	"stats"

/* Each name X also has X_max, the rate of a burst, and X_max_length, for how
 * many seconds a device that was idle may keep it (default 1). */
#define VBD_LIMIT_LIST(X)               \
	X(TOTAL_BYTES, total_bytes_sec) \
	X(READ_BYTES, read_bytes_sec)   \
	X(WRITE_BYTES, write_bytes_sec) \
	X(TOTAL_IOPS, total_iops_sec)   \
	X(READ_IOPS, read_iops_sec)     \
	X(WRITE_IOPS, write_iops_sec)

enum vbd_limit_kind {
#define X(id, name) VBD_##id,
	VBD_LIMIT_LIST(X)
#undef X
		VBD_LIMIT_KINDS
};

#define VBD_LIMIT_MAX	     1000000000000000ull /* of a rate, as in libvirt */
#define VBD_LIMIT_LENGTH_MAX 3600u
#define VBD_GROUP_MAX	     64	  /* with the NUL */
#define VBD_LIMITS_TEXT	     1024 /* holds any formatted limits */
#define VBD_STATS_TEXT	     256

struct vbd_limit {
	uint64_t rate; /* a second; 0: none */
	uint64_t max;  /* a second in a burst, >= rate; 0: no burst */
	uint64_t max_length;
};
struct vbd_limits {
	struct vbd_limit of[VBD_LIMIT_KINDS];
	uint64_t size_iops; /* size_iops_sec: a request counts once per so many bytes; 0: once */
	char group[VBD_GROUP_MAX]; /* group_name: devices of one guest that share these */
};

#define VBD_STAT_LIST(X) X(oo_req) X(rd_req) X(wr_req) X(f_req) X(ds_req) X(rd_sect) X(wr_sect)

struct vbd_stats { /* sectors of 512 bytes; oo_req: had to wait for limits */
#define X(name) uint64_t name;
	VBD_STAT_LIST(X)
#undef X
};

/* The name of a kind, without a suffix. */
const char *vbd_limit_name(enum vbd_limit_kind k);

/* s: "name=value" pairs between commas or blanks.  -EINVAL and a line for a
 * person in err (may be NULL): an unknown or doubled name, a number that is
 * none or out of range, a burst without its rate or below it. */
int vbd_limits_parse(const char *s, struct vbd_limits *ret, char *err, size_t errlen);
/* Only what is set; "" for no limits.  Returns buf. */
char *vbd_limits_format(const struct vbd_limits *l, char buf[VBD_LIMITS_TEXT]);

/* Unknown names are skipped, missing ones are 0.  -EINVAL: not such a text. */
int vbd_stats_parse(const char *s, struct vbd_stats *ret);
char *vbd_stats_format(const struct vbd_stats *st, char buf[VBD_STATS_TEXT]);

#endif

/* proto/con_wire.h - attaching to a console over consoled's unix socket.
 *
 * A stream socket.  The client sends one line and the server answers one:
 *
 *   ATTACH <domid> <console> rw|ro|force <scrollback bytes>\n
 *   OK rw|ro\n        then raw console bytes both ways until either closes
 *   ERR <text>\n      then the server closes
 *
 * rw asks to be the one writer (ro is granted if there is one already), force
 * takes the pen from whoever has it, ro only watches.  console is 0 for the
 * primary one.  Bytes of a viewer without the pen are dropped.
 * A second verb serves the API:
 *
 *   TAIL <guest name> <bytes>\n  ->  OK <n>\n and n bytes of the log's end
 */
#ifndef PROTO_CON_WIRE_H
#define PROTO_CON_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define CON_LINE_MAX	   512u
#define CON_SCROLLBACK_MAX 65536u
#define CON_TAIL_MAX	   (1u << 20)

enum con_verb { CON_ATTACH, CON_TAIL };
enum con_mode { CON_RO, CON_RW, CON_FORCE };

struct con_req {
	enum con_verb verb;
	uint16_t domid;
	uint32_t console;
	enum con_mode mode;
	uint32_t bytes; /* scrollback or tail, already within its limit */
	char name[256]; /* TAIL only */
};

/* line: without the newline, NUL-terminated.  -EINVAL if it is not a request. */
int con_req_parse(const char *line, struct con_req *ret);
/* Writes the line with its newline.  Returns its length or -EMSGSIZE. */
int con_req_format(const struct con_req *q, char *buf, size_t n);

#endif

/* consoled/journal.h - console lines as entries of the system's journal
 * (systemd's native protocol, one datagram per line). */
#ifndef CONSOLED_JOURNAL_H
#define CONSOLED_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

struct journal;
struct jline; /* a console's unfinished line */

#define JOURNAL_LINE_MAX 2048u /* a longer line becomes several entries */

/* path NULL: $DOMZERO_JOURNAL_SOCKET, else systemd's.  Succeeds even if nobody
 * listens there yet. */
int journal_new(const char *path, struct journal **ret);
struct journal *journal_free(struct journal *j);

/* Send the lines that end in p; keep the rest in *line (made when needed;
 * owned by the caller).  Never blocks: what the journal does not take is
 * counted and told with the next entry that it does. */
void journal_feed(struct journal *j, struct jline **line, const char *guest, uint16_t domid,
		  uint32_t con, const uint8_t *p, size_t n);
struct jline *journal_line_free(struct jline *line); /* NULL ok */

#endif

/* cli/v_console.c - a terminal on a guest's console, through apid.
 *
 * The connection is upgraded to raw bytes.  The terminal is raw meanwhile and
 * is put back on every way out that is ours; a byte sent by a guest goes to
 * the terminal as it is, as with any serial line.
 */
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/dz.h"
#include "cli/http.h"

enum { ESCAPE_DEFAULT = 0x1d }; /* Ctrl-] */

int console_escape(const char *text)
{
	if (text[0] == '^' && text[1] && !text[2])
		return toupper((unsigned char)text[1]) & 0x1f;
	return text[0] && !text[1] ? (unsigned char)text[0] : -EINVAL;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t r = write(fd, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN) {
			struct pollfd wait = { fd, POLLOUT, 0 };

			(void)poll(&wait, 1, -1); /* the next write tells */
			continue;
		}
		if (r < 0)
			return -errno;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

/* Terminal input up to the escape character.  1: it came, or there is no more
 * reader; 0: go on; *eof: nothing more will come. */
static int forward_input(int fd, char escape, bool tty, bool *eof)
{
	char buf[1024], *stop;
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
	size_t len;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : 1;
	if (n == 0) {
		*eof = true;
		return tty; /* a terminal that is gone ends it; a pipe may just be empty */
	}
	stop = tty ? memchr(buf, escape, (size_t)n) : NULL;
	len = stop ? (size_t)(stop - buf) : (size_t)n;
	if (write_all(fd, buf, len) < 0)
		return 1;
	return stop != NULL;
}

static int pump(int fd, int sig, char escape, bool tty)
{
	struct pollfd p[3] = { { fd, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 }, { sig, POLLIN, 0 } };
	char buf[16384];

	for (;;) {
		bool eof = false;

		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[2].revents)
			return 0;
		if (p[0].revents) {
			ssize_t n = read(fd, buf, sizeof(buf));

			if (n == 0)
				return 0;
			if (n < 0 && errno != EINTR && errno != EAGAIN)
				return errno == ECONNRESET ? 0 : -errno;
			if (n > 0 && write_all(STDOUT_FILENO, buf, (size_t)n) < 0)
				return 0;
		}
		if (p[1].revents && forward_input(fd, escape, tty, &eof))
			return 0;
		if (eof)
			p[1].fd = -1;
	}
}

static int upgrade(struct dz *dz, const char *dom, const char *mode, unsigned scrollback,
		   struct http_conn **ret)
{
	struct http_req q = { .method = "GET",
			      .headers = "Connection: Upgrade\r\nUpgrade: domzero-console\r\n" };
	char target[API_TARGET_MAX], rest[96];
	struct http_conn *c = NULL;
	json_object *domain = NULL;
	int r;

	r = api_domain(dz, dom, &domain);
	if (r < 0)
		return r;
	snprintf(rest, sizeof(rest), "/console?mode=%.8s&scrollback=%u", mode, scrollback);
	r = api_domain_target(dz, api_str(domain, "uuid", dom), rest, target);
	json_object_put(domain);
	if (r < 0)
		return r;
	q.target = target;
	r = http_open(dz->where, &q, &c);
	if (r < 0)
		return dz_set(dz, r, "%s: %s", dz->where, strerror(-r));
	if (http_head(c)->status != 101) {
		json_object *problem = NULL;
		char *text = NULL;
		size_t n;

		if (http_read_all(c, &text, &n) == 0)
			problem = json_tokener_parse(text);
		r = dz_set(dz, -ENOTCONN, "can't attach to the console of %s: %s", dom,
			   api_str(problem, "detail",
				   api_str(problem, "title", "apid refused and gave no reason")));
		free(text);
		json_object_put(problem);
		http_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

int console_attach(struct dz *dz, const char *dom, const char *mode, unsigned scrollback,
		   char escape)
{
	bool tty = isatty(STDIN_FILENO);
	struct termios saved, raw;
	struct http_conn *c = NULL;
	sigset_t set, old;
	char *early = NULL;
	size_t n = 0;
	int r, fd, sig;

	r = upgrade(dz, dom, mode, scrollback, &c);
	if (r < 0)
		return r;
	if (strcmp(http_head(c)->console_mode, "ro") == 0 && strcmp(mode, "ro") != 0)
		fprintf(stderr, "dz: another viewer is writing; watching only "
				"(dz console --force takes over)\n");
	fd = http_take(c, &early, &n);
	if (fd < 0)
		return dz_set(dz, fd, "out of memory");
	if (write_all(STDOUT_FILENO, early, n) < 0)
		n = 0; /* nobody reads; pump() finds out */
	free(early);
	/* A reader that goes must not kill us while the terminal is raw. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &old);
	sig = signalfd(-1, &set, SFD_CLOEXEC);
	if (tty && tcgetattr(STDIN_FILENO, &saved) == 0) {
		raw = saved;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	r = pump(fd, sig, escape, tty);
	if (tty)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	if (sig >= 0)
		close(sig);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fd);
	if (tty)
		putchar('\n');
	return r < 0 ? dz_set(dz, r, "the console: %s", strerror(-r)) : 0;
}

int verb_console(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	enum { TYPE, NUM, ESCAPE, READONLY, FORCE, SCROLLBACK };
	int r, escape = ESCAPE_DEFAULT;
	unsigned long scrollback = 0;
	struct dz_args a;
	char *end;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	if (a.val[TYPE] && strcmp(a.val[TYPE], "pv") != 0) {
		fprintf(stderr, "dz: console type must be pv: this guest has no serial port\n");
		return 2;
	}
	if (a.val[NUM] && strcmp(a.val[NUM], "0") != 0) {
		fprintf(stderr, "dz: only console 0, the primary one, can be attached\n");
		return 2;
	}
	if (a.val[ESCAPE])
		escape = console_escape(a.val[ESCAPE]);
	if (escape < 0) {
		fprintf(stderr, "dz: --escape is one character, or ^ and a letter\n");
		return 2;
	}
	if (a.val[SCROLLBACK]) {
		scrollback = strtoul(a.val[SCROLLBACK], &end, 10);
		if (*end || end == a.val[SCROLLBACK] || scrollback > 65536) {
			fprintf(stderr, "dz: --scrollback is from 0 to 65536 bytes\n");
			return 2;
		}
	}
	r = console_attach(dz, a.operand[0],
			   a.val[FORCE]	     ? "force"
			   : a.val[READONLY] ? "ro"
					     : "rw",
			   (unsigned)scrollback, (char)escape);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}

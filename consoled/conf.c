/* consoled/conf.c - the table of settings and the meaning of their words. */
#include "consoled/conf.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "daemons/opts.h"
#include "daemons/paths.h"
#include "proto/con_wire.h"

#define AT(field) offsetof(struct conf, field)

static const struct opt table[] = {
	{ "log", 0, OPT_STR, "all", 0, 0, AT(log), "none, guest, hv or all" },
	{ "log-dir", 0, OPT_STR, NULL, 0, 0, AT(log_dir), "folder of the logs" },
	{ "log-format", 0, OPT_STR, "text", 0, 0, AT(format),
	  "text or json (one object per line)" },
	{ "log-size", 0, OPT_U64, "10485760", 0, 1ull << 50, AT(log_size),
	  "rotate at this many bytes; 0: never" },
	{ "log-files", 0, OPT_U64, "5", 0, 999, AT(log_files), "rotated files kept per log" },
	{ "log-rate", 0, OPT_U64, "4194304", 0, 1ull << 40, AT(log_rate),
	  "bytes a second one guest may log; 0: no limit" },
	{ "log-burst", 0, OPT_U64, "16777216", 2048, 1ull << 40, AT(log_burst),
	  "bytes a guest may log at once before the rate holds" },
	{ "log-fds", 0, OPT_U64, "512", 1, 1u << 20, AT(log_fds), "log files kept open" },
	{ "compress", 0, OPT_BOOL, "no", 0, 0, AT(compress),
	  "zstd for rotated logs but the newest" },
	{ "journal", 0, OPT_BOOL, "no", 0, 0, AT(journal), "send each line to the journal too" },
	{ "timestamp", 't', OPT_STR, "none", 0, 0, AT(timestamp), "none, guest, hv or all" },
	{ "timestamp-digits", 0, OPT_U64, "0", 0, 6, AT(digits), "0, 3 or 6 digits of a second" },
	{ "overflow-data", 'o', OPT_STR, "keep", 0, 0, AT(overflow),
	  "over its rate: keep (the guest waits) or discard" },
	{ "replace-escape", 'r', OPT_BOOL, "no", 0, 0, AT(replace_escape),
	  "write ESC as '.' into logs" },
	{ "scrollback", 0, OPT_U64, "32768", 1024, CON_SCROLLBACK_MAX, AT(scrollback),
	  "bytes per console kept for viewers" },
	{ "pty", 0, OPT_BOOL, "yes", 0, 0, AT(pty), "a terminal per guest for xenconsole" },
	{ "pid-file", 0, OPT_STR, NULL, 0, 0, AT(pid_file), "write the process id here" },
	{ "user", 0, OPT_STR, NULL, 0, 0, AT(user), "run as this user" },
	{ "seccomp", 0, OPT_BOOL, "yes", 0, 0, AT(seccomp),
	  "allow only the system calls it needs" },
	{ "socket-group", 0, OPT_STR, NULL, 0, 0, AT(group), "group that may attach" },
	{ "hypervisor", 0, OPT_STR, NULL, 0, 0, AT(hv), "provider, as in DOMZERO_HV" },
	{ "interactive", 'i', OPT_BOOL, "no", 0, 0, AT(interactive),
	  "stay in the foreground (but on a real Xen, always so)" },
	{ "verbose", 'v', OPT_BOOL, "no", 0, 0, AT(verbose), "log more about the daemon itself" },
	{ NULL, 0, OPT_STR, NULL, 0, 0, 0, NULL },
};

static int which(const char *name, const char *word, bool *ret_guest, bool *ret_hv, char *err,
		 size_t errlen)
{
	static const char *const words[] = { "none", "guest", "hv", "all" };

	for (unsigned i = 0; i < 4; i++)
		if (strcmp(word, words[i]) == 0) {
			*ret_guest = i & 1;
			*ret_hv = i & 2;
			return 0;
		}
	snprintf(err, errlen, "%s: '%.40s' is not none, guest, hv or all", name, word);
	return -EINVAL;
}

static int either(const char *name, const char *word, const char *no, const char *yes, bool *ret,
		  char *err, size_t errlen)
{
	if (strcmp(word, no) != 0 && strcmp(word, yes) != 0) {
		snprintf(err, errlen, "%s: '%.40s' is neither %s nor %s", name, word, no, yes);
		return -EINVAL;
	}
	*ret = strcmp(word, yes) == 0;
	return 0;
}

int conf_parse(struct conf *c, int argc, char **argv, char *err, size_t errlen)
{
	bool json;
	int r;

	r = opts_parse(table, "consoled [options]", argc, argv, c, err, errlen);
	if (r < 0)
		return r;
	if (r < argc) {
		snprintf(err, errlen, "'%.80s': no operands are expected", argv[r]);
		return -EINVAL;
	}
	r = which("log", c->log, &c->log_guest, &c->log_hv, err, errlen);
	if (r == 0)
		r = which("timestamp", c->timestamp, &c->fmt_guest.stamps, &c->fmt_hv.stamps, err,
			  errlen);
	if (r == 0)
		r = either("overflow-data", c->overflow, "keep", "discard", &c->discard, err,
			   errlen);
	if (r == 0)
		r = either("log-format", c->format, "text", "json", &json, err, errlen);
	if (r == 0 && c->digits % 3) {
		snprintf(err, errlen, "timestamp-digits: 0, 3 or 6");
		r = -EINVAL;
	}
	if (r < 0)
		return r;
	c->fmt_guest.kind = c->fmt_hv.kind = json ? FMT_JSON : FMT_TEXT;
	c->fmt_guest.replace_escape = c->fmt_hv.replace_escape = c->replace_escape;
	c->fmt_guest.digits = c->fmt_hv.digits = (unsigned)c->digits;
	if (!c->log_dir && !(c->log_dir = strdup(path_console_log()))) {
		snprintf(err, errlen, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

void conf_fini(struct conf *c)
{
	opts_fini(table, c);
}

/* daemons/paths.c - default folders and their overrides. */
#include "daemons/paths.h"

#include <stdio.h>
#include <stdlib.h>

static const char *env_or(const char *var, const char *def)
{
	const char *v = getenv(var);

	return v && *v ? v : def;
}

const char *path_run(void)
{
	return env_or("DOMZERO_RUN_DIR", "/run/domzero");
}

const char *path_state(void)
{
	return env_or("DOMZERO_STATE_DIR", "/var/lib/domzero");
}

const char *path_xenstored_run(void)
{
	return env_or("XENSTORED_RUNDIR", "/run/xenstored");
}

const char *path_console_log(void)
{
	return env_or("DOMZERO_LOG_DIR", "/var/log/xen/console");
}

static char *join(char buf[108], const char *dir, const char *name)
{
	int n = snprintf(buf, 108, "%s/%s", dir, name);

	return n > 0 && n < 108 ? buf : NULL;
}

char *path_hvd_sock(char buf[108])
{
	return join(buf, path_run(), "hvd.sock");
}

char *path_consoled_sock(char buf[108])
{
	return join(buf, path_run(), "consoled.sock");
}

char *path_apid_sock(char buf[108])
{
	return join(buf, path_run(), "apid.sock");
}

char *path_blkd_sock(char buf[108])
{
	return join(buf, path_run(), "blkd.sock");
}

char *path_netd_sock(char buf[108])
{
	return join(buf, path_run(), "netd.sock");
}

char *path_xenstored_sock(char buf[108])
{
	const char *v = getenv("XENSTORED_PATH");
	int n;

	if (!v || !*v)
		return join(buf, path_xenstored_run(), "socket");
	n = snprintf(buf, 108, "%s", v);
	return n < 108 ? buf : NULL;
}

/* daemons/detach.c - one fork and a pipe that tells how the start went. */
#include "daemons/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemons/log.h"

bool detach_fits(void)
{
	const char *manager = getenv("NOTIFY_SOCKET");

	return !manager || !*manager;
}

/* The parent's end: 0 after the byte of detach_ready(). */
static int wait_for(pid_t child, int fd)
{
	int status = 0;
	ssize_t n;
	char c;

	do
		n = read(fd, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) == 0)
		return 1;
	return WEXITSTATUS(status);
}

int detach_start(int *ret_fd)
{
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid > 0) {
		close(p[1]);
		_exit(wait_for(pid, p[0]));
	}
	if (pid < 0) {
		int r = -errno;

		close(p[0]);
		close(p[1]);
		return r;
	}
	close(p[0]);
	(void)setsid(); /* a fresh child leads no group: it can't fail */
	*ret_fd = p[1];
	return 0;
}

void detach_ready(int fd)
{
	int null;

	if (fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3 && null >= 0; i++)
		(void)dup2(null, i); /* the terminal is kept if not */
	if (null > 2)
		close(null);
	log_to_syslog();
	if (write(fd, "", 1) != 1)
		(void)log_warn(-errno, "whoever started us is gone");
	close(fd);
}

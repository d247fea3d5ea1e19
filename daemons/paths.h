/* daemons/paths.h - where things are, and the environment that moves them.
 *
 * Every path has a variable so that tests, and several instances on one host,
 * can run in folders of their own.
 */
#ifndef DAEMONS_PATHS_H
#define DAEMONS_PATHS_H

/* Each returns the variable's value if it is set and not empty, else the
 * default.  Borrowed; valid as long as the environment is. */
const char *path_run(void);	      /* DOMZERO_RUN_DIR    /run/domzero */
const char *path_state(void);	      /* DOMZERO_STATE_DIR  /var/lib/domzero */
const char *path_xenstored_run(void); /* XENSTORED_RUNDIR   /run/xenstored */
const char *path_console_log(void);   /* DOMZERO_LOG_DIR    /var/log/xen/console */

/* Sockets inside path_run(); buf must hold 108 bytes (sun_path).  Return buf,
 * or NULL when it would not fit. */
char *path_hvd_sock(char buf[108]);	 /* hvd.sock */
char *path_consoled_sock(char buf[108]); /* consoled.sock */
char *path_apid_sock(char buf[108]);	 /* apid.sock */
char *path_blkd_sock(char buf[108]);	 /* blkd.sock */
char *path_netd_sock(char buf[108]);	 /* netd.sock */
/* $XENSTORED_PATH, else path_xenstored_run()/socket. */
char *path_xenstored_sock(char buf[108]);

#endif

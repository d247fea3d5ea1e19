/* consoled/names.h - file names made of names that guests' owners chose. */
#ifndef CONSOLED_NAMES_H
#define CONSOLED_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_NAME_MAX 224 /* leaves room below NAME_MAX for ".NNN.zst.tmp" */

/* The log's file name for console con of the guest: "guest-<name>.log", or
 * "guest-<name>@<con>.log" for con > 0.  A byte outside [A-Za-z0-9._+-] becomes
 * %XX; a name that gets too long is cut and ends in "~" and 16 hex digits of
 * its SHA-256, so different names never share a file.  An empty or missing
 * name is "@<domid>". */
void log_name(char out[LOG_NAME_MAX], const char *name, size_t len, uint16_t domid, uint32_t con);

/* A name that log_name() could have made, or hypervisor.log: nothing in it can
 * leave its folder.  For names read back from files. */
bool log_name_valid(const char *file);

#endif

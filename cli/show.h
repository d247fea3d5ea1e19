/* cli/show.h - what xl prints, from the API's objects; text only, no I/O. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;

enum show_flags { SHOW_VERBOSE = 1 };

void show_list_head(FILE *out, unsigned flags);
/* d: a Domain. */
void show_list_row(FILE *out, struct json_object *d, unsigned flags);
/* The row of Domain-0, from a Host. */
void show_list_host(FILE *out, struct json_object *host, unsigned flags);
/* "r-----" from a Domain's flags; buf holds 7. */
char *show_state(struct json_object *d, char buf[7]);
/* xl list -l's object for a Domain; owned by the caller, NULL: out of memory. */
struct json_object *show_long(struct json_object *d);
void show_vcpu_head(FILE *out);
/* host: for Domain-0, whose vCPUs are the host's; d NULL. */
void show_vcpu_rows(FILE *out, struct json_object *d, struct json_object *host);
void show_info(FILE *out, struct json_object *host);
/* RFC 3339 in UTC to seconds since 1970, or -1. */
int64_t show_time(const char *text);
/* "12:34:56" or "3 days, 1:02:03"; buf holds 32. */
char *show_uptime(int64_t seconds, char buf[32]);

#endif

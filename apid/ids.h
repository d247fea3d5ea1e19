/* apid/ids.h - UUIDs as text and bytes, and wall-clock milliseconds. */
#ifndef APID_IDS_H
#define APID_IDS_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_LEN 36

bool uuid_valid(const char *s); /* 8-4-4-4-12 hex digits, any case */
void uuid_lower(char *s);
void uuid_new(char ret[UUID_LEN + 1]); /* random, version 4 */
int uuid_bytes(const char *s, uint8_t ret[16]);
void uuid_text(const uint8_t b[16], char ret[UUID_LEN + 1]);
int64_t now_ms(void);	 /* CLOCK_REALTIME: for what is told or stored */
int64_t uptime_ms(void); /* CLOCK_MONOTONIC: for how long something takes */

#endif

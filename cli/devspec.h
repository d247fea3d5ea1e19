/* cli/devspec.h - the strings of disk = [...] and vif = [...], as
 * xl-disk-configuration(5) and xl-network-configuration(5) define them,
 * turned into the API's Disk and Vif objects.
 */
#ifndef CLI_DEVSPEC_H
#define CLI_DEVSPEC_H

#include <stddef.h>

struct json_object;

/* *ret is owned by the caller.  -EINVAL with a message in err that says what
 * is wrong with spec (it does not repeat where spec stands), or -ENOMEM. */
int devspec_disk(const char *spec, struct json_object **ret, char *err, size_t errlen);
int devspec_vif(const char *spec, struct json_object **ret, char *err, size_t errlen);

#endif

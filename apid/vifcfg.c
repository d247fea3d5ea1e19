/* apid/vifcfg.c - the words of a vif, each checked for itself. */
#include "apid/vifcfg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "apid/json.h"

#define RATE_USECS_DEFAULT 50000u /* xl-network-configuration(5) */

struct ctx {
	struct problem *p;
	unsigned at;
};

static int bad(struct ctx *c, const char *member, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int bad(struct ctx *c, const char *member, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	*c->p = (struct problem){ .code = PROB_INVALID_CONFIG };
	n = (size_t)snprintf(c->p->detail, sizeof(c->p->detail), "vif %u: ", c->at);
	va_start(ap, fmt);
	vsnprintf(c->p->detail + n, sizeof(c->p->detail) - n, fmt, ap);
	va_end(ap);
	snprintf(c->p->pointer, sizeof(c->p->pointer), "/vifs/%u/%s", c->at, member);
	return -EINVAL;
}

/* ---- rate ---- */

/* Digits to a number; *ret_end at what follows.  -ERANGE over 2^63. */
static int number(const char *s, uint64_t *ret, const char **ret_end)
{
	uint64_t n = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (n > (INT64_MAX - 9) / 10)
			return -ERANGE;
		n = n * 10 + (uint64_t)(*s - '0');
	}
	*ret = n;
	*ret_end = s;
	return 0;
}

static int scaled(uint64_t n, uint64_t by, uint64_t *ret)
{
	if (n > INT64_MAX / by)
		return -ERANGE;
	*ret = n * by;
	return 0;
}

/* "30ms", "20us", "1s", "5": seconds without a unit. */
static int interval(const char *s, uint64_t *ret)
{
	uint64_t n, by = 1000000;
	int r = number(s, &n, &s);

	if (r < 0)
		return r;
	if (*s == 'm' || *s == 'u')
		by = *s++ == 'm' ? 1000 : 1;
	if (*s == 's')
		s++;
	if (*s)
		return -EINVAL;
	r = scaled(n, by, &n);
	if (r < 0 || n == 0 || n > UINT32_MAX)
		return -ERANGE;
	*ret = n;
	return 0;
}

int vifcfg_rate(const char *s, uint64_t *ret_bytes, uint32_t *ret_usecs)
{
	uint64_t n, usecs = RATE_USECS_DEFAULT;
	const char *end;
	int r = number(s, &n, &end);

	if (r == 0 && strchr("GMK", *end) && *end)
		r = scaled(n, *end == 'G' ? 1000000000 : *end == 'M' ? 1000000 : 1000, &n), end++;
	if (r < 0)
		return r;
	if ((*end != 'b' && *end != 'B') || strncmp(end + 1, "/s", 2) != 0 ||
	    (end[3] && end[3] != '@'))
		return -EINVAL;
	if (*end == 'b')
		n /= 8;
	if (end[3] == '@')
		r = interval(end + 4, &usecs);
	if (r < 0)
		return r;
	/* n * usecs / 1000000 without leaving 64 bits. */
	if (n / 1000000 > (uint64_t)INT64_MAX / usecs)
		return -ERANGE;
	n = n / 1000000 * usecs + n % 1000000 * usecs / 1000000;
	if (n == 0)
		return -ERANGE;
	*ret_bytes = n;
	*ret_usecs = (uint32_t)usecs;
	return 0;
}

/* ---- MAC ---- */

void vifcfg_mac_new(char ret[MAC_LEN + 1])
{
	uint8_t b[3];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		abort(); /* three bytes come whole, or nothing here is safe */
	snprintf(ret, MAC_LEN + 1, "00:16:3e:%02x:%02x:%02x", b[0] & 0x7f, b[1], b[2]);
}

/* ---- names and addresses ---- */

/* "10", "10/20", "1-4", "10p": of digits and these; netd knows what they mean. */
static bool is_tags(const char *s)
{
	return *s >= '0' && *s <= '9' && s[strspn(s, "0123456789/-p:")] == '\0';
}

/* "xenbr0", "br0.10" and "br0:1:2" (Open vSwitch: a tag, trunks). */
static int take_bridge(struct ctx *c, const char *s, struct guest_vif *v)
{
	size_t n = strcspn(s, ":");

	if (!vif_is_ifname(s, n) || (s[n] && !is_tags(s + n + 1)))
		return bad(c, "bridge", "'%.40s' is no bridge's name; it looks like xenbr0", s);
	snprintf(v->bridge, sizeof(v->bridge), "%s", s);
	return 0;
}

static int take_ifname(struct ctx *c, const char *member, const char *s, char *ret)
{
	if (!vif_is_ifname(s, strlen(s)))
		return bad(c, member,
			   "%s '%.40s' is no interface's name: at most 15 of letters, digits, "
			   "- _ and .",
			   member, s);
	memcpy(ret, s, strlen(s) + 1); /* it fits: at most 15 */
	return 0;
}

static int take_ip(struct ctx *c, const char *s, struct guest_vif *v)
{
	struct vif_addr list[VIF_ADDRS_MAX];
	char word[VIF_ADDR_TEXT], *save = NULL, text[VIF_TEXT_MAX + 1];
	size_t at = 0;
	int n;

	if (strlen(s) > VIF_TEXT_MAX)
		return bad(c, "ip", "ip has more than %d characters", VIF_TEXT_MAX);
	n = vif_addrs_parse(s, list, word);
	if (n == -E2BIG)
		return bad(c, "ip", "more than %d addresses", VIF_ADDRS_MAX);
	if (n < 0)
		return bad(c, "ip", "'%s' is no IP address; it looks like 10.0.0.2", word);
	snprintf(text, sizeof(text), "%s", s);
	for (char *w = strtok_r(text, " \t", &save); w; w = strtok_r(NULL, " \t", &save))
		at += (size_t)snprintf(v->ip + at, sizeof(v->ip) - at, "%s%s", at ? " " : "", w);
	return 0;
}

/* A path is taken for its last part, as /etc/xen/scripts/vif-bridge. */
static int take_script(struct ctx *c, const char *s, struct guest_vif *v)
{
	static const char *const known[] = { "vif-bridge", "vif-openvswitch", "vif-route",
					     "vif-nat" };
	const char *name = strrchr(s, '/');

	name = name ? name + 1 : s;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(name, known[i]) == 0) {
			snprintf(v->script, sizeof(v->script), "%s", name);
			return 0;
		}
	return bad(c, "script",
		   "no script is run here: '%.60s' is not built in; vif-bridge, vif-openvswitch, "
		   "vif-route and vif-nat are",
		   s);
}

static int take_rate(struct ctx *c, const char *s, struct guest_vif *v)
{
	int r = vifcfg_rate(s, &v->rate_bytes, &v->rate_usecs);

	if (r == -ERANGE)
		return bad(c, "rate", "rate '%.40s' is too large, or less than a byte at a time",
			   s);
	if (r < 0)
		return bad(c, "rate", "rate '%.40s' is not of the form 10Mb/s or 1MB/s@20ms", s);
	return 0;
}

static int take_names(struct ctx *c, json_object *o, struct guest_vif *v)
{
	const char *s = json_str(o, "mac", NULL);
	int r = 0;

	if (s && vif_mac_parse(s, v->mac) < 0)
		return bad(c, "mac",
			   "'%.40s' is no address of one interface; it looks like "
			   "00:16:3e:12:34:56 (an odd first byte would be a group)",
			   s);
	s = json_str(o, "bridge", NULL);
	if (s)
		r = take_bridge(c, s, v);
	s = json_str(o, "vifname", NULL);
	if (r == 0 && s)
		r = take_ifname(c, "vifname", s, v->vifname);
	s = json_str(o, "gatewaydev", NULL);
	if (r == 0 && s)
		r = take_ifname(c, "gatewaydev", s, v->gatewaydev);
	s = json_str(o, "script", NULL);
	if (r == 0 && s)
		r = take_script(c, s, v);
	s = json_str(o, "ip", NULL);
	if (r == 0 && s)
		r = take_ip(c, s, v);
	s = json_str(o, "vlan", NULL);
	if (r == 0 && s && !is_tags(s))
		r = bad(c, "vlan", "vlan '%.40s' is not of the form 10, 10p or 10p/20", s);
	if (r == 0 && s)
		snprintf(v->vlan, sizeof(v->vlan), "%s", s);
	return r;
}

int vifcfg_parse(json_object *o, unsigned at, struct guest_vif *ret, struct problem *p)
{
	struct guest_vif v = { .devid = (uint32_t)json_int(o, "devid", at),
			       .bridge = "xenbr0",
			       .script = "vif-bridge",
			       .trusted = json_flag(o, "trusted", true),
			       .mtu = (uint32_t)json_int(o, "mtu", 0) };
	const char *backend = json_str(o, "backend", ""), *s;
	struct ctx c = { p, at };
	int r = take_names(&c, o, &v);

	s = json_str(o, "rate", NULL);
	if (r == 0 && s)
		r = take_rate(&c, s, &v);
	s = json_str(o, "allow", "");
	if (r == 0 && vif_allow_parse(s, &v.allow) < 0)
		r = bad(&c, "allow",
			"allow '%.40s': say mac, ip, bpdu, ra, dhcp, vlan or all, joined by +", s);
	if (r == 0 && strcmp(json_str(o, "type", "vif"), "ioemu") == 0)
		r = bad(&c, "type", "a PVH guest has no emulated interfaces; leave out type=ioemu");
	if (r < 0)
		return r;
	v.rx_rate = (uint64_t)json_int(o, "rx_bytes_sec", 0);
	v.rx_burst = (uint64_t)json_int(o, "rx_burst_bytes", 0);
	v.tx_rate = (uint64_t)json_int(o, "tx_bytes_sec", 0);
	v.tx_burst = (uint64_t)json_int(o, "tx_burst_bytes", 0);
	if ((v.rx_burst && !v.rx_rate) || (v.tx_burst && !v.tx_rate))
		return bad(&c, v.rx_burst && !v.rx_rate ? "rx_burst_bytes" : "tx_burst_bytes",
			   "a burst without a rate says nothing; set %cx_bytes_sec too",
			   v.rx_burst && !v.rx_rate ? 'r' : 't');
	v.elsewhere = *backend && strcmp(backend, "0") != 0 && strcmp(backend, "Domain-0") != 0;
	*ret = v;
	return 0;
}

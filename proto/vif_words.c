/* proto/vif_words.c - addresses, names and lists of a vif. */
#include "proto/vif_words.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int vif_mac_parse(const char *s, char ret[MAC_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	char out[MAC_LEN + 1];
	bool zero = true;

	for (int i = 0; i < MAC_LEN; i++) {
		char c = s[i] >= 'A' && s[i] <= 'F' ? (char)(s[i] + 32) : s[i];

		if (i % 3 == 2 ? c != ':' : !c || !strchr(hex, c))
			return -EINVAL; /* the terminating NUL ends here too */
		zero &= c == '0' || c == ':';
		out[i] = c;
	}
	out[MAC_LEN] = '\0';
	if (s[MAC_LEN] || zero || (strchr(hex, out[1]) - hex) & 1)
		return -EINVAL;
	memcpy(ret, out, sizeof(out));
	return 0;
}

bool vif_is_ifname(const char *s, size_t n)
{
	static const char ok[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

	return n > 0 && n <= VIF_NAME_MAX && strspn(s, ok) >= n && s[0] != '-' &&
	       !(n <= 2 && s[0] == '.' && s[n - 1] == '.');
}

static const struct {
	const char *word;
	unsigned bit;
} allows[] = {
	{ "mac", VIF_ALLOW_MAC }, { "ip", VIF_ALLOW_IP },     { "bpdu", VIF_ALLOW_BPDU },
	{ "ra", VIF_ALLOW_RA },	  { "dhcp", VIF_ALLOW_DHCP }, { "vlan", VIF_ALLOW_VLAN },
	{ "all", VIF_ALLOW_ALL },
};
#define ALLOWS (sizeof(allows) / sizeof(allows[0]))

int vif_allow_parse(const char *s, unsigned *ret)
{
	unsigned bits = 0;

	while (*s) {
		size_t n = strcspn(s, "+"), i;

		for (i = 0; i < ALLOWS; i++)
			if (strlen(allows[i].word) == n && strncmp(allows[i].word, s, n) == 0)
				break;
		if (i == ALLOWS)
			return -EINVAL;
		bits |= allows[i].bit;
		s += n;
		if (*s == '+' && !*++s)
			return -EINVAL;
	}
	*ret = bits;
	return 0;
}

void vif_allow_text(unsigned allow, char ret[32])
{
	size_t n = 0;

	ret[0] = '\0';
	if (allow == VIF_ALLOW_ALL) {
		snprintf(ret, 32, "all");
		return;
	}
	for (size_t i = 0; i < ALLOWS - 1; i++)
		if (allow & allows[i].bit)
			n += (size_t)snprintf(ret + n, 32 - n, "%s%s", n ? "+" : "",
					      allows[i].word);
}

int vif_addr_parse(const char *s, struct vif_addr *ret)
{
	struct vif_addr a = { .six = strchr(s, ':') != NULL };
	unsigned max = a.six ? 128 : 32;
	char text[VIF_ADDR_TEXT + 4], *slash;

	if (strlen(s) >= sizeof(text))
		return -EINVAL;
	snprintf(text, sizeof(text), "%s", s);
	slash = strchr(text, '/');
	a.prefix = max;
	if (slash) {
		size_t n = strlen(slash + 1);

		*slash = '\0';
		if (n < 1 || n > 3 || strspn(slash + 1, "0123456789") != n ||
		    (unsigned)atoi(slash + 1) > max)
			return -EINVAL;
		a.prefix = (unsigned)atoi(slash + 1);
	}
	if (inet_pton(a.six ? AF_INET6 : AF_INET, text, a.raw) != 1)
		return -EINVAL;
	*ret = a;
	return 0;
}

void vif_addr_text(const struct vif_addr *a, char ret[VIF_ADDR_TEXT])
{
	(void)inet_ntop(a->six ? AF_INET6 : AF_INET, a->raw, ret, VIF_ADDR_TEXT); /* it fits */
}

int vif_addrs_parse(const char *s, struct vif_addr ret[VIF_ADDRS_MAX], char bad[VIF_ADDR_TEXT])
{
	char word[VIF_ADDR_TEXT];
	int n = 0;

	for (;;) {
		size_t len;

		s += strspn(s, " \t");
		len = strcspn(s, " \t");
		if (len == 0)
			return n;
		snprintf(word, sizeof(word), "%.*s", (int)(len < 300 ? len : 300), s);
		if (n == VIF_ADDRS_MAX)
			return -E2BIG;
		if (len >= sizeof(word) || vif_addr_parse(word, &ret[n]) < 0) {
			memcpy(bad, word, sizeof(word));
			return -EINVAL;
		}
		n++;
		s += len;
	}
}

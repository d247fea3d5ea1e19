/* proto/vif_words.h - the words of a network interface's settings, as they
 * stand in a guest's configuration and in XenStore: addresses, names, lists.
 *
 * What passes here can stand in an argument, a rule or a node without quotes.
 */
#ifndef PROTO_VIF_WORDS_H
#define PROTO_VIF_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIF_NAME_MAX  15 /* IFNAMSIZ - 1 */
#define VIF_ADDRS_MAX 16
#define VIF_ADDR_TEXT 48 /* bytes that hold an address with its prefix */
#define VLAN_TAG_MAX  4094
#define MAC_LEN	      17

enum vif_allow {		      /* frames of the guest that are let through all the same */
		 VIF_ALLOW_MAC = 1,   /* any source address */
		 VIF_ALLOW_IP = 2,    /* any address although ip= is given */
		 VIF_ALLOW_BPDU = 4,  /* link-local groups: STP, LACP */
		 VIF_ALLOW_RA = 8,    /* router advertisements and redirects */
		 VIF_ALLOW_DHCP = 16, /* answers of a DHCP server */
		 VIF_ALLOW_VLAN = 32, /* frames with a VLAN tag */
		 VIF_ALLOW_ALL = 63
};

/* Six bytes as aa:bb:cc:dd:ee:ff in lower case.  -EINVAL also for a group
 * address and for all zeroes. */
int vif_mac_parse(const char *s, char ret[MAC_LEN + 1]);

/* The first n bytes of s are a name that Linux and a shell take for one. */
bool vif_is_ifname(const char *s, size_t n);

/* "bpdu+ra" to bits and back.  -EINVAL. */
int vif_allow_parse(const char *s, unsigned *ret);
void vif_allow_text(unsigned allow, char ret[32]);

struct vif_addr {
	bool six;
	unsigned prefix; /* 32 or 128 if none was given */
	uint8_t raw[16]; /* network order; 4 or 16 of them count */
};

/* "10.0.0.2/24", "fd00::2".  -EINVAL. */
int vif_addr_parse(const char *s, struct vif_addr *ret);
void vif_addr_text(const struct vif_addr *a, char ret[VIF_ADDR_TEXT]); /* without the prefix */

/* Words with blanks between, at most VIF_ADDRS_MAX.  Returns how many; -EINVAL
 * and the word in bad (VIF_ADDR_TEXT bytes, cut), or -E2BIG. */
int vif_addrs_parse(const char *s, struct vif_addr ret[VIF_ADDRS_MAX], char bad[VIF_ADDR_TEXT]);

#endif

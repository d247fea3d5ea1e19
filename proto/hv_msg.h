/* proto/hv_msg.h - control messages between hvd, its clients and its domain
 * processes, and the records of hvd's state file.
 *
 * One datagram (SOCK_SEQPACKET) is one message: a header, then the fields of
 * its type in order, little-endian, nothing left over.  Descriptors travel
 * beside it and are listed in comments.  A request is answered by a message
 * with the same seq: its own reply type, OK, or ERROR (negative errno in
 * status, one line for a person in text).  Events have seq 0.
 *
 * The lists below are the only place a message or field is written: structs,
 * codecs, names and the fuzz dictionary expand from them.
 */
#ifndef PROTO_HV_MSG_H
#define PROTO_HV_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "proto/hv_layout.h"

#define HV_MSG_MAGIC  0x31765a44u /* "DZv1" */
#define HV_MSG_MAX    65536u
#define HV_HDR_SIZE   20u
#define HV_TEXT_MAX   512 /* with NUL */
#define HV_NAME_MAX   64
#define HV_ENGINE_MAX 16
#define HV_INFOS_MAX  64 /* domains per DOMLIST_REPLY */
#define HV_BLOB_MAX   32768

/* Kinds of fields: U16, U32, U64; BYTES (fixed n); STR (NUL-terminated, in an
 * array of n, so at most n - 1 bytes and none of them 0); U64S (up to n
 * numbers); BLOB (up to n bytes, borrowed from the buffer); INFO and INFOS
 * (the record HV_FIELDS_INFO, one or up to n). */
#define HV_FIELDS_INFO(F)          \
	F(U16, domid, 0)           \
	F(BYTES, uuid, 16)         \
	F(U32, flags, 0)           \
	F(U32, shutdown_reason, 0) \
	F(STR, crash_detail, 128)  \
	F(U64, pages, 0)           \
	F(U64, max_pages, 0)       \
	F(U32, vcpus_online, 0)    \
	F(U32, max_vcpus, 0)       \
	F(U64, cpu_ns, 0)          \
	F(U64, created_ns, 0)      \
	F(STR, engine, HV_ENGINE_MAX)

#define HV_NO_FIELDS(F)
#define HV_DOMID_FIELDS(F) F(U16, domid, 0)

#define HV_FIELDS_ERROR(F) F(STR, text, HV_TEXT_MAX)
#define HV_FIELDS_OK	   HV_NO_FIELDS
#define HV_FIELDS_EVENT(F)                        \
	F(U32, kind, 0) /* enum hvc_event_kind */ \
	F(U16, domid, 0)                          \
	F(U32, reason, 0)

/* ---- clients ask hvd ---- */
#define HV_FIELDS_DOMINFO	   HV_DOMID_FIELDS
#define HV_FIELDS_DOMINFO_REPLY(F) F(INFO, info, 0)
#define HV_FIELDS_DOMLIST(F) \
	F(U16, first, 0)     \
	F(U32, max, 0)
#define HV_FIELDS_DOMLIST_REPLY(F) F(INFOS, items, HV_INFOS_MAX)
#define HV_FIELDS_SUBSCRIBE	   HV_NO_FIELDS
#define HV_FIELDS_MAP_PAGE(F) \
	F(U16, domid, 0)      \
	F(U64, gfn, 0)
#define HV_FIELDS_MAP_PAGE_REPLY(F) F(U32, page, 0) /* + special memfd */
#define HV_FIELDS_GUEST_OPEN	    HV_DOMID_FIELDS
#define HV_FIELDS_GUEST_OPEN_REPLY(F) \
	F(U64, ram_pages, 0)          \
	F(U32, gnttab_frames, 0) /* + RAM memfd, grant table memfd */
#define HV_FIELDS_PORT_BIND(F) \
	F(U16, domid, 0)       \
	F(U32, port, 0)
#define HV_FIELDS_PORT_BIND_REPLY(F) F(U64, cookie, 0) /* + notify, kick eventfds */
/* Does nothing if the port was taken over since: the cookie is another then. */
#define HV_FIELDS_PORT_CLOSE(F) \
	F(U16, domid, 0)        \
	F(U32, port, 0)         \
	F(U64, cookie, 0)
#define HV_FIELDS_CREATE(F) /* + kernel, ramdisk if has_ramdisk */ \
	F(BYTES, uuid, 16)                                         \
	F(U64, mem_pages, 0)                                       \
	F(U64, max_pages, 0)                                       \
	F(U32, vcpus, 0)                                           \
	F(U32, max_vcpus, 0)                                       \
	F(STR, name, HV_NAME_MAX)                                  \
	F(STR, engine, HV_ENGINE_MAX)                              \
	F(STR, cmdline, DOMAIN_CMDLINE_MAX)                        \
	F(U16, has_ramdisk, 0)
#define HV_FIELDS_CREATE_REPLY(F) \
	F(U16, domid, 0)          \
	F(U64, store_gfn, 0)      \
	F(U64, console_gfn, 0)    \
	F(U32, store_port, 0)     \
	F(U32, console_port, 0)
#define HV_FIELDS_PAUSE	  HV_DOMID_FIELDS
#define HV_FIELDS_UNPAUSE HV_DOMID_FIELDS
#define HV_FIELDS_DESTROY HV_DOMID_FIELDS
#define HV_FIELDS_SET_MAX_PAGES(F) \
	F(U16, domid, 0)           \
	F(U64, pages, 0)
#define HV_FIELDS_NMI(F) \
	F(U16, domid, 0) \
	F(U32, vcpu, 0)
#define HV_FIELDS_DEBUG_VIRQ	      HV_DOMID_FIELDS
#define HV_FIELDS_VCPU_TIMES	      HV_DOMID_FIELDS
#define HV_FIELDS_VCPU_TIMES_REPLY(F) F(U64S, ns, DOMAIN_MAX_VCPUS)
#define HV_FIELDS_HOSTINFO	      HV_NO_FIELDS
#define HV_FIELDS_HOSTINFO_REPLY(F)   \
	F(U32, nr_cpus, 0)            \
	F(U32, threads_per_core, 0)   \
	F(U32, cores_per_socket, 0)   \
	F(U32, cpu_khz, 0)            \
	F(U64, total_kib, 0)          \
	F(U64, free_kib, 0)           \
	F(U32, xen_major, 0)          \
	F(U32, xen_minor, 0)          \
	F(STR, xen_extra, 16)         \
	F(STR, xen_caps, 128)         \
	F(STR, version, 32)           \
	F(STR, engine, HV_ENGINE_MAX) \
	F(STR, engine_reason, 256)    \
	F(U64, boot_time_s, 0)
#define HV_FIELDS_DMESG(F) \
	F(U64, off, 0)     \
	F(U32, max, 0)
#define HV_FIELDS_DMESG_REPLY(F) \
	F(U64, next, 0)          \
	F(BLOB, text, HV_BLOB_MAX)

/* ---- hvd asks a domain process ---- */
/* + RAM, special, grant table memfds, listening socket, kernel, ramdisk if
 * has_ramdisk, /dev/kvm if has_kvm */
#define HV_FIELDS_D_SPAWN(F)                \
	F(U16, domid, 0)                    \
	F(BYTES, uuid, 16)                  \
	F(U64, mem_pages, 0)                \
	F(U64, max_pages, 0)                \
	F(U32, vcpus, 0)                    \
	F(U32, max_vcpus, 0)                \
	F(STR, name, HV_NAME_MAX)           \
	F(STR, engine, HV_ENGINE_MAX)       \
	F(STR, cmdline, DOMAIN_CMDLINE_MAX) \
	F(U16, has_ramdisk, 0)              \
	F(U16, has_kvm, 0)                  \
	F(U32, uid, 0)                      \
	F(STR, root, 108) /* an empty folder to live in */
#define HV_FIELDS_D_PAUSE   HV_NO_FIELDS
#define HV_FIELDS_D_UNPAUSE HV_NO_FIELDS
#define HV_FIELDS_D_STATS   HV_NO_FIELDS
#define HV_FIELDS_D_STATS_REPLY(F)               \
	F(U32, state, 0) /* enum domain_state */ \
	F(U32, shutdown_reason, 0)               \
	F(STR, crash_detail, 128)                \
	F(U64, pages, 0)                         \
	F(U64, max_pages, 0)                     \
	F(U32, vcpus_online, 0)                  \
	F(U32, max_vcpus, 0)                     \
	F(U32, blocked, 0)                       \
	F(U64, cpu_ns, 0)                        \
	F(U64S, vcpu_ns, DOMAIN_MAX_VCPUS)
#define HV_FIELDS_D_BIND(F) /* + notify, kick eventfds */ \
	F(U32, port, 0)                                   \
	F(U64, cookie, 0)
#define HV_FIELDS_D_UNBIND(F)	     F(U32, port, 0)
#define HV_FIELDS_D_SET_MAX_PAGES(F) F(U64, pages, 0)
#define HV_FIELDS_D_NMI(F)	     F(U32, vcpu, 0)
#define HV_FIELDS_D_DEBUG_VIRQ	     HV_NO_FIELDS
/* A restarted hvd wants its descriptors back. */
#define HV_FIELDS_D_ADOPT	   HV_NO_FIELDS
#define HV_FIELDS_D_ADOPT_REPLY(F) F(U16, domid, 0) /* + RAM, special, grant table memfds */
/* The first port bound to dom0 that is >= from; ERROR -ENOENT: no more. */
#define HV_FIELDS_D_PORT(F)	  F(U32, from, 0)
#define HV_FIELDS_D_PORT_REPLY(F) /* + notify, kick eventfds */ \
	F(U32, port, 0)                                         \
	F(U64, cookie, 0)
/* Unasked, seq 0. */
#define HV_FIELDS_D_SHUTDOWN(F) F(U32, reason, 0)
#define HV_FIELDS_D_LOG(F)	F(STR, text, HV_TEXT_MAX)

/* ---- hvd's state file ---- */
#define HV_FIELDS_STATE(F)     \
	F(U64, boot_time_s, 0) \
	F(U16, last_domid, 0)
#define HV_FIELDS_STATE_DOM(F)                                                        \
	F(U16, domid, 0)                                                              \
	F(U32, pid, 0)                                                                \
	F(U64, start_ticks, 0) /* field 22 of /proc/PID/stat: tells reuse of a pid */ \
	F(U32, built, 0)                                                              \
	F(U32, dying, 0)                                                              \
	F(BYTES, uuid, 16)                                                            \
	F(U64, mem_pages, 0)                                                          \
	F(U64, max_pages, 0)                                                          \
	F(U32, max_vcpus, 0)                                                          \
	F(U64, created_ns, 0)                                                         \
	F(U64, ram_ino, 0)                                                            \
	F(U64, special_ino, 0)                                                        \
	F(U64, gnttab_ino, 0)                                                         \
	F(STR, name, HV_NAME_MAX)                                                     \
	F(STR, engine, HV_ENGINE_MAX)                                                 \
	F(STR, crash_detail, 128)

/* clang-format off */
#define HV_MSGS(M)                                                                              \
	M(ERROR, 1)          M(OK, 2)             M(EVENT, 3)                                   \
	M(DOMINFO, 16)       M(DOMINFO_REPLY, 17) M(DOMLIST, 18)       M(DOMLIST_REPLY, 19)     \
	M(SUBSCRIBE, 20)     M(MAP_PAGE, 21)      M(MAP_PAGE_REPLY, 22)                         \
	M(GUEST_OPEN, 23)    M(GUEST_OPEN_REPLY, 24)                                            \
	M(PORT_BIND, 25)     M(PORT_BIND_REPLY, 26) M(PORT_CLOSE, 27)                           \
	M(CREATE, 32)        M(CREATE_REPLY, 33)  M(PAUSE, 34)         M(UNPAUSE, 35)           \
	M(DESTROY, 36)       M(SET_MAX_PAGES, 37) M(NMI, 38)           M(DEBUG_VIRQ, 39)        \
	M(VCPU_TIMES, 40)    M(VCPU_TIMES_REPLY, 41)                                            \
	M(HOSTINFO, 42)      M(HOSTINFO_REPLY, 43) M(DMESG, 44)        M(DMESG_REPLY, 45)       \
	M(D_SPAWN, 64)       M(D_PAUSE, 65)       M(D_UNPAUSE, 66)                              \
	M(D_STATS, 67)       M(D_STATS_REPLY, 68) M(D_BIND, 69)        M(D_UNBIND, 70)          \
	M(D_SET_MAX_PAGES, 71) M(D_NMI, 72)       M(D_DEBUG_VIRQ, 73)                           \
	M(D_ADOPT, 74)       M(D_ADOPT_REPLY, 75) M(D_PORT, 76)        M(D_PORT_REPLY, 77)      \
	M(D_SHUTDOWN, 78)    M(D_LOG, 79)                                                       \
	M(STATE, 96)         M(STATE_DOM, 97)
/* clang-format on */

enum hv_msg_type {
#define M(name, num) HV_##name = (num),
	HV_MSGS(M)
#undef M
		HV_MSG_TYPES
};

/* ---- expansion into structs ---- */
#define HV_DECL_U16(f, n)   uint16_t f;
#define HV_DECL_U32(f, n)   uint32_t f;
#define HV_DECL_U64(f, n)   uint64_t f;
#define HV_DECL_BYTES(f, n) uint8_t f[n];
#define HV_DECL_STR(f, n)   char f[n];
#define HV_DECL_U64S(f, n) \
	uint32_t f##_n;    \
	uint64_t f[n];
#define HV_DECL_BLOB(f, n) \
	uint32_t f##_n;    \
	const uint8_t *f;
#define HV_DECL_INFO(f, n) struct hv_INFO f;
#define HV_DECL_INFOS(f, n) \
	uint32_t f##_n;     \
	struct hv_INFO f[n];
#define HV_DECL(kind, f, n) HV_DECL_##kind(f, n)

struct hv_INFO {
	HV_FIELDS_INFO(HV_DECL)
};
#define M(name, num)                      \
	struct hv_##name {                \
		HV_FIELDS_##name(HV_DECL) \
	};
HV_MSGS(M)
#undef M

/* One message in memory.  The member of u that counts is the one of type. */
struct hv_msg {
	uint16_t type; /* enum hv_msg_type */
	uint32_t seq;
	int32_t status; /* 0, or a negative errno in an ERROR */
	union {
#define M(name, num) struct hv_##name name;
		HV_MSGS(M)
#undef M
	} u;
};

/* Decode exactly one message from buf.  -EBADMSG: not one of ours, cut short,
 * too long, or a field out of its bounds.  *ret is written only on success;
 * BLOB fields point into buf. */
int hv_msg_decode(const void *buf, size_t n, struct hv_msg *ret);

/* Like hv_msg_decode, for several messages in a row (the state file): returns
 * the bytes this one took. */
int hv_msg_decode_next(const void *buf, size_t n, struct hv_msg *ret);

/* Returns the bytes written, or -EMSGSIZE: it does not fit, a counted field is
 * over its limit, or a string has no end. */
int hv_msg_encode(const struct hv_msg *m, void *buf, size_t n);

/* "DOMINFO", or "?".  Static storage. */
const char *hv_msg_name(uint16_t type);

#endif

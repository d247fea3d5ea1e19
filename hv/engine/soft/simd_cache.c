/* hv/engine/soft/simd_cache.c - where native stubs live, and how their common
 * parts are written.
 *
 * One memfd is mapped twice, writable and executable, so no page is ever both.
 * Guests use few distinct instructions, many times: stubs with equal bytes are
 * shared, found by a hash table of offsets.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemons/sys.h"
#include "hv/engine/soft/simd_int.h"

#define CODE_SIZE  (1u << 20)
#define STUB_ALIGN 16u
#define HASH_SIZE  16384u /* a power of two */
#define HASH_MAX   12288u /* stubs, before the table gets slow */

struct slot {
	uint32_t hash, off, len; /* len 0: free */
};

struct simd_cache {
	uint8_t *wr;
	const uint8_t *ex;
	unsigned used, nr;
	unsigned feats; /* of the host, bits by enum simd_feat */
	struct slot slots[HASH_SIZE];
};

int simd_cache_new(struct simd_cache **ret)
{
	struct simd_cache *c = NULL;
	int fd, r;

	r = fd = sys_memfd("simd", CODE_SIZE);
	if (r < 0)
		goto out;
	c = sys_zalloc(sizeof(*c));
	if (!c) {
		r = -ENOMEM;
		goto out;
	}
	c->feats = simd_host_feats();
	c->wr = sys_mmap_shared(fd, CODE_SIZE, 0, PROT_READ | PROT_WRITE, &r);
	if (!c->wr)
		goto out;
	c->ex = sys_mmap_shared(fd, CODE_SIZE, 0, PROT_READ | PROT_EXEC, &r);
	if (!c->ex)
		goto out;
	*ret = c;
	c = NULL; /* moved to the caller */
	r = 0;
out:
	if (fd >= 0)
		close(fd);
	simd_cache_free(c);
	return r;
}

struct simd_cache *simd_cache_free(struct simd_cache *c)
{
	if (!c)
		return NULL;
	if (c->wr)
		munmap(c->wr, CODE_SIZE);
	if (c->ex)
		munmap((void *)c->ex, CODE_SIZE);
	free(c);
	return NULL;
}

void simd_cache_flush(struct simd_cache *c)
{
	c->used = c->nr = 0;
	memset(c->slots, 0, sizeof(c->slots));
}

bool simd_cache_has(const struct simd_cache *c, enum simd_feat f)
{
	return c->feats >> f & 1;
}

static uint32_t hash_bytes(const uint8_t *p, unsigned n)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	while (n--)
		h = (h ^ *p++) * 16777619u;
	return h;
}

int simd_cache_put(struct simd_cache *c, const struct emit *e, const void **ret)
{
	uint32_t h = hash_bytes(e->b, e->n);
	struct slot *s;

	for (unsigned i = h;; i++) {
		s = &c->slots[i % HASH_SIZE];
		if (!s->len)
			break;
		if (s->hash == h && s->len == e->n && memcmp(c->wr + s->off, e->b, e->n) == 0) {
			*ret = c->ex + s->off;
			return 0;
		}
	}
	if (c->nr == HASH_MAX || CODE_SIZE - c->used < e->n + STUB_ALIGN)
		return -ENOSPC;
	memcpy(c->wr + c->used, e->b, e->n);
	*s = (struct slot){ .hash = h, .off = c->used, .len = e->n };
	*ret = c->ex + c->used;
	c->used += (e->n + STUB_ALIGN - 1) & ~(STUB_ALIGN - 1);
	c->nr++;
	return 0;
}

void emit_bytes(struct emit *e, const uint8_t *p, unsigned n)
{
	memcpy(e->b + e->n, p, n);
	e->n += n;
}

#define LE32(v) (v) & 0xff, ((v) >> 8) & 0xff, ((v) >> 16) & 0xff, (uint32_t)(v) >> 24

/* The host's MXCSR is callee-saved: keep it in the image's free bytes. */
void emit_fx_enter(struct emit *e, bool flags_in)
{
	EMIT(e, 0x49, 0x89, 0xf9);			   /* mov r9, rdi */
	EMIT(e, 0x41, 0x0f, 0xae, 0x99, LE32(FX_SCRATCH)); /* stmxcsr [r9 + scratch] */
	if (flags_in) {
		EMIT(e, 0x48, 0x8b, 0x46, 0x08); /* mov rax, [rsi + 8] */
		EMIT(e, 0x8b, 0x00);		 /* mov eax, [rax] */
		EMIT(e, 0x25, LE32(EFL_ARITH));	 /* and eax, EFL_ARITH */
		EMIT(e, 0x50, 0x9d);		 /* push rax; popfq */
	}
	EMIT(e, 0x49, 0x0f, 0xae, 0x09); /* fxrstor64 [r9] */
}

void emit_fx_leave(struct emit *e)
{
	EMIT(e, 0x49, 0x0f, 0xae, 0x01);		   /* fxsave64 [r9] */
	EMIT(e, 0xdb, 0xe3);				   /* fninit: nothing pending, all empty */
	EMIT(e, 0x41, 0x0f, 0xae, 0x91, LE32(FX_SCRATCH)); /* ldmxcsr [r9 + scratch] */
}

void emit_flags_out(struct emit *e)
{
	EMIT(e, 0x9c, 0x58);			     /* pushfq; pop rax */
	EMIT(e, 0x48, 0x8b, 0x56, 0x08);	     /* mov rdx, [rsi + 8] */
	EMIT(e, 0x48, 0x8b, 0x0a);		     /* mov rcx, [rdx] */
	EMIT(e, 0x25, LE32(EFL_ARITH));		     /* and eax, EFL_ARITH */
	EMIT(e, 0x48, 0x81, 0xe1, LE32(~EFL_ARITH)); /* and rcx, ~EFL_ARITH */
	EMIT(e, 0x48, 0x09, 0xc1);		     /* or rcx, rax */
	EMIT(e, 0x48, 0x89, 0x0a);		     /* mov [rdx], rcx */
}

void emit_gpr_load(struct emit *e, unsigned host, unsigned guest)
{
	EMIT(e, 0x49, 0x8b, 0x40 | host << 3, guest * 8); /* mov host, [r8 + 8 * guest] */
}

void emit_gpr_store(struct emit *e, unsigned host, unsigned guest)
{
	EMIT(e, 0x49, 0x89, 0x40 | host << 3, guest * 8);
}

void emit_ret0(struct emit *e)
{
	EMIT(e, 0x31, 0xc0, 0xc3); /* xor eax, eax; ret */
}

/* xenstored/ops_dom.c - requests about domains, features and quotas. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/domain.h"
#include "xenstored/domain_priv.h"
#include "xenstored/ops.h"

static uint16_t after_domid(const struct req *q)
{
	return (uint16_t)(uintptr_t)q->after_arg;
}

static void tell_introduced(struct req *q)
{
	server_fire_special(q->srv, "@introduceDomain", after_domid(q));
}

int op_introduce(struct req *q)
{
	const struct domain *d;
	unsigned long port;
	char *end, *gend;
	unsigned long long gfn;
	bool known;
	uint16_t domid;
	int r;

	if (q->t)
		return -EINVAL;
	gfn = strtoull(q->arg[1], &gend, 10);
	port = strtoul(q->arg[2], &end, 10);
	if (req_domid(q->arg[0], &domid) < 0 || *gend || *end ||
	    !isdigit((unsigned char)*q->arg[2]) || !isdigit((unsigned char)*q->arg[1]) ||
	    port == 0 || port > UINT32_MAX)
		return -EINVAL;
	d = domain_find(q->srv->domains, domid);
	known = d && domain_conn(d);
	r = domain_introduce(q->srv->domains, domid, gfn, (uint32_t)port);
	if (r == 0 && !known) {
		q->after = tell_introduced;
		q->after_arg = (void *)(uintptr_t)domid;
	}
	return r;
}

static void now_gone(struct req *q)
{
	domain_gone(q->srv->domains, after_domid(q));
}

int op_release(struct req *q)
{
	uint16_t domid;
	int r;

	if (q->t || req_domid(q->arg[0], &domid) < 0)
		return -EINVAL;
	r = domain_release(q->srv->domains, domid);
	if (r == 0) {
		q->after = now_gone;
		q->after_arg = (void *)(uintptr_t)domid;
	}
	return r;
}

int op_get_domain_path(struct req *q)
{
	uint16_t domid;

	if (req_domid(q->arg[0], &domid) < 0)
		return -EINVAL;
	return req_reply_text(q, "/local/domain/%u", domid);
}

int op_is_domain_introduced(struct req *q)
{
	const struct domain *d;
	uint16_t domid;
	bool yes;

	if (req_domid(q->arg[0], &domid) < 0)
		return -EINVAL;
	d = domain_find(q->srv->domains, domid);
	yes = domid == XS_DOMID_SELF || domid == 0 || (d && domain_conn(d));
	return req_reply_text(q, "%s", yes ? "T" : "F");
}

int op_resume(struct req *q)
{
	uint16_t domid;

	if (q->t || req_domid(q->arg[0], &domid) < 0)
		return -EINVAL;
	return domain_resume(q->srv->domains, domid);
}

int op_set_target(struct req *q)
{
	uint16_t domid, target;

	if (q->t || req_domid(q->arg[0], &domid) < 0 || req_domid(q->arg[1], &target) < 0)
		return -EINVAL;
	return domain_set_target(q->srv->domains, domid, target);
}

int op_get_feature(struct req *q)
{
	uint32_t v = FEATURES;
	uint16_t domid;
	int r = 0;

	if (q->nargs > 1)
		return -EINVAL;
	if (q->nargs == 1 && *q->arg[0]) {
		if (!q->c->who.privileged)
			return -EACCES;
		if (req_domid(q->arg[0], &domid) < 0)
			return -EINVAL;
		r = domain_features(q->srv->domains, domid, &v);
	}
	return r < 0 ? r : req_reply_text(q, "%u", v);
}

static int number(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || v >= QUOTA_INHERIT)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

int op_set_feature(struct req *q)
{
	uint16_t domid;
	uint32_t v;

	if (q->nargs != 2 || req_domid(q->arg[0], &domid) < 0 || number(q->arg[1], &v) < 0)
		return -EINVAL;
	return domain_set_features(q->srv->domains, domid, v);
}

/* ---- quotas ---- */

static int quota_names(struct req *q)
{
	char buf[512];
	size_t at = 0;

	for (int soft = 0; soft < 2; soft++)
		for (unsigned k = 0; k < Q_KINDS; k++)
			at += (size_t)snprintf(buf + at, sizeof(buf) - at, "%s%s%s", at ? " " : "",
					       soft ? "soft-" : "", quota_name(k));
	return req_reply(q, buf, at + 1);
}

int op_get_quota(struct req *q)
{
	enum quota_kind kind;
	const char *name;
	uint16_t domid = 0;
	bool soft;

	if (q->nargs == 0 || (q->nargs == 1 && !*q->arg[0]))
		return quota_names(q);
	if (q->nargs > 2)
		return -EINVAL;
	name = q->arg[q->nargs - 1];
	if (quota_parse(name, &kind, &soft) < 0)
		return -EINVAL;
	if (q->nargs == 1)
		return req_reply_text(q, "%u",
				      soft ? q->srv->quotas.soft[kind] : q->srv->quotas.hard[kind]);
	if (req_domid(q->arg[0], &domid) < 0)
		return -EINVAL;
	if (!domains_exist(q->srv->domains, domid))
		return -ENOENT;
	return req_reply_text(q, "%u", quota_limit(&q->srv->quotas, domid, kind, soft));
}

int op_set_quota(struct req *q)
{
	const char *name = q->arg[q->nargs == 3];
	enum quota_kind kind;
	uint16_t domid = 0;
	uint32_t v;
	bool soft;

	if (q->nargs > 3 || quota_parse(name, &kind, &soft) < 0 ||
	    number(q->arg[q->nargs - 1], &v) < 0)
		return -EINVAL;
	if (q->nargs == 3) {
		if (req_domid(q->arg[0], &domid) < 0)
			return -EINVAL;
		if (!domains_exist(q->srv->domains, domid))
			return -ENOENT;
	}
	return server_set_quota(q->srv, q->nargs == 3, domid, kind, soft, v);
}

/* apid/idem.c - Idempotency-Key: the first answer is kept and given again.
 *
 * The key is reserved in the database before the request is carried out, so of
 * two equal requests at the same time only one acts; the other one, or one after
 * a restart, is led to the task that the first became.  Kept for 24 hours.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/http_int.h"
#include "apid/ids.h"

#define IDEM_KEEP_MS (24 * 3600 * 1000ll)

static void digest(struct request *q, char ret[65])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned n = 0;

	/* The lengths keep "GET /a" + "b" apart from "GET /ab" + "". */
	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1) {
		EVP_DigestUpdate(ctx, q->method, strlen(q->method) + 1);
		EVP_DigestUpdate(ctx, q->uri, strlen(q->uri) + 1);
		EVP_DigestUpdate(ctx, q->body.p ? q->body.p : "", q->body.n);
		EVP_DigestFinal_ex(ctx, md, &n);
	}
	EVP_MD_CTX_free(ctx);
	ret[0] = '\0';
	for (unsigned i = 0; i < n && i < 32; i++)
		snprintf(ret + 2 * i, 3, "%02x", md[i]);
}

struct stored {
	char digest[65], task[UUID_LEN + 1], *headers, *body;
	int64_t status;
};

static int stored_row(sqlite3_stmt *row, void *arg)
{
	struct stored *s = arg;

	snprintf(s->digest, sizeof(s->digest), "%s", db_text(row, 0));
	s->status = db_int(row, 1);
	s->headers = strdup(db_text(row, 2) ? db_text(row, 2) : "");
	s->body = strdup(db_text(row, 3) ? db_text(row, 3) : "");
	snprintf(s->task, sizeof(s->task), "%s", db_text(row, 4) ? db_text(row, 4) : "");
	return 1;
}

static int replay(struct request *q, const struct stored *s, const char *want)
{
	struct call *c = &q->call;
	char *tab;

	if (strcmp(s->digest, want) != 0)
		return problem_set(&c->prob, PROB_IDEMPOTENCY_MISMATCH,
				   "this key came with another request before; use a new key");
	if (s->status == 0 && s->task[0]) {
		c->status = 202;
		snprintf(c->location, sizeof(c->location), "/v1/tasks/%s", s->task);
		if (tasks_json(c->a->tasks, s->task, &c->out) < 0)
			return problem_set(&c->prob, PROB_NOT_FOUND, "there is no task '%s'",
					   s->task);
		return 1;
	}
	if (s->status == 0)
		return problem_set(&c->prob, PROB_CONFLICT,
				   "the first request with this key is still being carried out");
	if (s->status >= 400 && problem_parse(s->body, &c->prob))
		return 1;
	c->status = (int)s->status;
	if (s->headers && (tab = strchr(s->headers, '\t'))) {
		snprintf(c->location, sizeof(c->location), "%.*s", (int)(tab - s->headers),
			 s->headers);
		snprintf(c->etag, sizeof(c->etag), "%s", tab + 1);
	}
	jb_puts(&c->out, s->body ? s->body : "");
	return 1;
}

int idem_begin(struct request *q, const char *key)
{
	struct db *db = q->h->a->db;
	struct stored s = { 0 };
	char want[65];
	int r;

	digest(q, want);
	(void)db_run(db, "DELETE FROM idempotency WHERE created_at < ?", "i",
		     now_ms() - IDEM_KEEP_MS);
	r = db_run(db,
		   "INSERT INTO idempotency (caller, key, digest, created_at) VALUES (?, ?, ?, ?)",
		   "issi", (int64_t)q->conn->who.uid, key, want, now_ms());
	if (r == 0) {
		snprintf(q->idem_key, sizeof(q->idem_key), "%s", key);
		return 0;
	}
	if (r != -EEXIST)
		return problem_errno(&q->call.prob, r, "state database");
	r = db_query(
		db,
		"SELECT digest, status, headers, body, task FROM idempotency WHERE caller = ? AND "
		"key = ?",
		stored_row, &s, "is", (int64_t)q->conn->who.uid, key);
	r = r < 0 ? problem_errno(&q->call.prob, r, "state database") : replay(q, &s, want);
	free(s.headers);
	free(s.body);
	return r;
}

void idem_store(struct request *q, int status, const char *ctype, const char *body)
{
	char headers[160];

	(void)ctype; /* told by the status: problem+json or json */
	snprintf(headers, sizeof(headers), "%s\t%s", q->call.location, q->call.etag);
	/* If it can't be stored, a repetition is told that the first is under way. */
	(void)db_run(q->h->a->db,
		     "UPDATE idempotency SET status = ?, headers = ?, body = ? "
		     "WHERE caller = ? AND key = ?",
		     "issis", (int64_t)status, headers, body, (int64_t)q->conn->who.uid,
		     q->idem_key);
}

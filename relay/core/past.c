#include "relay/core/past.h"

#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "proto/base/id.h"
#include "proto/trust/cert.h"
#include "proto/trust/secret.h"
#include "relay/core/fit.h"

struct ended {
	char id[ID_SESSION_MAX + 1], owner[CERT_ID_MAX];
	char hash[2 * SHA256_LEN + 1];
	int code;
	char why[384];
	TAILQ_ENTRY(ended) entry;
};

struct past {
	TAILQ_HEAD(endeds, ended) all; /* the newest first */
	int count;
};

struct past *
past_new(void)
{
	struct past *p = calloc(1, sizeof(*p));

	if (p != NULL)
		TAILQ_INIT(&p->all);
	return p;
}

static void
forget_oldest(struct past *p)
{
	struct ended *e = TAILQ_LAST(&p->all, endeds);

	TAILQ_REMOVE(&p->all, e, entry);
	p->count--;
	free(e);
}

void
past_free(struct past *p)
{
	if (p == NULL)
		return;
	while (p->count > 0)
		forget_oldest(p);
	free(p);
}

void
past_add(struct past *p, const char *id, const char *owner, const char *hash, int code,
	const char *why)
{
	struct ended *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return;
	fit_text(e->id, sizeof(e->id), id);
	fit_text(e->owner, sizeof(e->owner), owner);
	fit_text(e->hash, sizeof(e->hash), hash);
	fit_text(e->why, sizeof(e->why), why);
	e->code = code;
	TAILQ_INSERT_HEAD(&p->all, e, entry);
	if (++p->count > PAST_MAX)
		forget_oldest(p);
}

int
past_find(const struct past *p, const char *id, const char *owner, const char *hash,
	struct hw_err *err)
{
	const struct ended *e;

	TAILQ_FOREACH(e, &p->all, entry)
	if (strcmp(e->id, id) == 0 && strcmp(e->owner, owner) == 0 &&
		CRYPTO_memcmp(e->hash, hash, sizeof(e->hash)) == 0)
		return hw_err_set(err, e->code, "%s", e->why);
	return 0;
}

#include "relay/core/readers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/trust/secret.h"

#define PLACES 65536 /* a newer one takes an older one's place */

struct place {
	uint8_t who[16]; /* the beginning of a hash */
	int64_t since;	 /* 0: nobody */
};

struct readers {
	pthread_mutex_t lock;
	struct place places[PLACES];
};

struct readers *
readers_new(void)
{
	struct readers *r = calloc(1, sizeof(*r));

	if (r != NULL)
		pthread_mutex_init(&r->lock, NULL);
	return r;
}

void
readers_free(struct readers *r)
{
	if (r == NULL)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* The NUL between the two keeps them apart. */
static struct place *
find(struct readers *r, uint8_t hash[SHA256_LEN], const char *who, const char *what)
{
	struct buf text;
	uint16_t at;

	buf_init(&text, 4096);
	buf_append(&text, who, strlen(who) + 1);
	buf_append_str(&text, what);
	sha256(hash, buf_data(&text), text.len);
	buf_fini(&text);
	memcpy(&at, hash + 16, sizeof(at));
	return &r->places[at];
}

bool
readers_know(struct readers *r, const char *who, const char *what, int64_t now)
{
	uint8_t hash[SHA256_LEN];
	const struct place *p = find(r, hash, who, what);

	pthread_mutex_lock(&r->lock);
	bool known = p->since != 0 && memcmp(p->who, hash, sizeof(p->who)) == 0 &&
		now - p->since < READERS_FOR;
	pthread_mutex_unlock(&r->lock);
	return known;
}

void
readers_note(struct readers *r, const char *who, const char *what, int64_t now)
{
	uint8_t hash[SHA256_LEN];
	struct place *p = find(r, hash, who, what);

	pthread_mutex_lock(&r->lock);
	memcpy(p->who, hash, sizeof(p->who));
	p->since = now != 0 ? now : 1;
	pthread_mutex_unlock(&r->lock);
}

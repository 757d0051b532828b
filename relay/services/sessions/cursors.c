#include "relay/services/sessions/cursors.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/trust/secret.h"

struct place {
	struct cursor *cursor; /* NULL: free */
	char hash[2 * SHA256_LEN + 1];
	int64_t since;
};

struct recording_cursors {
	pthread_mutex_t lock;
	const struct hw_clock *clock;
	struct place places[CURSORS_MAX];
};

struct recording_cursors *
recording_cursors_new(const struct hw_clock *clock)
{
	struct recording_cursors *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	c->clock = clock;
	return c;
}

struct cursor *
cursor_new(const char *principal, struct recording *take)
{
	struct cursor *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	snprintf(c->principal, sizeof(c->principal), "%s", principal);
	c->recording = take;
	return c;
}

void
cursor_free(struct cursor *c)
{
	if (c == NULL)
		return;
	recording_close(c->recording);
	free(c);
}

static void
place_clear(struct place *p)
{
	cursor_free(p->cursor);
	*p = (struct place){.cursor = NULL};
}

void
recording_cursors_free(struct recording_cursors *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < CURSORS_MAX; i++)
		place_clear(&c->places[i]);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Under the lock. */
static void
drop_idle(struct recording_cursors *c)
{
	int64_t now = clock_mono(c->clock);

	for (size_t i = 0; i < CURSORS_MAX; i++) {
		if (c->places[i].cursor != NULL && now - c->places[i].since > CURSOR_IDLE)
			place_clear(&c->places[i]);
	}
}

/* Under the lock: a free place, where need be the principal's own oldest. */
static struct place *
find_place(struct recording_cursors *c, const char *principal)
{
	struct place *empty = NULL, *oldest = NULL;
	int own = 0;

	for (size_t i = 0; i < CURSORS_MAX; i++) {
		struct place *p = &c->places[i];
		if (p->cursor == NULL) {
			empty = p;
		} else if (strcmp(p->cursor->principal, principal) == 0) {
			own++;
			if (oldest == NULL || p->since < oldest->since)
				oldest = p;
		}
	}
	if (own < CURSORS_EACH_MAX)
		return empty;
	place_clear(oldest);
	return oldest;
}

void
cursor_keep(struct recording_cursors *c, const char *token, struct cursor *take)
{
	struct place *p = NULL;

	if (c != NULL) {
		pthread_mutex_lock(&c->lock);
		drop_idle(c);
		p = find_place(c, take->principal);
		if (p != NULL) {
			token_hash(p->hash, token);
			p->cursor = take;
			p->since = clock_mono(c->clock);
		}
		pthread_mutex_unlock(&c->lock);
	}
	if (p == NULL)
		cursor_free(take);
}

struct cursor *
cursor_take(struct recording_cursors *c, const char *token, const char *principal)
{
	char hash[2 * SHA256_LEN + 1];
	struct cursor *found = NULL;

	if (c == NULL)
		return NULL;
	token_hash(hash, token);
	pthread_mutex_lock(&c->lock);
	drop_idle(c);
	for (size_t i = 0; i < CURSORS_MAX && found == NULL; i++) {
		struct place *p = &c->places[i];
		if (p->cursor == NULL || strcmp(p->hash, hash) != 0 ||
			strcmp(p->cursor->principal, principal) != 0)
			continue;
		found = p->cursor;
		p->cursor = NULL;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

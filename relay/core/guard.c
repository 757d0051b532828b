#include "relay/core/guard.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

#define KEY_MAX 80 /* with the NUL; a longer principal is known by its beginning */

struct mark {
	char key[KEY_MAX]; /* "s " and a source, "p " and a principal; "" where nothing is */
	int64_t last;	   /* failure */
	int64_t until;	   /* when the wait is over */
	unsigned failures;
	bool told; /* that it is held back */
};

/* The hashes lie apart, so that a search reads 32 KiB and not the marks: some microseconds, next to
 * which what a token costs is much. */
struct guard {
	pthread_mutex_t lock;
	unsigned free;
	uint64_t held;
	size_t count;
	uint64_t hashes[GUARD_ENTRIES];
	struct mark marks[GUARD_ENTRIES];
};

struct guard *
guard_new(int free_failures)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	hw_assert(free_failures > 0);
	g->free = (unsigned)free_failures;
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void
guard_free(struct guard *g)
{
	if (g == NULL)
		return;
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* --- keys ------------------------------------------------------------------------------------- */

static void
source_key(char key[KEY_MAX], const char *source)
{
	struct in6_addr six;
	char network[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET6, source, &six) == 1) {
		memset(six.s6_addr + 8, 0, 8);
		inet_ntop(AF_INET6, &six, network, sizeof(network));
		source = network;
	}
	snprintf(key, KEY_MAX, "s %s", source);
}

static void
principal_key(char key[KEY_MAX], const char *principal)
{
	snprintf(key, KEY_MAX, "p %s", principal);
}

/* FNV-1a. Equal hashes are compared by their keys, so that it need not be a secret one. */
static uint64_t
hash(const char *key)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *key != '\0'; key++)
		h = (h ^ (uint8_t)*key) * UINT64_C(0x100000001b3);
	return h;
}

/* --- the table -------------------------------------------------------------------------------- */

static bool
is_forgotten(const struct mark *m, int64_t now)
{
	return m->failures == 0 || (now - m->last >= GUARD_FORGET && now >= m->until);
}

static struct mark *
find(struct guard *g, const char *key, int64_t now)
{
	uint64_t h = hash(key);

	for (size_t i = 0; i < g->count; i++) {
		struct mark *m = &g->marks[i];
		if (g->hashes[i] != h || strcmp(m->key, key) != 0)
			continue;
		return is_forgotten(m, now) ? NULL : m;
	}
	return NULL;
}

/* Whether a is the one of the two to do without. */
static bool
matters_less(const struct mark *a, const struct mark *b, int64_t now)
{
	bool gone = is_forgotten(a, now);

	if (gone != is_forgotten(b, now))
		return gone;
	if (a->failures != b->failures)
		return a->failures < b->failures;
	return a->last < b->last;
}

/* A place for the key, which is not in the table, or there and forgotten. */
static size_t
place_for(struct guard *g, const char *key, int64_t now)
{
	uint64_t h = hash(key);
	size_t least = 0;

	for (size_t i = 0; i < g->count; i++) {
		if (g->hashes[i] == h && strcmp(g->marks[i].key, key) == 0)
			return i;
		if (matters_less(&g->marks[i], &g->marks[least], now))
			least = i;
	}
	return g->count < GUARD_ENTRIES ? g->count++ : least;
}

static struct mark *
find_or_add(struct guard *g, const char *key, int64_t now)
{
	struct mark *m = find(g, key, now);

	if (m != NULL)
		return m;
	size_t i = place_for(g, key, now);
	m = &g->marks[i];
	*m = (struct mark){.until = now};
	snprintf(m->key, sizeof(m->key), "%s", key);
	g->hashes[i] = hash(key);
	return m;
}

static int64_t
wait_after(const struct guard *g, unsigned failures)
{
	int64_t wait = GUARD_WAIT_MIN;

	if (failures < g->free)
		return 0;
	for (unsigned n = g->free; n < failures && wait < GUARD_WAIT_MAX; n++)
		wait *= 2;
	return wait < GUARD_WAIT_MAX ? wait : GUARD_WAIT_MAX;
}

static void
count_failure(struct guard *g, const char *key, int64_t now)
{
	struct mark *m = find_or_add(g, key, now);

	if (m->failures < UINT16_MAX)
		m->failures++;
	m->last = now;
	m->until = now + wait_after(g, m->failures);
}

/* --- what the doors ask ----------------------------------------------------------------------- */

static int64_t
left(const struct mark *m, int64_t now)
{
	return m != NULL && m->until > now ? m->until - now : 0;
}

/* What a source with failures of its own has to wait. */
static int64_t
wait_of(struct guard *g, const struct mark *source, const char *principal, int64_t now)
{
	int64_t own = left(source, now), theirs = 0;
	char key[KEY_MAX];

	if (principal != NULL) {
		principal_key(key, principal);
		theirs = left(find(g, key, now), now);
	}
	return own > theirs ? own : theirs;
}

bool
guard_check(struct guard *g, const char *source, const char *principal, int64_t now,
	struct guard_hold *ret)
{
	char key[KEY_MAX];

	*ret = (struct guard_hold){.wait = 0};
	source_key(key, source);
	pthread_mutex_lock(&g->lock);
	struct mark *m = find(g, key, now);
	if (m != NULL && (ret->wait = wait_of(g, m, principal, now)) > 0) {
		ret->first = !m->told;
		m->told = true;
		g->held++;
	}
	pthread_mutex_unlock(&g->lock);
	return ret->wait == 0;
}

void
guard_failed(struct guard *g, const char *source, const char *principal, int64_t now)
{
	char key[KEY_MAX];

	pthread_mutex_lock(&g->lock);
	source_key(key, source);
	count_failure(g, key, now);
	if (principal != NULL) {
		principal_key(key, principal);
		count_failure(g, key, now);
	}
	pthread_mutex_unlock(&g->lock);
}

void
guard_passed(struct guard *g, const char *source, int64_t now)
{
	char key[KEY_MAX];

	source_key(key, source);
	pthread_mutex_lock(&g->lock);
	struct mark *m = find(g, key, now);
	if (m != NULL)
		m->failures--;
	pthread_mutex_unlock(&g->lock);
}

uint64_t
guard_held(struct guard *g)
{
	pthread_mutex_lock(&g->lock);
	uint64_t n = g->held;
	pthread_mutex_unlock(&g->lock);
	return n;
}

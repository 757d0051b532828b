#include "relay/core/witnesses.h"

#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "proto/base/clock.h"
#include "proto/base/id.h"
#include "proto/schema/schema.h"

#define NOTE_EVERY (60 * USEC_PER_SEC) /* of one node */

/* Of one that agrees there is but a head: a fleet of thousands has them all in memory. */
struct objection {
	bool has_shown;
	struct log_head shown;
	char text[WITNESSES_TEXT_MAX];
};

struct said {
	UT_hash_handle hh;
	char node[ID_NODE_LEN + 1];
	bool has_head;
	int state;
	int64_t reported, since;
	int noted; /* the state that the ledger has of it; 0: none */
	int64_t noted_at;
	struct log_head head;
	struct objection *objection; /* NULL: none */
};

struct witnesses {
	pthread_mutex_t lock;
	struct said *all;
	size_t objecting;
};

struct witnesses *
witnesses_new(void)
{
	struct witnesses *w = calloc(1, sizeof(*w));

	if (w != NULL)
		pthread_mutex_init(&w->lock, NULL);
	return w;
}

static void
drop(struct witnesses *w, struct said *s)
{
	HASH_DEL(w->all, s);
	w->objecting -= s->state != 0 && s->state != WITNESS_STATE_AGREES;
	free(s->objection);
	free(s);
}

void
witnesses_free(struct witnesses *w)
{
	struct said *s, *next;

	if (w == NULL)
		return;
	HASH_ITER(hh, w->all, s, next)
		drop(w, s);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static struct said *
find_or_make(struct witnesses *w, const char *node)
{
	struct said *s;

	HASH_FIND_STR(w->all, node, s);
	if (s != NULL || (s = calloc(1, sizeof(*s))) == NULL)
		return s;
	snprintf(s->node, sizeof(s->node), "%s", node);
	HASH_ADD_STR(w->all, node, s);
	return s;
}

static void
take(struct witnesses *w, struct said *s, const struct witness_word *word,
	struct objection *objection)
{
	w->objecting -= s->state != 0 && s->state != WITNESS_STATE_AGREES;
	s->state = word->state;
	w->objecting += s->state != WITNESS_STATE_AGREES;
	s->reported = word->reported;
	s->since = word->since;
	s->has_head = word->has_head;
	s->head = word->head;
	free(s->objection);
	s->objection = objection;
	if (objection == NULL)
		return;
	objection->has_shown = word->has_shown;
	objection->shown = word->shown;
	memcpy(objection->text, word->text, sizeof(objection->text));
}

/* One that says something else all the time is heard, but puts little into the ledger. */
static bool
is_news(const struct said *s, const struct witness_word *word)
{
	if (s->noted == 0)
		return word->state != WITNESS_STATE_AGREES;
	return s->noted != word->state &&
		(word->reported < s->noted_at || word->reported - s->noted_at >= NOTE_EVERY);
}

int
witnesses_put(struct witnesses *w, const char *node, const struct witness_word *word, bool *news)
{
	struct objection *objection = NULL;
	bool agrees = word->state == WITNESS_STATE_AGREES;

	if (!agrees && (objection = calloc(1, sizeof(*objection))) == NULL)
		return HW_ENOMEM;
	pthread_mutex_lock(&w->lock);
	struct said *s = find_or_make(w, node);
	if (s != NULL) {
		*news = is_news(s, word);
		take(w, s, word, objection);
	}
	pthread_mutex_unlock(&w->lock);
	if (s == NULL)
		free(objection);
	return s != NULL ? 0 : HW_ENOMEM;
}

void
witnesses_noted(struct witnesses *w, const char *node, const struct witness_word *word)
{
	struct said *s;

	pthread_mutex_lock(&w->lock);
	HASH_FIND_STR(w->all, node, s);
	if (s != NULL) {
		s->noted = word->state;
		s->noted_at = word->reported;
	}
	pthread_mutex_unlock(&w->lock);
}

bool
witnesses_get(struct witnesses *w, const char *node, struct witness_word *ret)
{
	struct said *s;

	pthread_mutex_lock(&w->lock);
	HASH_FIND_STR(w->all, node, s);
	if (s != NULL) {
		*ret = (struct witness_word){.state = s->state,
			.reported = s->reported,
			.since = s->since,
			.has_head = s->has_head,
			.head = s->head};
		if (s->objection != NULL) {
			ret->has_shown = s->objection->has_shown;
			ret->shown = s->objection->shown;
			memcpy(ret->text, s->objection->text, sizeof(ret->text));
		}
	}
	pthread_mutex_unlock(&w->lock);
	return s != NULL;
}

void
witnesses_drop(struct witnesses *w, const char *node)
{
	struct said *s;

	pthread_mutex_lock(&w->lock);
	HASH_FIND_STR(w->all, node, s);
	if (s != NULL)
		drop(w, s);
	pthread_mutex_unlock(&w->lock);
}

bool
witnesses_brief(struct witnesses *w, const char *node, char out[WITNESSES_BRIEF_MAX])
{
	char when[RFC3339_LEN + 1];
	struct witness_word word;

	if (!witnesses_get(w, node, &word))
		return false;
	rfc3339_format(when, word.since);
	if (word.state != WITNESS_STATE_AGREES)
		snprintf(out, WITNESSES_BRIEF_MAX, "%s since %s",
			enum_text(&enum_WITNESS_STATE, word.state), when);
	else
		snprintf(out, WITNESSES_BRIEF_MAX, "agrees at %" PRIu64, word.head.size);
	out[0] = (char)tolower((unsigned char)out[0]);
	return true;
}

size_t
witnesses_count(struct witnesses *w, bool objecting)
{
	pthread_mutex_lock(&w->lock);
	size_t n = objecting ? w->objecting : HASH_COUNT(w->all) - w->objecting;
	pthread_mutex_unlock(&w->lock);
	return n;
}

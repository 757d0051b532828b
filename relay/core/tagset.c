#include "relay/core/tagset.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct tagset {
	_Atomic unsigned refs;
	struct policy_tags tags;
	struct policy_tag v[];
	/* and the texts */
};

static char *
put_text(char **at, const char *text, bool lower)
{
	char *start = *at;

	for (; *text != '\0'; text++) {
		bool capital = lower && *text >= 'A' && *text <= 'Z';
		*(*at)++ = (char)(capital ? *text - 'A' + 'a' : *text);
	}
	*(*at)++ = '\0';
	return start;
}

/* Its place among those that are there, or -1 when it is there already. */
static ptrdiff_t
place_of(const struct tagset *t, const char *key)
{
	size_t i = t->tags.n;

	while (i > 0 && strcmp(t->v[i - 1].key, key) > 0)
		i--;
	return i > 0 && strcmp(t->v[i - 1].key, key) == 0 ? -1 : (ptrdiff_t)i;
}

struct tagset *
tagset_new(const struct msg_tag *tags, size_t n)
{
	size_t text = 0;

	for (size_t i = 0; i < n; i++)
		text += strlen(tags[i].key) + strlen(tags[i].value) + 2;
	struct tagset *t = calloc(1, sizeof(*t) + n * sizeof(t->v[0]) + text);
	if (t == NULL)
		return NULL;
	t->refs = 1;
	t->tags.v = t->v;
	char *at = (char *)&t->v[n];
	for (size_t i = 0; i < n; i++) {
		struct policy_tag tag = {.key = put_text(&at, tags[i].key, true)};
		tag.value = put_text(&at, tags[i].value, false);
		ptrdiff_t place = place_of(t, tag.key);
		if (place < 0)
			continue;
		memmove(&t->v[place + 1], &t->v[place], (t->tags.n - (size_t)place) * sizeof(tag));
		t->v[place] = tag;
		t->tags.n++;
	}
	return t;
}

struct tagset *
tagset_ref(struct tagset *t)
{
	if (t != NULL)
		atomic_fetch_add(&t->refs, 1);
	return t;
}

void
tagset_unref(struct tagset *t)
{
	if (t != NULL && atomic_fetch_sub(&t->refs, 1) == 1)
		free(t);
}

const struct policy_tags *
tagset_tags(const struct tagset *t)
{
	return t != NULL ? &t->tags : NULL;
}

#include "proto/wire/id_table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

int
id_table_add(struct id_table *t, uint64_t id, void *value)
{
	hw_assert(t->count == 0 || t->slots[t->count - 1].id < id);
	if (t->count == t->room) {
		size_t room = t->room != 0 ? t->room * 2 : 4;
		struct id_slot *slots = reallocarray(t->slots, room, sizeof(*slots));
		if (slots == NULL)
			return HW_ENOMEM;
		t->slots = slots;
		t->room = room;
	}
	t->slots[t->count++] = (struct id_slot){.id = id, .value = value};
	return 0;
}

/* The first slot whose id is not below. */
static size_t
place_of(const struct id_table *t, uint64_t id)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (t->slots[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void *
id_table_find(const struct id_table *t, uint64_t id)
{
	size_t at = place_of(t, id);

	return at < t->count && t->slots[at].id == id ? t->slots[at].value : NULL;
}

void *
id_table_after(const struct id_table *t, uint64_t id)
{
	size_t at = place_of(t, id + 1);

	return at < t->count ? t->slots[at].value : NULL;
}

void
id_table_replace(struct id_table *t, uint64_t id, void *value)
{
	size_t at = place_of(t, id);

	hw_assert(at < t->count && t->slots[at].id == id);
	t->slots[at].value = value;
}

void *
id_table_remove(struct id_table *t, uint64_t id)
{
	size_t at = place_of(t, id);

	if (at == t->count || t->slots[at].id != id)
		return NULL;
	void *value = t->slots[at].value;
	t->count--;
	memmove(t->slots + at, t->slots + at + 1, (t->count - at) * sizeof(*t->slots));
	if (t->count == 0) {
		free(t->slots);
		*t = (struct id_table){0};
	}
	return value;
}

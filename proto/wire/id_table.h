/* Pointers by number, where numbers only ever grow: a sorted array. Private to the link's files. */
#ifndef HAWSER_WIRE_ID_TABLE_H
#define HAWSER_WIRE_ID_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct id_slot {
	uint64_t id;
	void *value;
};

/* Zeroed is empty; it takes no memory while it is. */
struct id_table {
	struct id_slot *slots;
	size_t count, room;
};

/* `id` is above all that are in. HW_ENOMEM otherwise changes nothing. */
int id_table_add(struct id_table *t, uint64_t id, void *value);
void *id_table_find(const struct id_table *t, uint64_t id); /* NULL when it is not in */
/* Puts another value in the place of one that is in. */
void id_table_replace(struct id_table *t, uint64_t id, void *value);
void *id_table_remove(struct id_table *t, uint64_t id); /* likewise */
/* The one with the lowest id above `id`, or NULL: to walk a table that changes on the way. */
void *id_table_after(const struct id_table *t, uint64_t id);

#endif

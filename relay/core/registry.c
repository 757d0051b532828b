#include "relay/core/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "relay/core/tagset.h"

struct node_entry {
	UT_hash_handle hh;
	struct reg_node node;
	struct tagset *tags;
};

struct registry {
	pthread_rwlock_t lock;
	struct node_entry *nodes;
};

struct registry *
registry_new(void)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (r != NULL)
		pthread_rwlock_init(&r->lock, NULL);
	return r;
}

static void
entry_free(struct node_entry *e)
{
	if (e == NULL)
		return;
	tagset_unref(e->tags);
	free(e);
}

void
registry_free(struct registry *r)
{
	struct node_entry *n, *next;

	if (r == NULL)
		return;
	HASH_ITER(hh, r->nodes, n, next) {
		HASH_DEL(r->nodes, n);
		entry_free(n);
	}
	pthread_rwlock_destroy(&r->lock);
	free(r);
}

/* Without memory an entry cannot be admitted later, which is the safe side. */
void
registry_put_node(struct registry *r, const struct reg_node *n, struct tagset *take)
{
	struct node_entry *e, *old, *made = calloc(1, sizeof(*made));

	pthread_rwlock_wrlock(&r->lock);
	HASH_FIND_STR(r->nodes, n->id, old);
	if (old != NULL)
		HASH_DEL(r->nodes, old);
	if ((e = made) != NULL) {
		e->node = *n;
		e->tags = take;
		HASH_ADD_STR(r->nodes, node.id, e);
	}
	pthread_rwlock_unlock(&r->lock);
	entry_free(old);
	if (made == NULL)
		tagset_unref(take);
}

void
registry_drop_node(struct registry *r, const char *id)
{
	struct node_entry *e;

	pthread_rwlock_wrlock(&r->lock);
	HASH_FIND_STR(r->nodes, id, e);
	if (e != NULL)
		HASH_DEL(r->nodes, e);
	pthread_rwlock_unlock(&r->lock);
	entry_free(e);
}

bool
registry_node(struct registry *r, const char *id, struct reg_node *out)
{
	struct node_entry *e;

	pthread_rwlock_rdlock(&r->lock);
	HASH_FIND_STR(r->nodes, id, e);
	if (e != NULL)
		*out = e->node;
	pthread_rwlock_unlock(&r->lock);
	return e != NULL;
}

struct tagset *
registry_tags(struct registry *r, const char *id)
{
	struct tagset *tags = NULL;
	struct node_entry *e;

	pthread_rwlock_rdlock(&r->lock);
	HASH_FIND_STR(r->nodes, id, e);
	if (e != NULL)
		tags = tagset_ref(e->tags);
	pthread_rwlock_unlock(&r->lock);
	return tags;
}

size_t
registry_nodes(struct registry *r)
{
	pthread_rwlock_rdlock(&r->lock);
	size_t n = HASH_COUNT(r->nodes);
	pthread_rwlock_unlock(&r->lock);
	return n;
}

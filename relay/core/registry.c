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

struct document_entry {
	UT_hash_handle hh;
	struct tagset *tags;
	char name[];
};

struct registry {
	pthread_rwlock_t lock;
	struct node_entry *nodes;
	struct document_entry *documents; /* that bear tags */
	bool unsure;			  /* of one, for want of memory */
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

static void
document_free(struct document_entry *e)
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
	struct document_entry *d, *next_d;

	if (r == NULL)
		return;
	HASH_ITER(hh, r->nodes, n, next) {
		HASH_DEL(r->nodes, n);
		entry_free(n);
	}
	HASH_ITER(hh, r->documents, d, next_d) {
		HASH_DEL(r->documents, d);
		document_free(d);
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

/* --- documents -------------------------------------------------------------------------------- */

static struct document_entry *
make_document(const char *name, struct tagset *take)
{
	size_t n = strlen(name) + 1;
	struct document_entry *e = calloc(1, sizeof(*e) + n);

	if (e == NULL)
		return NULL;
	memcpy(e->name, name, n);
	e->tags = take;
	return e;
}

/* Without memory for it nothing is known of any from then on, which is the safe side. */
void
registry_put_document(struct registry *r, const char *name, struct tagset *take)
{
	struct document_entry *old, *made = make_document(name, take);

	pthread_rwlock_wrlock(&r->lock);
	HASH_FIND_STR(r->documents, name, old);
	if (old != NULL)
		HASH_DEL(r->documents, old);
	if (made != NULL)
		HASH_ADD_STR(r->documents, name, made);
	r->unsure |= made == NULL;
	pthread_rwlock_unlock(&r->lock);
	document_free(old);
	if (made == NULL)
		tagset_unref(take);
}

void
registry_drop_document(struct registry *r, const char *name)
{
	struct document_entry *e;

	pthread_rwlock_wrlock(&r->lock);
	HASH_FIND_STR(r->documents, name, e);
	if (e != NULL)
		HASH_DEL(r->documents, e);
	pthread_rwlock_unlock(&r->lock);
	document_free(e);
}

bool
registry_document_tags(struct registry *r, const char *name, struct tagset **ret)
{
	struct document_entry *e;

	pthread_rwlock_rdlock(&r->lock);
	HASH_FIND_STR(r->documents, name, e);
	*ret = e != NULL ? tagset_ref(e->tags) : NULL;
	bool known = !r->unsure && (e == NULL || e->tags != NULL);
	pthread_rwlock_unlock(&r->lock);
	return known;
}

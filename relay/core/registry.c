#include "relay/core/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct node_entry {
	UT_hash_handle hh;
	struct reg_node node;
};

struct user_entry {
	UT_hash_handle hh;
	struct reg_user user;
};

struct registry {
	pthread_rwlock_t lock;
	struct node_entry *nodes;
	struct user_entry *users;
};

struct registry *
registry_new(void)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (r != NULL)
		pthread_rwlock_init(&r->lock, NULL);
	return r;
}

void
registry_free(struct registry *r)
{
	struct node_entry *n, *next_n;
	struct user_entry *u, *next_u;

	if (r == NULL)
		return;
	HASH_ITER(hh, r->nodes, n, next_n) {
		HASH_DEL(r->nodes, n);
		free(n);
	}
	HASH_ITER(hh, r->users, u, next_u) {
		HASH_DEL(r->users, u);
		free(u);
	}
	pthread_rwlock_destroy(&r->lock);
	free(r);
}

/* Without memory an entry cannot be admitted later, which is the safe side. */
void
registry_put_node(struct registry *r, const struct reg_node *n)
{
	struct node_entry *e;

	pthread_rwlock_wrlock(&r->lock);
	HASH_FIND_STR(r->nodes, n->id, e);
	if (e == NULL && (e = calloc(1, sizeof(*e))) != NULL) {
		e->node = *n;
		HASH_ADD_STR(r->nodes, node.id, e);
	} else if (e != NULL) {
		e->node = *n;
	}
	pthread_rwlock_unlock(&r->lock);
}

void
registry_put_user(struct registry *r, const struct reg_user *u)
{
	struct user_entry *e;

	pthread_rwlock_wrlock(&r->lock);
	HASH_FIND_STR(r->users, u->name, e);
	if (e == NULL && (e = calloc(1, sizeof(*e))) != NULL) {
		e->user = *u;
		HASH_ADD_STR(r->users, user.name, e);
	} else if (e != NULL) {
		e->user = *u;
	}
	pthread_rwlock_unlock(&r->lock);
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
	free(e);
}

void
registry_drop_user(struct registry *r, const char *name)
{
	struct user_entry *e;

	pthread_rwlock_wrlock(&r->lock);
	HASH_FIND_STR(r->users, name, e);
	if (e != NULL)
		HASH_DEL(r->users, e);
	pthread_rwlock_unlock(&r->lock);
	free(e);
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

bool
registry_user(struct registry *r, const char *name, struct reg_user *out)
{
	struct user_entry *e;

	pthread_rwlock_rdlock(&r->lock);
	HASH_FIND_STR(r->users, name, e);
	if (e != NULL)
		*out = e->user;
	pthread_rwlock_unlock(&r->lock);
	return e != NULL;
}

size_t
registry_nodes(struct registry *r)
{
	pthread_rwlock_rdlock(&r->lock);
	size_t n = HASH_COUNT(r->nodes);
	pthread_rwlock_unlock(&r->lock);
	return n;
}

/*
 * A snapshot is read whole: policies, users, groups, who is in which, what is attached to whom.
 * Lists are gathered in the snapshot's arena and then laid flat. A policy whose text is what it was
 * is not parsed again: snapshots share it.
 */
#include "relay/core/principals.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "proto/base/clock.h"
#include "proto/base/arena.h"
#include "proto/base/log.h"
#include "proto/trust/secret.h"
#include "relay/core/tagset.h"
#include "relay/policy/managed.h"
#include "relay/store/groups.h"
#include "relay/store/policies.h"
#include "relay/store/store.h"
#include "relay/store/tags.h"
#include "relay/store/users.h"

#define ARENA_MAX ((size_t)1 << 30)

/* A policy's text, parsed: shared by snapshots. */
struct compiled {
	_Atomic unsigned refs;
	uint8_t hash[SHA256_LEN]; /* of the text */
	struct policy *policy;	  /* NULL: it could not be parsed */
};

struct policy_entry {
	UT_hash_handle hh;
	const char *name;
	struct compiled *compiled;
};

struct item {
	struct item *next;
	const void *what; /* a policy_entry, or a group's holder */
};

/* A user or a group. */
struct holder {
	UT_hash_handle hh;
	struct principal p;
	struct tagset *tags;
	struct item *policies, *groups;
};

struct principals {
	_Atomic unsigned refs;
	struct arena *arena;
	struct policy_entry *policies;
	struct holder *users, *groups; /* users in the order of their names */
	struct holder **sorted;
	bool unread; /* it is empty, for it could not be read */
};

struct authority {
	struct log_ctx log;
	pthread_mutex_t lock;
	struct principals *now;
	_Atomic bool lost; /* it is empty, for it could not be read */
};

/* --- parsed policies -------------------------------------------------------------------------- */

static void
compiled_unref(struct compiled *c)
{
	if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	policy_free(c->policy);
	free(c);
}

static struct compiled *
compile(const struct log_ctx *log, const char *name, const char *text,
	const uint8_t hash[SHA256_LEN])
{
	struct compiled *c = calloc(1, sizeof(*c));
	struct hw_err err = HW_ERR_INIT;

	if (c == NULL)
		return NULL;
	c->refs = 1;
	memcpy(c->hash, hash, SHA256_LEN);
	if (policy_parse(&c->policy, text, strlen(text), &err) < 0)
		log_event(log, LOG_LEVEL_ERROR, "policy.unreadable", "policy=%s why=%s", name,
			log_value(hw_err_text(&err)));
	return c;
}

/* From the snapshot before, when the text is the same; what could not be parsed is tried again, for
 * it may have been memory that was missing. */
static struct compiled *
compiled_get(const struct log_ctx *log, const struct principals *before, const char *name,
	const char *text)
{
	uint8_t hash[SHA256_LEN];
	struct policy_entry *old = NULL;

	sha256(hash, text, strlen(text));
	if (before != NULL)
		HASH_FIND_STR(before->policies, name, old);
	if (old == NULL || old->compiled->policy == NULL ||
		memcmp(old->compiled->hash, hash, sizeof(hash)) != 0)
		return compile(log, name, text, hash);
	atomic_fetch_add(&old->compiled->refs, 1);
	return old->compiled;
}

/* --- a snapshot ------------------------------------------------------------------------------- */

void
principals_unref(struct principals *p)
{
	struct policy_entry *e, *next_e;
	struct holder *h, *next_h;

	if (p == NULL || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	HASH_ITER(hh, p->policies, e, next_e) {
		HASH_DEL(p->policies, e);
		compiled_unref(e->compiled);
	}
	HASH_ITER(hh, p->users, h, next_h) {
		HASH_DEL(p->users, h);
		tagset_unref(h->tags);
	}
	HASH_CLEAR(hh, p->groups);
	arena_free(p->arena);
	free(p);
}

static struct principals *
principals_new(void)
{
	struct principals *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->refs = 1;
	p->arena = arena_new(ARENA_MAX);
	if (p->arena != NULL)
		return p;
	free(p);
	return NULL;
}

static int
no_memory(struct hw_err *err)
{
	return hw_err_set(err, HW_ENOMEM, "no memory for who may do what");
}

static struct holder *
find(struct holder *list, const char *name)
{
	struct holder *h;

	HASH_FIND_STR(list, name, h);
	return h;
}

/* --- reading it ------------------------------------------------------------------------------- */

struct loading {
	const struct log_ctx *log;
	const struct principals *before; /* NULL: there is none */
	struct principals *p;
	struct db *db;
};

static int
add_policy(struct loading *l, const char *name, const char *text, struct hw_err *err)
{
	struct policy_entry *e = arena_alloc(l->p->arena, sizeof(*e));

	if (e == NULL || (e->name = arena_strdup(l->p->arena, name)) == NULL ||
		(e->compiled = compiled_get(l->log, l->before, name, text)) == NULL)
		return no_memory(err);
	HASH_ADD_KEYPTR(hh, l->p->policies, e->name, strlen(e->name), e);
	return 0;
}

/* The texts are needed only until they are parsed. */
static int
load_policies(struct loading *l, struct hw_err *err)
{
	struct policy_row row;
	struct arena *texts;
	struct query q;
	int r = 0;

	for (size_t i = 0; r == 0 && i < managed_policy_count; i++)
		r = add_policy(l, managed_policies[i].name, managed_policies[i].document, err);
	if (r < 0)
		return r;
	if ((texts = arena_new(ARENA_MAX)) == NULL)
		return no_memory(err);
	r = policy_list(&q, l->db, "", err);
	while (r == 0 && (r = policy_next(&q, texts, &row, err)) > 0)
		r = add_policy(l, row.name, row.document, err);
	query_end(&q);
	arena_free(texts);
	return r;
}

static struct holder *
add_holder(struct loading *l, struct holder **list, const char *name)
{
	struct holder *h = arena_alloc(l->p->arena, sizeof(*h));

	if (h == NULL || (h->p.name = arena_strdup(l->p->arena, name)) == NULL)
		return NULL;
	HASH_ADD_KEYPTR(hh, *list, h->p.name, strlen(h->p.name), h);
	return h;
}

static int
add_user(struct loading *l, const struct user_row *row, struct hw_err *err)
{
	struct holder *h = add_holder(l, &l->p->users, row->name);
	struct msg_tag *tags = NULL;
	size_t n = 0;

	if (h == NULL)
		return no_memory(err);
	h->p.type = row->type;
	h->p.disabled = row->disabled;
	h->p.valid_from = row->valid_from;
	int r = tag_list(l->db, l->p->arena, TAGS_USER, row->name, &tags, &n, err);
	if (r < 0)
		return r;
	if ((h->tags = tagset_new(tags, n)) == NULL)
		return no_memory(err);
	h->p.tags = *tagset_tags(h->tags);
	return 0;
}

static int
load_users(struct loading *l, struct hw_err *err)
{
	struct user_row row;
	struct query q;

	int r = user_list(&q, l->db, "", err);
	while (r == 0 && (r = user_next(&q, &row, err)) > 0)
		r = add_user(l, &row, err);
	query_end(&q);
	return r;
}

static int
load_groups(struct loading *l, struct hw_err *err)
{
	struct group_row row;
	struct query q;

	int r = group_list(&q, l->db, "", err);
	while (r == 0 && (r = group_next(&q, &row, err)) > 0)
		r = add_holder(l, &l->p->groups, row.name) == NULL ? no_memory(err) : 0;
	query_end(&q);
	return r;
}

static int
push(struct loading *l, struct item **list, const void *what, struct hw_err *err)
{
	struct item *i = arena_alloc(l->p->arena, sizeof(*i));

	if (i == NULL)
		return no_memory(err);
	*i = (struct item){.next = *list, .what = what};
	*list = i;
	return 0;
}

static int
load_members(struct loading *l, struct hw_err *err)
{
	struct member_row row;
	struct query q;

	int r = member_list(&q, l->db, NULL, NULL, err);
	while (r == 0 && (r = member_next(&q, &row, err)) > 0) {
		struct holder *user = find(l->p->users, row.user);
		struct holder *group = find(l->p->groups, row.group);
		r = user != NULL && group != NULL ? push(l, &user->groups, group, err) : 0;
	}
	query_end(&q);
	return r;
}

static int
load_attachments(struct loading *l, struct hw_err *err)
{
	struct attachment_row row;
	struct policy_entry *policy;
	struct query q;

	int r = attachment_list(&q, l->db, NULL, -1, NULL, err);
	while (r == 0 && (r = attachment_next(&q, &row, err)) > 0) {
		struct holder *h =
			find(row.kind == HOLDER_USER ? l->p->users : l->p->groups, row.name);
		HASH_FIND_STR(l->p->policies, row.policy, policy);
		r = 0;
		if (h != NULL && policy != NULL)
			r = push(l, &h->policies, policy, err);
		else if (h != NULL) /* it may hold a Deny: NULL is one that cannot be read */
			r = push(l, &h->policies, NULL, err);
	}
	query_end(&q);
	return r;
}

/* --- laying it flat --------------------------------------------------------------------------- */

static size_t
count(const struct item *i)
{
	size_t n = 0;

	for (; i != NULL; i = i->next)
		n++;
	return n;
}

/* Appends what the list attaches, each policy once. False: one of them cannot be read. */
static bool
put_policies(struct policy_attachment *v, size_t *n, const struct item *i)
{
	for (; i != NULL; i = i->next) {
		const struct policy_entry *e = i->what;
		size_t at = 0;
		if (e == NULL || e->compiled->policy == NULL)
			return false;
		while (at < *n && v[at].policy != e->compiled->policy)
			at++;
		if (at == *n)
			v[(*n)++] = (struct policy_attachment){e->compiled->policy, e->name};
	}
	return true;
}

static int
flatten(struct loading *l, struct holder *h, struct hw_err *err)
{
	size_t n_groups = count(h->groups), most = count(h->policies), n = 0;

	for (const struct item *i = h->groups; i != NULL; i = i->next)
		most += count(((const struct holder *)i->what)->policies);
	struct policy_attachment *v = arena_array(l->p->arena, most + 1, sizeof(*v));
	const char **groups = arena_array(l->p->arena, n_groups + 1, sizeof(*groups));
	if (v == NULL || groups == NULL)
		return no_memory(err);
	bool whole = put_policies(v, &n, h->policies);
	for (const struct item *i = h->groups; i != NULL; i = i->next) {
		const struct holder *group = i->what;
		groups[h->p.n_groups++] = group->p.name;
		whole = whole && put_policies(v, &n, group->policies);
	}
	h->p.policies = v;
	h->p.n_policies = whole ? n : 0;
	h->p.groups = groups;
	if (!whole)
		log_event(l->log, LOG_LEVEL_ERROR, "principal.unreadable",
			"name=%s why=\"a policy of it cannot be read, so it may do nothing\"",
			h->p.name);
	return 0;
}

static int
flatten_all(struct loading *l, struct hw_err *err)
{
	struct principals *p = l->p;
	struct holder *h, *next;
	size_t n = 0;
	int r;

	p->sorted = arena_array(p->arena, HASH_COUNT(p->users) + 1, sizeof(*p->sorted));
	if (p->sorted == NULL)
		return no_memory(err);
	HASH_ITER(hh, p->groups, h, next)
		if ((r = flatten(l, h, err)) < 0)
			return r;
	HASH_ITER(hh, p->users, h, next) {
		p->sorted[n++] = h;
		if ((r = flatten(l, h, err)) < 0)
			return r;
	}
	return 0;
}

static int
load(struct principals **ret, struct authority *a, struct db *db, struct hw_err *err)
{
	struct loading l = {.log = &a->log, .before = a->now, .p = principals_new(), .db = db};
	int r;

	if (l.p == NULL)
		return no_memory(err);
	if ((r = load_policies(&l, err)) < 0 || (r = load_users(&l, err)) < 0 ||
		(r = load_groups(&l, err)) < 0 || (r = load_members(&l, err)) < 0 ||
		(r = load_attachments(&l, err)) < 0 || (r = flatten_all(&l, err)) < 0) {
		principals_unref(l.p);
		return r;
	}
	*ret = l.p;
	return 0;
}

/* --- looking ---------------------------------------------------------------------------------- */

const struct principal *
principals_user(const struct principals *p, const char *name)
{
	const struct holder *h = find(p->users, name);

	return h != NULL ? &h->p : NULL;
}

const struct principal *
principals_group(const struct principals *p, const char *name)
{
	const struct holder *h = find(p->groups, name);

	return h != NULL ? &h->p : NULL;
}

const struct principal *
principals_nth_user(const struct principals *p, size_t i)
{
	return i < HASH_COUNT(p->users) ? &p->sorted[i]->p : NULL;
}

/* --- the snapshot of the moment --------------------------------------------------------------- */

struct authority *
authority_new(const struct log_ctx *log)
{
	struct authority *a = calloc(1, sizeof(*a));

	if (a == NULL || (a->now = principals_new()) == NULL) {
		free(a);
		return NULL;
	}
	a->log = *log;
	pthread_mutex_init(&a->lock, NULL);
	return a;
}

void
authority_free(struct authority *a)
{
	if (a == NULL)
		return;
	principals_unref(a->now);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static void
replace(struct authority *a, struct principals *p)
{
	pthread_mutex_lock(&a->lock);
	struct principals *old = a->now;
	a->now = p;
	pthread_mutex_unlock(&a->lock);
	principals_unref(old);
}

struct first_load {
	struct authority *authority;
	struct principals *p;
};

static int
read_all(void *arg, struct db *db, struct hw_err *err)
{
	struct first_load *f = arg;

	return load(&f->p, f->authority, db, err);
}

int
authority_load(struct authority *a, struct store *s, struct hw_err *err)
{
	struct first_load f = {.authority = a};
	int r = store_read(s, read_all, &f, err);

	if (r == 0)
		replace(a, f.p);
	return r;
}

void
authority_refresh(struct authority *a, struct db *db)
{
	struct principals *p = NULL;
	struct hw_err err = HW_ERR_INIT;
	bool lost = load(&p, a, db, &err) < 0;

	if (lost) {
		log_error(a, "principals.unreadable", "why=%s", log_value(hw_err_text(&err)));
		p = principals_new();
		hw_assert(p != NULL);
		p->unread = true;
	}
	replace(a, p);
	atomic_store(&a->lost, lost);
}

bool
authority_lost(struct authority *a)
{
	return atomic_load(&a->lost);
}

struct principals *
authority_take(struct authority *a)
{
	pthread_mutex_lock(&a->lock);
	struct principals *p = a->now;
	atomic_fetch_add(&p->refs, 1);
	pthread_mutex_unlock(&a->lock);
	return p;
}

int
authority_welcomes(struct authority *a, const char *name, int64_t not_before, struct hw_err *err)
{
	struct principals *p = authority_take(a);
	const struct principal *user = principals_user(p, name);
	int r = 0;

	if (user == NULL)
		r = hw_err_set(err, HW_EREVOKED, "no user is named %s", name);
	else if (not_before < user->valid_from)
		r = hw_err_set(err, HW_EREVOKED, "this certificate is of an earlier user named %s",
			name);
	else if (user->disabled)
		r = hw_err_set(err, HW_EREVOKED, "the user %s is disabled", name);
	principals_unref(p);
	return r;
}

static const char *
refusal_of_sender(const struct principals *p, const char *name, int64_t sent)
{
	const struct principal *user = principals_user(p, name);

	if (p->unread)
		return NULL;
	if (user == NULL)
		return "its sender was removed";
	/* In whole seconds: who is new may send something in the one in which it began. */
	if (sent + USEC_PER_SEC < user->valid_from)
		return "its sender was removed, and another user has the name";
	return user->disabled ? "its sender is disabled" : NULL;
}

const char *
authority_refuses_sender(struct authority *a, const char *name, int64_t sent)
{
	struct principals *p = authority_take(a);
	const char *why = refusal_of_sender(p, name, sent);

	principals_unref(p);
	return why;
}

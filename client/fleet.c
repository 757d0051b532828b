#include "client/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/pages.h"
#include "client/past.h"
#include "client/selector.h"
#include "proto/base/id.h"

#define EXIT_NOTHING   4
#define SELECTORS_MAX  100000
#define FLEET_NODE_MAX 50000000

struct fleet {
	struct client *c;
	struct selector *selectors;
	bool *matched; /* by selector */
	size_t n;
	struct msg_instance_information *nodes;
	size_t count, room;
};

/* --- pages ----------------------------------------------------------------------------------- */

static int
fleet_keep(struct fleet *f, const struct msg_instance_information *node, struct hw_err *err)
{
	if (f->count == FLEET_NODE_MAX)
		return hw_err_set(err, HW_ELIMIT, "more than %d nodes", FLEET_NODE_MAX);
	if (f->count == f->room) {
		size_t room = f->room > 0 ? f->room * 2 : 64;
		struct msg_instance_information *nodes =
			arena_array(f->c->arena, room, sizeof(*nodes));
		if (nodes == NULL)
			return hw_err_set(err, HW_ENOMEM, "too many nodes for the memory there is");
		if (f->count > 0)
			memcpy(nodes, f->nodes, f->count * sizeof(*nodes));
		f->nodes = nodes;
		f->room = room;
	}
	f->nodes[f->count++] = *node;
	return 0;
}

static bool
fleet_wants(struct fleet *f, const struct msg_instance_information *node)
{
	bool wanted = f->n == 0;

	/* All are looked at, as each must match something. */
	for (size_t i = 0; i < f->n; i++) {
		if (selector_match(&f->selectors[i], node))
			wanted = f->matched[i] = true;
	}
	return wanted;
}

static int
fleet_page(void *arg, const void *reply, struct hw_err *err)
{
	const struct msg_describe_instance_information_reply *page = reply;
	struct fleet *f = arg;
	int r = 0;

	for (size_t i = 0; i < page->instance_information_list.n && r == 0; i++) {
		const struct msg_instance_information *node = &page->instance_information_list.v[i];
		if (fleet_wants(f, node))
			r = fleet_keep(f, node, err);
	}
	return r;
}

static int
fleet_fetch(struct fleet *f, struct msg_describe_instance_information_request *req,
	struct hw_err *err)
{
	req->large_pages = true;
	return pages_walk(f->c, OP_describe_instance_information, req, &req->next_token, fleet_page,
		f, err);
}

/* --- selectors ------------------------------------------------------------------------------- */

static int
add_selector(struct fleet *f, const char *text, struct hw_err *err)
{
	if (f->n == SELECTORS_MAX)
		return hw_err_set(err, HW_EUSAGE,
			"more than %d selectors: a glob or a tag means many nodes at once",
			SELECTORS_MAX);
	return selector_parse(&f->selectors[f->n++], f->c->arena, text, err);
}

static int
add_from_stdin(struct fleet *f, struct hw_err *err)
{
	char *line = NULL;
	size_t room = 0;
	int r = 0;

	while (r == 0 && getline(&line, &room, stdin) > 0) {
		char *text = line + strspn(line, " \t");
		text[strcspn(text, " \t\r\n")] = '\0';
		if (text[0] == '\0')
			continue;
		char *kept = arena_strdup(f->c->arena, text);
		r = kept != NULL ? add_selector(f, kept, err)
				 : hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	free(line);
	if (r == 0 && f->n == 0) {
		f->c->exit_status = EXIT_NOTHING;
		r = hw_err_set(err, HW_ENODE, "no names on standard input");
	}
	return r;
}

/* "last:failed" becomes the ids of those nodes. */
static int
resolve_last(struct fleet *f, struct selector *s, struct term *t, struct hw_err *err)
{
	const char *command;
	int r;

	if ((r = past_find_id(&command, f->c, "last", err)) < 0 ||
		(r = past_nodes(&t->values, &t->n_values, f->c, command, true, err)) < 0)
		return r;
	if (t->n_values == 0) {
		f->c->exit_status = EXIT_NOTHING;
		client_hint(f->c, "hawser runs show %s", command);
		return hw_err_set(err, HW_ENODE, "'%s': the last command has failed nowhere",
			s->text);
	}
	t->kind = TERM_ID;
	return 0;
}

/* "@web" becomes the ids of the nodes that the relay finds for it. They come in the order of ids.
 */
static int
resolve_group(struct fleet *f, const struct selector *s, struct term *t, struct hw_err *err)
{
	struct msg_instance_string_filter filter = {.key = "resource-groups:Name"};
	struct msg_describe_instance_information_request req = {
		.filters = {.v = &filter, .n = 1}
	 };
	struct fleet all = {.c = f->c};
	const char **ids;
	int r;

	filter.values = (struct msg_strs){.v = (const char **)(void *)t->values, .n = 1};
	if ((r = fleet_fetch(&all, &req, err)) < 0) {
		if (r == HW_ENOTFOUND) {
			f->c->exit_status = EXIT_NOTHING;
			client_hint(f->c, "hawser selector ls");
		}
		return r;
	}
	if ((ids = arena_array(f->c->arena, all.count + 1, sizeof(*ids))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	for (size_t i = 0; i < all.count; i++)
		ids[i] = all.nodes[i].instance_id;
	if (all.count == 0) {
		f->c->exit_status = EXIT_NOTHING;
		client_hint(f->c, "hawser selector show %s", t->values[0]);
		return hw_err_set(err, HW_ENODE, "no node that you may see is '%s'", s->text);
	}
	*t = (struct term){.kind = TERM_ID, .values = ids, .n_values = all.count, .sorted = true};
	return 0;
}

static int
resolve_term(struct fleet *f, struct selector *s, struct term *t, struct hw_err *err)
{
	switch (t->kind) {
	case TERM_LAST:
		return resolve_last(f, s, t, err);
	case TERM_GROUP:
		return resolve_group(f, s, t, err);
	default:
		return 0;
	}
}

static int
resolve(struct fleet *f, struct hw_err *err)
{
	int r = 0;

	for (size_t i = 0; i < f->n && r == 0; i++) {
		struct selector *s = &f->selectors[i];

		for (size_t k = 0; k < s->n && r == 0; k++)
			r = resolve_term(f, s, &s->terms[k], err);
	}
	return r;
}

static int
parse_selectors(struct fleet *f, const char *const *texts, size_t n, struct hw_err *err)
{
	int r = 0;

	f->selectors = calloc(SELECTORS_MAX, sizeof(*f->selectors));
	f->matched = calloc(SELECTORS_MAX, sizeof(*f->matched));
	if (f->selectors == NULL || f->matched == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	for (size_t i = 0; i < n && r == 0; i++)
		r = strcmp(texts[i], "-") == 0 ? add_from_stdin(f, err)
					       : add_selector(f, texts[i], err);
	return r < 0 ? r : resolve(f, err);
}

static int
check_matched(const struct fleet *f, struct hw_err *err)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->matched[i])
			continue;
		f->c->exit_status = EXIT_NOTHING;
		client_hint(f->c, "hawser ls");
		return hw_err_set(err, HW_ENODE, "no node that you may see is '%s'",
			f->selectors[i].text);
	}
	return 0;
}

static int
by_name(const void *a, const void *b)
{
	const struct msg_instance_information *x = a, *y = b;
	int r = strverscmp(node_name(x), node_name(y));

	return r != 0 ? r
		      : strcmp(x->instance_id != NULL ? x->instance_id : "",
				y->instance_id != NULL ? y->instance_id : "");
}

int
fleet_select(struct msg_describe_instance_information_reply *ret, struct client *c,
	const char *const *selectors, size_t n, struct hw_err *err)
{
	struct msg_describe_instance_information_request req = {0};
	struct fleet f = {.c = c};
	int r;

	if ((n > 0 && (r = parse_selectors(&f, selectors, n, err)) < 0))
		goto out;
	if (f.n == 1 && (r = selector_filters(&req, c->arena, &f.selectors[0])) < 0) {
		hw_err_set(err, r, "out of memory");
		goto out;
	}
	if ((r = fleet_fetch(&f, &req, err)) < 0 || (r = check_matched(&f, err)) < 0)
		goto out;
	if (f.count > 1)
		qsort(f.nodes, f.count, sizeof(*f.nodes), by_name);
	*ret = (struct msg_describe_instance_information_reply){0};
	ret->instance_information_list.v = f.nodes;
	ret->instance_information_list.n = f.count;
out:
	free(f.selectors);
	free(f.matched);
	return r;
}

/* --- one node -------------------------------------------------------------------------------- */

static int
ambiguous(struct client *c, const char *name, const struct msg_instance_information *nodes,
	size_t n, struct hw_err *err)
{
	char ids[200] = "";
	size_t used = 0;

	for (size_t i = 0; i < n && i < 5; i++)
		used += (size_t)snprintf(ids + used, sizeof(ids) - used, "%s%s", i > 0 ? ", " : "",
			nodes[i].instance_id);
	client_hint(c, "name the node by one of these ids");
	return hw_err_set(err, HW_EVALIDATION, "%zu nodes are named %s: %s%s", n, name, ids,
		n > 5 ? ", ..." : "");
}

int
fleet_node(const struct msg_instance_information **ret, struct client *c, const char *name,
	struct hw_err *err)
{
	struct msg_instance_string_filter filter = {
		.key = id_is_node(name) ? "InstanceIds" : "Name"};
	struct msg_describe_instance_information_request req = {
		.filters = {.v = &filter, .n = 1}
	 };
	const char *value = name;
	struct fleet f = {.c = c};
	size_t n = 0;
	int r;

	filter.values = (struct msg_strs){.v = &value, .n = 1};
	if (name[0] == '\0')
		return hw_err_set(err, HW_EUSAGE,
			"a node's name is missing: hawser ls shows those that there are");
	if ((r = fleet_fetch(&f, &req, err)) < 0)
		return r;
	/* The relay's filter may mean more by a name than we do: it is compared again. */
	for (size_t i = 0; i < f.count; i++) {
		const struct msg_instance_information *node = &f.nodes[i];
		if (strcmp(node_name(node), name) == 0 ||
			(node->instance_id != NULL && strcmp(node->instance_id, name) == 0))
			f.nodes[n++] = *node;
	}
	if (n == 0) {
		client_hint(c, "hawser ls");
		return hw_err_set(err, HW_ENODE, "no node that you may see is named %s", name);
	}
	if (n > 1)
		return ambiguous(c, name, f.nodes, n, err);
	*ret = f.nodes;
	return 0;
}

int
fleet_node_id(const char **id, const char **shown, struct client *c, const char *name,
	struct hw_err *err)
{
	const struct msg_instance_information *node;
	int r;

	if (id_is_node(name)) {
		*id = *shown = name;
		return 0;
	}
	if ((r = fleet_node(&node, c, name, err)) < 0)
		return r;
	*id = node->instance_id;
	*shown = node_name(node);
	return 0;
}

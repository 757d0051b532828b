#include "client/past.h"

#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/fate.h"
#include "client/pages.h"
#include "proto/base/file.h"
#include "proto/base/id.h"

#define PAGE	  100
#define NAMES_MAX 5 /* that an error lists */

/* --- the last one ----------------------------------------------------------------------------- */

void
past_remember(struct client *c, const char *command_id)
{
	char line[ID_UUID_LEN + 2];
	int dir, n = snprintf(line, sizeof(line), "%s\n", command_id);

	if (n != ID_UUID_LEN + 1 || home_open(&dir, &c->home, false, NULL) < 0)
		return;
	(void)file_write(dir, HOME_LAST, line, (size_t)n, 0600, NULL);
	fd_close(dir);
}

static int
recall(const char **ret, struct client *c, struct hw_err *err)
{
	struct buf text;
	char *id = NULL;
	int dir, r;

	if ((r = client_home(c, err)) < 0)
		return r;
	buf_init(&text, ID_UUID_LEN + 1);
	if (home_open(&dir, &c->home, false, NULL) == 0) {
		if (file_read(&text, dir, HOME_LAST, NULL) == 0)
			id = arena_strndup(c->arena, (const char *)buf_data(&text),
				text.len > 0 ? text.len - 1 : 0);
		fd_close(dir);
	}
	buf_fini(&text);
	if (id == NULL || !id_is_uuid(id)) {
		client_hint(c, "hawser runs ls");
		return hw_err_set(err, HW_EUSAGE, "no command was sent from here yet");
	}
	*ret = id;
	return 0;
}

/* --- by name ---------------------------------------------------------------------------------- */

int
past_pick(const struct msg_command **ret, const struct msg_command *commands, size_t n,
	const char *name, struct hw_err *err)
{
	const struct msg_command *found = NULL;
	size_t len = strlen(name), count = 0, used = 0;
	char ids[256] = "";

	for (size_t i = 0; i < n && len > 0; i++) {
		const char *id = commands[i].command_id;

		if (id == NULL || strncmp(id, name, len) != 0)
			continue;
		found = &commands[i];
		if (count++ < NAMES_MAX && used < sizeof(ids))
			used += (size_t)snprintf(ids + used, sizeof(ids) - used, "%s%s",
				count > 1 ? ", " : "", id);
	}
	if (count == 0)
		return hw_err_set(err, HW_ECOMMAND, "no command that you may see is '%s'", name);
	if (count > 1)
		return hw_err_set(err, HW_EVALIDATION, "'%s' may be any of %zu commands: %s%s",
			name, count, ids, count > NAMES_MAX ? ", ..." : "");
	*ret = found;
	return 0;
}

int
past_find(const struct msg_command **ret, struct client *c, const char *name, struct hw_err *err)
{
	struct msg_list_commands_request req = {0};
	struct pages all = {0};
	int r;

	if (strcmp(name, "last") == 0 && (r = recall(&name, c, err)) < 0)
		return r;
	if (id_is_uuid(name))
		req.command_id = name;
	if ((r = pages_fetch(&all, c, OP_list_commands, &req, &req.next_token,
		     offsetof(struct msg_list_commands_reply, next_token), 0, err)) < 0)
		return r;
	if ((r = past_pick(ret, all.v, all.n, name, err)) < 0)
		client_hint(c, "hawser runs ls");
	return r;
}

int
past_find_id(const char **ret, struct client *c, const char *name, struct hw_err *err)
{
	const struct msg_command *command;
	int r;

	if (strcmp(name, "last") == 0)
		return recall(ret, c, err);
	if (id_is_uuid(name)) {
		*ret = name;
		return 0;
	}
	if ((r = past_find(&command, c, name, err)) == 0)
		*ret = command->command_id;
	return r;
}

/* --- its nodes -------------------------------------------------------------------------------- */

struct ids {
	const char **v;
	size_t n, room;
};

static int
add_id(struct ids *ids, struct client *c, const char *id)
{
	if (ids->n == ids->room) {
		size_t room = ids->room > 0 ? 2 * ids->room : 64;
		const char **v = arena_array(c->arena, room, sizeof(*v));

		if (v == NULL)
			return HW_ENOMEM;
		if (ids->n > 0)
			memcpy(v, ids->v, ids->n * sizeof(*v));
		ids->v = v;
		ids->room = room;
	}
	ids->v[ids->n++] = id;
	return 0;
}

/* One that changes while we ask comes again. */
static bool
has_id(const struct ids *ids, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(ids->v[i], id) == 0)
			return true;
	return false;
}

static bool
is_meant(const struct msg_invocation_summary *s, bool failed)
{
	enum fate fate = fate_of(s->status, s->status_details);

	return !failed || (fate_is_end(fate) && fate != FATE_OK);
}

int
past_nodes(const char *const **ids, size_t *n, struct client *c, const char *command_id,
	bool failed, struct hw_err *err)
{
	struct msg_list_command_changes_request req = {
		.command_id = command_id, .max_results = PAGE};
	const struct msg_list_command_changes_reply *reply;
	struct ids all = {0};
	int r;

	do {
		size_t before = all.n;

		if ((r = client_call(&reply, c, OP_list_command_changes, &req, err)) < 0)
			return r;
		for (size_t i = 0; i < reply->invocations.n; i++) {
			const struct msg_invocation_summary *s = &reply->invocations.v[i];

			if (!is_meant(s, failed) ||
				(!fate_command_is_over(reply->status) &&
					has_id(&all, before, s->instance_id)))
				continue;
			if (add_id(&all, c, s->instance_id) < 0)
				return hw_err_set(err, HW_ENOMEM, "out of memory");
		}
		req.after = reply->next;
	} while (reply->more);
	*ids = all.v;
	*n = all.n;
	return 0;
}

#include "client/session_name.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/pages.h"
#include "proto/base/id.h"

#define TAIL_LEN  6
#define NAMES_MAX 5 /* that an error lists */

static bool
session_is(const struct msg_session *s, const char *name, size_t len)
{
	size_t n = s->session_id != NULL ? strlen(s->session_id) : 0;

	if (n < len)
		return false;
	return strncmp(s->session_id, name, len) == 0 ||
		(len == TAIL_LEN && strcmp(s->session_id + n - len, name) == 0);
}

int
session_pick(const struct msg_session **ret, const struct msg_session *sessions, size_t n,
	const char *name, struct hw_err *err)
{
	const struct msg_session *found = NULL;
	size_t len = strlen(name), count = 0, used = 0;
	char ids[256] = "";

	for (size_t i = 0; i < n && len > 0; i++) {
		if (!session_is(&sessions[i], name, len))
			continue;
		if (strcmp(sessions[i].session_id, name) == 0) {
			*ret = &sessions[i];
			return 0;
		}
		/* One that ends while we ask is in both lists. */
		if (found != NULL && strcmp(found->session_id, sessions[i].session_id) == 0)
			continue;
		found = &sessions[i];
		if (count++ < NAMES_MAX && used < sizeof(ids))
			used += (size_t)snprintf(ids + used, sizeof(ids) - used, "%s%s",
				count > 1 ? ", " : "", found->session_id);
	}
	if (count == 0)
		return hw_err_set(err, HW_ENOSESSION, "no session that you may see is '%s'", name);
	if (count > 1)
		return hw_err_set(err, HW_EVALIDATION, "'%s' may be any of %zu sessions: %s%s",
			name, count, ids, count > NAMES_MAX ? ", ..." : "");
	*ret = found;
	return 0;
}

static int
fetch(struct pages *all, struct client *c, int state, const char *id, struct hw_err *err)
{
	struct msg_session_filter filter = {.key = SESSION_FILTER_SESSION_ID, .value = id};
	struct msg_describe_sessions_request req = {.state = state};

	if (id != NULL) {
		req.filters.v = &filter;
		req.filters.n = 1;
	}
	return pages_fetch(all, c, OP_describe_sessions, &req, &req.next_token,
		offsetof(struct msg_describe_sessions_reply, next_token), 0, err);
}

int
session_find(const struct msg_session **ret, struct client *c, const char *name, struct hw_err *err)
{
	const char *id = id_is_session(name) ? name : NULL;
	struct pages all = {0};
	int r;

	if ((r = fetch(&all, c, SESSION_STATE_ACTIVE, id, err)) < 0 ||
		(r = fetch(&all, c, SESSION_STATE_HISTORY, id, err)) < 0)
		return r;
	if ((r = session_pick(ret, all.v, all.n, name, err)) < 0)
		client_hint(c, "hawser sessions ls");
	return r;
}

int
session_find_id(const char **ret, struct client *c, const char *name, struct hw_err *err)
{
	const struct msg_session *s;
	int r;

	if (id_is_session(name)) {
		*ret = name;
		return 0;
	}
	if ((r = session_find(&s, c, name, err)) == 0)
		*ret = s->session_id;
	return r;
}

bool
session_has_terminal(const struct msg_session *s)
{
	static const char *const documents[] = {
		"SSM-SessionManagerRunShell", "AWS-StartInteractiveCommand"};
	const char *document = s->document_name != NULL ? s->document_name : "";

	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++)
		if (strcmp(document, documents[i]) == 0)
			return true;
	return false;
}

#include "relay/cli/admin_call.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/service.h"
#include "proto/wire/codec.h"
#include "relay/edge/local.h"

#define ARENA_MAX  (64 * 1024 * 1024)
#define ANSWER_MAX (2 * 1024 * 1024) /* of an answer */
#define PATIENCE_S 60

struct admin {
	int fd;
	struct arena *arena;
	struct buf line;
	const char *json, *url;
	int patience;
};

/* --- the way there ---------------------------------------------------------------------------- */

static int
no_relay(const char *dir, struct hw_err *err)
{
	if (errno == ENOENT || errno == ECONNREFUSED) {
		bool service = service_runs("", "hawser-relay", dir);

		return hw_err_set(err, HW_EUNAVAILABLE,
			"no relay is running on %s: start it with %s%s", dir,
			service ? "systemctl start hawser-relay, as root"
				: "hawser-relay run --dir ",
			service ? "" : dir);
	}
	if (errno == EACCES || errno == EPERM)
		return hw_err_set(err, HW_EDENIED,
			"only root and the user who runs the relay on %s may do this", dir);
	return hw_err_sys(err, "cannot reach the relay on %s", dir);
}

/* What answers may not be the relay, where others can write in the directory. */
static int
check_peer(const struct admin *a, int dir, const char *path, struct hw_err *err)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	struct stat st;

	if (fstat(dir, &st) < 0 || getsockopt(a->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return hw_err_sys(err, "cannot tell who answers on %s", path);
	if (peer.uid != 0 && peer.uid != st.st_uid)
		return hw_err_set(err, HW_EDENIED,
			"user %u answers on %s, who is neither root nor its owner: that is no relay",
			(unsigned)peer.uid, path);
	return 0;
}

static int
reach(struct admin *a, int dir, const char *path, struct hw_err *err)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a->fd < 0 ||
		setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
		setsockopt(a->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return hw_err_sys(err, "cannot make a socket");
	snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/" LOCAL_SOCKET, dir);
	if (connect(a->fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		return no_relay(path, err);
	return check_peer(a, dir, path, err);
}

int
admin_open(struct admin **ret, const char *path, struct hw_err *err)
{
	struct admin *a = calloc(1, sizeof(*a));
	int dir = -1, r;

	if (a == NULL || (a->arena = arena_new(ARENA_MAX)) == NULL) {
		free(a);
		return hw_err_set(err, HW_ENOMEM, "no memory");
	}
	a->fd = -1;
	a->patience = PATIENCE_S;
	buf_init(&a->line, ANSWER_MAX);
	r = dir_open(&dir, path, false, err);
	if (r < 0 && access(path, R_OK | X_OK) < 0 && errno == EACCES)
		hw_err_set(err, r, "only root and the user who runs the relay on %s may do this",
			path);
	if (r == 0)
		r = reach(a, dir, path, err);
	fd_close(dir);
	if (r < 0) {
		admin_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

void
admin_close(struct admin *a)
{
	if (a == NULL)
		return;
	fd_close(a->fd);
	buf_wipe(&a->line);
	buf_fini(&a->line);
	arena_free(a->arena);
	free(a);
}

void
admin_patience(struct admin *a, int seconds)
{
	const struct timeval patience = {.tv_sec = seconds};

	a->patience = seconds;
	(void)setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

struct arena *
admin_arena(struct admin *a)
{
	return a->arena;
}

const char *
admin_json(const struct admin *a)
{
	return a->json;
}

const char *
admin_url(const struct admin *a)
{
	return a->url;
}

/* --- lines ------------------------------------------------------------------------------------ */

static int
send_request(struct admin *a, enum op_id op, const void *request, struct hw_err *err)
{
	struct buf line;

	buf_init(&line, LOCAL_REQUEST_MAX);
	buf_printf(&line, "{\"Operation\":\"%s\",\"Request\":", op_rows[op].name);
	int r = msg_to_json(&line, op_rows[op].request(), request, JSON_SECRETS);
	buf_append_str(&line, "}\n");
	if (r < 0 || line.failed)
		r = hw_err_set(err, HW_ELIMIT, "the request is too large");
	/* A relay that let nobody in has said why, and has gone: that is read next. */
	else if (send(a->fd, buf_data(&line), line.len, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		r = hw_err_sys(err, "cannot write to the relay");
	buf_fini(&line);
	return r < 0 ? r : 0;
}

static int
receive_line(struct admin *a, struct hw_err *err)
{
	buf_wipe(&a->line);
	while (memchr(buf_data(&a->line), '\n', a->line.len) == NULL) {
		uint8_t *room = buf_reserve(&a->line, 64 * 1024);
		if (room == NULL)
			return hw_err_set(err, HW_ELIMIT, "the relay's answer is too long");
		ssize_t n = recv(a->fd, room, 64 * 1024, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return hw_err_set(err, HW_ETIMEOUT,
				"the relay did not answer within %d seconds; see its log",
				a->patience);
		if (n < 0)
			return hw_err_sys(err, "cannot read from the relay");
		if (n == 0)
			return hw_err_set(err, HW_EUNAVAILABLE,
				"the relay ended the connection; see its log");
		buf_commit(&a->line, (size_t)n);
	}
	return 0;
}

static const char *
keep_text(struct admin *a, const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return arena_strdup(a->arena, text != NULL ? text : "");
}

static int
take_reply(struct admin *a, const json_t *answer, struct hw_err *err)
{
	char *text = json_dumps(json_object_get(answer, "Reply"), JSON_COMPACT);

	a->json = text != NULL ? arena_strdup(a->arena, text) : NULL;
	a->url = keep_text(a, answer, "Url");
	free(text);
	return a->json != NULL && a->url != NULL
		? 0
		: hw_err_set(err, HW_EPROTO, "the relay's answer holds no reply");
}

static int
take_answer(struct admin *a, struct hw_err *err)
{
	json_t *answer = json_loadb((const char *)buf_data(&a->line), a->line.len, 0, NULL);
	int r;

	if (json_integer_value(json_object_get(answer, "Status")) == 200) {
		r = take_reply(a, answer, err);
	} else if (json_object_get(answer, "__type") != NULL) {
		const char *message = keep_text(a, answer, "message");
		r = hw_code_from_name(keep_text(a, answer, "__type"));
		hw_err_set(err, r, "%s", message);
	} else {
		r = hw_err_set(err, HW_EPROTO, "the relay's answer is not one");
	}
	json_decref(answer);
	return r;
}

int
admin_ask(void **reply, struct admin *a, enum op_id op, const void *request, struct hw_err *err)
{
	int r;

	if ((r = send_request(a, op, request, err)) < 0 || (r = receive_line(a, err)) < 0 ||
		(r = take_answer(a, err)) < 0)
		return r;
	r = msg_from_json(reply, a->arena, op_rows[op].reply(), a->json, strlen(a->json), err);
	return r < 0 ? hw_err_prefix(err, "the relay's answer") : 0;
}

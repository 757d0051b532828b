/* Requests over a link, and their answers. */
#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/link_private.h"

/* A request that waits for its answer. */
struct call {
	link_reply_fn *on_reply;
	void *arg;
};

/* --- asking ---------------------------------------------------------------------------------- */

static int
send_request(struct link *l, uint64_t id, const struct op_row *op, const void *request,
	struct hw_err *err)
{
	const struct frame head = {
		.kind = FRAME_REQUEST,
		.id = id,
		.name = op->name,
		.name_len = strlen(op->name),
	};
	struct hw_err why = HW_ERR_INIT;
	int r = link_send_call(l, &head, op->request(), request, &why);

	if (r < 0 && why.code != 0)
		hw_err_set(err, r, "%s", hw_err_text(&why));
	else if (r < 0)
		hw_err_set(err, r, "%s cannot be sent: %s", op->name, hw_code_meaning(r));
	return r;
}

int
link_request(struct link *l, const struct op_row *op, const void *request, link_reply_fn *on_reply,
	void *arg, struct hw_err *err)
{
	int r;

	if (!link_is_up(l))
		return hw_err_set(err, HW_EUNAVAILABLE, "%s: the link is not up", op->name);
	if (l->calls.count >= LINK_CALLS_MAX)
		return hw_err_set(err, HW_EFULL, "%s: %d requests wait for their answers already",
			op->name, LINK_CALLS_MAX);
	struct call *call = malloc(sizeof(*call));
	if (call == NULL || id_table_add(&l->calls, l->last_call + 1, call) < 0) {
		free(call);
		return hw_err_set(err, HW_ENOMEM, "no memory for a request");
	}
	*call = (struct call){.on_reply = on_reply, .arg = arg};
	if ((r = send_request(l, ++l->last_call, op, request, err)) < 0) {
		free(id_table_remove(&l->calls, l->last_call));
		l->last_call--; /* it was never sent */
	}
	return r;
}

void
link_forget(struct link *l, const void *arg)
{
	for (size_t i = l->calls.count; i-- > 0;) {
		struct call *call = l->calls.slots[i].value;
		if (call->arg == arg)
			free(id_table_remove(&l->calls, l->calls.slots[i].id));
	}
}

static void
answer(struct link *l, uint64_t id, int code, const char *message, const void *body, size_t n)
{
	struct call *call = id_table_remove(&l->calls, id);

	if (call == NULL)
		return; /* forgotten */
	struct call copy = *call;
	free(call);
	if (copy.on_reply != NULL)
		copy.on_reply(copy.arg, code, message, body, n);
}

void
link_fail_calls(struct link *l, const char *why)
{
	while (l->calls.count > 0)
		answer(l, l->calls.slots[0].id, HW_EUNAVAILABLE, why, NULL, 0);
}

void
link_drop_calls(struct link *l)
{
	while (l->calls.count > 0)
		free(id_table_remove(&l->calls, l->calls.slots[l->calls.count - 1].id));
}

/* The error's sentence, in *arena, or the code's own. */
static const char *
error_text(struct arena **arena, const struct frame *f, int code)
{
	const struct msg_error *error;
	void *body;

	if (link_decode(&body, arena, MSG_ROW(error), f, NULL) < 0)
		return hw_code_meaning(code);
	error = body;
	return text_or(error->message, hw_code_meaning(code));
}

int
link_take_response(struct link *l, const struct frame *f, struct hw_err *err)
{
	struct arena *arena = NULL;
	char name[FRAME_NAME_MAX + 1];

	if (f->id == 0 || f->id > l->last_call)
		return hw_err_set(err, HW_EPROTO,
			"a response to request %llu, which was never sent",
			(unsigned long long)f->id);
	if (f->name_len == 0) {
		answer(l, f->id, 0, "", f->body, f->body_len);
		return 0;
	}
	memcpy(name, f->name, f->name_len);
	name[f->name_len] = '\0';
	int code = hw_code_from_name(name);
	answer(l, f->id, code, error_text(&arena, f, code), f->body, f->body_len);
	arena_free(arena);
	return 0;
}

/* --- answering ------------------------------------------------------------------------------- */

int
link_take_request(struct link *l, const struct frame *f, struct hw_err *err)
{
	char op[FRAME_NAME_MAX + 1];

	if (f->name_len == 0 || memchr(f->name, '\0', f->name_len) != NULL)
		return hw_err_set(err, HW_EPROTO, "a request without a name");
	memcpy(op, f->name, f->name_len);
	op[f->name_len] = '\0';
	if (l->events->on_request != NULL)
		l->events->on_request(l->arg, l, f->id, op, f->body, f->body_len);
	else
		link_respond(l, f->id, HW_EUNKNOWNOP, "this side takes no requests", NULL, NULL);
	return 0;
}

static int
respond(struct link *l, uint64_t id, const char *code, const void *body, size_t n)
{
	return link_send(l,
		&(struct frame){
			.kind = FRAME_RESPONSE,
			.id = id,
			.name = code,
			.name_len = strlen(code),
			.body = body,
			.body_len = n,
		});
}

static void
respond_error(struct link *l, uint64_t id, int code, const char *message)
{
	char text[SENTENCE_MAX + 1];
	struct msg_error error = {.message = link_sentence(text, code, message)};
	struct buf body;

	buf_init(&body, FRAME_BODY_MAX);
	msg_encode(&body, MSG_ROW(error), &error, NULL);
	respond(l, id, hw_code_name(code), buf_data(&body), body.len);
	buf_fini(&body);
}

void
link_respond_raw(struct link *l, uint64_t id, const void *body, size_t n)
{
	if (!link_is_up(l))
		return;
	if (respond(l, id, "", body, n) == HW_ELIMIT)
		respond_error(l, id, HW_ELIMIT, "the answer is too large for one message");
}

void
link_respond(struct link *l, uint64_t id, int code, const char *message, const struct msg_row *row,
	const void *reply)
{
	struct hw_err err = HW_ERR_INIT;
	struct buf body;
	int r;

	if (!link_is_up(l))
		return;
	if (code != 0) {
		respond_error(l, id, code, message);
		return;
	}
	buf_init(&body, FRAME_BODY_MAX);
	if ((r = msg_encode(&body, row, reply, &err)) == 0)
		link_respond_raw(l, id, buf_data(&body), body.len);
	else
		respond_error(l, id, r == HW_ELIMIT ? r : HW_EINTERNAL, hw_err_text(&err));
	buf_fini(&body);
}

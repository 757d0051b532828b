#include "node/holder/outgoing.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/holder/screen.h"
#include "node/holder/serve.h"

#define PAINT_EVERY_MS 100

_Static_assert(SCREEN_PAINT_MAX <= HOLDER_PAINT_MAX, "a screen is sent whole");

static void
add_msg(struct holder *h, struct holder_head head, const void *body)
{
	uint8_t *to = h->msg.small + h->msg.len;

	memcpy(to, &head, sizeof(head));
	if (body != NULL)
		memcpy(to + sizeof(head), body, head.len);
	h->msg.len += sizeof(head) + (body != NULL ? head.len : 0);
}

static void
put_msg(struct holder *h, struct holder_head head, const void *body)
{
	h->msg.pos = h->msg.len = h->msg.left = 0;
	add_msg(h, head, body);
}

static void
put_state(struct holder *h)
{
	struct holder_state st = {
		.received = h->input.end,
		.consumed = h->input.start,
		.pid = h->program.pid,
		.exited = h->exited,
		.exit = h->exit,
		.echo_from = h->echo.from,
		.echo = (uint32_t)h->echo.now,
	};

	for (int s = HOLDER_OUT; s < HOLDER_STREAMS; s++) {
		st.start[s] = h->out[s].ring.start;
		st.end[s] = h->out[s].ring.end;
	}
	put_msg(h,
		(struct holder_head){
			.type = HOLDER_STATE, .flags = HOLDER_CAN_REPAINT, .len = sizeof(st)},
		&st);
	h->state_due = false;
}

static void
add_credit(struct holder *h)
{
	uint64_t limit = h->input.start + HOLDER_INPUT_MAX;

	add_msg(h,
		(struct holder_head){.type = HOLDER_CREDIT,
			.stream = HOLDER_IN,
			.flags = (uint16_t)h->credit.echo,
			.len = sizeof(limit),
			.offset = h->input.start},
		&limit);
	h->credit.due = false;
}

/* Starts a message: what is typed is credited along with what that shows, where it shows
 * something soon. Each message of its own wakes four processes on its way. */
static void
begin_msg(struct holder *h)
{
	h->msg.pos = h->msg.len = h->msg.left = 0;
	if (h->credit.due)
		add_credit(h);
}

static bool
credit_waits(const struct holder *h)
{
	return !h->exited && !holder_output_over(h) && holder_now() < h->credit.by;
}

static bool
end_is_due(const struct output *o)
{
	return o->eof && !o->end_sent && o->sent == o->ring.end;
}

static bool
exit_is_due(const struct holder *h)
{
	return h->exited && !h->exit_sent && h->out[HOLDER_OUT].end_sent &&
		h->out[HOLDER_ERR].end_sent;
}

/* Mostly all of them come at once, and are one wake-up of the uplink then. */
static void
add_ends(struct holder *h)
{
	for (int s = HOLDER_OUT; s < HOLDER_STREAMS; s++) {
		struct output *o = &h->out[s];
		if (!end_is_due(o))
			continue;
		add_msg(h,
			(struct holder_head){
				.type = HOLDER_END, .stream = (uint8_t)s, .offset = o->sent},
			NULL);
		o->end_sent = true;
	}
	if (!exit_is_due(h))
		return;
	add_msg(h, (struct holder_head){.type = HOLDER_EXIT, .len = sizeof(h->exit)}, &h->exit);
	h->exit_sent = true;
}

_Static_assert(sizeof((struct holder){0}.msg.small) >=
		4 * sizeof(struct holder_head) + sizeof(uint64_t) + sizeof(struct holder_exit),
	"a credit, both ends and the exit are one message");

/* The next piece of a stream's output, or its end. */
static bool
put_output(struct holder *h, int s)
{
	struct output *o = &h->out[s];
	uint64_t until = o->limit < o->ring.end ? o->limit : o->ring.end;

	if (o->sent < until) {
		size_t n = until - o->sent < HOLDER_DATA_MAX ? (size_t)(until - o->sent)
							     : HOLDER_DATA_MAX;
		begin_msg(h);
		add_msg(h,
			(struct holder_head){.type = HOLDER_DATA,
				.stream = (uint8_t)s,
				.len = (uint32_t)n,
				.offset = o->sent},
			NULL);
		h->msg.stream = h->last_sent = s;
		h->msg.left = n;
		h->msg.of_paint = false;
		return true;
	}
	if (!end_is_due(o))
		return false;
	begin_msg(h);
	add_ends(h);
	return true;
}

static void
drop_paint(struct holder *h)
{
	free(h->paint.bytes);
	h->paint.bytes = NULL;
	h->paint.under_way = false;
}

static bool
paint_begins(struct holder *h)
{
	if (!h->paint.due || holder_now() < h->paint.not_before)
		return false;
	h->paint.due = false;
	h->paint.under_way = true;
	h->paint.offset = h->out[HOLDER_OUT].ring.end;
	h->paint.len = h->paint.sent = 0;
	h->paint.bytes = h->screen != NULL ? screen_paint(h->screen, &h->paint.len) : NULL;
	h->paint.not_before = holder_now() + PAINT_EVERY_MS;
	return true;
}

/* The next part of the screen. It goes before output, which is what comes after it. */
static bool
put_screen(struct holder *h)
{
	if (!h->paint.under_way)
		drop_paint(h); /* of the last part nothing is left to send */
	if (!h->paint.under_way && !paint_begins(h))
		return false;
	size_t left = h->paint.len - h->paint.sent;
	size_t n = left < HOLDER_PART_MAX ? left : HOLDER_PART_MAX;
	put_msg(h,
		(struct holder_head){.type = HOLDER_SCREEN,
			.flags = left > n ? HOLDER_MORE : 0,
			.len = (uint32_t)n,
			.offset = h->paint.offset},
		NULL);
	h->msg.left = n;
	h->msg.of_paint = true;
	h->paint.under_way = left > n;
	return true;
}

static bool
next_msg(struct holder *h)
{
	int first = h->last_sent == HOLDER_OUT ? HOLDER_ERR : HOLDER_OUT;

	if (h->state_due)
		return put_state(h), true;
	if (h->credit.due && !credit_waits(h))
		return begin_msg(h), true;
	if (put_screen(h))
		return true;
	if (put_output(h, first) || put_output(h, HOLDER_OUT + HOLDER_ERR - first))
		return true;
	if (!exit_is_due(h))
		return false;
	begin_msg(h);
	add_ends(h);
	return true;
}

static void
sent(struct holder *h, size_t n)
{
	size_t head = h->msg.len - h->msg.pos;

	head = n < head ? n : head;
	h->msg.pos += head;
	h->msg.left -= n - head;
	if (h->msg.of_paint)
		h->paint.sent += n - head;
	else
		h->out[h->msg.stream].sent += n - head;
}

/* What the message under way has yet to send, in up to three pieces. Returns how many. */
static int
pieces(struct holder *h, struct iovec iov[3])
{
	const struct output *o = &h->out[h->msg.stream];

	iov[0] = (struct iovec){
		.iov_base = h->msg.small + h->msg.pos,
		.iov_len = h->msg.len - h->msg.pos,
	};
	if (h->msg.left == 0)
		return 1;
	if (h->msg.of_paint) {
		iov[1] = (struct iovec){
			.iov_base = h->paint.bytes + h->paint.sent, .iov_len = h->msg.left};
		return 2;
	}
	ring_peek(&o->ring, iov + 1, o->sent, h->msg.left);
	return 3;
}

enum outgoing_end
outgoing_send(struct holder *h)
{
	while (h->msg.pos < h->msg.len || h->msg.left > 0 || next_msg(h)) {
		struct iovec iov[3];
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)pieces(h, iov)};
		ssize_t n = sendmsg(h->conn, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN ? OUTGOING_BLOCKED : OUTGOING_GONE;
		sent(h, (size_t)n);
	}
	return OUTGOING_DONE;
}

void
outgoing_drop(struct holder *h)
{
	h->msg.pos = h->msg.len = h->msg.left = 0;
	h->state_due = false;
	h->paint.due = false;
	drop_paint(h);
}

#include "node/screens.h"

#include "proto/schema/schema.h"
#include "proto/wire/channel.h"
#include "proto/wire/frame.h"

#define SCREEN_MAX (256 * 1024)
#define LEAVE_ROOM (1 << 20) /* of a link's control frames: for what is said of all sessions */

bool
screens_ask(struct screens *s, int64_t nonce)
{
	if (s->under_way && s->begun) {
		s->again = true;
		s->next = nonce;
		return false;
	}
	s->nonce = nonce;
	if (s->under_way)
		return false;
	*s = (struct screens){.under_way = true, .nonce = nonce};
	return true;
}

static void
say(struct channel *ch, int64_t nonce, uint64_t offset, const uint8_t *p, size_t n, bool more)
{
	struct msg_control control = {
		.type = CONTROL_SCREEN,
		.nonce = nonce,
		.offset = (int64_t)offset,
		.bytes = {.p = p, .n = n},
		.more = more,
	};

	channel_control(ch, &control);
}

void
screens_refuse(struct screens *s, struct channel *ch, uint64_t offset)
{
	say(ch, s->nonce, offset, NULL, 0, false);
	*s = (struct screens){0};
}

/* Parts with nothing in them before the last would have no end. */
static bool
may_pass(struct screens *s, const struct channel *ch, uint64_t offset, size_t n, bool more)
{
	if (!s->begun)
		s->offset = offset;
	s->begun = true;
	s->len += n;
	return (n > 0 || !more) && offset == s->offset && offset <= (uint64_t)OFFSET_MAX &&
		s->len <= SCREEN_MAX && channel_control_room(ch) >= LEAVE_ROOM + n;
}

bool
screens_pass(struct screens *s, struct channel *ch, uint64_t offset, const uint8_t *p, size_t n,
	bool more)
{
	bool again = s->again;

	if (!s->under_way)
		return false;
	s->given_up = !may_pass(s, ch, offset, n, more) || s->given_up;
	if (!s->given_up)
		say(ch, s->nonce, offset, p, n, more);
	if (more)
		return false;
	*s = (struct screens){.under_way = again, .nonce = s->next};
	return again;
}

/* Channels that the peer offers, new ones and ones that it takes up again, until somebody here
 * takes them. */
#include "proto/wire/link_private.h"

#include <inttypes.h>

/* Who nobody has attached to yet. */
static const struct channel_events nobody;

bool
channel_is_untaken(const struct channel *ch)
{
	return ch->state == CHANNEL_OFFERED && ch->events == &nobody;
}

static void
refuse(struct link *l, const struct frame *f, int code, const char *why)
{
	char text[SENTENCE_MAX + 1];
	struct msg_error error = {
		.code = hw_code_name(code), .message = link_sentence(text, code, why)};

	l->last_channel = f->channel;
	link_send_message(l, FRAME_REJECT, f->channel, MSG_ROW(error), &error);
}

static void
hand_over(struct link *l, const struct frame *f, const struct channel_offer *offer, const void *msg)
{
	int type = *(const int *)((const char *)msg + offer->type);

	if (channel_row(type) == NULL) {
		refuse(l, f, HW_EVALIDATION, "Type: channels of this type are not served");
		return;
	}
	struct channel *ch = channel_new(l, f->channel, type);
	if (ch == NULL) {
		refuse(l, f, HW_ENOMEM, NULL);
		return;
	}
	ch->events = &nobody;
	channel_set_state(ch, CHANNEL_OFFERED);
	offer->hand(l, ch, msg);
}

int
channel_take_offer(struct link *l, const struct frame *f, const struct channel_offer *offer,
	struct hw_err *err)
{
	struct arena *arena;
	void *msg;
	int r;

	if (f->channel <= l->last_channel)
		return hw_err_set(err, HW_EPROTO, "%s: channel %" PRIu32 " comes after %" PRIu32,
			frame_row((int)f->kind)->name, f->channel, l->last_channel);
	if (l->channels.count >= LINK_CHANNELS_MAX) {
		refuse(l, f, HW_ELIMIT, "the link carries 4096 channels already");
		return 0;
	}
	if ((r = link_decode(&msg, &arena, offer->row, f, err)) < 0) {
		if (r == HW_ESERIAL)
			return r;
		refuse(l, f, r, hw_err_text(err)); /* perhaps of a newer version than ours */
		return 0;
	}
	hand_over(l, f, offer, msg);
	arena_free(arena);
	return 0;
}

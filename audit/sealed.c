#include "audit/sealed.h"

#include <inttypes.h>
#include <stdio.h>

void
sealed_aad(char out[BOX_AAD_MAX], const char *relay, const char *session_id, const struct event *ev)
{
	snprintf(out, BOX_AAD_MAX,
		"hawser hidden input 2\n%.64s\n%.96s\nstream %u author %" PRIu32 " offset %" PRIu64
		" bytes %" PRIu32 " at %" PRId64,
		relay, session_id, ev->stream, ev->author, ev->offset, ev->hidden, ev->time);
}

int
sealed_open(struct buf *out, const uint8_t priv[BOX_KEY_LEN], const char *relay,
	const char *session_id, const struct event *ev)
{
	char aad[BOX_AAD_MAX];
	size_t before = out->len;

	if (ev->len == 0)
		return HW_ENOTFOUND;
	sealed_aad(aad, relay, session_id, ev);
	int r = box_open(out, priv, aad, ev->bytes, ev->len);
	return r == 0 && out->len - before != ev->hidden ? HW_ECORRUPT : r;
}

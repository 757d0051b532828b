#include <string.h>

#include "proto/wire/codec.h"
#include "relay/stream/stream.h"

#define FACILITY  13 /* log audit */
#define MSGID_MAX 32

enum { ALERT = 1, WARNING = 4, INFORMATIONAL = 6 };

static int
severity(const struct msg_ledger_entry *e)
{
	if (strcmp(e->kind, entry_kind_name(ENTRY_ALARM)) == 0)
		return ALERT;
	return e->outcome == OUTCOME_DENIED || e->outcome == OUTCOME_FAILED ? WARNING
									    : INFORMATIONAL;
}

/* A field of the head: no blanks, nothing but printable ASCII, not longer than it may be. */
static void
put_field(struct buf *out, const char *text, size_t most)
{
	size_t n = 0;

	buf_append_byte(out, ' ');
	for (; text[n] != '\0' && n < most; n++)
		buf_append_byte(out, text[n] > ' ' && text[n] < 0x7f ? (uint8_t)text[n] : '_');
	if (n == 0)
		buf_append_byte(out, '-');
}

int
syslog_format(struct buf *out, const char *relay, const struct msg_ledger_entry *e)
{
	char time[RFC3339_LEN + 1];

	rfc3339_format(time, e->time);
	buf_printf(out, "<%d>1 %s", FACILITY * 8 + severity(e), time);
	put_field(out, relay, 255);
	buf_append_str(out, " hawser-relay -");
	put_field(out, e->kind, MSGID_MAX);
	buf_append_str(out, " - ");
	int r = msg_to_json(out, MSG_ROW(ledger_entry), e, 0);
	return r < 0 || out->failed ? HW_ELIMIT : 0;
}

/* Events of a recording, as a client gets them: decoding, and all that export makes of them. */
#include <stdlib.h>
#include <string.h>

#include "audit/export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_encoding(const struct event *ev, const uint8_t *p, size_t used)
{
	struct buf b;

	buf_init(&b, EVENT_BYTES_MAX + EVENT_HEAD_MAX);
	if (event_encode(&b, ev) < 0 || b.len != used || memcmp(buf_data(&b), p, used) != 0)
		abort();
	buf_fini(&b);
}

/* What is meant to be read in an editor or in a pipe holds nothing that a terminal obeys. */
static void
check_text(const struct buf *out, bool lines)
{
	const uint8_t *p = buf_data(out);

	for (size_t i = 0; i < out->len; i++)
		if ((p[i] < 0x20 && p[i] != '\n' && !(lines && p[i] == '\t')) || p[i] == 0x7f)
			abort();
}

static void
run(const uint8_t *data, size_t size, enum export_format format, bool typed)
{
	struct msg_recording_meta meta = {.session_id = "alice-1",
		.type = CHANNEL_TYPE_PTY,
		.target = "mi-1",
		.cols = 80,
		.rows = 24};
	struct buf out;
	struct event ev;
	size_t used;

	buf_init(&out, 16 << 20);
	struct export *e = export_new(format, &meta, typed, &out);
	if (e == NULL)
		abort();
	while (size > 0 && event_decode(&ev, data, size, &used) == 0) {
		check_encoding(&ev, data, used);
		if (export_event(e, &ev, &out) < 0)
			abort();
		data += used;
		size -= used;
	}
	if (export_end(e, &out) < 0)
		abort();
	if (format != EXPORT_RAW)
		check_text(&out, format == EXPORT_TEXT);
	export_free(e);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	run(data, size, EXPORT_CAST, false);
	run(data, size, EXPORT_TEXT, false);
	run(data, size, EXPORT_TEXT, true);
	run(data, size, EXPORT_RAW, false);
	run(data, size, EXPORT_JSON, false);
	return 0;
}

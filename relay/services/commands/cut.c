#include "relay/services/commands/cut.h"

#include <string.h>

#include "proto/base/enc.h"
#include "relay/core/fit.h"

#define STREAM_CUT "--output truncated--"
#define OUTPUT_CUT "\n---Output truncated---"
#define ERROR_CUT  "\n---Error truncated----"
#define ERROR_HEAD "\n----------ERROR-------\n"
#define REPLACED   "\xef\xbf\xbd"

int
cut_text(struct buf *out, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n > 0) {
		int len = utf8_next(at, n);
		size_t used = len > 0 ? (size_t)len : 1;
		int r = len > 0 && *at != 0 ? buf_append(out, at, used)
					    : buf_append_str(out, REPLACED);
		if (r < 0)
			return r;
		at += used;
		n -= used;
	}
	return 0;
}

/* The beginning of it that fits beside `mark` into `room` bytes, and the mark. */
static int
append_cut(struct buf *out, const struct buf *text, size_t room, const char *mark)
{
	const char *p = (const char *)buf_data(text);
	int r = buf_append(out, p, fit_prefix(p, text->len, room - strlen(mark)));

	return r == 0 ? buf_append_str(out, mark) : r;
}

int
cut_stream(struct buf *text, size_t max)
{
	struct buf cut;

	if (text->len < max)
		return 0;
	buf_init(&cut, max);
	int r = append_cut(&cut, text, max, STREAM_CUT);
	buf_reset(text);
	if (r == 0)
		r = buf_append(text, buf_data(&cut), cut.len);
	buf_fini(&cut);
	return r;
}

static int
append_whole(struct buf *out, const struct buf *text)
{
	return buf_append(out, buf_data(text), text->len);
}

/* Who needs less than half leaves the rest to the other. */
int
cut_plugin(struct buf *out, const struct buf *stdout_text, const struct buf *stderr_text)
{
	size_t head = stderr_text->len > 0 ? strlen(ERROR_HEAD) : 0, room = CUT_PLUGIN - head;
	size_t o = stdout_text->len, e = stderr_text->len, half = room / 2;
	size_t for_out = o <= room && o + e <= room ? o : e <= half ? room - e : half;
	size_t for_err = o + e <= room ? e : o <= half ? room - o : half;
	int r;

	r = o <= for_out ? append_whole(out, stdout_text)
			 : append_cut(out, stdout_text, for_out, OUTPUT_CUT);
	if (r < 0 || e == 0)
		return r;
	if ((r = buf_append_str(out, ERROR_HEAD)) < 0)
		return r;
	return e <= for_err ? append_whole(out, stderr_text)
			    : append_cut(out, stderr_text, for_err, ERROR_CUT);
}

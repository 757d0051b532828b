#include "audit/verify_reader.h"

#include <stdlib.h>
#include <string.h>

int
verify_reader_open(struct verify_reader *r, struct verify *v, const char *path, size_t room,
	struct hw_err *err)
{
	*r = (struct verify_reader){.source = v->source};
	int code = v->source->open(v->source->arg, &r->file, path, err);
	if (code < 0)
		return code;
	r->is_open = true;
	r->room = r->file.size < room ? (size_t)r->file.size + 1 : room;
	if ((r->window = malloc(r->room)) != NULL)
		return 0;
	verify_reader_close(r);
	return hw_err_set(err, HW_ENOMEM, "no memory to read %s", path);
}

void
verify_reader_close(struct verify_reader *r)
{
	if (r->is_open)
		r->source->close(r->source->arg, &r->file);
	free(r->window);
	*r = (struct verify_reader){.is_open = false};
}

uint64_t
verify_reader_left(const struct verify_reader *r)
{
	return r->file.size - r->at;
}

/* Fills the window. */
static int
fill(struct verify_reader *r, struct hw_err *err)
{
	memmove(r->window, r->window + r->start, r->have);
	r->start = 0;
	uint64_t from = r->at + r->have, left = r->file.size - from;
	size_t more = r->room - r->have;
	if (left < more)
		more = (size_t)left;
	int code = r->source->read(r->source->arg, &r->file, from, r->window + r->have, more, err);
	if (code < 0)
		return code;
	r->have += more;
	return 0;
}

int
verify_reader_look(struct verify_reader *r, const uint8_t **p, size_t n, struct hw_err *err)
{
	int code;

	if (n > verify_reader_left(r) || n > r->room)
		return 0;
	if (r->have < n && (code = fill(r, err)) < 0)
		return code;
	*p = r->window + r->start;
	return 1;
}

int
verify_reader_look_far(struct verify_reader *r, const uint8_t **p, size_t *n, struct hw_err *err)
{
	int code = fill(r, err);

	*p = r->window;
	*n = r->have;
	return code;
}

void
verify_reader_pass(struct verify_reader *r, size_t n)
{
	hw_assert(n <= r->have);
	r->at += n;
	r->start += n;
	r->have -= n;
}

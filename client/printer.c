#include "client/printer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/spool.h"
#include "proto/base/display.h"
#include "proto/base/file.h"

#define FLUSH_AT 65536
#define TEXT_MAX (64u << 20) /* the names of a whole fleet in a line */

void
printer_init(struct printer *p, int fd, bool safe)
{
	*p = (struct printer){.fd = fd, .tidy.kind = safe ? TIDY_TERMINAL : TIDY_RAW};
	buf_init(&p->out, TEXT_MAX);
}

void
printer_fini(struct printer *p)
{
	buf_fini(&p->out);
}

/* A piece of it, which takes the place of the JSON. */
static void
turn_into_yaml(struct printer *p)
{
	struct buf yaml;

	buf_init(&yaml, p->out.max);
	p->yaml->out = &yaml;
	yaml_pipe_append(p->yaml, buf_data(&p->out), p->out.len);
	p->yaml->out = NULL;
	buf_fini(&p->out);
	p->out = yaml;
}

int
printer_flush(struct printer *p, struct hw_err *err)
{
	int r = 0;

	if (p->yaml != NULL && !p->out.failed)
		turn_into_yaml(p);
	if (p->out.failed)
		r = hw_err_set(err, HW_ENOMEM, "out of memory");
	else if (fd_write_all(p->fd, buf_data(&p->out), p->out.len, err) < 0 && errno != EPIPE)
		r = HW_EIO;
	buf_reset(&p->out);
	return r;
}

static void
note_end(struct printer *p, size_t before)
{
	if (p->out.len > before)
		p->mid_line = buf_data(&p->out)[p->out.len - 1] != '\n';
}

int
printer_say(struct printer *p, struct hw_err *err, const char *fmt, ...)
{
	size_t before = p->out.len;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_append_str(&p->out, text);
	note_end(p, before);
	return p->out.len >= FLUSH_AT ? printer_flush(p, err) : 0;
}

void
printer_name(struct printer *p, const char *text)
{
	size_t before = p->out.len;

	display_append(&p->out, text, strlen(text));
	note_end(p, before);
}

int
printer_bytes(struct printer *p, const uint8_t *bytes, size_t n, struct hw_err *err)
{
	size_t before = p->out.len;

	tidy_append(&p->tidy, &p->out, bytes, n);
	note_end(p, before);
	return p->out.len >= FLUSH_AT ? printer_flush(p, err) : 0;
}

static int
each_piece(void *arg, const uint8_t *bytes, size_t n, struct hw_err *err)
{
	return printer_bytes(arg, bytes, n, err);
}

int
printer_spooled(struct printer *p, struct spool *s, const struct spooled *of, struct hw_err *err)
{
	size_t before;
	int r = spool_read(s, of, each_piece, p, err);

	before = p->out.len;
	tidy_end(&p->tidy, &p->out);
	note_end(p, before);
	return r;
}

void
printer_end_line(struct printer *p)
{
	if (p->mid_line)
		buf_append_byte(&p->out, '\n');
	p->mid_line = false;
}

#include "proto/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_fini(struct buf *b)
{
	free(b->mem);
	buf_init(b, b->max);
}

void
buf_wipe(struct buf *b)
{
	if (b->mem != NULL)
		explicit_bzero(b->mem, b->used);
	buf_reset(b);
}

void
buf_reset(struct buf *b)
{
	b->head = b->len = 0;
	b->failed = false;
}

static int
grow(struct buf *b, size_t need)
{
	size_t room = b->room != 0 ? 2 * b->room : 256;

	if (room < need) /* bytes that come in one piece need no more than that */
		room = need;
	if (room > b->max + 1 && need <= b->max + 1)
		room = b->max + 1; /* one more than the cap: buf_str's NUL */
	uint8_t *mem = realloc(b->mem, room);
	if (mem == NULL)
		return HW_ENOMEM;
	b->mem = mem;
	b->room = room;
	return 0;
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	if (n > b->max - b->len || n > SIZE_MAX / 4) {
		b->failed = true;
		return NULL;
	}
	if (b->head > 0 && b->room - b->head - b->len < n + 1) {
		memmove(b->mem, b->mem + b->head, b->len);
		b->head = 0;
	}
	if (b->room - b->head - b->len < n + 1 && grow(b, b->len + n + 1) < 0) {
		b->failed = true;
		return NULL;
	}
	size_t end = b->head + b->len + n + 1;
	b->used = end > b->used ? end : b->used;
	return b->mem + b->head + b->len;
}

void
buf_commit(struct buf *b, size_t n)
{
	hw_assert(n <= b->room - b->head - b->len);
	b->len += n;
}

static int
refusal(const struct buf *b, size_t n)
{
	return n > b->max - b->len ? HW_ELIMIT : HW_ENOMEM;
}

int
buf_append(struct buf *b, const void *p, size_t n)
{
	uint8_t *to = buf_reserve(b, n);

	if (to == NULL)
		return refusal(b, n);
	if (n > 0)
		memcpy(to, p, n);
	b->len += n;
	return 0;
}

int
buf_append_str(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

int
buf_append_byte(struct buf *b, uint8_t c)
{
	return buf_append(b, &c, 1);
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return HW_EINTERNAL;
	char *to = (char *)buf_reserve(b, (size_t)n);
	if (to == NULL)
		return refusal(b, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

void
buf_consume(struct buf *b, size_t n)
{
	hw_assert(n <= b->len);
	b->len -= n;
	b->head = b->len == 0 ? 0 : b->head + n;
}

const char *
buf_str(struct buf *b)
{
	uint8_t *end = buf_reserve(b, 0);

	if (end == NULL)
		return NULL;
	*end = '\0';
	return (const char *)b->mem + b->head;
}

char *
buf_take(struct buf *b, size_t *n)
{
	if (buf_str(b) == NULL)
		return NULL;
	if (b->head > 0)
		memmove(b->mem, b->mem + b->head, b->len + 1);
	char *mem = (char *)b->mem;
	if (n != NULL)
		*n = b->len;
	buf_init(b, b->max);
	return mem;
}

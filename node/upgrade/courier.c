#include "node/upgrade/courier.h"

#include <string.h>

#include "proto/base/err.h"

/* Whether it ends in NUL, and nothing but NULs follow. */
static bool
is_text(const char *p, size_t room)
{
	size_t n = strnlen(p, room);

	if (n == room)
		return false;
	for (size_t i = n; i < room; i++)
		if (p[i] != '\0')
			return false;
	return true;
}

static bool
is_zero(const char *p, size_t n)
{
	return *p == '\0' && is_text(p, n);
}

#define TEXT(p) is_text(p, sizeof(p))

int
courier_ask_parse(struct courier_ask *ret, const void *p, size_t n)
{
	struct courier_ask a;

	if (n != sizeof(a))
		return HW_EVALIDATION;
	memcpy(&a, p, sizeof(a));
	if (a.magic != COURIER_MAGIC || a.version != COURIER_VERSION || a.kind < COURIER_STATE ||
		a.kind > COURIER_AGAIN || a.offset > RELEASE_BYTES_MAX || !TEXT(a.release) ||
		!TEXT(a.wanted) || !TEXT(a.architecture) || !is_zero(a.zero, sizeof(a.zero)))
		return HW_EVALIDATION;
	*ret = a;
	return 0;
}

int
courier_answer_parse(struct courier_answer *ret, const uint8_t **piece, const void *p, size_t n)
{
	struct courier_answer a;

	if (n < sizeof(a))
		return HW_EVALIDATION;
	memcpy(&a, p, sizeof(a));
	if (a.magic != COURIER_MAGIC || a.version != COURIER_VERSION || a.len > COURIER_PIECE_MAX ||
		a.len != n - sizeof(a) || a.connected > 1 || a.size > RELEASE_BYTES_MAX ||
		a.code > 0 || !TEXT(a.release) || !TEXT(a.agent) || !TEXT(a.text) ||
		!is_zero(a.zero, sizeof(a.zero)))
		return HW_EVALIDATION;
	*ret = a;
	*piece = (const uint8_t *)p + sizeof(a);
	return 0;
}

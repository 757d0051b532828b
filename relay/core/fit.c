#include "relay/core/fit.h"

#include <string.h>

#include "proto/base/enc.h"

size_t
fit_text(char *out, size_t room, const char *text)
{
	size_t left = text != NULL ? strlen(text) : 0, used = 0;

	hw_assert(room > 0);
	while (left > 0) {
		int len = utf8_next((const uint8_t *)text, left);
		size_t step = len > 0 ? (size_t)len : 1;
		if (used + step >= room)
			break;
		memcpy(out + used, len > 0 ? text : "?", step);
		used += step;
		text += step;
		left -= step;
	}
	out[used] = '\0';
	return used;
}

size_t
fit_prefix(const char *text, size_t n, size_t max)
{
	if (n <= max)
		return n;
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

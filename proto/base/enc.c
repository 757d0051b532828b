#include "proto/base/enc.h"

#include <string.h>

/* --- hex ------------------------------------------------------------------------------------- */

void
hex_encode(char *out, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = p;

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
hex_decode(void *out, size_t n, const char *text)
{
	uint8_t *to = out;

	if (strlen(text) != 2 * n)
		return HW_EVALIDATION;
	for (size_t i = 0; i < 2 * n; i++)
		if (hex_value(text[i]) < 0)
			return HW_EVALIDATION;
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
	return 0;
}

/* --- base64 ---------------------------------------------------------------------------------- */

struct alphabet {
	char last[3]; /* of the values 62 and 63 */
	bool padded;
};

static const struct alphabet standard = {.last = "+/", .padded = true};
static const struct alphabet url = {.last = "-_"};

static char
digit_of(const struct alphabet *abc, unsigned value)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	value &= 63;
	return value < 62 ? digits[value] : abc->last[value - 62];
}

static int
value_of(const struct alphabet *abc, char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == abc->last[0])
		return 62;
	return c == abc->last[1] ? 63 : -1;
}

static void
encode(const struct alphabet *abc, char *out, const uint8_t *in, size_t n)
{
	for (; n >= 3; n -= 3, in += 3) {
		uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
		*out++ = digit_of(abc, bits >> 18);
		*out++ = digit_of(abc, bits >> 12);
		*out++ = digit_of(abc, bits >> 6);
		*out++ = digit_of(abc, bits);
	}
	if (n > 0) {
		uint32_t bits = (uint32_t)in[0] << 16 | (n > 1 ? (uint32_t)in[1] << 8 : 0);
		*out++ = digit_of(abc, bits >> 18);
		*out++ = digit_of(abc, bits >> 12);
		if (n > 1)
			*out++ = digit_of(abc, bits >> 6);
		for (size_t i = n; abc->padded && i < 3; i++)
			*out++ = '=';
	}
	*out = '\0';
}

/* Digits without their padding. The bits that the last digit has too many must be 0, so that no two
 * texts stand for the same bytes. */
static int
decode(const struct alphabet *abc, uint8_t *out, size_t *n, const char *text, size_t len)
{
	uint32_t bits = 0;
	int held = 0;
	size_t wrote = 0;

	if (len % 4 == 1)
		return HW_EVALIDATION;
	for (size_t i = 0; i < len; i++) {
		int value = value_of(abc, text[i]);
		if (value < 0)
			return HW_EVALIDATION;
		bits = (bits << 6 | (uint32_t)value) & 0xffffff;
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[wrote++] = (uint8_t)(bits >> held);
		}
	}
	if ((bits & ((1U << held) - 1)) != 0)
		return HW_EVALIDATION;
	*n = wrote;
	return 0;
}

void
base64_encode(char *out, const void *p, size_t n)
{
	encode(&standard, out, p, n);
}

int
base64_decode(void *out, size_t *n, const char *text, size_t len)
{
	if (len % 4 != 0)
		return HW_EVALIDATION;
	for (int pads = 0; pads < 2 && len > 0 && text[len - 1] == '='; pads++)
		len--;
	return decode(&standard, out, n, text, len);
}

void
base64url_encode(char *out, const void *p, size_t n)
{
	encode(&url, out, p, n);
}

int
base64url_decode(void *out, size_t *n, const char *text, size_t len)
{
	return decode(&url, out, n, text, len);
}

/* --- UTF-8 ----------------------------------------------------------------------------------- */

/* What may follow a lead byte: the length, and the bounds of the second byte, which keep out
 * overlong forms, surrogates and what is above U+10FFFF (Unicode, table 3-7). */
static const struct lead {
	uint8_t from, to, length, min, max;
} leads[] = {
	{0xc2, 0xdf, 2, 0x80, 0xbf},
	{0xe0, 0xe0, 3, 0xa0, 0xbf},
	{0xe1, 0xec, 3, 0x80, 0xbf},
	{0xed, 0xed, 3, 0x80, 0x9f},
	{0xee, 0xef, 3, 0x80, 0xbf},
	{0xf0, 0xf0, 4, 0x90, 0xbf},
	{0xf1, 0xf3, 4, 0x80, 0xbf},
	{0xf4, 0xf4, 4, 0x80, 0x8f},
};

static const struct lead *
lead_of(uint8_t c)
{
	for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++)
		if (c >= leads[i].from && c <= leads[i].to)
			return &leads[i];
	return NULL;
}

int
utf8_next(const uint8_t *p, size_t n)
{
	if (n == 0)
		return -1;
	if (p[0] < 0x80)
		return 1;
	const struct lead *lead = lead_of(p[0]);
	if (lead == NULL)
		return 0;
	for (size_t i = 1; i < lead->length; i++) {
		if (i == n)
			return -1;
		if (p[i] < (i == 1 ? lead->min : 0x80) || p[i] > (i == 1 ? lead->max : 0xbf))
			return 0;
	}
	return lead->length;
}

/* Bytes of ASCII at the beginning, in words: most texts are nothing else. */
static size_t
ascii_words(const uint8_t *p, size_t n)
{
	const uint64_t others = UINT64_C(0x8080808080808080);
	size_t done = 0;
	uint64_t word;

	for (; n - done >= sizeof(word); done += sizeof(word)) {
		memcpy(&word, p + done, sizeof(word));
		if ((word & others) != 0)
			break;
	}
	return done;
}

bool
utf8_valid(const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n > 0) {
		size_t step = ascii_words(at, n);
		if (step == 0) {
			int one = utf8_next(at, n);
			if (one <= 0)
				return false;
			step = (size_t)one;
		}
		at += step;
		n -= step;
	}
	return true;
}

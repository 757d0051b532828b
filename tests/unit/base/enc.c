#include "proto/base/enc.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

Test(hex, goes_there_and_back)
{
	const uint8_t bytes[] = {0x00, 0x7f, 0xab, 0xff};
	uint8_t back[4];
	char text[9];

	hex_encode(text, bytes, 4);
	cr_assert_str_eq(text, "007fabff");
	cr_assert(eq(int, hex_decode(back, 4, "007fABff"), 0));
	cr_assert(zero(int, memcmp(back, bytes, 4)));
}

Test(hex, wrong_lengths_and_digits_are_refused_and_write_nothing)
{
	uint8_t out[2] = {1, 2};

	cr_assert(eq(int, hex_decode(out, 2, "abc"), HW_EVALIDATION));
	cr_assert(eq(int, hex_decode(out, 2, "abcde"), HW_EVALIDATION));
	cr_assert(eq(int, hex_decode(out, 2, "abcg"), HW_EVALIDATION));
	cr_assert(eq(int, hex_decode(out, 2, "ab d"), HW_EVALIDATION));
	cr_assert(eq(int, out[0], 1));
}

static void
check_base64(const char *plain, const char *text)
{
	char enc[64];
	uint8_t dec[64];
	size_t n = 99;

	base64_encode(enc, plain, strlen(plain));
	cr_assert_str_eq(enc, text);
	cr_assert(eq(sz, strlen(enc), BASE64_LEN(strlen(plain))));
	cr_assert(eq(int, base64_decode(dec, &n, text, strlen(text)), 0));
	cr_assert(eq(sz, n, strlen(plain)));
	cr_assert(zero(int, memcmp(dec, plain, n)));
}

Test(base64, has_the_rfcs_vectors)
{
	check_base64("", "");
	check_base64("f", "Zg==");
	check_base64("fo", "Zm8=");
	check_base64("foo", "Zm9v");
	check_base64("foob", "Zm9vYg==");
	check_base64("fooba", "Zm9vYmE=");
	check_base64("foobar", "Zm9vYmFy");
	check_base64("\xfb\xff\xbf", "+/+/");
}

Test(base64, each_byte_survives)
{
	uint8_t bytes[256], back[256];
	char text[BASE64_LEN(256) + 1];
	size_t got;

	for (size_t i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	for (size_t n = 0; n <= 256; n++) {
		base64_encode(text, bytes, n);
		cr_assert(eq(int, base64_decode(back, &got, text, strlen(text)), 0));
		cr_assert(got == n && memcmp(back, bytes, n) == 0);
		base64url_encode(text, bytes, n);
		cr_assert(zero(ptr, strpbrk(text, "+/=")));
		cr_assert(eq(int, base64url_decode(back, &got, text, strlen(text)), 0));
		cr_assert(got == n && memcmp(back, bytes, n) == 0);
	}
}

Test(base64, is_strict)
{
	static const char *const bad[] = {"Zg", "Zg=", "Zg===", "Z===", "====", "=", "Zm9v\n",
		"Zm 9", "Zh==", "Zm9=", "Zm9v====", "Zg==Zg==", "-_-_", "Z=g="};
	uint8_t out[16];
	size_t n = 99;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(int, base64_decode(out, &n, bad[i], strlen(bad[i])), HW_EVALIDATION),
			"%s", bad[i]);
	cr_assert(eq(sz, n, 99));
}

Test(base64, the_url_form_has_its_own_alphabet_and_no_padding)
{
	uint8_t out[16];
	char text[8];
	size_t n;

	base64url_encode(text, "\xfb\xff\xbf\x01", 4);
	cr_assert_str_eq(text, "-_-_AQ");
	cr_assert(eq(int, base64url_decode(out, &n, "AQ==", 4), HW_EVALIDATION));
	cr_assert(eq(int, base64url_decode(out, &n, "+/+/", 4), HW_EVALIDATION));
	cr_assert(eq(int, base64url_decode(out, &n, "AQAAA", 5), HW_EVALIDATION));
	cr_assert(eq(int, base64url_decode(out, &n, "AR", 2), HW_EVALIDATION));
}

static int
next(const char *bytes)
{
	return utf8_next((const uint8_t *)bytes, strlen(bytes));
}

Test(utf8, knows_every_length)
{
	cr_assert(eq(int, next("a"), 1));
	cr_assert(eq(int, next("\xc2\x80"), 2));
	cr_assert(eq(int, next("\xe2\x82\xac"), 3));
	cr_assert(eq(int, next("\xf0\x9f\x98\x80"), 4));
	cr_assert(eq(int, next("\xf4\x8f\xbf\xbf"), 4));
	cr_assert(eq(int, utf8_next((const uint8_t *)"", 1), 1));
}

Test(utf8, refuses_what_has_no_meaning)
{
	static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5",
		"\xff", "\xc2 ", "\xe2\x82 ", "\xe2 "};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(int, next(bad[i]), 0), "row %zu", i);
	cr_assert(not(utf8_valid("ok \xed\xa0\x80", 6)));
}

/* It goes by words where it can. */
Test(utf8, looks_at_each_byte_of_a_text_of_any_length)
{
	char text[40];

	for (size_t n = 1; n <= sizeof(text); n++)
		for (size_t i = 0; i < n; i++) {
			memset(text, 'a', sizeof(text));
			cr_assert(utf8_valid(text, n));
			text[i] = '\xc3';
			cr_assert(not(utf8_valid(text, n)), "%zu of %zu", i, n);
			if (i + 1 == n)
				continue;
			text[i + 1] = '\xa9';
			cr_assert(utf8_valid(text, n), "%zu of %zu", i, n);
		}
}

Test(utf8, tells_what_is_cut_off_from_what_is_wrong)
{
	cr_assert(eq(int, next(""), -1));
	cr_assert(eq(int, next("\xc2"), -1));
	cr_assert(eq(int, next("\xf0\x9f\x98"), -1));
	cr_assert(not(utf8_valid("a\xe2\x82", 3)));
	cr_assert(utf8_valid("a\xe2\x82\xac", 4));
	cr_assert(utf8_valid("", 0));
}

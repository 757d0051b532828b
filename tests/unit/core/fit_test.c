#include "relay/core/fit.h"

#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define EURO "\xe2\x82\xac"

Test(fit, no_character_is_halved)
{
	char out[6];

	cr_assert(eq(sz, fit_text(out, sizeof(out), "abc" EURO), 3));
	cr_assert_str_eq(out, "abc");
	cr_assert(eq(sz, fit_text(out, sizeof(out), "ab" EURO), 5));
	cr_assert_str_eq(out, "ab" EURO);
}

Test(fit, what_is_no_character_shows_as_a_question_mark)
{
	char out[16];

	fit_text(out, sizeof(out), "a\xff\xe2\x82z\xc3");
	cr_assert_str_eq(out, "a\?\?\?z\?");
	cr_assert(eq(sz, fit_text(out, sizeof(out), NULL), 0));
}

Test(fit, a_prefix_ends_between_characters)
{
	cr_assert(eq(sz, fit_prefix("a" EURO EURO, 7, 7), 7));
	cr_assert(eq(sz, fit_prefix("a" EURO EURO, 7, 6), 4));
	cr_assert(eq(sz, fit_prefix("a" EURO EURO, 7, 4), 4));
	cr_assert(eq(sz, fit_prefix("a" EURO EURO, 7, 3), 1));
}

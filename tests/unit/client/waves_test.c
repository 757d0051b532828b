#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <string.h>

#include "client/waves.h"

/* Their ends, with blanks between. */
static const char *
waves(const char *text, size_t nodes)
{
	static char out[256];
	struct waves w;
	size_t n = 0;

	out[0] = '\0';
	if (waves_parse(&w, text, nodes, NULL) < 0)
		return "refused";
	for (size_t i = 0; i < w.n; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%zu", i > 0 ? " " : "",
			w.end[i]);
	return out;
}

static void
check(const char *text, size_t nodes, const char *wanted)
{
	const char *got = waves(text, nodes);

	cr_assert(strcmp(got, wanted) == 0, "%s of %zu: %s", text, nodes, got);
}

Test(waves, are_shares_or_numbers_that_grow_to_all)
{
	check("1%,10%,100%", 1000, "10 100 1000");
	check("1%,10%,100%", 30, "1 3 30");
	check("1%,10%,100%", 3, "1 3");
	check("1%,10%,100%", 1, "1");
	check("1%,10%", 1000, "10 100 1000");
	check("1,10,50%", 1000, "1 10 500 1000");
	check("5,50%", 4, "4");
	check("100%", 7, "7");
	check("", 7, "7");
	check("1%", 10001, "101 10001");
}

Test(waves, that_are_none_are_refused)
{
	static const char *const bad[] = {"0", "0%", "101%", "x", "1%%", "1,,2", "1,", ",1", "-1",
		"2,1", "10%,10%", "10%,5%", "1 2", "1%2", "99999999999999999999",
		"1,2,3,4,5,6,7,8,9,10"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(strcmp(waves(bad[i], 1000), "refused") == 0, "%s", bad[i]);
}

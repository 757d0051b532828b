#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "audit/mask.h"
#include "tests/unit/audit/scratch.h"

static struct scratch s;

static void
setup(void)
{
	scratch_init(&s);
}

static void
teardown(void)
{
	scratch_fini(&s);
}

TestSuite(mask, .init = setup, .fini = teardown);

static int
load(struct masks **m, const char *lines, struct hw_err *err)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/masks", s.dir);
	FILE *f = fopen(path, "w");
	fputs(lines, f);
	fclose(f);
	return masks_load(m, path, err);
}

static void
check(const char *lines, const char *text, const char *expected)
{
	struct hw_err err = HW_ERR_INIT;
	struct masks *m = NULL;
	char got[4096];
	size_t n = strlen(text);

	cr_assert(eq(int, load(&m, lines, &err), 0), "%s", err.text);
	memcpy(got, text, n + 1);
	masks_apply(m, (uint8_t *)got, n);
	cr_assert(strcmp(got, expected) == 0, "%s", got);
	masks_free(m);
}

Test(mask, stars_keep_the_length)
{
	check("AKIA[A-Z0-9]{4}\n", "a AKIA1234 b AKIAXXXX\nAKIA\n",
		"a ******** b ********\nAKIA\n");
}

Test(mask, keeps_what_is_before_k)
{
	check("# comment\n\n(?i)password=\\K\\S+\n", "Password=abc x\r\npassword=\r\n",
		"Password=*** x\r\npassword=\r\n");
}

Test(mask, sees_lines)
{
	check("^a.*$", "abc\nba\ra\n", "***\nba\r*\n");
}

Test(mask, patterns_do_not_hide_text_from_each_other)
{
	check("secret\nsecret=\\S+\n", "secret=abc", "**********");
}

Test(mask, a_line_that_cannot_be_decided_is_masked_whole)
{
	char text[300] = "x\n", expected[300] = "x\n";

	memset(text + 2, 'a', 200);
	memset(expected + 2, '*', 201);
	strcpy(text + 202, "b\ny");
	strcpy(expected + 203, "\ny");
	check("(a+)+[0-9]\n", text, expected);
}

Test(mask, names_the_line_that_is_no_pattern)
{
	struct hw_err err = HW_ERR_INIT;
	struct masks *m;

	cr_assert(eq(int, load(&m, "good\n(bad\n", &err), HW_EVALIDATION));
	cr_assert(strstr(err.text, "masks:2: ") != NULL, "%s", err.text);
	cr_assert(eq(int, load(&m, "(*UTF)x\n", &err), HW_EVALIDATION));
}

Test(mask, no_file_is_no_mask)
{
	struct hw_err err = HW_ERR_INIT;
	struct masks *m = (struct masks *)&s;

	cr_assert(eq(int, masks_load(&m, "/nonexistent/masks", &err), 0));
	cr_assert(m == NULL);
	masks_apply(m, (uint8_t *)m, 0);
}

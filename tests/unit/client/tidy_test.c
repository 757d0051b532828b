#include "client/tidy.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/file_name.h"
#include "client/spool.h"

/* --- in pieces ----------------------------------------------------------------------------------
 */

static void
becomes(int kind, const char *text, size_t n, const char *expected)
{
	/* Wherever it is parted, once and twice. */
	for (size_t i = 0; i <= n; i++) {
		for (size_t k = i; k <= n; k++) {
			struct tidy t = {.kind = kind};
			const uint8_t *p = (const uint8_t *)text;
			struct buf out;

			buf_init(&out, 4096);
			tidy_append(&t, &out, p, i);
			tidy_append(&t, &out, p + i, k - i);
			tidy_append(&t, &out, p + k, n - k);
			tidy_end(&t, &out);
			cr_assert(eq(sz, out.len, strlen(expected)), "%zu %zu: %s", i, k,
				buf_str(&out));
			cr_assert(out.len == 0 || memcmp(buf_data(&out), expected, out.len) == 0,
				"%zu %zu: %s", i, k, buf_str(&out));
			buf_fini(&out);
		}
	}
}

#define TEXT(text) text, sizeof(text) - 1

Test(tidy, as_it_is)
{
	becomes(TIDY_RAW, TEXT("a\x1b[2J\xc3\xa4\xff\r\n"), "a\x1b[2J\xc3\xa4\xff\r\n");
}

Test(tidy, nothing_steers_a_terminal)
{
	becomes(TIDY_TERMINAL, TEXT("a\tb\r\nc\n"), "a\tb\nc\n");
	becomes(TIDY_TERMINAL, TEXT("x\x1b[2J\ry\n"), "x\\x1b[2J\\x0dy\n");
	becomes(TIDY_TERMINAL, TEXT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2!"),
		"\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2!");
	becomes(TIDY_TERMINAL, TEXT("a\xff\xc3z\xe2\x82"), "a\\xff\\xc3z\\xe2\\x82");
	becomes(TIDY_TERMINAL, TEXT("end\r"), "end\\x0d");
	becomes(TIDY_TERMINAL, TEXT(""), "");
}

Test(tidy, the_inside_of_json)
{
	becomes(TIDY_JSON, TEXT("\"a\\\n\xc3\xa4"), "\\\"a\\\\\\n\xc3\xa4");
	becomes(TIDY_JSON,
		TEXT("a\xff"
		     "b"),
		"a\xef\xbf\xbd"
		"b");
}

/* --- names of files -----------------------------------------------------------------------------
 */

static void
names(const char *text, const char *expected)
{
	char out[FILE_NAME_MAX + 1];

	cr_expect(eq(int, file_name_safe(out, text), strcmp(text, expected) == 0), "%s", text);
	cr_expect_str_eq(out, expected);
}

Test(file_name, nothing_leaves_the_directory)
{
	names("web-01.dc1", "web-01.dc1");
	names("", "_");
	names(".", "_");
	names("..", "_.");
	names("../../etc/passwd", "_._.._etc_passwd");
	names("-rf", "_rf");
	names("a b\n\x1b", "a_b__");
	names("\xc3\xa4", "__");
}

Test(file_name, a_long_one_is_cut)
{
	char text[300], out[FILE_NAME_MAX + 1];

	memset(text, 'a', sizeof(text));
	text[299] = '\0';
	cr_assert(not(file_name_safe(out, text)));
	cr_assert(eq(sz, strlen(out), FILE_NAME_MAX));
}

/* --- what is kept for later ---------------------------------------------------------------------
 */

static int
collect(void *arg, const uint8_t *p, size_t n, struct hw_err *err)
{
	(void)err;
	return buf_append(arg, p, n);
}

static void
holds(struct spool *s, const struct spooled *of, const char *expected)
{
	struct buf all;

	buf_init(&all, 1 << 20);
	cr_assert(eq(int, spool_read(s, of, collect, &all, NULL), 0));
	cr_assert(eq(sz, all.len, strlen(expected)));
	cr_assert(all.len == 0 || memcmp(buf_data(&all), expected, all.len) == 0);
	buf_fini(&all);
}

Test(spool, streams_lie_mixed_and_come_apart)
{
	struct spooled a = {0}, b = {0}, c = {0};
	struct spool *s;

	cr_assert(eq(int, spool_new(&s, 10, NULL), 0));
	spool_append(s, &a, "one", 3, NULL);
	spool_append(s, &b, "1", 1, NULL);
	spool_append(s, &a, "two", 3, NULL);
	holds(s, &a, "onetwo");
	holds(s, &b, "1");
	holds(s, &c, "");
	spool_append(s, &a, "three", 5, NULL);
	holds(s, &a, "onetwothre");
	cr_assert(eq(i64, a.bytes, 10));
	cr_assert(eq(i64, a.beyond, 1));
	spool_drop(s, &a);
	spool_append(s, &c, "again", 5, NULL);
	holds(s, &b, "1");
	holds(s, &c, "again");
	spool_drop(s, &b);
	spool_drop(s, &c);
	spool_free(s);
}

Test(spool, a_directory_that_cannot_be_written_is_named)
{
	struct hw_err err = HW_ERR_INIT;
	struct spool *s;

	setenv("TMPDIR", "/no/such/directory", 1);
	cr_assert(lt(int, spool_new(&s, 10, &err), 0));
	cr_assert(strstr(err.text, "/no/such/directory") != NULL);
}

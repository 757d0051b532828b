#include "client/escape.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

struct typed_keys {
	struct escape escape;
	struct buf out;
	enum escape_action last;
	int actions;
};

static void
type(struct typed_keys *k, const char *keys)
{
	size_t n = strlen(keys);

	while (n > 0) {
		size_t used;
		enum escape_action action = escape_feed(&k->escape, &k->out, keys, n, &used);
		cr_assert(le(sz, used, n));
		keys += used;
		n -= used;
		if (action != ESCAPE_NONE) {
			k->last = action;
			k->actions++;
		}
	}
}

static void
begin(struct typed_keys *k, int character)
{
	*k = (struct typed_keys){0};
	escape_init(&k->escape, character);
	buf_init(&k->out, 1 << 20);
}

static void
expect(struct typed_keys *k, const char *sent, enum escape_action last, int actions)
{
	cr_assert_str_eq(buf_str(&k->out), sent);
	cr_assert(eq(int, (int)k->last, (int)last));
	cr_assert(eq(int, k->actions, actions));
	buf_fini(&k->out);
}

Test(escape, ends_at_the_start_of_a_line)
{
	struct typed_keys k;

	begin(&k, '~');
	type(&k, "~.");
	expect(&k, "", ESCAPE_END, 1);
	begin(&k, '~');
	type(&k, "ls\r~.");
	expect(&k, "ls\r", ESCAPE_END, 1);
	begin(&k, '~');
	type(&k, "ls\n");
	type(&k, "~");
	type(&k, ".");
	expect(&k, "ls\n", ESCAPE_END, 1);
}

Test(escape, is_data_inside_of_a_line)
{
	struct typed_keys k;

	begin(&k, '~');
	type(&k, "cd ~.");
	expect(&k, "cd ~.", ESCAPE_NONE, 0);
	begin(&k, '~');
	type(&k, "cd ");
	type(&k, "~");
	type(&k, ".");
	expect(&k, "cd ~.", ESCAPE_NONE, 0);
}

Test(escape, doubled_is_itself_and_unknown_ones_pass)
{
	struct typed_keys k;

	begin(&k, '~');
	type(&k, "~~.\r~/bin\r");
	expect(&k, "~.\r~/bin\r", ESCAPE_NONE, 0);
	begin(&k, '~');
	type(&k, "~\r~.");
	expect(&k, "~\r", ESCAPE_END, 1);
}

Test(escape, an_action_leaves_the_line_at_its_start)
{
	struct typed_keys k;

	begin(&k, '~');
	type(&k, "~?~?ls");
	expect(&k, "ls", ESCAPE_HELP, 2);
	begin(&k, '~');
	type(&k, "~\032x");
	expect(&k, "x", ESCAPE_SUSPEND, 1);
	begin(&k, '~');
	type(&k, "~d");
	expect(&k, "", ESCAPE_DETACH, 1);
	begin(&k, '~');
	type(&k, "~C");
	expect(&k, "", ESCAPE_FORWARD, 1);
}

Test(escape, another_character_or_none)
{
	struct typed_keys k;
	int c;

	cr_assert(eq(int, escape_parse(&c, "none"), 0));
	begin(&k, c);
	type(&k, "~.\r~.");
	expect(&k, "~.\r~.", ESCAPE_NONE, 0);
	cr_assert(eq(int, escape_parse(&c, "^]"), 0));
	begin(&k, c);
	type(&k, "~.\r\035.");
	expect(&k, "~.\r", ESCAPE_END, 1);
	cr_assert(eq(int, escape_parse(&c, "."), 0));
	begin(&k, c);
	type(&k, "..");
	expect(&k, ".", ESCAPE_NONE, 0);
	cr_assert(eq(int, escape_parse(&c, ""), HW_EVALIDATION));
	cr_assert(eq(int, escape_parse(&c, "ab"), HW_EVALIDATION));
	cr_assert(eq(int, escape_parse(&c, "\xc3\xa9"), HW_EVALIDATION));
}

Test(escape, a_paste_without_escapes_arrives_whole)
{
	struct typed_keys k;
	char paste[30001];

	for (size_t i = 0; i < 30000; i++)
		paste[i] = (char)(i % 97 == 0 ? '\n' : 'a' + (int)(i % 26));
	paste[30000] = '\0';
	begin(&k, '~');
	type(&k, paste);
	expect(&k, paste, ESCAPE_NONE, 0);
}

Test(escape, help_says_what_they_do_to_ones_own_session_or_anothers)
{
	struct buf own, others;

	buf_init(&own, 4096);
	buf_init(&others, 4096);
	escape_help(&own, '~', true);
	escape_help(&others, '~', false);
	cr_assert(ne(ptr, strstr(buf_str(&own), "~.   end the session\r\n"), NULL));
	cr_assert(ne(ptr, strstr(buf_str(&own), "~d   detach; the session goes on\r\n"), NULL));
	cr_assert(ne(ptr, strstr(buf_str(&others), "~.   leave; the session goes on\r\n"), NULL));
	cr_assert(eq(ptr, strstr(buf_str(&others), "end the session"), NULL));
	cr_assert(eq(ptr, strstr(buf_str(&others), "~C"), NULL));
	buf_fini(&own);
	buf_fini(&others);
}

#include "client/screen.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

/* Fed in pieces of every size, it always sees the same. */
static struct screen
shows(const char *text)
{
	struct screen first = {.state = SCREEN_TEXT};
	size_t n = strlen(text);

	screen_feed(&first, text, n);
	for (size_t piece = 1; piece < n; piece++) {
		struct screen s = {.state = SCREEN_TEXT};
		for (size_t at = 0; at < n; at += piece)
			screen_feed(&s, text + at, n - at < piece ? n - at : piece);
		cr_assert(eq(u32, s.modes, first.modes), "'%s' in pieces of %zu", text, piece);
		cr_assert(eq(int, s.state, first.state));
		cr_assert(eq(sz, s.n_torn, first.n_torn));
		cr_assert(eq(int, s.utf8, first.utf8), "'%s' in pieces of %zu", text, piece);
	}
	return first;
}

static void
is_alternate(const char *text, bool alternate)
{
	struct screen s = shows(text);

	cr_assert(eq(int, screen_is_alternate(&s), alternate), "%s", text);
}

Test(screen, a_full_screen_is_known)
{
	is_alternate("$ ls\r\nfile\r\n", false);
	is_alternate("\x1b[?1049h", true);
	is_alternate("text \x1b[?1049h\x1b[2J\x1b[1;1Htext", true);
	is_alternate("\x1b[?25;1049;1h", true);
	is_alternate("\x1b[?47h", true);
	is_alternate("\x1b[?1047h", true);
	is_alternate("\x1b[?1049hvim\x1b[?1049l$ ", false);
	is_alternate("\x1b[?1049h\x1b"
		     "c",
		false);
	is_alternate("\x1b[1049h", false);
	is_alternate("\x1b]0;\x1b[?1049h\x07", false);
	is_alternate("\x1b[?;h\x1b[?h\x1b[?99999999999999999999h", false);
	is_alternate("\x1b[?1049\x18h", false);
}

static void
breaks(const char *text, bool may, const char *torn)
{
	struct screen s = shows(text);
	struct buf out;

	buf_init(&out, 1024);
	cr_assert(eq(int, screen_may_break(&s), may), "%s", text);
	screen_torn(&s, &out);
	if (may)
		cr_assert_str_eq(buf_str(&out), torn);
	buf_fini(&out);
}

Test(screen, what_is_cut_is_known)
{
	breaks("plain", true, "");
	breaks("\x1b", true, "\x1b");
	breaks("text\x1b[38;5;1", true, "\x1b[38;5;1");
	breaks("text\x1b[38;5;1m", true, "");
	breaks("\x1b(", true, "\x1b(");
	breaks("\x1b(B", true, "");
	breaks("\x1b]0;a title", true, "\x1b]0;a title");
	breaks("\x1b]0;a title\x1b", true, "\x1b]0;a title\x1b");
	breaks("\x1b]0;a title\x1b\\", true, "");
	breaks("\x1b]52;c;a string that is longer than what is kept of one", false, NULL);
	breaks("caf\xc3", false, NULL);
	breaks("caf\xc3\xa9", true, "");
	breaks("\xf0\x9f\x98", false, NULL);
	breaks("\xf0\x9f\x98\x80", true, "");
	breaks("\xe2\x82", false, NULL);
	breaks("\xe2\x82\xac", true, "");
	breaks("\xff\x80\x80\x80\x80", true, "");
}

static void
restores(const char *text, const char *with)
{
	struct screen s = shows(text);
	struct buf out;

	buf_init(&out, 1024);
	screen_restore(&s, &out);
	cr_assert_str_eq(buf_str(&out), with);
	buf_fini(&out);
}

Test(screen, what_a_program_leaves_is_put_back)
{
	restores("nothing", "");
	restores("\x1b[?1049h\x1b[?25l\x1b[?1h", "\x1b[?1049l\x1b[?1l\x1b[?25h");
	restores("\x1b[?25l\x1b[?25h", "");
	restores("\x1b[?1000;1006h", "\x1b[?1000l\x1b[?1006l");
	restores("\x1b[?2004h\x1b[3", "\x18\x1b[?2004l");
	restores("\x1b[3", "");
}

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
		cr_assert(eq(u32, s.now.modes, first.now.modes), "'%s' in pieces of %zu", text,
			piece);
		cr_assert(eq(u32, s.now.marks, first.now.marks), "'%s' in pieces of %zu", text,
			piece);
		cr_assert(eq(int, s.now.kitty[0], first.now.kitty[0]));
		cr_assert(eq(int, s.now.kitty[1], first.now.kitty[1]));
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

#define SAVE   \
	"\x1b" \
	"7"
#define RESTORE \
	"\x1b"  \
	"8"

static void
restores(const char *text, const char *with)
{
	struct screen s = shows(text);
	struct buf out;

	buf_init(&out, 1024);
	screen_settle(&s);
	screen_restore(&s, 20, &out);
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
	restores("\x1b[1;31mred", "\x1b[m");
	restores("\x1b[1;31mred\x1b[0m", "");
	restores("\x1b[31mred\x1b[m\x1b[?4m", "");
	restores("\x1b[2;20r", SAVE "\x1b[r" RESTORE);
	restores("\x1b[2;20r\x1b[r", "");
	restores("\x1b=\x1b(0", "\x1b>\x1b(B");
	restores("\x1b=\x1b(0\x1b(B\x1b>", "");
	restores("\x1b[?7l\x1b[?6h", "\x1b[?6l\x1b[?7h");
	restores("\x1b[1m\x1b[2;9r\x1b=\x1b(0\x1b[?25l\x1b"
		 "c",
		"");
}

#define TABS SAVE "\r\x1b[3g\x1b[8C\x1bH\x1b[8C\x1bH" RESTORE

Test(screen, keys_cursor_characters_and_tabs_are_put_back_too)
{
	restores("\x1b[>4;2m", "\x1b[>4m");
	restores("\x1b[>4;2m\x1b[>4;0m", "");
	restores("\x1b[>4;2m\x1b[>4m", "");
	restores("\x1b[>4;2m\x1b[>m", "");
	restores("\x1b[>1;2m", "");
	restores("\x1b[>4;1m\x1b[0m", "\x1b[>4m");
	restores("\x1b[?5h\x1b[?9h", "\x1b[?5l\x1b[?9l");
	restores("\x1b[4h", "\x1b[4l");
	restores("\x1b[20;4h\x1b[4l", "");
	restores("\x1b[?4h\x1b[5h", "");
	restores("\x1b[4 q", "\x1b[0 q");
	restores("\x1b[4 q\x1b[ q", "");
	restores("\x1b[4 q\x1b[0 q", "");
	restores("\x1b[4q\x1b[>q\x1b[4\"q", "");
	restores("\x0etext", "\x0f");
	restores("\x0etext\x0f", "");
	restores("\x0f\x0e\x0f\x0e", "\x0f");
	restores("\x1b[3g", TABS);
	restores("\x1b[5G\x1bH", TABS);
	restores("\x1b[1$r\x1b[5H\x1b(H", "");
	restores("\x1b[4h\x1b[5 q\x1b[3g\x0e\x1b[>1u\x1b[>4;2m\x1b"
		 "c",
		"");
}

/* What the terminal keeps of each screen by itself is put back while that one is shown. */
Test(screen, kittys_keys_are_put_back_on_their_own_screen)
{
	restores("\x1b[>1u", "\x1b[<1u");
	restores("\x1b[>1u\x1b[>5u\x1b[<u", "\x1b[<1u");
	restores("\x1b[>1u\x1b[>5u\x1b[<2u", "");
	restores("\x1b[<7u", "");
	restores("\x1b[=5;1u", "\x1b[<1u");
	restores("\x1b[>1u\x1b[=5u", "\x1b[<1u");
	restores("\x1b[=0u\x1b[?u\x1b[u", "");
	restores("\x1b[>1u\x1b[?1049h\x1b[>1u\x1b[>2u", "\x1b[<2u\x1b[?1049l\x1b[<1u");
	restores("\x1b[?1049h\x1b[>1u\x1b[<u\x1b[?1049l", "");
	restores("\x1b[>99999999999999999999u\x1b[<99999999999999999999u", "");
}

/* Its terminal shows the first part, and perhaps some of the second. */
static void
restores_from(const char *shown, const char *kept, const char *with)
{
	struct screen s = shows(shown);
	struct buf out;

	buf_init(&out, 1024);
	screen_settle(&s);
	screen_feed(&s, kept, strlen(kept));
	screen_restore(&s, 20, &out);
	cr_assert_str_eq(buf_str(&out), with);
	buf_fini(&out);
}

Test(screen, what_a_part_that_is_not_shown_takes_back_is_put_back_all_the_same)
{
	restores_from("\x1b[?1049h", "\x1b[?1049l$ ", "\x1b[?1049l");
	restores_from("$ ", "\x1b[?1049h\x1b[1m\x1b[m\x1b[?1049l$ ", "\x1b[m\x1b[?1049l");
	restores_from("\x1b[?1049h\x1b[?1049l", "$ ", "");
	restores_from("\x1b[>1u\x1b[4h",
		"\x1b"
		"c",
		"\x1b[4l\x1b[<1u");
	restores_from("\x1b[>1u", "\x1b[>1u\x1b[<2u", "\x1b[<2u");
	restores_from("\x1b[>1u\x1b[<u", "\x0e\x0f", "\x0f");
}

static void
cuts(const char *text, const char *with)
{
	struct screen s = shows(text);
	struct buf out;

	buf_init(&out, 1024);
	screen_cut(&s, &out);
	cr_assert_str_eq(buf_str(&out), with);
	cr_assert(screen_may_break(&s));
	buf_reset(&out);
	screen_torn(&s, &out);
	cr_assert(eq(sz, out.len, 0));
	buf_fini(&out);
}

Test(screen, what_was_begun_is_ended_before_a_new_screen)
{
	cuts("nothing", "");
	cuts("\x1b[3", "\x18");
	cuts("\x1b]0;a title that is", "\x18");
	cuts("caf\xc3", "");
}

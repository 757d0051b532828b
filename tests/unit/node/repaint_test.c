/* What draws a screen on another terminal. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/holder/repaint.h"
#include "node/holder/screen.h"
#include "node/holder/terminal.h"
#include "tests/unit/node/terminals.h"

#define ROOM (1 << 20)

static void
write_text(struct terminal *t, const char *text)
{
	terminal_write(t, (const uint8_t *)text, strlen(text));
}

Test(repaint, any_terminal_looks_and_behaves_as_the_one_painted)
{
	uint8_t bytes[3000], *out = malloc(ROOM);
	uint32_t seed = 4711;
	char why[256];

	for (int i = 0; i < 2000; i++) {
		struct terminal a, b;
		int rows = 1 + (int)chance(&seed, 20), cols = 1 + (int)chance(&seed, 50);
		cr_assert(terminal_init(&a, rows, cols) && terminal_init(&b, rows, cols));
		terminal_write(&a, bytes, chance_output(&seed, bytes, 1 + chance(&seed, 3000)));
		terminal_write(&b, bytes, chance_output(&seed, bytes, 1 + chance(&seed, 3000)));
		size_t n = repaint_write(&a, PEN_WHOLE, out, ROOM);
		cr_assert_gt(n, 0);
		terminal_write(&b, out, n);
		cr_assert(terminals_alike(&a, &b, why), "round %d: %s", i, why);

		/* And what comes then does the same to both. */
		n = chance_output(&seed, bytes, 600);
		a.saved[1 - a.shown] = b.saved[1 - a.shown];
		a.last = b.last = 0;
		a.title = b.title, a.pushed = b.pushed;
		a.told = b.told = ~0u, a.modes = b.modes;
		a.at.edge = b.at.edge;
		terminal_write(&a, bytes, n);
		terminal_write(&b, bytes, n);
		cr_assert(terminals_alike(&a, &b, why), "round %d, going on: %s", i, why);
		terminal_fini(&a);
		terminal_fini(&b);
	}
	free(out);
}

/* What every repaint of a 20x5 terminal begins with, and its tabs. */
#define SLATE                                               \
	"\033\\\033[?25l\033[?1049l\033[0m\017\033(B\033)B" \
	"\033[?69l\033[r\033[?6l\033[4l\033[?7l\033[H\033[J"
#define TABS	"\033[3g\033[9G\033H\033[17G\033H"
#define NO_SAVE "\033[1;1H\033(B\033)B\017\0337\033[?6l\017\033(B\033)B"
#define KEYS	"\033>\033[>4;0m\033[0 q"

static const struct {
	const char *name, *output, *painted;
} golden[] = {
	{"a shell",
		"\033[?2004h\033]0;me@host\a\033[01;32mme\033[00m:\033[01;34m~\033[00m$ ls\r\nfile\r\n", SLATE
		"\033[1;1H\033[0;1;32mme\033[0m:\033[0;1;34m~\033[0m$ ls\033[2;1Hfile\033[0m" TABS
			NO_SAVE
		"\033[20l\033[?1l\033[?5l\033[?9l\033[?1000l\033[?1002l\033[?1003l\033[?1004l"
		"\033[?1005l\033[?1006l\033[?1015l\033[?1016l\033[?7h\033[?2004h" KEYS
		"\033]2;me@host\033\\\033[3;1H\033(B\033)B\017\033[?25h"	},
	{"vim",
		"$ vim\r\n\033[?1049h\033[22;0;0t\033[?1h\033=\033[?2004h\033[1;5r\033[H\033[2J\033[94m~"
		"\033[0m\033[5;1H\033[1m-- INSERT --\033[0m\033[1;1H\033[?12h\033[6 q",		SLATE
		"\033[1;1H$ vim\033[0m\033[2;1H\033(B\033)B\017"
		"\033[?1049h\033[0m\017\033(B\033)B\033[?6l\033[H\033[J"
		"\033[1;1H\033[94m~\033[5;1H\033[0;1m-- INSERT --\033[0m" TABS NO_SAVE
		"\033[20l\033[?5l\033[?9l\033[?1000l\033[?1002l\033[?1003l\033[?1004l"
		"\033[?1005l\033[?1006l\033[?1015l\033[?1016l\033[?1h\033[?7h\033[?12h\033[?2004h"
		"\033=\033[>4;0m\033[6 q\033[1;1H\033(B\033)B\017\033[?25h"	   },
	{"htop",
		"\033[?1049h\033[?25l\033[?1h\033=\033[?1006;1000h\033[44mF1\033[30;46mHelp \033[K",	SLATE
		"\033[0m\033[1;1H\033(B\033)B\017"
		"\033[?1049h\033[0m\017\033(B\033)B\033[?6l\033[H\033[J"
		"\033[1;1H\033[44mF1\033[30;46mHelp \033[39m             \033[0m" TABS NO_SAVE
		"\033[20l\033[?5l\033[?9l\033[?1002l\033[?1003l\033[?1004l"
		"\033[?1005l\033[?1015l\033[?1016l\033[?2004l\033[?1h\033[?7h\033[?1000h\033[?1006h"
		"\033=\033[>4;0m\033[0 q\033[1;8H\033[30;46m\033(B\033)B\017"  },
	{"less",	 "\033[?1049h\033[?1h\033=line\r\n\033[7m(END)\033[27m\033[K",
		SLATE "\033[0m\033[1;1H\033(B\033)B\017"
		      "\033[?1049h\033[0m\017\033(B\033)B\033[?6l\033[H\033[J"
		      "\033[1;1Hline\033[2;1H\033[0;7m(END)\033[0m" TABS NO_SAVE
		      "\033[20l\033[?5l\033[?9l\033[?1000l\033[?1002l\033[?1003l\033[?1004l"
		      "\033[?1005l\033[?1006l\033[?1015l\033[?1016l\033[?2004l\033[?1h\033[?7h"
		      "\033=\033[>4;0m\033[0 q\033[2;6H\033(B\033)B\017\033[?25h"											   },
	{"tmux",
		"\033[?1049h\033(B\033)0\033[1;4r\033[?1002h\033[?1006h\033[?1004h\033[30;42m\033[5;1H[0] "
		"0:sh\033[39;49m\033[1;1H\033[5C\016q\017\0337",				  SLATE
		"\033[0m\033[1;1H\033(B\033)B\017"
		"\033[?1049h\033[0m\017\033(B\033)B\033[?6l\033[H\033[J"
		"\033[1;1H     \xe2\x94\x80\033[5;1H\033[30;42m[0] 0:sh\033[0m" TABS
		"\033[1;7H\033(B\033)0\017\0337\033[?6l\017\033(B\033)B"
		"\033[20l\033[?1l\033[?5l\033[?9l\033[?1000l\033[?1003l"
		"\033[?1005l\033[?1015l\033[?1016l\033[?2004l\033[?7h\033[?1002h\033[?1004h\033[?1006h" KEYS
		"\033[1;4r\033[1;7H\033(B\033)0\017\033[?25h"						     },
	{"at the edge",
		"\033[31m012345678901234567\xf0\x9f\x98\x80\033[1G\033[19Ce\xcc\x81\033[0;1m",		SLATE "\033[1;1H\033[31m012345678901234567 e\xcc\x81\033[0m" TABS NO_SAVE
		      "\033[20l\033[?1l\033[?5l\033[?9l\033[?1000l\033[?1002l\033[?1003l\033[?1004l"
		      "\033[?1005l\033[?1006l\033[?1015l\033[?1016l\033[?2004l\033[?7h" KEYS
		      "\033[1;20H\033[31me\xcc\x81\033[0;1m\033(B\033)B\017\033[?25h"},
};

Test(repaint, of_programs_that_everybody_has)
{
	uint8_t out[4096];
	char painted[4097];

	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		struct terminal t;
		cr_assert(terminal_init(&t, 5, 20));
		write_text(&t, golden[i].output);
		size_t n = repaint_write(&t, PEN_WHOLE, out, sizeof(out));
		memcpy(painted, out, n);
		painted[n] = '\0';
		cr_expect_str_eq(painted, golden[i].painted, "%s", golden[i].name);
		terminal_fini(&t);
	}
}

/* Output that is painted amid something, and then goes on. */
static const struct {
	const char *name, *before, *after;
	const char *rest; /* what the paint ends with */
} cuts[] = {
	{"ESC",		    "a\033",			 "[31mb",	  "\033"		},
	{"a character set",	    "\033(",		     "0q",		   "\033("	  },
	{"a pen",		  "\033[3",		    "1mred",	     "\033[3"	     },
	{"a control within",	     "ab\033[3\r",		   "1mred",	    "\033[3"	    },
	{"the next parameter",     "\033[1;",		  "4mb",		 "\033[1;0"	   },
	{"parts of a parameter",	 "\033[38:2::1",		 "7:8:9mb",	    "\033[38:2:0:1"},
	{"a mode",		   "\033[?2",		      "5lb",	     "\033[?2"      },
	{"a cursor's shape",	     "\033[4 ",		"qb",	      "\033[4 "      },
	{"an odd one",	       "\033[3?1;4",	     "5h\033[mb",	  "\033[??31;4"  },
	{"an odder one",		 "\033[3 !",		     "qb",		   "\033[3!!"     },
	{"two bytes",	      "a\xc3",		       "\xa9",	       "\xc3"	     },
	{"three bytes",		"a\xe6\xbc",		     "\xa2!",	      "\xe6\xbc"	},
	{"four bytes",	       "a\xf0",			"\x9f\x98\x80!", "\xf0"	       },
	{"four bytes, three",      "a\xf0\x9f\x98",	       "\x80!",		"\xf0\x9f\x98" },
	{"three bytes, broken",	"a\xe6\xbc",		     "!",		  "\xe6\xbc"	    },
	{"a title",		    "\033]2;me@\001ho",	"st\ab",	 "\033]2;me@ho" },
	{"a title that ends",      "\033]0;me\033",	       "\\b",	      "\033]0;me\033"},
	{"a title that is broken", "\033]0;me\033",	    "[1mb",	    "\033]0;me\033"},
	{"a string",		     "a\033P1$rsecret",	"secret\033\\b", "\033^"	},
	{"a string that ends",     "a\033_G\033",	      "\\b",	     "\033^\033"	},
	{"nothing",		    "\033[31mred\033[12\030", "red",	     ""	       },
};

static void
check_goes_on(const char *name, const char *before, const char *after, const char *rest)
{
	struct terminal a, b;
	uint8_t out[4096];
	char why[256];

	cr_assert(terminal_init(&a, 5, 20) && terminal_init(&b, 5, 20));
	write_text(&a, before);
	size_t n = repaint_write(&a, PEN_WHOLE, out, sizeof(out)), len = strlen(rest);
	cr_assert(n > len && memcmp(out + n - len, rest, len) == 0, "%s", name);
	terminal_write(&b, out, n);
	cr_assert(terminals_alike(&a, &b, why), "%s: %s", name, why);
	write_text(&a, after);
	write_text(&b, after);
	cr_assert(terminals_alike(&a, &b, why), "%s, going on: %s", name, why);
	terminal_fini(&a);
	terminal_fini(&b);
}

Test(repaint, goes_on_amid_what_was_not_ended)
{
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
		check_goes_on(cuts[i].name, cuts[i].before, cuts[i].after, cuts[i].rest);
}

Test(repaint, goes_on_amid_the_longest)
{
	char text[2048] = "\033[", *at = text + 2;

	for (int i = 0; i < 40; i++)
		at += sprintf(at, "99999;");
	check_goes_on("parameters", text, "1;31mb", "65535;");
	at = text + sprintf(text, "\033]2;");
	memset(at, 'x', 1500);
	at[1500] = '\033';
	at[1501] = '\0';
	check_goes_on("a title", text, "\\b", "xx\033");
}

/* Every cell another colour. */
static void
draw_colours(struct screen *s, int cols, int rows)
{
	char sgr[64];

	screen_feed(s, "\033[?7l", 5);
	for (int row = 0; row < rows; row++) {
		for (int col = 0; col < cols; col++) {
			int n = snprintf(sgr, sizeof(sgr), "\033[38;2;%d;%d;77;48;2;9;%d;%dmx",
				col * 97 % 256, row * 61 % 256, col * 71 % 256, row * 53 % 256);
			screen_feed(s, sgr, (size_t)n);
		}
		screen_feed(s, "\r\n", row + 1 < rows ? 2 : 1);
	}
}

/* How many kinds of colours are in what is painted. */
static int
painted_colours(int cols, int rows)
{
	struct screen *s = screen_new(cols, rows);
	size_t n = 0;

	draw_colours(s, cols, rows);
	uint8_t *out = screen_paint(s, &n);
	cr_assert(out != NULL && n > (size_t)(cols * rows) && n <= SCREEN_PAINT_MAX);
	int kinds = memmem(out, n / 2, ";2;9;", 5) != NULL ? 3
		: memmem(out, n / 2, "48;5;", 5) != NULL   ? 2
							   : 1;
	free(out);
	screen_free(s);
	return kinds;
}

Test(repaint, colours_go_where_there_is_no_room_for_them)
{
	cr_assert_eq(painted_colours(80, 24), 3);
	cr_assert_eq(painted_colours(200, 50), 2);
	cr_assert_eq(painted_colours(400, 200), 1);
}

Test(repaint, says_when_it_does_not_fit)
{
	struct terminal t;
	uint8_t out[1000];

	cr_assert(terminal_init(&t, 24, 80));
	size_t n = repaint_write(&t, PEN_WHOLE, out, sizeof(out));
	cr_assert(n > 0);
	for (size_t room = 0; room < n; room++)
		cr_assert_eq(repaint_write(&t, PEN_WHOLE, out, room), 0);
	cr_assert_eq(repaint_write(&t, PEN_WHOLE, out, n), n);
	terminal_fini(&t);
}

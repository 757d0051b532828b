/* What output makes of a terminal's screen. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "node/holder/glyphs.h"
#include "node/holder/terminal.h"
#include "tests/unit/node/terminals.h"

#define ROWS 4
#define COLS 10

/* Rows of the text that is shown, without blank ones at the end, then the cursor. */
static const char *
shown(const struct terminal *t, char out[4096])
{
	char row[1024];
	int last = t->rows - 1;
	size_t n = 0;

	while (last > 0 && *terminal_text(t, last, row) == '\0')
		last--;
	for (int r = 0; r <= last; r++)
		n += (size_t)snprintf(out + n, 4096 - n, "%s%s", r > 0 ? "|" : "",
			terminal_text(t, r, row));
	snprintf(out + n, 4096 - n, " @%d,%d%s", t->at.row, t->at.col,
		t->at.edge == EDGE_WRAPS ? "+" : "");
	return out;
}

static const struct {
	const char *name, *output, *shown;
} cases[] = {
	{"text",		     "ab\r\ncd",						 "ab|cd @1,2"			 },
	{"waits to wrap",		  "0123456789",					       "0123456789 @0,9+"		  },
	{"wraps",		    "0123456789a",					      "0123456789|a @1,1"		    },
	{"CR after the edge",	      "0123456789\rx",					       "x123456789 @0,1"		},
	{"no autowrap",		"\033[?7l0123456789abc",					 "012345678c @0,9"		  },
	{"autowrap later",	   "\033[?7l0123456789\033[?7hx",				  "012345678x @0,9+"		    },
	{"scrolls",		    "a\r\nb\r\nc\r\nd\r\ne",				     "b|c|d|e @3,1"		   },
	{"LF keeps the column",	"ab\ncd",						   "ab|  cd @1,4"			},
	{"newline mode",		 "\033[20hab\ncd",					   "ab|cd @1,2"		       },
	{"backspace",		      "abc\b\bX",						 "aXc @0,2"			    },
	{"tab",		      "a\tb",						     "a       b @0,9"		},
	{"tab at the end",	   "a\t\t\tb",						 "a        b @0,9+"		 },
	{"tabs set",		     "\033[3g\033[4G\033H\r\tx",				 "   x @0,4"			    },
	{"tab back",		     "abcdefgh9\033[Zx",					 "abcdefghx @0,9"		 },
	{"position",		     "\033[2;3Hx",					       "|  x @1,3"		      },
	{"position, bounded",	      "\033[99;99Hx",					      "|||         x @3,9+"	   },
	{"position, huge",	   "\033[99999999999;99999999999Hx",			     "|||         x @3,9+"		  },
	{"position 0",	       "abc\033[0;0Hx",					    "xbc @0,1"			  },
	{"moves",		    "\033[2;5H\033[A\033[2Da\033[2B\033[Cb",			   "  a||    b @2,5"		    },
	{"lines",		    "ab\033[Ec\033[Fd",					 "db|c @0,1"			 },
	{"column and row",	   "\033[3G\033[2da\033[2e\033[5`b",			     "|  a||    b @3,5"	       },
	{"erase right",		"abcdef\033[3D\033[K",				       "abc @0,3"			 },
	{"erase left",	       "abcdef\033[3D\033[1K",				       "    ef @0,3"		    },
	{"erase the line",	   "abcdef\033[3D\033[2K",					   " @0,3"			  },
	{"erase below",		"a\r\nb\r\nc\033[2;1H\033[J",				      "a @1,0"			      },
	{"erase above",		"a\r\nb\r\ncd\033[3;1H\033[1J",				"|| d @2,0"			   },
	{"erase all",		      "a\r\nb\033[2J",					    " @1,1"			      },
	{"erase characters",	     "abcdef\033[2G\033[2X",				     "a  def @0,1"			  },
	{"insert characters",	      "abcdefghij\033[2G\033[2@",				  "a  bcdefgh @0,1"		   },
	{"delete characters",	      "abcdefghij\033[2G\033[3P",				  "aefghij @0,1"			},
	{"insert mode",		"abc\033[1G\033[4hXY",				       "XYabc @0,2"			   },
	{"insert lines",		 "a\r\nb\r\nc\033[2;3H\033[L",			       "a||b|c @1,0"		    },
	{"delete lines",		 "a\r\nb\r\nc\033[1;1H\033[2M",				"c @0,0"			},
	{"scroll up",		      "a\r\nb\r\nc\033[S",					   "b|c @2,1"			     },
	{"scroll down",		"a\r\nb\033[2T",					    "||a|b @1,1"		     },
	{"mouse, not scrolling",	 "a\033[1;2;3;4;5T",					     "a @0,1"			     },
	{"region",		   "a\r\nb\r\nc\r\nd\033[2;3r\033[3;1H\nX",		    "a|c|X|d @2,1"		  },
	{"below the region",	     "\033[1;2r\033[4;1Ha\nb",				       "|||ab @3,2"			   },
	{"region, upwards",	    "a\r\nb\r\nc\r\nd\033[2;3r\033[2;1H\033MX",			"a|X|b|d @1,1"		      },
	{"region, bad",		"a\033[3;2r\033[9;12rb",					 "ab @0,2"			  },
	{"origin",		   "\033[2;3r\033[?6h\033[1;1Ha\033[9;1Hb",		    "|a|b @2,1"		       },
	{"save and restore",	     "ab\0337\033[3;4Hc\0338d",					"abd||   c @0,3"		},
	{"restore, none saved",	"ab\0338c",						 "cb @0,1"			     },
	{"alternate screen",	     "main\033[?1049h\033[Halt",				 "alt @0,3"			   },
	{"and back",		     "main\033[?1049h\033[Halt\033[?1049lx",		     "mainx @0,5"			 },
	{"blank each time",	    "\033[?1049hA\033[?1049l\033[?1049h",			  " @0,0"			 },
	{"line drawing",		 "\033(0qx\033(Bq",					    "<2500><2502>q @0,3"		},
	{"shifted",		    "\033)0q\016q\017q",					 "q<2500>q @0,3"			},
	{"wide",		     "a\xe6\xbc\xa2z",					   "a<6f22>z @0,4"		  },
	{"wide at the edge",	     "012345678\xe6\xbc\xa2",				      "012345678|<6f22> @1,2"	     },
	{"wide, no autowrap",	      "\033[?7l012345678\xe6\xbc\xa2",			       "01234567<6f22> @0,9"	    },
	{"half of a wide one",       "\xe6\xbc\xa2\033[2Gx",				       " x @0,2"			},
	{"the other half",	   "\xe6\xbc\xa2\033[1Gx",					   "x @0,1"			   },
	{"wide, deleted in half",	  "\xe6\xbc\xa2z\033[1G\033[P",				" z @0,0"			 },
	{"wide, pushed out",	     "12345678\xe6\xbc\xa2\033[1G\033[@",			  " 12345678 @0,0"		  },
	{"a character in pieces",	  "\xe6\xbc\xa2",						  "<6f22> @0,2"		       },
	{"bad UTF-8",		      "\xe6\xbcz\xff\xc0\x80",				       "<fffd>z<fffd><fffd><fffd> @0,5"},
	{"surrogate",		      "\xed\xa0\x80",					     "<fffd> @0,1"		   },
	{"not drawn",
		"a\xc2\x85\xe2\x80\xaa"
		"b",									     "ab @0,2"			 },
	{"repeat",		   "ab\033[3b",						"abbbb @0,5"		    },
	{"repeat, nothing",	    "a\r\033[3b\033[3b",					 "a @0,0"			 },
	{"repeat, bounded",	    "a\033[65535b",					     "aaaaaaaaaa|a @1,1"	       },
	{"reset",		    "a\033[?1049hb\033[31m\033[2;3r\033c",			 " @0,0"				},
	{"soft reset",	       "\033[2;3r\033[?6h\033[4h\033[!p\033[4;1Hx\033[4;1Hy",      "|||y @3,1"			 },
	{"controls within",	    "a\033[2\rCb",					      "a b @0,3"			     },
	{"cancelled",		      "\033[12\030a\033]2;x\032b",				   "ab @0,2"			    },
	{"a sequence ends one",	"\033[12\033[2Cx",					   "  x @0,3"			     },
	{"strings are passed over",  "a\033Pjunk\033\\b\033_x\033\\c\033^x\033\\d\033Xx\033\\e",
		"abcde @0,5"													    },
	{"a string cut by ESC",	"a\033]2;title\033[2Cb",					 "a  b @0,4"			    },
	{"unknown",		    "a\033[?2026h\033[>c\033[6n\033[1\"q\033#8\033%Gb",		"ab @0,2"			 },
	{"odd",		      "a\033[1 !p\033[?1;?2h\033[??1hb",			   "ab @0,2"			    },
	{"save, with margins' form", "\033[1;2sab",						    "ab @0,2"			     },
};

Test(terminal, shows_what_output_says)
{
	char out[4096];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct terminal t;
		cr_assert(terminal_init(&t, ROWS, COLS));
		for (const char *p = cases[i].output; *p != '\0'; p++)
			terminal_write(&t, (const uint8_t *)p, 1);
		cr_expect_str_eq(shown(&t, out), cases[i].shown, "%s: %s, not %s", cases[i].name,
			out, cases[i].shown);
		terminal_fini(&t);
	}
}

Test(terminal, it_does_not_matter_where_output_is_cut)
{
	uint8_t bytes[4096];
	char why[256];
	uint32_t seed = 7;

	for (int i = 0; i < 300; i++) {
		struct terminal a, b;
		int rows = 1 + (int)chance(&seed, 12), cols = 1 + (int)chance(&seed, 40);
		cr_assert(terminal_init(&a, rows, cols) && terminal_init(&b, rows, cols));
		size_t n = chance_output(&seed, bytes, sizeof(bytes));
		terminal_write(&a, bytes, n);
		for (size_t at = 0, piece; at < n; at += piece) {
			piece = 1 + chance(&seed, 7);
			piece = piece < n - at ? piece : n - at;
			terminal_write(&b, bytes + at, piece);
		}
		cr_assert(terminals_alike(&a, &b, why), "round %d: %s", i, why);
		terminal_fini(&a);
		terminal_fini(&b);
	}
}

static struct pen
pen_after(const char *output)
{
	struct terminal t;

	cr_assert(terminal_init(&t, ROWS, COLS));
	terminal_write(&t, (const uint8_t *)output, strlen(output));
	struct pen pen = t.at.pen;
	terminal_fini(&t);
	return pen;
}

static const struct {
	const char *sgr;
	struct pen pen;
} pens[] = {
	{"1;2;3;4;5;7;8;9;53",
		{.bold = 1,
			.dim = 1,
			.italic = 1,
			.underline = 1,
			.blink = 1,
			.reverse = 1,
			.conceal = 1,
			.strike = 1,
			.overline = 1}									},
	{"1;2;3;4;5;7;8;9;53;22;23;24;25;27;28;29;55", {0}							  },
	{"1;31;0",				     {0}						    },
	{"1;31;",				      {0}						    },
	{"31;44",				      {.fg = COLOUR_INDEXED | 1, .bg = COLOUR_INDEXED | 4}   },
	{"97;100",				     {.fg = COLOUR_INDEXED | 15, .bg = COLOUR_INDEXED | 8}	},
	{"31;44;39;49",				{0}						    },
	{"38;5;200;48;5;17",			     {.fg = COLOUR_INDEXED | 200, .bg = COLOUR_INDEXED | 17}},
	{"38;2;1;2;3;1",			       {.fg = COLOUR_RGB | 0x010203, .bold = 1}		 },
	{"38:2:1:2:3;1",			       {.fg = COLOUR_RGB | 0x010203, .bold = 1}		 },
	{"38:2::1:2:3;1",			      {.fg = COLOUR_RGB | 0x010203, .bold = 1}		  },
	{"38:5:9;3",				   {.fg = COLOUR_INDEXED | 9, .italic = 1}		    },
	{"4:3",					{.underline = UNDERLINE_CURLY}			      },
	{"4:0",					{0}						    },
	{"4:9",					{.underline = UNDERLINE_SINGLE}			       },
	{"21",					 {.underline = UNDERLINE_DOUBLE}			      },
	{"58;5;3;1",				   {.bold = 1}					    },
	{"58:2::1:2:3;1",			      {.bold = 1}					    },
	{"38;5;300;1",				 {.bold = 1}					    },
	{"38;2;1;2;300;1",			     {.bold = 1}					    },
	{"38;9;1;1",				   {0}						    },
	{"38",					 {0}						    },
	{"38;2;1",				     {0}						    },
};

Test(terminal, pens)
{
	char sgr[128];

	for (size_t i = 0; i < sizeof(pens) / sizeof(pens[0]); i++) {
		snprintf(sgr, sizeof(sgr), "\033[%sm", pens[i].sgr);
		cr_expect(pen_equal(pen_after(sgr), pens[i].pen), "%s", pens[i].sgr);
	}
}

Test(terminal, erases_in_the_colour_of_the_background_alone)
{
	struct terminal t;
	const char *output = "some\r\ntext\033[1;4;31;44m\033[1J\033[J\033[2P\033[2@\033[L\033[M"
			     "\033[2S\033[2T\n\n\n\n\n\033M\033[3X\033[K\033[1K";

	cr_assert(terminal_init(&t, ROWS, COLS));
	terminal_write(&t, (const uint8_t *)output, strlen(output));
	for (int row = 0; row < ROWS; row++)
		for (int col = 0; col < COLS; col++)
			cr_assert(pen_equal(grid_cell(&t.screens[0], row, col).pen,
				(struct pen){.bg = COLOUR_INDEXED | 4}));
	terminal_fini(&t);
}

static const struct {
	const char *name, *output, *shown;
	int rows, cols;
} resizes[] = {
	{"narrower",	     "0123456789\r\nab", "01234|ab @1,2",	  4, 5 },
	{"wider",		  "0123456789",	"0123456789 @0,9", 4, 20},
	{"through a wide one",   "0123\xe6\xbc\xa2", "0123 @0,4",	4, 5 },
	{"one column",	       "\xe6\xbc\xa2x",	" @0,0",		 4, 1 },
	{"lower, room below",    "a\r\nb",		"a|b @1,1",	    2, 10},
	{"lower, at the bottom", "a\r\nb\r\nc\r\nd", "c|d @1,1",	 2, 10},
	{"one row",		    "a\r\nb\r\nc",	   "c @0,1",	     1, 10},
	{"higher",		   "a\r\nb",	     "a|b @1,1",	 9, 10},
};

Test(terminal, another_size)
{
	char out[4096];

	for (size_t i = 0; i < sizeof(resizes) / sizeof(resizes[0]); i++) {
		struct terminal t;
		cr_assert(terminal_init(&t, ROWS, COLS));
		terminal_write(&t, (const uint8_t *)resizes[i].output, strlen(resizes[i].output));
		cr_assert(terminal_resize(&t, resizes[i].rows, resizes[i].cols));
		cr_expect_str_eq(shown(&t, out), resizes[i].shown, "%s: %s", resizes[i].name, out);
		terminal_fini(&t);
	}
}

Test(terminal, the_main_screen_waits_behind_the_other_at_any_size)
{
	const char *output = "a\r\nb\r\nc\r\nmain\033[?1049h\033[31;44m\033[2J\033[Halt";
	struct terminal t;
	char out[4096];

	cr_assert(terminal_init(&t, ROWS, COLS));
	terminal_write(&t, (const uint8_t *)output, strlen(output));
	cr_assert(terminal_resize(&t, 2, 3));
	cr_expect_str_eq(shown(&t, out), "alt @0,2");
	terminal_write(&t, (const uint8_t *)"\033[?1049lx", 9);
	cr_expect_str_eq(shown(&t, out), "c|max @1,2+");
	terminal_fini(&t);
}

Test(terminal, any_output_at_any_size)
{
	uint8_t bytes[600];
	uint32_t seed = 99;

	for (int i = 0; i < 300; i++) {
		struct terminal t;
		cr_assert(terminal_init(&t, 1 + (int)chance(&seed, 30),
			1 + (int)chance(&seed, 60)));
		for (int k = 0; k < 30; k++) {
			terminal_write(&t, bytes, chance_output(&seed, bytes, sizeof(bytes)));
			int rows = 1 + (int)chance(&seed, 30), cols = 1 + (int)chance(&seed, 60);
			if (chance(&seed, 3) == 0)
				cr_assert(terminal_resize(&t, rows, cols));
			cr_assert(t.at.row >= 0 && t.at.row < t.rows && t.at.col >= 0 &&
				t.at.col < t.cols);
		}
		terminal_fini(&t);
	}
}

/* In a terminal in insert mode, whose first row is full of `row`. */
static void
check_repeats(const char *row, const char *ch, int n, int col)
{
	struct terminal a, b;
	char text[256], why[256];

	snprintf(text, sizeof(text), "%s\033[1;%dH\033[4;44m\033[4h%s", row, col, ch);
	cr_assert(terminal_init(&a, ROWS, COLS) && terminal_init(&b, ROWS, COLS));
	terminal_write(&a, (const uint8_t *)text, strlen(text));
	terminal_write(&b, (const uint8_t *)text, strlen(text));
	for (int i = 0; i < n; i++)
		terminal_write(&a, (const uint8_t *)ch, strlen(ch));
	snprintf(text, sizeof(text), "\033[%db", n);
	terminal_write(&b, (const uint8_t *)text, strlen(text));
	cr_assert(terminals_alike(&a, &b, why), "%s, %d of %s in column %d: %s", row, n, ch, col,
		why);
	terminal_fini(&a);
	terminal_fini(&b);
}

Test(terminal, repeats_in_insert_mode_as_if_it_were_typed)
{
	static const char *const rows[] = {"", "abcd", "abcdefghij", "\033[?7labcdefghij",
		"\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2",
		"a\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2z"};
	static const char *const chars[] = {"x", "\xe6\xbc\xa2"};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t k = 0; k < 2; k++)
			for (int n = 1; n <= COLS; n++)
				for (int col = 1; col <= COLS; col++)
					check_repeats(rows[i], chars[k], n, col);
}

/* A row's length for each, and not its square. */
Test(terminal, repeats_in_insert_mode_at_a_bounded_cost)
{
	static const char output[] = "x\033[65535b\r";
	struct terminal t;

	cr_assert(terminal_init(&t, 2, 2000));
	terminal_write(&t, (const uint8_t *)"\033[?7l\033[4h", 9);
	for (int i = 0; i < 50000; i++)
		terminal_write(&t, (const uint8_t *)output, sizeof(output) - 1);
	cr_assert_eq(grid_cell(&t.screens[0], 0, 1999).glyph, 'x');
	terminal_fini(&t);
}

Test(terminal, titles_have_no_controls)
{
	struct terminal t;
	const char *output = "\033]0;a\001\x7f"
			     "b\x7f\xc2\x9b\xe2\x80\xae\xff<\x7f\xe6\xbc\xa2>\a";

	cr_assert(terminal_init(&t, ROWS, COLS));
	terminal_write(&t, (const uint8_t *)output, strlen(output));
	cr_assert_eq(t.title.len, 7);
	cr_assert_eq(memcmp(t.title.text, "ab<\xe6\xbc\xa2>", 7), 0);
	for (int i = 0; i < 1000; i++)
		terminal_write(&t, (const uint8_t *)(i == 0 ? "\033]2;" : "\xe6\xbc\xa2"),
			i == 0 ? 4 : 3);
	terminal_write(&t, (const uint8_t *)"\033\\", 2);
	cr_assert_eq(t.title.len, TERMINAL_TITLE_MAX / 3 * 3);
	terminal_fini(&t);
}

Test(terminal, widths)
{
	cr_expect_eq(glyph_width('a'), 1);
	cr_expect_eq(glyph_width(0x07), -1);
	cr_expect_eq(glyph_width(0x9b), -1);
	cr_expect_eq(glyph_width(0xad), 1);
	cr_expect_eq(glyph_width(0x301), 0);
	cr_expect_eq(glyph_width(0x200d), 0);
	cr_expect_eq(glyph_width(0xfe0f), 0);
	cr_expect_eq(glyph_width(0x202e), -1);
	cr_expect_eq(glyph_width(0x6f22), 2);
	cr_expect_eq(glyph_width(0xff21), 2);
	cr_expect_eq(glyph_width(0x1f600), 2);
	cr_expect_eq(glyph_width(0x2500), 1);
	cr_expect_eq(glyph_width(0xe000), 1);
	cr_expect_eq(glyph_width(0x10ffff), 1);
}

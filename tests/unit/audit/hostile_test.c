/*
 * What a program may write to attack whoever looks at its recording, and where that may come out:
 * nothing but text, colour and the cursor, whatever it was and however it was cut.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "audit/export.h"
#include "audit/line_search.h"
#include "proto/base/display.h"
#include "proto/base/enc.h"

static const char *const attacks[] = {
	/* titles, clipboard, links, notifications, palettes, images, working directory */
	"\033]0;t\007",
	"\033]2;t\033\\",
	"\033]1;t\007",
	"\033]l;t\033\\",
	"\033]52;c;aGk=\007",
	"\033]52;p;?\033\\",
	"\033]8;;http://x\007link\033]8;;\007",
	"\033]9;note\007",
	"\033]99;;note\033\\",
	"\033]777;notify;a;b\007",
	"\033]4;1;?\007",
	"\033]10;?\007",
	"\033]11;#ff0000\007",
	"\033]104\007",
	"\033]1337;File=inline=1:aGk=\007",
	"\033]1337;SetUserVar=a=Yg==\007",
	"\033]1337;CopyToClipboard=\007",
	"\033]7;file://h/\007",
	"\033]133;C\007",
	"\033]633;E;rm\007",
	"\033]50;x\007",
	"\033]46;/tmp/log\007",
	"\033]555;\007",
	"\033]0;never ends",
	"\033]52;c;never ends\n",
	/* device control, application, privacy, start of string, screen's title */
	"\033P$q\"p\033\\",
	"\033P+q544e\033\\",
	"\033P0;1|17/ab\033\\",
	"\033Pq#0;2;0;0;0#0~~\033\\",
	"\033PtmuxX\033\\",
	"\033P1000p",
	"\033_Gf=100;AAAA\033\\",
	"\033_x\033\\",
	"\033^x\033\\",
	"\033Xx\033\\",
	"\033kx\033\\",
	"\033P\033P\033P",
	/* questions that the terminal would answer, into the shell of the auditor */
	"\033[c",
	"\033[0c",
	"\033[>c",
	"\033[=c",
	"\033[5n",
	"\033[6n",
	"\033[?6n",
	"\033[?15n",
	"\033[>q",
	"\033[>0q",
	"\033[x",
	"\033[0x",
	"\033[14t",
	"\033[18t",
	"\033[20t",
	"\033[21t",
	"\033[?1$p",
	"\033[4$p",
	"\033[1;1;1;1;1;1*y",
	"\033Z",
	"\005",
	"\033[?u",
	"\033[?996n",
	"\033[>4;?m",
	/* modes of mouse, keys, paste, columns, focus, synchronised output, origin */
	"\033[?1000h",
	"\033[?1002h",
	"\033[?1003h",
	"\033[?1006h",
	"\033[?1015h",
	"\033[?1016h",
	"\033[?2004h",
	"\033[?1h",
	"\033[?3h",
	"\033[?5h",
	"\033[?6h",
	"\033[?1004h",
	"\033[?2026h",
	"\033[?2027h",
	"\033[?1000;25h",
	"\033[20h",
	"\033[2h",
	"\033[12h",
	"\033=",
	"\033>",
	"\033[>1u",
	"\033[=5;1u",
	"\033[>4;2m",
	"\033[?9h",
	"\033[?45h",
	"\033[?66h",
	"\033[?67h",
	"\033[?69h",
	"\033[?80h",
	"\033[?1070h",
	"\033[?8452h",
	/* resizing, moving, printing, resetting, programming keys, saving and loading */
	"\033[8;1;1t",
	"\033[3;0;0t",
	"\033[2t",
	"\033[9;1t",
	"\033[22;0t",
	"\033[23;0t",
	"\033[i",
	"\033[5i",
	"\033[4i",
	"\033[?5i",
	"\033[!p",
	"\033c",
	"\033[?5W",
	"\033[61\"p",
	"\033[1\"q",
	"\033[0*x",
	"\033[1;2;3;4$r",
	"\033[1$}",
	"\033[2$~",
	"\033[1 q",
	"\033[0;1 r",
	"\033[1;2 t",
	"\033[3g",
	"\033H",
	"\033#8",
	"\033#3",
	"\033 F",
	"\033%G",
	"\033%@",
	"\033*0",
	"\033+0",
	"\033-A",
	"\033.A",
	"\033/A",
	"\033n",
	"\033o",
	"\033|",
	"\033}",
	"\033~",
	"\033N0",
	"\033O0",
	"\033l",
	"\033m",
	"\033V",
	"\033W",
	"\0336",
	"\0339",
	"\033F",
	/* what hides: concealed text, scroll-back erased, colours on themselves behind a trick */
	"\033[8mhidden\033[m",
	"\033[1;8m",
	"\033[08m",
	"\033[008m",
	"\033[38;8m",
	"\033[58;8m",
	"\033[38:8m",
	"\033[3J",
	"\033[?2J",
	"\033[38;5m\033[8m",
	/* eight-bit controls, as bytes and as characters */
	"\x9b"
	"6n",
	"\x9d"
	"0;t\x9c",
	"\x90q\x9c",
	"\x9f"
	"x\x9c",
	"\x84",
	"\x8d",
	"\x98x\x9c",
	"\xc2\x9b"
	"6n",
	"\xc2\x9d"
	"0;t\xc2\x9c",
	"\xc2\x90q\xc2\x9c",
	"\xc2\x85",
	"\xc2\x9a",
	"\xc0\x9b",
	"\xe0\x80\x9b",
	"\xf0\x80\x80\x9b[6n",
	"\xed\xa0\x80",
	/* text that turns around, or shows nothing, or says another thing than it is */
	"\xe2\x80\xae",
	"\xe2\x80\xaa",
	"\xe2\x80\xab",
	"\xe2\x80\xac",
	"\xe2\x80\xad",
	"\xe2\x81\xa6",
	"\xe2\x81\xa7",
	"\xe2\x81\xa8",
	"\xe2\x81\xa9",
	"\xe2\x80\x8e",
	"\xe2\x80\x8f",
	"\xd8\x9c",
	"\xe2\x80\x8b",
	"\xe2\x81\xa0",
	"\xef\xbb\xbf",
	"\xc2\xad",
	"\xe1\xa0\x8e",
	"\xf3\xa0\x81\x81\xf3\xa0\x81\xbf",
	"\xe2\x80\xa8",
	"\xe2\x80\xa9",
	"\xef\xbf\xb9",
	"\xcd\x8f",
	"\xe1\x85\x9f",
	"\xe1\x85\xa0",
	"\xe1\x9e\xb4",
	"\xe1\xa0\x8b",
	"\xe3\x85\xa4",
	"\xef\xb8\x80",
	"\xef\xbe\xa0",
	"\xef\xbf\xb0",
	"\xf0\x9b\xb2\xa0",
	"\xf0\x9d\x85\xb3",
	"\xf3\xa0\x84\x80\xf3\xa0\x87\xaf",
	"\xf3\xa0\x80\x80",
	"\xf3\xa0\xbf\xbf",
	/* questions and settings that fewer terminals know */
	"\033[?26n",
	"\033[?53n",
	"\033[?62n",
	"\033[?85n",
	"\033[?5;1n",
	"\033[1;1'|",
	"\033['|",
	"\033[1'z",
	"\033[1;1;1;1'w",
	"\033[#S",
	"\033[#{",
	"\033[#}",
	"\033[#R",
	"\033[#|",
	"\033[?1;1;0S",
	"\033[?1S",
	"\033[16t",
	"\033[19t",
	"\033[11t",
	"\033[?1007h",
	"\033[?1005h",
	"\033[?1001h",
	"\033[?1034h",
	"\033[?1036h",
	"\033[?1039h",
	"\033[?1042h",
	"\033[?1043h",
	"\033[?2031h",
	"\033[?2048h",
	"\033[?5522h",
	"\033[?7727h",
	"\033[?9001h",
	"\033[?25;1003h",
	"\033[?1000s",
	"\033[?1000r",
	"\033[<u",
	"\033[<1u",
	"\033[>1u\033[?u",
	"\033[>1m",
	"\033[>4n",
	"\033[?4m",
	"\033[>2T",
	"\033[>2t",
	"\033]12;?\007",
	"\033]17;?\007",
	"\033]22;pointer\007",
	"\033]5522;type=read\033\\",
	"\033]66;s=7;big\007",
	"\033]110\007",
	"\033]3008;start=x\007",
	"\033]9;4;1;50\007",
	"\033]9;9;/tmp\007",
	"\033]9001;CmdNotFound;x\007",
	"\033]1337;RequestUpload=format=tgz\007",
	"\033]1337;ReportCellSize\007",
	"\033]1337;HighlightCursorLine=yes\007",
	"\033]1337;OpenURL=:aGk=\007",
	"\033]8;id=a;file:///etc/passwd\033\\x\033]8;;\033\\",
	"\033]8;;http://x\007never closed",
	"\033P=1s\033\\",
	"\033P=2s",
	"\033P1$r0m\033\\",
	"\033P>|name\033\\",
	"\033P!|00000000\033\\",
	"\033P1;1{ab\033\\",
	"\033P@kitty-cmd{}\033\\",
	"\033Pp\"S(E)\033\\",
	"\033_Ga=q,i=1;\033\\",
	"\033_25a1;;\033\\",
	"\033^!MSG:x\033\\",
	"\033\\\033]0;t\033\\",
	/* within each other, cut short, and with controls between */
	"\033[\033[6n",
	"\033[6\030n",
	"\033[6\r\nn",
	"\033]0;a\033[6n",
	"\033[?\0331000h",
	"\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23;24;25m",
	"\033[999999999999999999999A",
	"\033[-1A",
	"\033[1;1;1H",
	"\033[:6n",
	"\033[<6n",
	"\033[ 6n",
	"\033[6 n",
	"\033(",
	"\033(X",
	"\033)\"",
	"\033\"",
	"\033",
	"\033[",
	"\033]",
	"\033P",
	"\0",
	"\177",
	"\001\002\003\004\006\013\014\017\020",
};
#define ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

/* --- a judge of its own ----------------------------------------------------------------------- */

static bool
is_control_sequence(const uint8_t *p, size_t n, size_t *used)
{
	size_t i = 2;

	if (n < 3 || p[1] != '[')
		return false;
	bool private = p[2] == '?';
	i += private;
	while (i < n && (p[i] == ';' || p[i] == ':' || (p[i] >= '0' && p[i] <= '9')))
		i++;
	if (i == n)
		return false;
	*used = i + 1;
	if (private)
		return p[i] == 'h' || p[i] == 'l';
	return strchr("@ABCDEFGHIJKLMPSTXZ`abdefhlmrsu", p[i]) != NULL;
}

/* What default fonts and layouts leave out: of the characters that Unicode calls ignorable all but
 * joiners and the forms of emoji, and what turns text around. */
static bool
hides(const uint8_t *p, size_t n)
{
	static const char *const first_last[][2] = {
		{"\xc2\xad",	     "\xc2\xad"	       },
		{"\xcd\x8f",	     "\xcd\x8f"	       },
		{"\xd8\x9c",	     "\xd8\x9c"	       },
		{"\xe1\x85\x9f",	 "\xe1\x85\xa0"    },
		{"\xe1\x9e\xb4",	 "\xe1\x9e\xb5"    },
		{"\xe1\xa0\x8b",	 "\xe1\xa0\x8f"    },
		{"\xe2\x80\x8b",	 "\xe2\x80\x8b"    },
		{"\xe2\x80\x8e",	 "\xe2\x80\x8f"    },
		{"\xe2\x80\xa8",	 "\xe2\x80\xae"    },
		{"\xe2\x81\xa0",	 "\xe2\x81\xaf"    },
		{"\xe3\x85\xa4",	 "\xe3\x85\xa4"    },
		{"\xef\xb8\x80",	 "\xef\xb8\x8d"    },
		{"\xef\xbb\xbf",	 "\xef\xbb\xbf"    },
		{"\xef\xbe\xa0",	 "\xef\xbe\xa0"    },
		{"\xef\xbf\xb0",	 "\xef\xbf\xbb"    },
		{"\xf0\x9b\xb2\xa0", "\xf0\x9b\xb2\xa3"},
		{"\xf0\x9d\x85\xb3", "\xf0\x9d\x85\xba"},
		{"\xf3\xa0\x80\x80", "\xf3\xa0\xbf\xbf"},
	};

	for (size_t i = 0; i < sizeof(first_last) / sizeof(first_last[0]); i++)
		if (strlen(first_last[i][0]) == n && memcmp(p, first_last[i][0], n) >= 0 &&
			memcmp(p, first_last[i][1], n) <= 0)
			return true;
	return false;
}

/* The first byte that is neither text nor colour nor cursor; n when there is none. */
static size_t
judge(const uint8_t *p, size_t n, bool hiding)
{
	size_t used = 1;

	for (size_t i = 0; i < n; i += used) {
		used = 1;
		if (p[i] == 0x1b && i + 1 < n && strchr("78DEM", p[i + 1]) != NULL)
			used = 2;
		else if (p[i] == 0x1b && i + 2 < n && strchr("()", p[i + 1]) != NULL &&
			strchr("B0", p[i + 2]) != NULL)
			used = 3;
		else if (p[i] == 0x1b && !is_control_sequence(p + i, n - i, &used))
			return i;
		else if (p[i] < 0x20 && p[i] != 0x1b && strchr("\r\n\t\b\a\016\017", p[i]) == NULL)
			return i;
		else if (p[i] == 0x7f)
			return i;
		else if (p[i] >= 0x80) {
			int len = utf8_next(p + i, n - i);
			if (len <= 0 || (len == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0) ||
				(hiding && hides(p + i, (size_t)len)))
				return i;
			used = (size_t)len;
		}
	}
	return n;
}

/* --- where they may come out ------------------------------------------------------------------ */

static size_t
compose(uint8_t *out, size_t room, const char *attack)
{
	int n = snprintf((char *)out, room, "be%sfore\r\nmid%s%sdle\r\n%s", attack, attack, attack,
		attack);

	return (size_t)n;
}

Test(hostile, replay_passes_text_colour_and_cursor_alone)
{
	uint8_t in[1024];

	for (size_t a = 0; a < ATTACKS; a++) {
		size_t n = compose(in, sizeof(in), attacks[a]);
		for (size_t cut = 1; cut <= n; cut++) {
			struct escape_filter f;
			struct buf out;

			buf_init(&out, 65536);
			escape_filter_init(&f);
			cr_assert(eq(int, escape_filter_feed(&f, in, cut, &out), 0));
			cr_assert(eq(int, escape_filter_feed(&f, in + cut, n - cut, &out), 0));
			size_t bad = judge(buf_data(&out), out.len, true);
			cr_assert(eq(sz, bad, out.len), "attack %zu, cut at %zu: byte %zu", a, cut,
				bad);
			buf_fini(&out);
		}
	}
}

Test(hostile, what_was_replayed_once_replays_the_same)
{
	uint8_t in[1024];

	for (size_t a = 0; a < ATTACKS; a++) {
		struct escape_filter f, g;
		struct buf once, twice;

		buf_init(&once, 65536);
		buf_init(&twice, 65536);
		escape_filter_init(&f);
		escape_filter_init(&g);
		escape_filter_feed(&f, in, compose(in, sizeof(in), attacks[a]), &once);
		escape_filter_feed(&g, buf_data(&once), once.len, &twice);
		cr_assert(once.len == twice.len &&
				memcmp(buf_data(&once), buf_data(&twice), once.len) == 0,
			"attack %zu", a);
		buf_fini(&once);
		buf_fini(&twice);
	}
}

static void
export_as(struct buf *out, enum export_format format, bool typed, const uint8_t *in, size_t n)
{
	const struct msg_recording_meta meta = {.session_id = "s", .type = CHANNEL_TYPE_PTY};
	struct export *e;

	buf_init(out, 1 << 20);
	e = export_new(format, &meta, typed, out);
	cr_assert_not_null(e);
	cr_assert(eq(int,
		export_event(e,
			&(struct event){.type = EVENT_DATA,
				.stream = typed ? STREAM_IN : STREAM_OUT,
				.bytes = in,
				.len = n},
			out),
		0));
	cr_assert(eq(int, export_end(e, out), 0));
	export_free(e);
}

/* Neither a control byte nor anything else than whole characters. */
static bool
is_plain_text(const uint8_t *p, size_t n, bool hiding)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i] < 0x20 && p[i] != '\n' && p[i] != '\t') || p[i] == 0x7f)
			return false;
	return utf8_valid(p, n) && judge(p, n, hiding) == n;
}

Test(hostile, exports_hold_no_control_byte)
{
	static const enum export_format formats[] = {EXPORT_TEXT, EXPORT_CAST, EXPORT_JSON};
	uint8_t in[1024];

	for (size_t a = 0; a < ATTACKS; a++)
		for (size_t i = 0; i < 4; i++) {
			size_t n = compose(in, sizeof(in), attacks[a]);
			struct buf out;
			export_as(&out, formats[i % 3], i == 3, in, n);
			/* What is for programs has each character as it was. */
			bool for_people = formats[i % 3] == EXPORT_TEXT;
			cr_assert(is_plain_text(buf_data(&out), out.len, for_people),
				"attack %zu, export %zu", a, i);
			buf_fini(&out);
		}
}

static int
check_hit(void *arg, const struct line_hit *hit)
{
	struct buf shown;
	size_t *hits = arg;

	++*hits;
	cr_assert(is_plain_text((const uint8_t *)hit->line, hit->n, true));
	cr_assert(le(sz, hit->from, hit->to));
	cr_assert(le(sz, hit->to, hit->n));
	buf_init(&shown, 65536);
	display_append(&shown, hit->line, hit->n);
	cr_assert(eq(sz, judge(buf_data(&shown), shown.len, true), shown.len));
	buf_fini(&shown);
	return 0;
}

Test(hostile, hits_hold_no_control_byte)
{
	uint8_t in[1024];

	for (size_t a = 0; a < ATTACKS; a++)
		for (int stream = STREAM_IN; stream <= STREAM_ERR; stream++) {
			struct line_search s = {.typed = true, .shown = true, .found = check_hit};
			size_t hits = 0;

			line_search_init(&s);
			s.arg = &hits;
			cr_assert(eq(int, line_pattern_new(&s.pattern, ".", false, NULL), 0));
			line_search_event(&s,
				&(struct event){.type = EVENT_DATA,
					.stream = (uint8_t)stream,
					.bytes = in,
					.len = compose(in, sizeof(in), attacks[a])});
			line_search_end(&s);
			cr_assert(gt(sz, hits, 0), "attack %zu", a);
			line_pattern_free(s.pattern);
			line_search_fini(&s);
		}
}

/* What shows nothing does not keep a word from being found. */
Test(hostile, a_word_is_found_with_invisible_characters_in_it)
{
	static const char *const hiding[] = {"\xe2\x80\x8b", "\xc2\xad", "\xe2\x81\xa0",
		"\xef\xbb\xbf", "\xe2\x80\xae", "\033[8m", "\033]0;x\007", "\033[m",
		"\xf3\xa0\x81\x81", "\xcd\x8f", "\xe1\x85\x9f", "\xe3\x85\xa4", "\xef\xb8\x80",
		"\xef\xbe\xa0", "\xf3\xa0\x84\x80", "\xf0\x9d\x85\xb3", "\xe1\xa0\x8b"};

	for (size_t i = 0; i < sizeof(hiding) / sizeof(hiding[0]); i++) {
		struct line_search s = {.shown = true, .found = check_hit};
		size_t hits = 0;
		char text[64];
		int n = snprintf(text, sizeof(text), "dr%sop\n", hiding[i]);

		line_search_init(&s);
		s.arg = &hits;
		cr_assert(eq(int, line_pattern_new(&s.pattern, "drop", false, NULL), 0));
		line_search_event(&s,
			&(struct event){.type = EVENT_DATA,
				.stream = STREAM_OUT,
				.bytes = (const uint8_t *)text,
				.len = (size_t)n});
		cr_assert(eq(sz, hits, 1), "%zu", i);
		line_pattern_free(s.pattern);
		line_search_fini(&s);
	}
}

#include "node/holder/sequence.h"

#include <stdio.h>
#include <string.h>

#define REPLACEMENT 0xfffd
#define ESC	    0x1b

int
sequence_subs(const struct sequence *s, int i)
{
	int n = 0;

	while (i + n + 1 < s->n_args && (s->subs >> (i + n + 1) & 1) != 0)
		n++;
	return n;
}

int
sequence_arg(const struct sequence *s, int i, int least)
{
	int v = i < s->n_args ? s->args[i] : 0;

	return v > least ? v : least;
}

static void
begin(struct sequence *s, enum sequence_state state)
{
	s->state = state;
	s->leader = s->intermed = 0;
	s->odd = s->ending = false;
	s->n_args = 0;
	s->subs = 0;
	s->text_len = 0;
}

/* --- characters ----------------------------------------------------------------------------- */

static enum sequence_kind
character(struct sequence *s, uint32_t ch)
{
	s->state = SEQUENCE_GROUND;
	s->ch = ch;
	return SEQUENCE_CHARACTER;
}

static enum sequence_kind
lead_byte(struct sequence *s, uint8_t c)
{
	if (c < 0x80)
		return character(s, c);
	if (c < 0xc2 || c > 0xf4)
		return character(s, REPLACEMENT);
	s->left = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
	s->ch = c & (0x3fu >> s->left);
	s->least = c >= 0xf0 ? 0x10000 : c >= 0xe0 ? 0x800 : 0x80;
	s->state = SEQUENCE_IN_CHARACTER;
	return SEQUENCE_NONE;
}

/* A byte that does not belong to it ends it, and is still to be taken. */
static size_t
character_byte(struct sequence *s, enum sequence_kind *kind, uint8_t c)
{
	if ((c & 0xc0) != 0x80) {
		*kind = character(s, REPLACEMENT);
		return 0;
	}
	s->ch = s->ch << 6 | (c & 0x3f);
	if (--s->left > 0)
		return 1;
	bool good = s->ch >= s->least && s->ch <= 0x10ffff && (s->ch < 0xd800 || s->ch > 0xdfff);
	*kind = character(s, good ? s->ch : REPLACEMENT);
	return 1;
}

/* --- sequences ------------------------------------------------------------------------------ */

static bool
is_intermediate(uint8_t c)
{
	return c >= 0x20 && c <= 0x2f;
}

static void
intermediate(struct sequence *s, uint8_t c)
{
	s->odd = s->odd || s->intermed != 0;
	s->intermed = c;
}

static enum sequence_kind
finish(struct sequence *s, enum sequence_kind kind, uint8_t c)
{
	s->state = SEQUENCE_GROUND;
	s->ending = false;
	s->final = c;
	return s->odd ? SEQUENCE_NONE : kind;
}

static enum sequence_kind
escape_byte(struct sequence *s, uint8_t c)
{
	if (is_intermediate(c)) {
		intermediate(s, c);
		return SEQUENCE_NONE;
	}
	if (s->intermed == 0 && (c == '[' || c == ']')) {
		begin(s, c == '[' ? SEQUENCE_IN_CSI : SEQUENCE_IN_OSC);
		return SEQUENCE_NONE;
	}
	if (s->intermed == 0 && (c == 'P' || c == 'X' || c == '^' || c == '_')) {
		begin(s, SEQUENCE_IN_STRING);
		return SEQUENCE_NONE;
	}
	return finish(s, SEQUENCE_ESCAPE, c);
}

/* Makes room for the next parameter; those beyond the last are dropped. */
static void
next_arg(struct sequence *s, bool sub)
{
	if (s->n_args == 0)
		s->args[s->n_args++] = 0; /* the first was left out */
	if (s->n_args < SEQUENCE_ARGS_MAX) {
		s->subs |= (uint32_t)sub << s->n_args;
		s->args[s->n_args] = 0;
	}
	s->n_args += s->n_args <= SEQUENCE_ARGS_MAX;
}

static void
digit(struct sequence *s, unsigned d)
{
	if (s->n_args == 0)
		s->args[s->n_args++] = 0;
	if (s->n_args > SEQUENCE_ARGS_MAX)
		return;
	unsigned v = s->args[s->n_args - 1] * 10u + d;
	s->args[s->n_args - 1] = (uint16_t)(v < UINT16_MAX ? v : UINT16_MAX);
}

static enum sequence_kind
csi_byte(struct sequence *s, uint8_t c)
{
	if (c >= '0' && c <= '9') {
		s->odd = s->odd || s->intermed != 0;
		digit(s, c - '0');
	} else if (c == ';' || c == ':') {
		s->odd = s->odd || s->intermed != 0;
		next_arg(s, c == ':');
	} else if (c >= '<' && c <= '?') {
		s->odd = s->odd || s->leader != 0 || s->n_args > 0 || s->intermed != 0;
		s->leader = c;
	} else if (is_intermediate(c)) {
		intermediate(s, c);
	} else {
		s->n_args = s->n_args < SEQUENCE_ARGS_MAX ? s->n_args : SEQUENCE_ARGS_MAX;
		return finish(s, c >= 0x40 && c <= 0x7e ? SEQUENCE_CSI : SEQUENCE_NONE, c);
	}
	return SEQUENCE_NONE;
}

/* Other controls within it have no effect. */
static enum sequence_kind
string_byte(struct sequence *s, uint8_t c)
{
	bool osc = s->state == SEQUENCE_IN_OSC;

	if (s->ending || c == '\a')
		return finish(s, osc ? SEQUENCE_OSC : SEQUENCE_NONE, c);
	if (osc && c >= 0x20 && c != 0x7f && s->text_len < SEQUENCE_TEXT_MAX)
		s->text[s->text_len++] = (char)c;
	return SEQUENCE_NONE;
}

/* --- all of it ------------------------------------------------------------------------------ */

static bool
in_string(const struct sequence *s)
{
	return s->state == SEQUENCE_IN_OSC || s->state == SEQUENCE_IN_STRING;
}

static enum sequence_kind
control_byte(struct sequence *s, uint8_t c)
{
	if (c == 0x18 || c == 0x1a) { /* CAN, SUB */
		s->state = SEQUENCE_GROUND;
		return SEQUENCE_NONE;
	}
	s->ch = c;
	return SEQUENCE_CONTROL;
}

/* ESC amid anything else ends it without effect, but for strings, which ESC \ ends. */
static bool
escape(struct sequence *s)
{
	if (in_string(s) && !s->ending) {
		s->ending = true;
		return true;
	}
	begin(s, SEQUENCE_IN_ESCAPE);
	return true;
}

size_t
sequence_take(struct sequence *s, enum sequence_kind *kind, const uint8_t *p, size_t n)
{
	size_t at = 0;

	*kind = SEQUENCE_NONE;
	while (at < n && *kind == SEQUENCE_NONE) {
		uint8_t c = p[at];

		if (s->state == SEQUENCE_IN_CHARACTER) {
			at += character_byte(s, kind, c);
			continue;
		}
		if (s->ending && c != '\\' && c != ESC)
			begin(s, SEQUENCE_IN_ESCAPE);
		at++;
		if (c == ESC)
			escape(s);
		else if (in_string(s) && c != 0x18 && c != 0x1a)
			*kind = string_byte(s, c);
		else if (c < 0x20)
			*kind = control_byte(s, c);
		else if (c == 0x7f)
			continue;
		else if (s->state == SEQUENCE_GROUND)
			*kind = lead_byte(s, c);
		else
			*kind = s->state == SEQUENCE_IN_ESCAPE ? escape_byte(s, c) : csi_byte(s, c);
	}
	return at;
}

/* --- what is not ended ---------------------------------------------------------------------- */

static size_t
write_character(const struct sequence *s, uint8_t *out)
{
	unsigned all = s->least == 0x80 ? 2 : s->least == 0x800 ? 3 : 4;
	size_t n = all - s->left;
	uint32_t ch = s->ch;

	for (size_t i = n - 1; i > 0; i--, ch >>= 6)
		out[i] = (uint8_t)(0x80 | (ch & 0x3f));
	out[0] = (uint8_t)(0xf00u >> all | ch);
	return n;
}

/* Twice where the sequence is odd: that is what two of them make it. */
static size_t
write_mark(const struct sequence *s, uint8_t mark, uint8_t *out)
{
	size_t n = mark == 0 ? 0 : s->odd ? 2 : 1;

	memset(out, mark, n);
	return n;
}

static size_t
write_args(const struct sequence *s, uint8_t *out)
{
	size_t n = 0;
	int args = s->n_args < SEQUENCE_ARGS_MAX ? s->n_args : SEQUENCE_ARGS_MAX;

	for (int i = 0; i < args; i++) {
		if (i > 0)
			out[n++] = (s->subs >> i & 1) != 0 ? ':' : ';';
		n += (size_t)sprintf((char *)out + n, "%u", (unsigned)s->args[i]);
	}
	if (s->n_args > SEQUENCE_ARGS_MAX)
		out[n++] = ';';
	return n;
}

static size_t
write_csi(const struct sequence *s, uint8_t *out)
{
	size_t n = write_mark(s, s->leader, out);

	n += write_args(s, out + n);
	return n + write_mark(s, s->intermed, out + n);
}

static size_t
write_text(const struct sequence *s, uint8_t *out)
{
	memcpy(out, s->text, s->text_len);
	if (s->ending)
		out[s->text_len] = ESC;
	return s->text_len + s->ending;
}

/* For a string that is passed over stands a privacy message: the rest of another kind, without its
 * beginning, might mean something to a terminal that knows the kind. */
size_t
sequence_write(const struct sequence *s, uint8_t out[SEQUENCE_REST_MAX])
{
	static const char second[] = {
		[SEQUENCE_IN_CSI] = '[', [SEQUENCE_IN_OSC] = ']', [SEQUENCE_IN_STRING] = '^'};

	if (s->state == SEQUENCE_GROUND)
		return 0;
	if (s->state == SEQUENCE_IN_CHARACTER)
		return write_character(s, out);
	out[0] = ESC;
	if (s->state == SEQUENCE_IN_ESCAPE)
		return 1 + write_mark(s, s->intermed, out + 1);
	out[1] = (uint8_t)second[s->state];
	return 2 + (s->state == SEQUENCE_IN_CSI ? write_csi(s, out + 2) : write_text(s, out + 2));
}

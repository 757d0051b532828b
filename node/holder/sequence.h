/*
 * Cuts a program's output into what a terminal takes as one: a character, a control, an escape
 * sequence, a control sequence, a string. It holds a bounded part of each, whatever comes.
 */
#ifndef HAWSER_HOLDER_SEQUENCE_H
#define HAWSER_HOLDER_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEQUENCE_ARGS_MAX 32
#define SEQUENCE_TEXT_MAX 512
#define SEQUENCE_REST_MAX (SEQUENCE_TEXT_MAX + 3)

enum sequence_kind {
	SEQUENCE_NONE, /* more bytes are needed */
	SEQUENCE_CHARACTER,
	SEQUENCE_CONTROL, /* also amid another sequence, which goes on after it */
	SEQUENCE_ESCAPE,
	SEQUENCE_CSI,
	SEQUENCE_OSC
};

enum sequence_state {
	SEQUENCE_GROUND,
	SEQUENCE_IN_CHARACTER,
	SEQUENCE_IN_ESCAPE,
	SEQUENCE_IN_CSI,
	SEQUENCE_IN_OSC,
	SEQUENCE_IN_STRING /* of another kind, which is passed over */
};

struct sequence {
	enum sequence_state state;
	uint32_t ch; /* CHARACTER, CONTROL */
	uint32_t least;
	uint8_t left;	  /* bytes of the character that are to come */
	uint8_t leader;	  /* of a CSI: one of < = > ? */
	uint8_t intermed; /* of ESCAPE and CSI: one of the bytes 0x20 to 0x2f */
	uint8_t final;
	bool odd;    /* with more of these than anything has that is known: means nothing */
	bool ending; /* a string had ESC: a backslash ends it */

	/* Left out is 0. Bit i of subs: args[i] belongs to the one before it. */
	uint16_t args[SEQUENCE_ARGS_MAX];
	uint32_t subs;
	int n_args;

	char text[SEQUENCE_TEXT_MAX]; /* of an OSC: as much as fits; no NUL */
	size_t text_len;
};

/* All zero to begin with. Takes up to n > 0 bytes and says what they end. Returns how many it took.
 */
size_t sequence_take(struct sequence *s, enum sequence_kind *kind, const uint8_t *p, size_t n);

/* What is not ended yet, as bytes that leave one in which nothing has begun as this one is. Of a
 * string they are what is held of it, and of one that is passed over nothing but that it is one.
 * Returns how many they are; 0 when all is ended. */
size_t sequence_write(const struct sequence *s, uint8_t out[SEQUENCE_REST_MAX]);

/* How many of the parameters after args[i] belong to it. */
int sequence_subs(const struct sequence *s, int i);

/* args[i]; `least` where it is left out or smaller. */
int sequence_arg(const struct sequence *s, int i, int least);

#endif

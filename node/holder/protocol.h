/*
 * What the uplink and a holder say to each other over a stream socket on one machine: a header of
 * fixed layout in the machine's byte order, then its bytes. Offsets count a stream's bytes from 0.
 */
#ifndef HAWSER_HOLDER_PROTOCOL_H
#define HAWSER_HOLDER_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#define HOLDER_DATA_MAX	 (64 * 1024)
#define HOLDER_INPUT_MAX (1024 * 1024) /* input that a holder keeps; more ends the connection */
#define HOLDER_RING_MAX	 (1024 * 1024) /* output not yet consumed, a stream */
#define HOLDER_PART_MAX	 (32 * 1024)   /* of a screen, in one message */
#define HOLDER_PAINT_MAX (256 * 1024)  /* a whole screen */

enum holder_stream { HOLDER_IN, HOLDER_OUT, HOLDER_ERR, HOLDER_STREAMS };

enum holder_type {
	HOLDER_DATA = 1, /* both ways */
	HOLDER_CREDIT,	 /* to the holder: for output, the limit in the body, and before the first
			    HOLDER_RING_MAX for a script, nothing for others; from it: for input */
	HOLDER_END,	 /* both ways: the stream ends at the offset */
	HOLDER_RESIZE,	 /* to the holder */
	HOLDER_SIGNAL,	 /* to the holder: flags is the signal's number */
	HOLDER_STATE,	 /* to the holder, first on a connection of its socket: adopts it; and the
			    answer; from it also when its program has started */
	HOLDER_EXIT,	 /* from it, after all output: how the program ended */
	HOLDER_CLOSE,	 /* to the holder: end the program and all of its session, and go */
	HOLDER_REPAINT,	 /* to a holder that can: asks for its screen; asked again before the answer
			    began, it is answered once */
	HOLDER_SCREEN, /* from it: a part of what draws the screen; none in it: no screen is kept */
	HOLDER_TYPES
};

/* Whether the terminal showed bytes of input. The wire's enum frame_echo has the same numbers. */
enum holder_echo { HOLDER_ECHO_UNKNOWN, HOLDER_ECHO_SHOWN, HOLDER_ECHO_HIDDEN };

/* Flags of STATE from a holder: what it understands. It ends a connection that says what it does
 * not, and one may live for longer than the agent that started it. */
#define HOLDER_CAN_REPAINT 1

/* Flags of SCREEN. */
#define HOLDER_MORE 1 /* parts follow */

struct holder_head {
	uint8_t type, stream;
	uint16_t flags;	 /* CREDIT from the holder: enum holder_echo; SIGNAL: its number */
	uint32_t len;	 /* of the body */
	uint64_t offset; /* DATA, END: of the stream; CREDIT: consumed; SCREEN: of the output that
			    it shows the effect of */
};

struct holder_size {
	uint16_t cols, rows;
};

struct holder_exit {
	int32_t status; /* as a shell gives it: 128+n when a signal ended the program */
	int32_t signal; /* 0 when none did */
};

struct holder_state {
	uint64_t received;		/* of input */
	uint64_t consumed;		/* of input: written to the program */
	uint64_t start[HOLDER_STREAMS]; /* of output: the oldest byte kept; it is sent from here */
	uint64_t end[HOLDER_STREAMS];	/* of output: read from the program */
	int32_t pid, exited;
	struct holder_exit exit; /* when exited */
	uint64_t echo_from;	 /* of input: that from here to consumed all had `echo` */
	uint32_t echo, unused;	 /* enum holder_echo */
};

/* An older holder's state ends before its input's echo, which is unknown then. */
#define HOLDER_STATE_OLD offsetof(struct holder_state, echo_from)

_Static_assert(sizeof(struct holder_head) == 16, "fixed layout");
_Static_assert(sizeof(struct holder_state) == 96, "fixed layout");
_Static_assert(HOLDER_STATE_OLD == 80, "fixed layout");

/* A message, its body inside of the bytes that it was read from. */
struct holder_msg {
	struct holder_head head;
	const uint8_t *body;
};

/* Reads the message at p. 0 and *used; 1 when more bytes are needed; negative when it is none:
 * an unknown type or stream, a length that its type does not have. */
int holder_parse(struct holder_msg *ret, const void *p, size_t n, size_t *used);

#endif

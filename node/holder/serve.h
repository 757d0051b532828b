/*
 * The holder while its program runs, as the user: moves bytes between the program and the uplink,
 * keeps what nobody has consumed, and ends when it is told to, or when no uplink comes back.
 */
#ifndef HAWSER_HOLDER_SERVE_H
#define HAWSER_HOLDER_SERVE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/holder/program.h"
#include "node/holder/protocol.h"
#include "node/holder/ring.h"

struct output {
	struct ring ring;
	uint64_t sent, limit;
	bool eof, end_sent;
};

struct screen;

struct holder {
	struct program program;
	struct screen *screen; /* of a terminal; NULL: none is kept */
	uid_t agent_uid;       /* who may adopt it */
	int listening;
	int grace_ms;

	/* The uplink, and one who asks to take its place. */
	int conn, asking;
	int64_t orphan_until;
	int64_t end_at; /* when the terminal is told again that its input has ended */
	uint8_t *inbuf;
	size_t in_len;

	/* The message under way: its head and small body, then `left` bytes of a ring, or of the
	 * screen. */
	struct {
		uint8_t small[sizeof(struct holder_head) + sizeof(struct holder_state)];
		size_t pos, len, left;
		int stream;
		bool of_paint;
	} msg;

	struct {
		bool due; /* the uplink asks for it */
		bool under_way;
		int64_t not_before; /* drawn seldom, however often it is asked for */
		uint8_t *bytes;
		size_t len, sent;
		uint64_t offset;
	} paint;
	int64_t settle_at; /* the screen has time for what it was fed */

	struct ring input;
	bool input_end, input_gone; /* the uplink ended it; nobody reads it any more */
	struct {
		int now;
		uint64_t from;
	} echo; /* of the input that was consumed last, and where it began to be so */
	struct {
		bool due;
		int echo;
		int64_t by; /* until then it waits for output that it can go with */
	} credit;
	struct {
		bool open;		/* what the last one made of the program is not known */
		int64_t look_at, until; /* it is looked at again; it is waited for */
	} line;				/* of input, that a line editor was given */
	bool state_due;

	struct output out[HOLDER_STREAMS];
	int last_sent;	    /* stream */
	int64_t retry_read; /* no process has the terminal open: look again then */

	bool exited, exit_sent, ending;
	struct holder_exit exit;
	bool script, killed; /* it is one; SIGKILL was sent to all of it */
	int64_t seconds_end; /* when a script's time is over */
	bool left;	     /* it ended by itself, and what is left of it stays */
	int children; /* tells that one has ended; of a script, whose orphans become the holder's */
	int64_t hunt_at; /* what a killed script has started is looked for again */
	bool sweeping, swept;
	int64_t kill_at, look_at;
};

/* Nothing runs yet, and nothing is open. False without memory. */
bool holder_init(struct holder *h, int grace_seconds);

/* What runs is a script, which has `seconds` from now. */
void holder_is_script(struct holder *h, uint32_t seconds);

/* With its program running and an uplink connected: returns when both are over and nothing of the
 * program's session is left. */
void holder_serve(struct holder *h);

/* Begins to end it, as CLOSE does. */
void holder_end(struct holder *h);

/* Milliseconds of a clock that goes on while the machine sleeps. */
int64_t holder_now(void);

/* Whether nothing of its output is to be read any more. */
bool holder_output_over(const struct holder *h);

#endif

/*
 * For tests of conn and remote: the client's end over a pair, and a relay that answers as it is
 * told. Time is fake, and moves while the client waits.
 */
#ifndef HAWSER_TESTS_UNIT_CLIENT_RIG_H
#define HAWSER_TESTS_UNIT_CLIENT_RIG_H

#include "client/conn.h"
#include "proto/wire/channel.h"
#include "tests/world/pair.h"

/* What the relay says to one request. */
struct rig_answer {
	const char *op;
	int code;	  /* 0, or that of a refusal */
	const char *text; /* the reply as JSON; of a refusal its message */
};

struct rig {
	struct fake_clock clock;
	struct loop *loop;
	struct pair *pair;
	struct log_ctx log;
	struct arena *arena;
	struct conn *conn;

	/* The relay's side. */
	struct link *relay;
	bool mute;		 /* it answers nothing */
	bool refuses_connection; /* nobody listens */
	int refusal;		 /* code of the answer to every request; 0: none */
	int reject;		 /* code with which channels are rejected; 0: they are accepted */
	int requests;
	/* One for each request, in this order and up to a row without op; NULL: it knows what a
	 * session needs. */
	const struct rig_answer *answers;
	struct buf asked;	 /* with answers: a line for each request, as JSON */
	struct channel *channel; /* the client's */
	struct buf input;	 /* what came on its STREAM_IN */
	bool input_ended;
	char controls[256]; /* "Resize Signal:INT" */
	bool hold;	    /* its input is not consumed */
	/* Called at the end of each turn, to make things happen while the client waits. */
	void (*script)(struct rig *r);
	int turn;
};

struct rig *rig_new(void); /* connected */
struct rig *rig_new_unconnected(void);
int rig_connect(struct rig *r, struct hw_err *err);
void rig_free(struct rig *r);

#endif

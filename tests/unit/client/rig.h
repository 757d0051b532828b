/*
 * For tests of conn and what stands on it: the client's end over a pair, and a relay that answers
 * as it is told. Time is fake, and moves while the client waits; but for a rig with descriptors.
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
	bool is_real; /* its time, and its loop */
	struct fake_clock clock;
	struct loop *loop;
	struct pair *pair;   /* the newest */
	struct pair *old[8]; /* that were dropped */
	int dials;
	struct log_ctx log;
	struct arena *arena;
	struct conn *conn;

	/* The relay's side. */
	struct link *relay;
	bool mute;		/* it answers nothing */
	bool silent;		/* lines that are made take nothing from the relay */
	int refuses;		/* code of a dial that fails; 0: it does not */
	int refusal;		/* code of the answer to every request; 0: none */
	int reject;		/* code with which channels are rejected; 0: they are accepted */
	int64_t resume_seconds; /* that ACCEPT says; 0: a channel ends with its link */
	int requests;
	/* One for each request, in this order and up to a row without op; NULL: it knows what a
	 * session needs. */
	const struct rig_answer *answers;
	/* Instead of answering requests; NULL: that. */
	void (*requested)(struct rig *r, struct link *l, uint64_t id, const char *op,
		const void *body, size_t n);
	struct buf asked;	 /* with answers: a line for each request, as JSON */
	struct channel *channel; /* the client's */
	struct buf input;	 /* what came on its STREAM_IN */
	bool input_ended;
	char controls[256];	/* "Resize Signal:INT" */
	int reject_resume;	/* code of the answer to RESUME; 0: it is taken up */
	bool mute_resume;	/* or it is not answered */
	bool interrupts_resume; /* or the node is lost again */
	int resumes;
	/* A RESUME that presents the ticket of ResumeSession and its like is answered with where
	 * the session stands, and this token. */
	uint64_t input_from, output_from;
	const char *next_token;
	char tickets[64];   /* the operations that asked for one */
	bool has_ended;	    /* the session: they get none */
	int park_code;	    /* with which the client let go of the channel */
	int64_t cols, rows; /* that the last one said */
	bool closed;	    /* it closed the channel */
	int close_code;
	bool hold; /* its input is not consumed */
	/* Instead of what the rig does with channels that are opened and resumed; NULL: that. */
	void (*opens)(struct rig *r, struct channel *ch, const struct msg_open *open);
	void (*resumes_one)(struct rig *r, struct channel *ch, const struct msg_resume *who);
	void *far; /* theirs */
	/* Called at the end of each turn, to make things happen while the client waits. */
	void (*script)(struct rig *r);
	int turn;
};

struct rig *rig_new(void); /* connected */
struct rig *rig_new_unconnected(void);
struct rig *rig_new_real(void);
int rig_connect(struct rig *r, struct hw_err *err);
void rig_free(struct rig *r);

/* Tells the client that the node's link was lost. */
void rig_interrupt(struct rig *r);
/* The turns of so much time. */
void rig_run(struct rig *r, int64_t usec);
/* Turns until it is done, or the test fails. */
void rig_until(struct rig *r, bool (*done)(void *arg), void *arg);

#endif

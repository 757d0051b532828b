/*
 * For tests of links: a relay's end and a node's end over a pair, on a fake loop. Each end writes
 * what happens to it into `seen`, an event a word; what it sends is in `sent`, a frame a word,
 * messages in brackets. An end can be left without a link: then the test plays it with raw frames.
 */
#ifndef HAWSER_TESTS_UNIT_WIRE_DUO_H
#define HAWSER_TESTS_UNIT_WIRE_DUO_H

#include "proto/wire/channel.h"
#include "tests/world/pair.h"

#define has(text, part)	    cr_assert(strstr(text, part) != NULL, "no %s in: %s", part, text)
#define has_not(text, part) cr_assert(strstr(text, part) == NULL, "%s in: %s", part, text)
#define same(text, wanted)  cr_assert(strcmp(text, wanted) == 0, "%s instead of: %s", text, wanted)

enum { RELAY = PAIR_A, NODE = PAIR_B };

struct end_of {
	struct duo *duo;
	int side;
	struct link *link;  /* NULL after on_down */
	struct channel *ch; /* the one that was opened or offered last, not by RESUME; NULL when
			       the peer ended it */
	struct channel *offered; /* by RESUME, and not answered */
	struct link_events link_events;
	struct channel_events channel_events;
	int64_t window; /* for ACCEPT */
	bool hold;	/* leave what is offered unanswered */
	bool keep;	/* its channels outlive their links; the node answers RESUME with `ch` */
	bool consume;	/* at once what comes */
	void (*on_event)(struct end_of *e, const char *event); /* may do anything */
	uint64_t request;				       /* id of the last one that came */
	char *seen, *sent;
	size_t received; /* bytes of streams */
	void *own;	 /* the test's */
};

struct duo {
	struct fake_clock clock;
	struct loop *loop;
	struct pair *pair, *older;
	struct link_limits limits;
	struct log_sink sink;
	struct log_ctx log;
	struct end_of relay, node;
	char *logged;
	bool ending; /* what parks now is closed */
};

/* Ends exist, and nothing has been said. */
struct duo *duo_new(void);
void duo_link(struct duo *d, int side); /* makes the link of that end */
void duo_up(struct duo *d);		/* both, and runs until they are up */
void duo_free(struct duo *d); /* channels that are parked before this are the test's to close */

/* The connection breaks, and both ends know; runs. */
void duo_cut(struct duo *d);
/* Another connection, and new links over it, which are up. The older connection stays as it is
 * until it is replaced again. */
void duo_again(struct duo *d);
/* The same connection without links. */
void duo_reconnect(struct duo *d);

void duo_run(struct duo *d); /* until nothing happens any more */
/* Moves time second by second, sweeping both links. */
void duo_seconds(struct duo *d, int seconds);

/* Forgets what was seen and sent. */
void duo_clear(struct duo *d);

/* The relay opens a channel of this type towards the node, and it is accepted. */
struct channel *duo_open(struct duo *d, int type, int64_t window);

/* --- channels that are kept */

/* Both ends are up, and keep the channel that is open between them. */
struct duo *duo_kept(int type, int64_t window);
/* Writes n bytes, whatever they are, and runs. */
void duo_say(struct end_of *e, int stream, size_t n);
/* The relay asks to take its channel up again; and runs. */
void duo_ask(struct duo *d);
void duo_resume(struct duo *d);
/* RESUME as if `side` had sent it, with n streams. */
void duo_raw_resume(struct duo *d, int side, uint32_t id, int type,
	const struct msg_resume_stream *v, size_t n);
void duo_close_parked(struct end_of *e);
/* No byte that this end sent is still in memory. */
bool duo_keeps_nothing(const struct end_of *e, int stream);

/* Frames as if `side` had sent them; each is a message of its own. */
void duo_raw(struct duo *d, int side, const struct frame *f);
void duo_raw_message(struct duo *d, int side, enum frame_kind kind, uint32_t channel,
	const struct msg_row *row, const void *msg);
void duo_raw_hello(struct duo *d, int side);

struct msg_hello duo_hello(int side);

#endif

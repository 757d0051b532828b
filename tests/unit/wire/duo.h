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
	struct channel *ch; /* the one that was opened or offered last */
	struct link_events link_events;
	struct channel_events channel_events;
	int64_t window; /* for ACCEPT */
	bool hold;	/* leave what is offered unanswered */
	bool consume;	/* at once what comes */
	void (*on_event)(struct end_of *e, const char *event); /* may do anything */
	uint64_t request;				       /* id of the last one that came */
	char *seen, *sent;
	size_t received; /* bytes of streams */
};

struct duo {
	struct fake_clock clock;
	struct loop *loop;
	struct pair *pair;
	struct link_limits limits;
	struct log_sink sink;
	struct log_ctx log;
	struct end_of relay, node;
	char *logged;
};

/* Ends exist, and nothing has been said. */
struct duo *duo_new(void);
void duo_link(struct duo *d, int side); /* makes the link of that end */
void duo_up(struct duo *d);		/* both, and runs until they are up */
void duo_free(struct duo *d);

void duo_run(struct duo *d); /* until nothing happens any more */
/* Moves time second by second, sweeping both links. */
void duo_seconds(struct duo *d, int seconds);

/* Forgets what was seen and sent. */
void duo_clear(struct duo *d);

/* The relay opens a channel of this type towards the node, and it is accepted. */
struct channel *duo_open(struct duo *d, int type, int64_t window);

/* Frames as if `side` had sent them; each is a message of its own. */
void duo_raw(struct duo *d, int side, const struct frame *f);
void duo_raw_message(struct duo *d, int side, enum frame_kind kind, uint32_t channel,
	const struct msg_row *row, const void *msg);
void duo_raw_hello(struct duo *d, int side);

struct msg_hello duo_hello(int side);

#endif

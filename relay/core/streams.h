/* The streams of entries that the configuration asks for (relay/stream). */
#ifndef HAWSER_CORE_STREAMS_H
#define HAWSER_CORE_STREAMS_H

#include "relay/stream/stream.h"

struct ledger;
struct relay_config;
struct streams;

struct streams_options {
	const struct relay_config *config;
	const char *dir; /* the relay's */
	struct journal *journal;
	struct ledger *ledger; /* for alarms */
	const struct secret_key *master;
	const struct hw_clock *clock;
	const struct log_ctx *log;
	bool threaded;
};

/* Settings that cannot work are an error; a receiver that is not there is none. */
int streams_new(struct streams **ret, const struct streams_options *o, struct hw_err *err);
void streams_free(struct streams *s); /* before the journal is closed; NULL is fine */
void streams_reopen(struct streams *s);
/* False: there are not so many. */
bool streams_stats(struct streams *s, size_t i, struct stream_stats *ret);
/* Not threaded: sends what there is, on all of them. For tests. */
int streams_run(struct streams *s, struct hw_err *err);

#endif

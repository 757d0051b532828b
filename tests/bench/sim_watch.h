/*
 * What an agent does with the heads of the relay's ledger (node/watch.c), for one of many nodes in
 * one process: the first head of a link is judged at once, later ones once a minute, with the same
 * state machine, its questions to the relay, and the report of what it holds. Only the disk is left
 * out, which is the node's.
 */
#ifndef HAWSER_BENCH_SIM_WATCH_H
#define HAWSER_BENCH_SIM_WATCH_H

#include <time.h>

#include "proto/trust/log_head.h"
#include "proto/trust/witness.h"
#include "tests/bench/sim_link.h"

/* Of all nodes together. */
struct sim_watch_count {
	long shown, judged, proofs, reports;
};

struct sim_watch {
	struct witness *witness;
	struct sim_watch_count *count;
	uint64_t question, report; /* requests that have no answer yet; 0: none */
	enum witness_what what;	   /* that was asked */
	char *pending;		   /* the newest head that waits for its turn; NULL: none */
	bool shown;		   /* this link has shown one */
	time_t since;		   /* of the minute */
	uint64_t told;		   /* the size that was reported on this link */
};

/* The certificate and the counters are the caller's, and outlive it. */
void sim_watch_init(struct sim_watch *w, X509 *ca, struct sim_watch_count *count);
/* A new link: what was asked on the last one has no answer. */
void sim_watch_link(struct sim_watch *w, time_t now);
void sim_watch_head(struct sim_watch *w, struct sim_link *l, const char *head);
/* True when that was an answer for it. A refusal, and a finding, end the program. */
bool sim_watch_response(struct sim_watch *w, struct sim_link *l, const struct frame *f);
/* To be called every second; something may be queued on the link after it. */
void sim_watch_tick(struct sim_watch *w, struct sim_link *l, time_t now);

#endif

/* Shared by archiver.c (following the journal) and archiver_new.c (taking up the last life). */
#ifndef HAWSER_AUDIT_ARCHIVER_PRIVATE_H
#define HAWSER_AUDIT_ARCHIVER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "audit/builder.h"
#include "audit/journal_segment.h"
#include "audit/ledger_file.h"
#include "proto/base/arena.h"
#include "proto/wire/codec.h"

#define ARCHIVER_BUCKETS 1024

/* A session without a finished recording. */
struct live {
	LIST_ENTRY(live) next;
	struct builder *builder;
	size_t held;
	bool is_late;	  /* it was complete when the archiver started */
	bool is_reported; /* the ledger has its hash */
};
LIST_HEAD(live_head, live);

struct archiver {
	struct log_ctx log;
	struct archiver_config config; /* its texts are not kept */
	struct builder_env env;
	struct journal_reader *reader;
	struct ledger_writer *ledger;

	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t wake;
	struct live_head sessions[ARCHIVER_BUCKETS];
	size_t held, late;   /* bytes of all builders; sessions that are late */
	jpos at;	     /* read so far */
	jpos segment;	     /* first position of the segment being read */
	jpos dropped;	     /* nothing is left below */
	jpos replay_until;   /* what was synced when it started */
	jpos ledger_waiting; /* the first entry that is not on disk in the ledger's files */
	bool failed, stopping;

	_Atomic int waiting; /* threads in archiver_flush() */
	pthread_t thread;
	bool thread_runs;
};

/* Takes the builder over, also when it fails. */
int archiver_add(struct archiver *a, struct builder *b, struct hw_err *err);
void archiver_remove_all(struct archiver *a);
int archiver_start(struct archiver *a, struct hw_err *err);
void archiver_destroy(struct archiver *a);

#endif

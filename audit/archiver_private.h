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
	uint64_t marked;  /* the file's size at the last checkpoint */
	int64_t marked_time;
};
LIST_HEAD(live_head, live);

struct archiver {
	struct log_ctx log;
	struct archiver_config config; /* of its texts the directories alone are kept */
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
	int64_t filed_time, looked_time; /* when those were synced, and checkpoints looked for */
	bool failed, stopping;
	bool stalled;	   /* the disk is full: it takes up again when there is room */
	bool told_stalled; /* and that was said; it stays so until all is written again */
	int64_t next_try;  /* on the monotonic clock */
	int64_t try_after; /* how long the last wait was; 0: there was none */
	char *dirs[3];	   /* journal, recordings, ledger */

	_Atomic int waiting; /* threads in archiver_flush() */
	pthread_t thread;
	bool thread_runs;
};

/* What has the final name of a recording that goes on, or gets it now, is kept under another. */
int archiver_set_aside(struct archiver *a, const char *id, struct hw_err *err);
/* Takes the builder over, also when it fails. */
int archiver_add(struct archiver *a, struct builder *b, struct hw_err *err);
/* Tells how far the ledger's files are on disk. */
void archiver_tell_filed(struct archiver *a);
void archiver_remove_all(struct archiver *a);
/* What it has in memory is dropped, and read again from the journal and the files. */
int archiver_take_up(struct archiver *a, struct hw_err *err);
int archiver_start(struct archiver *a, struct hw_err *err);
void archiver_destroy(struct archiver *a);

#endif

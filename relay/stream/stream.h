/*
 * Entries of the ledger on their way out, as they come: to a syslog server, or into a file. Each
 * way is a stream with a thread of its own and a cursor on disk, which says up to where its
 * receiver has everything.
 *
 * Nothing is lost: an entry is sent from the ledger once it is on disk there, and again until the
 * receiver is known to have it. After a break that begins behind the last entry of which this is
 * known, so a receiver may get some twice, in the same order and with the same Sequence.
 */
#ifndef HAWSER_STREAM_STREAM_H
#define HAWSER_STREAM_STREAM_H

#include "audit/journal.h"
#include "proto/schema/schema.h"

struct stream;

/* Where entries go. All are called from the stream's thread alone, but interrupt(). */
struct stream_sink {
	const char *name; /* of the cursor, and in logs: "file", "syslog" */
	/* Makes the way free, if it is not. */
	int (*open)(void *arg, struct hw_err *err);
	/* Appends an entry, as a message of its own. */
	int (*put)(void *arg, const struct msg_ledger_entry *e, struct buf *out,
		struct hw_err *err);
	/* Sends what put() made. */
	int (*send)(void *arg, const struct buf *out, struct hw_err *err);
	/* Returns 0 when the receiver has all that was sent. May end the way: open() comes next. */
	int (*settle)(void *arg, struct hw_err *err);
	void (*close)(void *arg); /* at once, whatever is under way */
	/* From another thread: what blocks in here returns soon. */
	void (*interrupt)(void *arg);
	void (*free)(void *arg);
	int64_t settle_entries, settle_usec; /* at the latest after so many, or so long */
};

struct stream_config {
	const char *dir; /* of the relay: the cursor's */
	const char *ledger_dir, *journal_dir;
	struct journal *journal;
	const struct secret_key *master;
	const struct hw_clock *clock;
	const struct log_ctx *log;
	bool threaded; /* false: stream_run() does the work (tests) */
	/* It has not got on for a minute; once, until it does again. From the stream's thread.
	 * Returns the number of its entry, below 0 when there is none. */
	int64_t (*on_trouble)(void *arg, const char *stream, const char *why);
	void *arg;
};

/* The sink is taken over, also when it fails. */
int stream_new(struct stream **ret, const struct stream_config *config,
	const struct stream_sink *sink, void *sink_arg, struct hw_err *err);
void stream_free(struct stream *s); /* NULL is fine */

/* Sends what there is and settles it; once, without waiting. */
int stream_run(struct stream *s, struct hw_err *err);

struct stream_stats {
	const char *name;
	uint64_t lag;  /* entries that the receiver is not known to have */
	uint64_t sent; /* since the relay started, those that were sent again included */
	bool failing;
};
void stream_stats(struct stream *s, struct stream_stats *ret);

/* --- the sinks -------------------------------------------------------------------------------- */

struct stream_file;
/* JSON lines. Another file of that name, or none, and it is opened anew; `reopen` asks for that. */
int stream_file_new(struct stream_file **ret, const char *path, struct hw_err *err);
void stream_file_reopen(struct stream_file *f); /* any thread */
extern const struct stream_sink stream_file_sink;

struct stream_syslog;
struct stream_syslog_config {
	const char *address;	       /* HOST:PORT */
	const char *relay;	       /* HOSTNAME in each message */
	const char *ca;		       /* file; "": the system's */
	const char *certificate, *key; /* files; "": none is shown */
};
/* RFC 5424 over TLS, with the frames of RFC 5425. Files are read now. */
int stream_syslog_new(struct stream_syslog **ret, const struct stream_syslog_config *config,
	struct hw_err *err);
extern const struct stream_sink stream_syslog_sink;

/* One entry as a message of RFC 5424, without a frame. */
int syslog_format(struct buf *out, const char *relay, const struct msg_ledger_entry *e);

#endif

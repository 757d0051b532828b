/*
 * What a step wrote, on the node's disk until the relay has it: a file for each stream,
 * UUID.STEP.out and .err, which is made when there is something. What does not fit is counted, and
 * never kept again: a file holds the beginning of its stream.
 */
#ifndef HAWSER_NODE_SPOOL_H
#define HAWSER_NODE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPOOL_OUT, SPOOL_ERR, SPOOL_STREAMS };

struct spool {
	int fd;		/* for writing; -1 until something is written */
	uint64_t kept;	/* bytes of the file */
	uint64_t total; /* bytes of the stream, so far; marks are in `kept` alone */
	uint64_t marks; /* bytes of ours behind the stream's */
	bool cut;	/* some of the stream was not kept */
};

#define SPOOL_INIT       \
	{                \
		.fd = -1 \
	}

void spool_name(char out[64], const char *id, size_t step, int stream);

/* Takes the stream's next n bytes, of which as many as *left are kept; *left shrinks. */
void spool_take(struct spool *s, int dir, const char *name, const void *p, size_t n,
	uint64_t *left);

/* Appends a word of our own after the stream's end, whatever was kept. */
void spool_mark(struct spool *s, int dir, const char *name, const char *text);

static inline uint64_t
spool_dropped(const struct spool *s)
{
	return s->total - (s->kept - s->marks);
}

/* What an earlier agent left: its size is `kept`. */
void spool_find(struct spool *s, int dir, const char *name);
/* The stream goes on from `start`, and has been read up to `end`: bytes from `start` on come again.
 * What of the file lies behind `end` is a mark of an end that was not written down. */
void spool_resume(struct spool *s, int dir, const char *name, uint64_t start, uint64_t end);

/* The file that was read last stays open: what is read next mostly lies behind it there. */
struct spool_reader {
	int fd; /* -1: none */
	char name[64];
};

/* Up to n bytes from `offset` on; returns how many. */
size_t spool_read(struct spool_reader *r, int dir, const char *name, uint64_t offset, void *p,
	size_t n);
void spool_reader_close(struct spool_reader *r);

void spool_close(struct spool *s); /* the file stays */

#endif

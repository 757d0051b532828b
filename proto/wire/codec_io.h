/*
 * What the two encodings have in common, private to codec_*.c: codec_read.c fills a struct from any
 * source, codec_write.c writes one to any sink, codec_check.c holds the bounds that both keep to. A
 * new kind of field is a case in each of these three, a new encoding is a source and a sink.
 */
#ifndef HAWSER_WIRE_CODEC_IO_H
#define HAWSER_WIRE_CODEC_IO_H

#include "proto/wire/codec.h"

/* --- where in a message: for errors
 * ---------------------------------------------------------------- */

struct at {
	const struct at *up; /* the message, list or map that holds it; NULL at the top */
	const char *name;    /* a field's, or a map's key; NULL for an element of `up` */
	size_t name_len;
	size_t index; /* of an element */
};

/* "Filters[2].Values: sentence" with HW_EVALIDATION. */
int at_fail(struct hw_err *err, const struct at *at, const char *fmt, ...) HW_PRINTF(3, 4);

/* At most 40 bytes of a peer's text, in quotes, everything but printable ASCII as \xNN. */
#define QUOTED_MAX (2 + 4 * 40 + 3 + 1)
const char *quoted(char out[QUOTED_MAX], const char *text, size_t n);

/* --- bounds: 0, or HW_EVALIDATION with the sentence
 * -------------------------------------------------- */

int check_text(struct hw_err *err, const struct at *at, const char *p, size_t n);
int check_bytes(struct hw_err *err, const struct at *at, const struct field_row *f, size_t n);
int check_items(struct hw_err *err, const struct at *at, const struct field_row *f, size_t n);
int check_int(struct hw_err *err, const struct at *at, const struct field_row *f, int64_t v);
int check_time(struct hw_err *err, const struct at *at, int64_t v);

#define MAP_KEY_MAX    256  /* bytes of a key of an SMAP field */
#define MAP_VALUES_MAX 1000 /* texts under one of its keys */

/* --- a source: a value that is looked at as what the row says it should be
 * ---------------------------- */

/* The elements of a list or map that are still to come; list and iter are the source's. */
struct span {
	size_t left;
	const void *list;
	void *iter;
};

struct source;

struct source_ops {
	const char *bin_form; /* what bytes must be, for the error */
	/* Each takes the current value; false: it is of another type, and still current. */
	bool (*nil)(struct source *);
	bool (*text)(struct source *, const char **p, size_t *n);
	bool (*integer)(struct source *, int64_t *v);
	bool (*boolean)(struct source *, bool *v);
	bool (*time)(struct source *, int64_t *usec);
	/* Bytes, copied into the arena: HW_EVALIDATION for another type, HW_ELIMIT. */
	int (*bin)(struct source *, struct arena *a, const uint8_t **p, size_t *n);
	bool (*list)(struct source *, struct span *items);
	bool (*map)(struct source *, struct span *entries);
	/* Make the next element current; of a map, with its key. False: the key is no text. */
	void (*item)(struct source *, struct span *items);
	bool (*entry)(struct source *, struct span *entries, const char **key, size_t *n);
	void (*skip)(struct source *);
};

struct source {
	const struct source_ops *ops;
};

/* The source's current value as a message. */
int codec_read(void **ret, struct source *in, struct arena *a, const struct msg_row *row,
	struct hw_err *err);

/* --- a sink
 * ------------------------------------------------------------------------------------------ */

struct sink;

struct sink_ops {
	void (*text)(struct sink *, const char *p, size_t n);
	void (*bin)(struct sink *, const uint8_t *p, size_t n);
	void (*integer)(struct sink *, int64_t v);
	void (*boolean)(struct sink *, bool v);
	void (*time)(struct sink *, int64_t usec);
	/* n elements follow; of a map, each after its key. */
	void (*list)(struct sink *, size_t n);
	void (*list_end)(struct sink *);
	void (*map)(struct sink *, size_t n);
	void (*key)(struct sink *, const char *p, size_t n);
	void (*map_end)(struct sink *);
};

struct sink {
	const struct sink_ops *ops;
	struct buf *out;
	bool checks;	   /* refuse what breaks its row */
	bool hide_secrets; /* write "***" for them */
};

/* Writes the message, or takes back what it wrote: HW_EVALIDATION, HW_ELIMIT. */
int codec_write(struct sink *to, const struct msg_row *row, const void *msg, struct hw_err *err);

#endif

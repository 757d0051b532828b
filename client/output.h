/* What a command shows, in the format that was asked for. */
#ifndef HAWSER_CLIENT_OUTPUT_H
#define HAWSER_CLIENT_OUTPUT_H

#include "client/yaml_pipe.h"
#include "proto/base/table.h"
#include "proto/schema/schema.h"

struct client;

enum output_format {
	OUTPUT_TABLE,
	OUTPUT_WIDE,
	OUTPUT_JSON,
	OUTPUT_JSONL,
	OUTPUT_YAML,
	OUTPUT_NAME,
};

/* HW_EUSAGE when there is no such format. */
int output_format(enum output_format *ret, const char *name);

struct column {
	const char *title;
	bool wide; /* only in the wide table */
	/* A cell's text, in the client's arena or static; NULL is empty. */
	const char *(*cell)(struct client *c, const void *item);
	enum table_style (*style)(const void *item); /* NULL: plain */
};

/* How things of one kind are listed. */
struct listing {
	const struct msg_row *(*reply)(void), *(*item)(void);
	const struct column *columns; /* up to one without title */
	const char *(*name)(const void *item);
};

/* Writes n items to stdout; `reply` is the API's reply that holds them all, for JSON and YAML. */
int output_list(struct client *c, const struct listing *l, const void *reply, const void *items,
	size_t n, struct hw_err *err);

/* Writes one thing; `name` is what -o name shows of it. */
int output_one(struct client *c, const struct msg_row *row, const void *msg, const char *name,
	struct hw_err *err);

/* Writes JSON that a command made by itself, as it is or as YAML. */
int output_json(struct client *c, const struct buf *json, struct hw_err *err);

/* Things that come one after the other: an array in JSON, lines in JSONL, a list in YAML. */
struct output_series {
	struct client *client;
	bool lines; /* a line each in JSON, too: their end may never come */
	size_t n;
	struct yaml_pipe yaml;
	struct buf out;
};

void output_series_init(struct output_series *s, struct client *c, bool lines);
void output_series_fini(struct output_series *s); /* wipes */
/* Writes one, which is JSON. */
int output_series_add(struct output_series *s, const struct buf *json, struct hw_err *err);
/* Nothing follows. */
int output_series_end(struct output_series *s, struct hw_err *err);

/* Writes bytes to stdout as they are. Whoever reads them may have gone: that is no error. */
int output_bytes(const void *p, size_t n, struct hw_err *err);
/* The same for a line, without its end, that has words of the relay's or a node's in it: it steers
 * no terminal. */
int output_line(struct hw_err *err, const char *fmt, ...) HW_PRINTF(2, 3);

/* --- texts for cells, in the client's arena -------------------------------------------------- */

const char *output_age(struct client *c, int64_t when);	  /* "4m ago", "now"; NULL for 0 */
const char *output_until(struct client *c, int64_t when); /* "in 4m", "over"; NULL for 0 */
const char *output_time(struct client *c, int64_t when);  /* local; NULL for 0 */
const char *output_tags(struct client *c, const struct msg_tag *tags, size_t n); /* K=V,K=V */
const char *output_texts(struct client *c, const struct msg_strs *texts);	 /* a,b */
const char *output_int(struct client *c, int64_t v);

#endif

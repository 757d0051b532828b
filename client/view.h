/*
 * How what a command writes on its nodes is shown: a row for each way, chosen by its option. What
 * comes is handed over in the order of follow.h's events.
 */
#ifndef HAWSER_CLIENT_VIEW_H
#define HAWSER_CLIENT_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct client;
struct input;
struct follow;
struct follow_node;
struct msg_command;

struct view_config {
	struct client *client;
	const struct msg_command *command;
	const char *log_dir;
	bool safe; /* stdout is a terminal: nothing that a node wrote steers it */
	/* Something is about to be written while the command runs. */
	void (*will_write)(void *arg);
	/* has_room() or is_out() says otherwise now. */
	void (*on_room)(void *arg);
	void *arg;
};

struct view_row {
	const char *name;
	bool live;   /* output as it comes */
	bool gentle; /* and less of it at a time */
	bool silent; /* none at all */
	int (*open)(void **state, const struct view_config *config, struct hw_err *err);
	int (*output)(void *state, struct follow_node *node, int stream, size_t step,
		uint64_t offset, const uint8_t *p, size_t n, struct hw_err *err);
	int (*node_end)(void *state, struct follow_node *node, struct hw_err *err);
	bool (*has_room)(const void *state); /* NULL: always */
	bool (*is_out)(const void *state);   /* nothing waits to be written; NULL: always */
	/* All has ended, or we leave; afterwards, when nothing else runs. */
	int (*finish)(void *state, const struct follow *f, struct hw_err *err);
	/* Frees it, and what it hung on the nodes; both may be NULL. */
	void (*close)(void *state, const struct follow *f);
};

extern const struct view_row view_gather, view_diff, view_stream, view_log;
extern const struct view_row view_json, view_jsonl, view_raw;
extern const struct view_row view_json_states; /* without output */
extern const struct view_row view_none;	  /* how it ended, in groups, and nothing of the output */
extern const struct view_row view_silent; /* nothing */

/* The one that --gather, --stream, --diff, --log-dir or -o asks for. HW_EUSAGE. */
int view_choose(const struct view_row **ret, const struct client *c, const struct input *in,
	struct hw_err *err);

/* --gather is what happens anyhow. */
#define VIEW_OPTIONS                                                                            \
	{"gather", 0, NULL, NULL}, {"stream", 0, NULL, "each line as it comes, with its node"}, \
		{"diff", 0, NULL, "the most common output, and how the others differ"},         \
	{                                                                                       \
		"log-dir", 0, "DIR", "files DIR/NODE/STEP.stdout and .stderr"                   \
	}

#endif

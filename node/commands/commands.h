/*
 * The commands of a node: what the relay has ordered, what runs, and what it is still to be told.
 * Orders come as answers to what the node asks, on each new link and when it is told to; they are
 * on the node's disk before the relay hears that they were taken. All that a command writes goes to
 * the disk first, whether or not there is a link, and from there to the relay until it has taken
 * the end.
 *
 * Loop thread only.
 */
#ifndef HAWSER_NODE_COMMANDS_H
#define HAWSER_NODE_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/watch.h"

struct commands;
struct hw_err;
struct link;
struct log_ctx;
struct loop;
struct programs;

#define COMMANDS_RUNNING_MAX 64
#define COMMANDS_HELD_MAX    1000 /* as many as one ask may name */
#define COMMANDS_OUTPUT_MAX  (UINT64_C(64) << 20)
#define COMMANDS_SPOOL_MAX   (UINT64_C(1) << 30)
#define COMMANDS_DOWNLOAD    (INT64_C(1) << 30)

struct commands_config {
	struct loop *loop;
	const struct log_ctx *log;
	struct programs *programs;
	int dir; /* the node's, a descriptor that stays the caller's */
	/* Texts outlive the commands, and may be NULL but for the first. */
	const char *node_id, *boot_id, *platform_name, *platform_version;
	const char *reboot; /* a script that restarts the machine; NULL or empty: shutdown -r now */
	size_t running_max, held_max; /* 0: as above */
	uint64_t output_max;	      /* bytes kept of one's output; an order may say less */
	uint64_t spool_max;	      /* and of all that the relay has not taken; 0: as above */
	const char *fetch;	      /* hawser-node-fetch; NULL: nothing can be downloaded */
	const char *upgrade;	      /* how to call hawser-node-upgrade; NULL: it is not there */
	const char *work;	      /* where commands have directories; NULL: /var/tmp */
	const char *download_ca, *download_proxy, *download_s3_host; /* or NULL */
	int64_t download_max;					     /* bytes; 0: as above */
	int64_t (*now)(void *arg); /* wall time, for deadlines; NULL: the loop's */
	/* Whether a new one may begin; NULL: always. *why is a sentence when not. */
	enum watch_answer (*may_begin)(void *arg, const char **why);
	void *arg;
};

/* Reads what an earlier agent left; nothing of it goes on before commands_resume(). */
int commands_new(struct commands **ret, const struct commands_config *config, struct hw_err *err);
void commands_free(struct commands *cs); /* as commands_leave() before; NULL is fine */

/* Takes over what still runs, and starts what waits. */
void commands_resume(struct commands *cs);

/* The link is up, or is not any more; one at a time. */
void commands_link_up(struct commands *cs, struct link *l);
void commands_link_down(struct commands *cs);
/* The relay says that there is something to ask for. */
void commands_ask(struct commands *cs);
/* may_begin() may answer otherwise now: asks for what was put off, if anything was. */
void commands_ask_again(struct commands *cs);

/* Ends what runs; it has failed. Or leaves it to the next agent. Nothing is started any more. */
void commands_stop(struct commands *cs);
void commands_leave(struct commands *cs);

struct commands_count {
	size_t running, waiting, ended; /* not begun; over, and the relay has not taken it */
};
struct commands_count commands_count(const struct commands *cs);

#endif

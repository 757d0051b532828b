/*
 * The node as a witness of its relay's ledger (proto/trust/witness.h): asks for what a new head has
 * to be held against, keeps the last one in the node's directory, and tells its log and the relay
 * what it found. By `witness = refuse` in node.conf it also says that nothing new may begin here.
 *
 * The head of a new link is judged at once, later ones a minute after the last; what is kept is
 * written at most once a minute, but for what is found. The relay is told what is on the disk.
 *
 * Loop thread only.
 */
#ifndef HAWSER_NODE_WATCH_H
#define HAWSER_NODE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/trust/witness.h"

struct link;
struct log_ctx;
struct loop;
struct watch;

struct watch_config {
	struct loop *loop;
	const struct log_ctx *log;
	int dir; /* the node's, with its ca.crt; a descriptor that stays the caller's */
	bool refuse;
};

/* HW_ENOTFOUND, HW_ECORRUPT: without the authority's certificate there is nothing to judge by. What
 * was kept and is damaged is no error, but a finding. */
int watch_new(struct watch **ret, const struct watch_config *config, struct hw_err *err);
void watch_free(struct watch *w); /* writes what is not on disk yet; NULL is fine */

/* Told whenever watch_answer() may have changed. */
void watch_on_change(struct watch *w, void (*fn)(void *arg), void *arg);

/* The link is up, with the head of its HELLO, or NULL; a ping carried one; it is not up any more.
 */
void watch_link_up(struct watch *w, struct link *l, const char *head);
void watch_head(struct watch *w, const char *head);
void watch_link_down(struct watch *w);

/* Whether a session or command may begin. WATCH_WAITS: the first head of this link is being judged.
 * *why is a sentence, good until the next call of anything here, unless it may. */
enum watch_answer { WATCH_ALLOWS, WATCH_WAITS, WATCH_REFUSES };
enum watch_answer watch_answer(const struct watch *w, const char **why);

/* One line for a person, and the state in one word ("" while nothing was ever shown). */
#define WATCH_TEXT_MAX 640
const char *watch_describe(const struct watch *w, char out[WATCH_TEXT_MAX]);
void watch_status(const struct watch *w, struct witness_status *ret);

#endif

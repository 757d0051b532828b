/*
 * Two link transports joined back to back in memory, on a fake loop: what a real connection does,
 * and what it does only on bad days. A side without a link takes messages and forgets them, so that
 * a test can be the peer itself.
 *
 * As a real client's transport does, it spoils the bytes that it was given once it has copied them.
 */
#ifndef HAWSER_TESTS_WORLD_PAIR_H
#define HAWSER_TESTS_WORLD_PAIR_H

#include "proto/wire/link.h"

enum { PAIR_A, PAIR_B };

struct pair;

struct pair *pair_new(struct loop *loop);
/* Ends the links that are still there (they see link_lost at once), and forgets what is under way.
 */
void pair_free(struct pair *p);

/* For link_config, and then the link that was made over it. */
struct link_transport *pair_transport(struct pair *p, int side);
void pair_attach(struct pair *p, int side, struct link *l);

/* The connection breaks: both see link_lost in the next turn. What is under way is lost. */
void pair_drop(struct pair *p, const char *why);

/* The same, at once. */
void pair_cut(struct pair *p, const char *why);

/* The machine at this end is gone: what comes is lost, and nobody is told. For its link, which must
 * still be there, the connection is over. */
void pair_detach(struct pair *p, int side);

/* Nothing is taken from `side` while it is paused: its line is full. */
void pair_pause(struct pair *p, int side, bool paused);

/* Called for each message of `side` on its way: it may look, change it, or return false to lose it.
 */
typedef bool pair_tap_fn(void *arg, uint8_t *p, size_t n);
void pair_tap(struct pair *p, int side, pair_tap_fn *tap, void *arg);

/* A message as if `side` had sent it, past its tap. */
void pair_send(struct pair *p, int side, const void *bytes, size_t n);

bool pair_is_closed(const struct pair *p, int side);  /* its link has hung up */
size_t pair_messages(const struct pair *p, int side); /* how many came from it */

#endif

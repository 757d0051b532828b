/*
 * The user's certificate is renewed when more than half of its life is over: on the link that is
 * there anyway, beside what the command does, and again while a shell stays open. Best effort.
 */
#ifndef HAWSER_CLIENT_RENEW_H
#define HAWSER_CLIENT_RENEW_H

struct conn;
struct home;
struct renewal;

/* Waits for the day of renewal. NULL without memory: then there is none. */
struct renewal *renewal_new(struct conn *c, struct home *home);
/* Gives a renewal that is under way two seconds more. NULL is fine. */
void renewal_finish(struct renewal *r);

#endif

/*
 * A small pool of threads for what may block: operations, the store, waiting for the disk. Results
 * come back to the loop. Everything here is for the loop's thread.
 */
#ifndef HAWSER_CORE_WORKERS_H
#define HAWSER_CORE_WORKERS_H

#include <stdbool.h>

#include "proto/base/loop.h"

struct workers;

#define WORKERS_QUEUE_MAX 4096

/* n threads; with 0 the work runs on the loop's thread, from loop_post(): for tests. */
int workers_new(struct workers **ret, struct loop *loop, int n, struct hw_err *err);

/* Finishes what was submitted, `done` and what that submits included; then joins the threads. */
void workers_free(struct workers *w);

/* The same without the end: nothing is under way when it returns. For an owner that closes down;
 * the loop is settled meanwhile. */
void workers_drain(struct workers *w);

/* run(arg) on a worker, then done(arg) on the loop. False when the queue is full: nothing is
 * called. */
bool workers_submit(struct workers *w, void (*run)(void *), void (*done)(void *), void *arg);

/* The same for what a whole fleet may say at once. It has a queue of its own, which takes turns
 * with that of all other work, one by one: nobody waits behind all of it, or is refused because of
 * it. */
bool workers_submit_crowd(struct workers *w, void (*run)(void *), void (*done)(void *), void *arg);

/* The same for what was promised already, such as the end of a session: never refused. Who calls it
 * bounds how much of it there can be. */
void workers_owe(struct workers *w, void (*run)(void *), void (*done)(void *), void *arg);

#endif

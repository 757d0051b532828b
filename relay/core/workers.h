/*
 * A small pool of threads for what may block: operations, the store, waiting for the disk. Results come back to the loop.
 */
#ifndef HAWSER_CORE_WORKERS_H
#define HAWSER_CORE_WORKERS_H

#include <stdbool.h>

#include "proto/base/loop.h"

struct workers;

#define WORKERS_QUEUE_MAX 4096

/* n threads; with 0 the work runs on the loop's thread, from loop_post(): for tests. */
int workers_new(struct workers **ret, struct loop *loop, int n, struct hw_err *err);

/* Finishes what is queued, then joins the threads. The done callbacks of it are still posted. */
void workers_free(struct workers *w);

/* run(arg) on a worker, then done(arg) on the loop. False when the queue is full: nothing is called. */
bool workers_submit(struct workers *w, void (*run)(void *), void (*done)(void *), void *arg);

#endif

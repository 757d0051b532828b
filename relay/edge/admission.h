/*
 * How many connections may wait without having shown a certificate: a budget, of which no one
 * source (an IPv4 /24, an IPv6 /56) may hold more than a quarter. Pure bookkeeping, without
 * sockets.
 */
#ifndef HAWSER_EDGE_ADMISSION_H
#define HAWSER_EDGE_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct sockaddr;
struct admission;

/* `seed` is random: it keeps a stranger from choosing sources that collide. */
int admission_new(struct admission **ret, size_t max, uint64_t seed, struct hw_err *err);
void admission_free(struct admission *a);

/* A source's number, never 0. An IPv4 address inside an IPv6 one (::ffff:a.b.c.d) is the IPv4 one;
 * what is neither is one source of its own. */
uint64_t admission_source(const struct sockaddr *addr);

/* Takes a place; false when the budget, or the source's share of it, is used up. */
bool admission_enter(struct admission *a, uint64_t source);
/* Gives back what admission_enter() took. */
void admission_leave(struct admission *a, uint64_t source);

size_t admission_count(const struct admission *a);

#endif

/* Time as a parameter, so that tests own it. All values are microseconds. */
#ifndef HAWSER_BASE_CLOCK_H
#define HAWSER_BASE_CLOCK_H

#include <stdint.h>

struct hw_clock {
	int64_t (*mono)(const struct hw_clock *); /* never steps; starts anywhere */
	int64_t (*wall)(const struct hw_clock *); /* since 1970, UTC */
};

#define USEC_PER_SEC  INT64_C(1000000)
#define USEC_PER_MSEC INT64_C(1000)

extern const struct hw_clock hw_clock_system;

/* A clock that stands still until it is moved. Cast-free: embed and use &fake.clock. */
struct fake_clock {
	struct hw_clock clock;
	int64_t now_mono, now_wall;
};
void fake_clock_init(struct fake_clock *f, int64_t wall);
void fake_clock_advance(struct fake_clock *f, int64_t usec);

static inline int64_t
clock_mono(const struct hw_clock *c)
{
	return c->mono(c);
}

static inline int64_t
clock_wall(const struct hw_clock *c)
{
	return c->wall(c);
}

/* "2026-11-23T17:20:56.123Z" (24 characters and a NUL); years 1 to 9999, beyond which it stays
 * there. */
#define RFC3339_LEN 24
void rfc3339_format(char out[RFC3339_LEN + 1], int64_t wall);
/* Accepts a fraction of up to 9 digits, or none, and Z or an offset. HW_EVALIDATION otherwise. */
int rfc3339_parse(int64_t *wall, const char *text);

#endif

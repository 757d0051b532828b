#include "relay/edge/admission.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Places that each source holds, in an open-addressed table at most half full: there are never more
 * sources than places. */
struct slot {
	uint64_t source; /* 0: empty */
	size_t held;
};

struct admission {
	size_t max, share, count;
	uint64_t seed;
	size_t mask; /* slots - 1 */
	struct slot slots[];
};

int
admission_new(struct admission **ret, size_t max, uint64_t seed, struct hw_err *err)
{
	size_t room = 8;

	hw_assert(max > 0);
	while (room < 2 * max)
		room *= 2;
	struct admission *a = calloc(1, sizeof(*a) + room * sizeof(a->slots[0]));
	if (a == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to admit %zu connections", max);
	a->max = max;
	a->share = max < 4 ? 1 : max / 4;
	a->seed = seed | 1;
	a->mask = room - 1;
	*ret = a;
	return 0;
}

void
admission_free(struct admission *a)
{
	free(a);
}

static uint64_t
big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

#define KIND_V4	   (UINT64_C(1) << 56)
#define KIND_V6	   (UINT64_C(2) << 56)
#define KIND_OTHER (UINT64_C(3) << 56)

uint64_t
admission_source(const struct sockaddr *addr)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (addr->sa_family == AF_INET) {
		memcpy(&v4, addr, sizeof(v4));
		return KIND_V4 | big_endian((const uint8_t *)&v4.sin_addr, 3);
	}
	if (addr->sa_family != AF_INET6)
		return KIND_OTHER;
	memcpy(&v6, addr, sizeof(v6));
	const uint8_t *p = v6.sin6_addr.s6_addr;
	if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
		return KIND_V4 | big_endian(p + 12, 3);
	return KIND_V6 | big_endian(p, 7);
}

static size_t
home_of(const struct admission *a, uint64_t source)
{
	uint64_t h = (source ^ a->seed) * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 32) * (a->seed | 1);
	return (size_t)(h >> 24) & a->mask;
}

/* The source's slot, or the empty one where it belongs. */
static struct slot *
find(struct admission *a, uint64_t source)
{
	size_t i = home_of(a, source);

	while (a->slots[i].source != 0 && a->slots[i].source != source)
		i = (i + 1) & a->mask;
	return &a->slots[i];
}

/* Empties a slot and moves up those that had passed over it. */
static void
vacate(struct admission *a, struct slot *s)
{
	size_t hole = (size_t)(s - a->slots);

	for (size_t i = (hole + 1) & a->mask; a->slots[i].source != 0; i = (i + 1) & a->mask) {
		size_t home = home_of(a, a->slots[i].source);
		if (((i - home) & a->mask) < ((i - hole) & a->mask))
			continue; /* its home lies behind the hole */
		a->slots[hole] = a->slots[i];
		hole = i;
	}
	a->slots[hole] = (struct slot){0};
}

bool
admission_enter(struct admission *a, uint64_t source)
{
	struct slot *s = find(a, source);

	if (a->count >= a->max || s->held >= a->share)
		return false;
	s->source = source;
	s->held++;
	a->count++;
	return true;
}

void
admission_leave(struct admission *a, uint64_t source)
{
	struct slot *s = find(a, source);

	hw_assert(s->held > 0);
	a->count--;
	if (--s->held == 0)
		vacate(a, s);
}

size_t
admission_count(const struct admission *a)
{
	return a->count;
}

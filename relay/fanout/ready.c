#include "relay/fanout/ready.h"

#include <stdlib.h>

#include "proto/base/err.h"

bool
ready_init(struct ready *r, uint32_t n)
{
	hw_assert(n <= READY_MAX);
	*r = (struct ready){.level = {NULL}};
	for (int k = 0; k < READY_LEVELS; k++) {
		n = n / 64 + 1;
		r->level[k] = calloc(n, sizeof(uint64_t));
		if (r->level[k] == NULL) {
			ready_fini(r);
			return false;
		}
	}
	return true;
}

void
ready_fini(struct ready *r)
{
	for (int k = 0; k < READY_LEVELS; k++)
		free(r->level[k]);
	*r = (struct ready){.level = {NULL}};
}

void
ready_add(struct ready *r, uint32_t i)
{
	for (int k = 0; k < READY_LEVELS; k++, i /= 64)
		r->level[k][i / 64] |= UINT64_C(1) << (i % 64);
}

/* A summary's bit goes with the last one below it. */
void
ready_remove(struct ready *r, uint32_t i)
{
	for (int k = 0; k < READY_LEVELS; k++, i /= 64) {
		r->level[k][i / 64] &= ~(UINT64_C(1) << (i % 64));
		if (r->level[k][i / 64] != 0)
			return;
	}
}

uint32_t
ready_first(const struct ready *r)
{
	uint32_t i = 0;

	if (r->level[READY_LEVELS - 1][0] == 0)
		return READY_NONE;
	for (int k = READY_LEVELS - 1; k >= 0; k--)
		i = i * 64 + (uint32_t)__builtin_ctzll(r->level[k][i]);
	return i;
}

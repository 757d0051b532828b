/* Intrusive lists are those of <sys/queue.h>; this adds the one loop that it lacks there. */
#ifndef HAWSER_BASE_LIST_H
#define HAWSER_BASE_LIST_H

#include <sys/queue.h>

#include <stddef.h>

#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, tvar)                                                 \
	for ((var) = TAILQ_FIRST(head); (var) != NULL && ((tvar) = TAILQ_NEXT(var, field), 1);     \
		(var) = (tvar))
#endif

/* The object that embeds `member` at ptr. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif

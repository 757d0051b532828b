#include "node/holder/protocol.h"

#include <stdbool.h>
#include <string.h>

#include "proto/base/err.h"

/* By type: the body's bounds. */
static const struct {
	uint32_t min, max;
} body_len[HOLDER_TYPES] = {
	[HOLDER_DATA] = {1,			    HOLDER_DATA_MAX		   },
	[HOLDER_CREDIT] = {sizeof(uint64_t),	     sizeof(uint64_t)	     },
	[HOLDER_END] = {0,			   0			    },
	[HOLDER_RESIZE] = {sizeof(struct holder_size), sizeof(struct holder_size) },
	[HOLDER_SIGNAL] = {0,			      0			       },
	[HOLDER_STATE] = {0,			     sizeof(struct holder_state)},
	[HOLDER_EXIT] = {sizeof(struct holder_exit), sizeof(struct holder_exit) },
	[HOLDER_CLOSE] = {0,			     0			      },
	[HOLDER_REPAINT] = {0,			       0				},
	[HOLDER_SCREEN] = {0,			      HOLDER_PART_MAX	     },
};

static bool
state_len_ok(uint32_t len)
{
	return len == 0 || len == HOLDER_STATE_OLD || len == sizeof(struct holder_state);
}

static bool
head_ok(const struct holder_head *h)
{
	if (h->type == 0 || h->type >= HOLDER_TYPES || h->stream >= HOLDER_STREAMS)
		return false;
	if (h->type == HOLDER_STATE && !state_len_ok(h->len))
		return false;
	return h->len >= body_len[h->type].min && h->len <= body_len[h->type].max &&
		h->offset <= UINT64_MAX / 2;
}

int
holder_parse(struct holder_msg *ret, const void *p, size_t n, size_t *used)
{
	struct holder_msg m = {.body = (const uint8_t *)p + sizeof(m.head)};

	if (n < sizeof(m.head))
		return 1;
	memcpy(&m.head, p, sizeof(m.head));
	if (!head_ok(&m.head))
		return HW_EPROTO;
	if (n - sizeof(m.head) < m.head.len)
		return 1;
	*ret = m;
	*used = sizeof(m.head) + m.head.len;
	return 0;
}

/* proxy_header_read(): however it comes in pieces, it asks for more than there is and never for
 * more than its bound, and reads the same in the end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "relay/edge/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum proxy_header_state
read_part(struct proxy_header *h, const uint8_t *data, size_t n)
{
	uint8_t *part = malloc(n > 0 ? n : 1); /* alone, so that a read beyond it is seen */
	enum proxy_header_state state;

	hw_assert(part != NULL);
	if (n > 0)
		memcpy(part, data, n);
	state = proxy_header_read(h, part, n);
	free(part);
	hw_assert(state != PROXY_HEADER_PART || (h->n > n && h->n <= PROXY_HEADER_MAX));
	hw_assert(state != PROXY_HEADER_WHOLE || (h->n <= n && h->n >= 15));
	hw_assert(!h->told || h->from.ss_family == AF_INET || h->from.ss_family == AF_INET6);
	return state;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole, h;
	size_t n = size < PROXY_HEADER_MAX ? size : PROXY_HEADER_MAX;
	enum proxy_header_state end = read_part(&whole, data, n);

	for (size_t i = 0; i < n; i++) {
		enum proxy_header_state state = read_part(&h, data, i);
		if (state == PROXY_HEADER_PART)
			continue;
		/* Decided: more bytes change nothing. */
		hw_assert(state == end);
		hw_assert(state != PROXY_HEADER_WHOLE || (h.n == whole.n && h.told == whole.told));
	}
	return 0;
}

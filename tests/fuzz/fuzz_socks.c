/* A SOCKS5 client's bytes: in pieces they mean what they mean in one, and nothing is taken twice.
 */
#include <stdint.h>
#include <string.h>

#include "client/socks.h"
#include "proto/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	struct socks s;
	uint8_t said[3 * SOCKS_REPLY_MAX];
	size_t n_said, used;
};

static void
feed(struct result *r, const uint8_t *data, size_t size, size_t piece)
{
	memset(r, 0, sizeof(*r));
	socks_init(&r->s);
	while (r->used < size && r->s.state < SOCKS_CONNECT) {
		size_t n = size - r->used < piece ? size - r->used : piece;
		size_t used = socks_take(&r->s, data + r->used, n);
		hw_assert(used <= n);
		hw_assert(used > 0 || r->s.n_reply > 0 || r->s.state >= SOCKS_CONNECT);
		r->used += used;
		hw_assert(r->n_said + r->s.n_reply <= sizeof(r->said));
		memcpy(r->said + r->n_said, r->s.reply, r->s.n_reply);
		r->n_said += r->s.n_reply;
		r->s.n_reply = 0;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct result whole, pieces;

	feed(&whole, data, size, size > 0 ? size : 1);
	feed(&pieces, data, size, 1);
	hw_assert(whole.s.state == pieces.s.state && whole.n_said == pieces.n_said);
	hw_assert(memcmp(whole.said, pieces.said, whole.n_said) == 0);
	if (whole.s.state == SOCKS_CONNECT) {
		hw_assert(whole.used == pieces.used);
		hw_assert(strcmp(whole.s.host, pieces.s.host) == 0);
		hw_assert(whole.s.port == pieces.s.port && whole.s.port > 0);
	}
	return 0;
}

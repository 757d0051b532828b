/* What root's half of the node reads: the uplink's requests and a holder's answers; and what uplink
 * and holder read of each other. The first byte says which. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "node/holder/protocol.h"
#include "node/monitor/request.h"
#include "proto/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_request(const uint8_t *p, size_t n)
{
	struct monitor_request r;
	const char *command, *why;

	if (request_parse(&r, &command, p, n, &why) < 0)
		return;
	hw_assert(command == (const char *)p + sizeof(r) && n == sizeof(r) + r.command_len);
	hw_assert(memchr(r.session_id, '\0', sizeof(r.session_id)) != NULL);
	hw_assert(strchr(r.session_id, '/') == NULL && r.session_id[0] != '.');
	hw_assert(memchr(r.run_as, '\0', sizeof(r.run_as)) != NULL);
}

static void
check_messages(const uint8_t *p, size_t n)
{
	struct holder_msg m;
	size_t used;

	while (holder_parse(&m, p, n, &used) == 0) {
		hw_assert(used <= n && m.body + m.head.len == p + used);
		hw_assert(m.head.stream < HOLDER_STREAMS && m.head.len <= HOLDER_DATA_MAX);
		p += used;
		n -= used;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct monitor_reply reply;

	if (size == 0)
		return 0;
	if (data[0] % 3 == 0)
		check_request(data + 1, size - 1);
	else if (data[0] % 3 == 1)
		check_messages(data + 1, size - 1);
	else if (reply_parse(&reply, data + 1, size - 1) == 0)
		hw_assert(memchr(reply.text, '\0', sizeof(reply.text)) != NULL);
	return 0;
}

/* What root's half of the node reads: the uplink's requests, a holder's answers and the machine's
 * policy; and what uplink and holder read of each other. The first byte says which. */
#include <sys/mman.h>
#include <sys/stat.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/protocol.h"
#include "node/monitor/local_policy.h"
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
	const char *start = (const char *)p + sizeof(r),
		   *directory = request_directory(&r, command);
	const char *environment = request_environment(&r, command);
	hw_assert(command == start + r.directory_len + r.environment_len);
	hw_assert(command + r.command_len == (const char *)p + n);
	hw_assert(directory == NULL ? r.directory_len == 0
				    : directory == start && strlen(start) + 1 == r.directory_len);
	hw_assert(r.environment_len == 0 || command[-1] == '\0');
	for (const char *s = environment; s < command; s += strlen(s) + 1)
		hw_assert(strchr(s, '=') > s);
	hw_assert(memchr(r.session_id, '\0', sizeof(r.session_id)) != NULL);
	hw_assert(strchr(r.session_id, '/') == NULL && r.session_id[0] != '.');
	hw_assert(memchr(r.document, '\0', sizeof(r.document)) != NULL);
	hw_assert(strpbrk(r.document, "*? \n") == NULL);
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

static void
check_policy(const uint8_t *p, size_t n)
{
	const struct monitor_request request = {.kind = REQUEST_EXEC, .command_len = 1};
	const struct local_policy_ask ask = {
		.asked = "deploy", .user = "deploy", .uid = 1001, .request = &request};
	char path[64], why[LOCAL_POLICY_WHY_MAX] = "";
	int fd = memfd_create("policy", MFD_CLOEXEC);

	hw_assert(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, p, n) == (ssize_t)n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	const struct local_policy policy = {.path = path, .required = true};
	int formed = local_policy_inspect(&policy, why);
	int allowed = local_policy_check(&policy, &ask, why);
	hw_assert(formed == 0 || allowed == HW_ELOCAL);
	hw_assert(allowed == 0 || why[0] != '\0');
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct monitor_reply reply;

	if (size == 0)
		return 0;
	if (data[0] % 4 == 0)
		check_request(data + 1, size - 1);
	else if (data[0] % 4 == 1)
		check_messages(data + 1, size - 1);
	else if (data[0] % 4 == 3)
		check_policy(data + 1, size - 1);
	else if (reply_parse(&reply, data + 1, size - 1) == 0)
		hw_assert(memchr(reply.text, '\0', sizeof(reply.text)) != NULL);
	return 0;
}

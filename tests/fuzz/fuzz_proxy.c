/*
 * proxy.h. The first byte says what the rest is: a proxy, which is written again so that it reads
 * the same; a list of those who need none, and a host; or a proxy's answer, which means the same
 * however it comes in pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
parse(const char *text)
{
	char again[PROXY_TEXT_MAX];
	struct hw_err err = HW_ERR_INIT;
	struct proxy p, q;

	if (proxy_parse(&p, text, &err) < 0) {
		hw_assert(hw_err_text(&err)[0] != '\0');
		return;
	}
	hw_assert(p.host[0] != '\0' && p.port > 0 && p.port < 65536);
	if (proxy_format(again, &p) < 0)
		return;
	hw_assert(proxy_parse(&q, again, &err) == 0);
	hw_assert(strcmp(p.host, q.host) == 0 && p.port == q.port && p.login == q.login);
	hw_assert(strcmp(p.user, q.user) == 0 && strcmp(p.password, q.password) == 0);
}

static void
bypass(char *text)
{
	char *host = strchr(text, '\n');

	if (host == NULL)
		return;
	*host++ = '\0';
	(void)proxy_is_bypassed(text, host, 443);
}

/* What a prefix decides, the whole does not take back. */
static void
answer(const uint8_t *p, size_t n)
{
	static const struct proxy proxy = {.host = "proxy.example", .port = 3128, .login = true};
	struct hw_err err = HW_ERR_INIT;
	int decided = 0;

	for (size_t i = 0; i <= n; i += n > 64 && i + 64 < n ? 64 : 1) {
		int r = proxy_answer(&proxy, "relay.example", 443, p, i, &err);
		hw_assert(r == 1 || r == 0 || r == HW_EUNAVAILABLE || r == HW_EPROTO);
		hw_assert(r >= 0 || hw_err_text(&err)[0] != '\0');
		hw_assert(decided >= 0 || r < 0);
		decided = r;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char *text = malloc(size);
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] % 3 == 0)
		parse(text);
	else if (data[0] % 3 == 1)
		bypass(text);
	else
		answer(data + 1, size - 1);
	free(text);
	return 0;
}

#include "proto/base/id.h"

#include <sys/random.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/base/err.h"

#define TAIL_LEN     17 /* hex digits, as SSM's ids have */
#define USER_MAX     64
#define NAME_MAX_LEN 128

void
random_bytes(void *out, size_t n)
{
	char *at = out;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			perror("hawser: the kernel has no random bytes");
			abort();
		}
		at += got;
		n -= (size_t)got;
	}
}

uint64_t
random_u64(void)
{
	uint64_t n;

	random_bytes(&n, sizeof(n));
	return n;
}

/* --- making ---------------------------------------------------------------------------------- */

static void
random_tail(char out[TAIL_LEN + 1])
{
	uint8_t bytes[(TAIL_LEN + 1) / 2];
	char hex[2 * sizeof(bytes) + 1];

	random_bytes(bytes, sizeof(bytes));
	hex_encode(hex, bytes, sizeof(bytes));
	memcpy(out, hex, TAIL_LEN);
	out[TAIL_LEN] = '\0';
}

void
id_uuid(char out[ID_UUID_LEN + 1])
{
	static const int groups[] = {4, 2, 2, 2, 6};
	uint8_t bytes[16];
	const uint8_t *from = bytes;
	char *at = out;

	random_bytes(bytes, sizeof(bytes));
	bytes[6] = (bytes[6] & 0x0f) | 0x40; /* version 4 */
	bytes[8] = (bytes[8] & 0x3f) | 0x80; /* RFC 9562's variant */
	for (size_t i = 0; i < 5; i++) {
		hex_encode(at, from, (size_t)groups[i]);
		from += groups[i];
		at += 2 * groups[i];
		*at++ = '-';
	}
	at[-1] = '\0';
}

void
id_node(char out[ID_NODE_LEN + 1])
{
	memcpy(out, "mi-", 3);
	random_tail(out + 3);
}

void
id_session(char out[ID_SESSION_MAX + 1], const char *user)
{
	hw_assert(id_is_user(user));
	size_t n = strlen(user);

	memcpy(out, user, n);
	out[n] = '-';
	random_tail(out + n + 1);
}

/* --- checking -------------------------------------------------------------------------------- */

static bool
is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	return true;
}

bool
id_is_node(const char *s)
{
	return strlen(s) == ID_NODE_LEN && memcmp(s, "mi-", 3) == 0 && is_hex(s + 3, TAIL_LEN);
}

bool
id_is_uuid(const char *s)
{
	return strlen(s) == ID_UUID_LEN && is_hex(s, 8) && s[8] == '-' && is_hex(s + 9, 4) &&
		s[13] == '-' && is_hex(s + 14, 4) && s[18] == '-' && is_hex(s + 19, 4) &&
		s[23] == '-' && is_hex(s + 24, 12);
}

static bool
is_name(const char *s, size_t n, size_t max)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.@+=-";

	return n >= 1 && n <= max && strspn(s, allowed) >= n;
}

bool
id_is_user(const char *s)
{
	return is_name(s, strlen(s), USER_MAX);
}

bool
id_is_name(const char *s)
{
	return is_name(s, strlen(s), NAME_MAX_LEN);
}

bool
id_is_session(const char *s)
{
	size_t n = strlen(s);

	if (n > ID_SESSION_MAX || n < 1 + 1 + TAIL_LEN)
		return false;
	const char *dash = s + n - TAIL_LEN - 1;
	return *dash == '-' && is_hex(dash + 1, TAIL_LEN) &&
		is_name(s, (size_t)(dash - s), USER_MAX);
}

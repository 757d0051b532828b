/*
 * sigv4_new(): the first line is the Authorization header, then "name:value" lines, an empty line,
 * and the body. What it accepts has a good key id, and no signature of an attacker's choice matches
 * a secret that it does not know.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/trust/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
next_line(const char *at)
{
	const char *end = strchr(at, '\n');

	return end != NULL ? end + 1 : NULL;
}

static int
find(void *arg, const char *name, char *value, size_t room)
{
	size_t n = strlen(name);
	const char *found = NULL;

	for (const char *at = arg; at != NULL && *at != '\n' && *at != '\0'; at = next_line(at)) {
		if (strncmp(at, name, n) != 0 || at[n] != ':')
			continue;
		if (found != NULL)
			return HW_EEXISTS;
		found = at + n + 1;
	}
	if (found == NULL)
		return HW_ENOTFOUND;
	n = strcspn(found, "\n");
	if (n >= room)
		return HW_ELIMIT;
	memcpy(value, found, n);
	value[n] = '\0';
	return 0;
}

static void
try_it(char *text)
{
	struct hw_err err = HW_ERR_INIT;
	char *rest = strchr(text, '\n');
	struct sigv4 *s;

	if (rest != NULL)
		*rest++ = '\0';
	const char *body = rest != NULL ? strstr(rest, "\n\n") : NULL;
	body = body != NULL ? body + 2 : "";
	int r = sigv4_new(&s, text, find, rest, &err);
	if (r < 0) {
		hw_assert(r == HW_EMISSINGTOKEN || r == HW_EINCOMPLETESIGNATURE ||
			r == HW_ESIGNATURE);
		hw_assert(err.text[0] != '\0');
		return;
	}
	const char *id = sigv4_key_id(s);
	hw_assert(*id != '\0' && strlen(id) <= SIGV4_KEY_ID_MAX && strpbrk(id, "/ ,=\n") == NULL);
	hw_assert(!sigv4_matches(s, "a secret that nobody knows", body, strlen(body)));
	(void)sigv4_in_time(s, sigv4_time(s), 0, &err);
	sigv4_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	try_it(text);
	free(text);
	return 0;
}

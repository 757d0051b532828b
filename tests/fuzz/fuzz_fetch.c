/* What hawser-node-fetch is told, and what a server calls a file: never a way out of a directory.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/fetch/name.h"
#include "node/fetch/spec.h"
#include "proto/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_name(const char *name)
{
	hw_assert(name[0] != '\0' && strlen(name) <= FETCH_NAME_MAX);
	hw_assert(strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
}

static void
check_spec(const uint8_t *data, size_t size)
{
	struct fetch_spec s;
	struct hw_err err = HW_ERR_INIT;

	if (fetch_spec_parse(&s, (const char *)data, size, &err) == 0) {
		hw_assert(s.work[0] == '/' && s.max > 0);
		hw_assert(s.destination[0] == '/' || strncmp(s.destination, "..", 3) != 0);
		hw_assert(s.source != FETCH_LOCAL || s.path[0] == '/');
		hw_assert(s.source != FETCH_GIT || s.url[0] != '-');
	} else {
		hw_assert(err.code != 0);
	}
	fetch_spec_free(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[FETCH_NAME_MAX + 1];
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (fetch_name_from_url(name, text))
		check_name(name);
	if (fetch_name_from_disposition(name, (const char *)data, size))
		check_name(name);
	check_spec(data, size);
	free(text);
	return 0;
}

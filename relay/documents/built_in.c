#include "relay/documents/built_in.h"

#include <string.h>
#include <strings.h>

const struct built_in *
built_in_find(const char *name)
{
	for (size_t i = 0; i < built_in_count; i++) {
		if (strcmp(built_ins[i].name, name) == 0)
			return &built_ins[i];
	}
	return NULL;
}

bool
built_in_reserves(const char *name)
{
	static const char *const prefixes[] = {"aws", "amazon", "amzn", "hawser-"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (strncasecmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return built_in_find(name) != NULL;
}

/* Which systems a document is for, by the plugins of its steps. */
#include <string.h>

#include "proto/document/document.h"

/* What the agent has on Windows alone. */
static const char *const windows_only[] = {
	"aws:applications",
	"aws:cloudWatch",
	"aws:psModule",
	"aws:updateAgent",
};

static bool
is_windows_only(const char *action)
{
	for (size_t i = 0; i < sizeof(windows_only) / sizeof(windows_only[0]); i++)
		if (strcmp(windows_only[i], action) == 0)
			return true;
	return false;
}

bool
document_is_for_linux(const struct document *d)
{
	size_t n = document_steps(d);

	for (size_t i = 0; i < n; i++)
		if (!is_windows_only(document_step(d, i)->action))
			return true;
	return n == 0;
}

#include "client/file_name.h"

#include <ctype.h>
#include <string.h>

static bool
may_stand(char c, bool first)
{
	if (isalnum((unsigned char)c) && (unsigned char)c < 0x80)
		return true;
	return c == '_' || (!first && c != '\0' && strchr(".@+=-", c) != NULL);
}

bool
file_name_safe(char out[FILE_NAME_MAX + 1], const char *text)
{
	size_t n = 0;

	for (; text[n] != '\0' && n < FILE_NAME_MAX; n++)
		out[n] = may_stand(text[n], n == 0) ? text[n] : '_';
	if (n == 0)
		out[n++] = '_';
	out[n] = '\0';
	return strcmp(out, text) == 0;
}

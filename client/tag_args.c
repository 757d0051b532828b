#include "client/tag_args.h"

#include <string.h>

int
tag_args(struct msg_tag **ret, struct arena *a, const char *const *words, size_t n,
	struct hw_err *err)
{
	struct msg_tag *tags = arena_array(a, n, sizeof(*tags));

	if (tags == NULL && n > 0)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const char *equals = strchr(words[i], '=');
		if (equals == NULL || equals == words[i])
			return hw_err_set(err, HW_EUSAGE, "'%s' is not KEY=VALUE", words[i]);
		tags[i].key = arena_strndup(a, words[i], (size_t)(equals - words[i]));
		tags[i].value = equals + 1;
		if (tags[i].key == NULL)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	*ret = tags;
	return 0;
}

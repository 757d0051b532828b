#include "client/view.h"

#include "client/client.h"

static const struct {
	const char *option;
	const struct view_row *row;
} ways[] = {
	{"gather",  &view_gather},
	{"stream",  &view_stream},
	{"diff",	 &view_diff  },
	{"log-dir", &view_log   },
};

int
view_choose(const struct view_row **ret, const struct client *c, const struct input *in,
	struct hw_err *err)
{
	const char *given = NULL;

	*ret = &view_gather;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (!input_has(in, ways[i].option))
			continue;
		if (given != NULL)
			return hw_err_set(err, HW_EUSAGE, "--%s and --%s are two ways to show it",
				given, ways[i].option);
		given = ways[i].option;
		*ret = ways[i].row;
	}
	switch (c->format) {
	case OUTPUT_JSON:
	case OUTPUT_YAML:
		*ret = &view_json;
		break;
	case OUTPUT_JSONL:
		*ret = &view_jsonl;
		break;
	case OUTPUT_NAME:
		*ret = &view_silent;
		break;
	default:
		return 0;
	}
	if (given != NULL)
		return hw_err_set(err, HW_EUSAGE,
			"--%s and -o are two ways to show it: leave one out", given);
	return 0;
}

/* --- nothing at all --------------------------------------------------------------------------- */

static int
open_nothing(void **state, const struct view_config *config, struct hw_err *err)
{
	(void)config;
	(void)err;
	*state = NULL;
	return 0;
}

static int
end_nothing(void *state, struct follow_node *node, struct hw_err *err)
{
	(void)state;
	(void)node;
	(void)err;
	return 0;
}

static int
finish_nothing(void *state, const struct follow *f, struct hw_err *err)
{
	(void)state;
	(void)f;
	(void)err;
	return 0;
}

const struct view_row view_silent = {
	.name = "name",
	.silent = true,
	.open = open_nothing,
	.node_end = end_nothing,
	.finish = finish_nothing,
};

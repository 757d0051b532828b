/* aws:updateSsmAgent: a program of its own puts a release in the place of the agent that runs. */
#include <string.h>

#include "node/plugins/plugins.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"

#define SECONDS 3600
#define MISSING                                                                          \
	"echo 'hawser-node-upgrade, which upgrades the agent, is not installed on this " \
	"node' >&2\nexit 1\n"

struct wishes {
	const char *version, *release, *downgrade;
};

static const char *
or_empty(const char *text)
{
	return text != NULL ? text : "";
}

static int
read_inputs(struct wishes *w, const json_t *inputs, struct hw_err *err)
{
	int r;

	if ((r = plugin_text(&w->version, inputs, "targetVersion", err)) < 0 ||
		(r = plugin_text(&w->release, inputs, "release", err)) < 0 ||
		(r = plugin_text(&w->downgrade, inputs, "allowDowngrade", err)) < 0)
		return r;
	if (strcmp(or_empty(w->downgrade), "true") != 0 && w->downgrade != NULL &&
		strcmp(w->downgrade, "false") != 0)
		return hw_err_set(err, HW_EVALIDATION,
			"Invalid format in plugin properties: allowDowngrade is true or false");
	return 0;
}

/* The step is also prepared by the agent that it has put there, which takes it over: one without
 * the program must not fail it for that. */
int
plugin_update_agent(struct plugin_program *ret, struct arena *a,
	const struct plugin_context *context, const json_t *inputs, const json_t *env,
	struct hw_err *err)
{
	struct wishes w = {.version = NULL};
	int r;

	(void)env; /* what parameters would put there, no shell reads */
	if ((r = read_inputs(&w, inputs, err)) < 0)
		return r;
	const char *version = plugin_quote(a, or_empty(w.version));
	const char *release = plugin_quote(a, or_empty(w.release));
	if (version == NULL || release == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	const char *script = context->upgrade == NULL
		? MISSING
		: arena_printf(a, "exec %s --version %s --release %s%s\n", context->upgrade,
			  version, release,
			  strcmp(or_empty(w.downgrade), "true") == 0 ? " --downgrade" : "");
	if (script == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	*ret = (struct plugin_program){.script = script, .seconds = SECONDS};
	return 0;
}

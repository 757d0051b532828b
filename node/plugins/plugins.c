#include "node/plugins/plugins.h"

#include <stdio.h>
#include <string.h>

static const struct plugin plugins[] = {
	{"aws:downloadContent", plugin_download,	 plugin_download_wish, true },
	{"aws:runDocument",	    NULL,		  plugin_document_wish, true },
	{"aws:runShellScript",  plugin_shell_script, NULL,		  false},
	{"aws:updateSsmAgent",  plugin_update_agent, NULL,		  false},
};

/* What SSM has for other platforms alone. */
static const char *const elsewhere[] = {
	"aws:applications",
	"aws:cloudWatch",
	"aws:domainJoin",
	"aws:psModule",
	"aws:runPowerShellScript",
	"aws:updateAgent",
};

const struct plugin *
plugin_find(const char *action)
{
	for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++)
		if (strcmp(plugins[i].action, action) == 0)
			return &plugins[i];
	return NULL;
}

enum document_verdict
plugin_judge(const char *schema_version, const char *action, const char *name, char *why, size_t n)
{
	if (plugin_find(action) != NULL)
		return DOCUMENT_RUN;
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		if (strcmp(elsewhere[i], action) != 0)
			continue;
		snprintf(why, n, "Plugin with name %s is not supported on Linux. Step name: %s",
			action, name);
		return strcmp(schema_version, "2.2") == 0 ? DOCUMENT_SKIP : DOCUMENT_FAIL;
	}
	snprintf(why, n,
		"Plugin with name %s is not supported by this version of the agent. Step name: %s",
		action, name);
	return DOCUMENT_FAIL;
}

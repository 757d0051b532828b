/*
 * What a step of a document can do on this node: a row for each action. A step is a program that
 * the monitor starts; a plugin says which, from the step's inputs.
 */
#ifndef HAWSER_NODE_PLUGINS_H
#define HAWSER_NODE_PLUGINS_H

#include <jansson.h>
#include <stddef.h>

#include "proto/document/document.h"

struct arena;
struct hw_err;

/* What the steps of one command have in common; texts may be NULL. */
struct plugin_context {
	const char *node_id, *command_id;
	const char *platform_name, *platform_version;
};

/* To be run as a file, as struct program_spec has it. */
struct plugin_program {
	const char *script;
	const char *directory; /* absolute, or NULL */
	const char *environment;
	size_t environment_len;
	int seconds;
};

struct plugin {
	const char *action;
	/* From inputs with parameters put in, and the environment that these need (a JSON object of
	 * texts, or NULL). What it gives is the arena's. HW_EVALIDATION says what is wrong with the
	 * inputs. */
	int (*prepare)(struct plugin_program *ret, struct arena *a,
		const struct plugin_context *context, const json_t *inputs, const json_t *env,
		struct hw_err *err);
};

const struct plugin *plugin_find(const char *action); /* NULL when this node has none */

/* Of a step whose precondition lets it run: whether it can, in a document of that schema version.
 * An action that is known but belongs to other platforms is skipped by 2.2, and fails before it.
 * Without DOCUMENT_RUN, why[n] has a sentence for the step's output. */
enum document_verdict plugin_judge(const char *schema_version, const char *action, const char *name,
	char *why, size_t n);

/* aws:runShellScript */
int plugin_shell_script(struct plugin_program *ret, struct arena *a,
	const struct plugin_context *context, const json_t *inputs, const json_t *env,
	struct hw_err *err);

#endif

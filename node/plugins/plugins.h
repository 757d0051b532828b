/*
 * What a step of a document can do on this node: a row for each action. A step is a program that
 * the monitor starts, and a plugin says which, from the step's inputs; or it is another document,
 * whose steps are run in its place.
 */
#ifndef HAWSER_NODE_PLUGINS_H
#define HAWSER_NODE_PLUGINS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/document/document.h"
#include "proto/schema/schema.h"

struct arena;
struct hw_err;

/* What the steps of one command have in common; texts may be NULL. */
struct plugin_context {
	const char *node_id, *command_id;
	const char *platform_name, *platform_version;
	const char *work;  /* the command's own directory; NULL: its document downloads nothing */
	const char *fetch; /* the path of hawser-node-fetch */
	const char *ca, *proxy, *s3_host; /* for downloads */
	int64_t download_max;		  /* bytes */
	const char *upgrade; /* how hawser-node-upgrade is called, for a shell to read; or NULL */
	/* What the step wished for of the relay: its content, and the name of its file. */
	const char *content, *file_name;
};

/* To be run as a file, as struct program_spec has it. */
struct plugin_program {
	const char *script;
	const char *directory;	 /* absolute, or NULL */
	bool directory_optional; /* where there is none such, it is as if none were named */
	size_t work_len;	 /* so much of it names the command's own directory; or 0 */
	const char *environment;
	size_t environment_len;
	int seconds;
};

/* A document that a step needs, of one of two origins. */
struct plugin_wish {
	const char *name, *version; /* the relay's; NULL: none, and no version is the default one */
	const char *path;	    /* a file's, absolute; NULL: none */
	const char *
		below; /* its part below what the command has downloaded; NULL: it lies elsewhere */
	bool runs;     /* it is run in the step's place, with these: */
	struct msg_smap parameters;
	bool nothing; /* nothing is to be done: the step has succeeded */
	int seconds;  /* how long the step may wait for it */
};

struct plugin {
	const char *action;
	/* From inputs with parameters put in, and the environment that these need (a JSON object of
	 * texts, or NULL). What it gives is the arena's. HW_EVALIDATION says what is wrong with the
	 * inputs. NULL: it has no program. */
	int (*prepare)(struct plugin_program *ret, struct arena *a,
		const struct plugin_context *context, const json_t *inputs, const json_t *env,
		struct hw_err *err);
	/* Likewise, and first. NULL: it never wishes for any. */
	int (*wish)(struct plugin_wish *ret, struct arena *a, const struct plugin_context *context,
		const json_t *inputs, struct hw_err *err);
	bool downloads; /* the command has a directory of its own, and there is something in it */
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

/* aws:downloadContent */
int plugin_download(struct plugin_program *ret, struct arena *a,
	const struct plugin_context *context, const json_t *inputs, const json_t *env,
	struct hw_err *err);
int plugin_download_wish(struct plugin_wish *ret, struct arena *a,
	const struct plugin_context *context, const json_t *inputs, struct hw_err *err);

/* aws:runDocument */
int plugin_document_wish(struct plugin_wish *ret, struct arena *a,
	const struct plugin_context *context, const json_t *inputs, struct hw_err *err);

/* aws:updateSsmAgent */
int plugin_update_agent(struct plugin_program *ret, struct arena *a,
	const struct plugin_context *context, const json_t *inputs, const json_t *env,
	struct hw_err *err);

/* --- what plugins share: inputs.c --------------------------------------------------------------
 */

/* A map that may be written as text, JSON or YAML. A new reference; a missing or null one is an
 * empty map. HW_EVALIDATION. */
int plugin_map(json_t **ret, const json_t *inputs, const char *key, struct hw_err *err);
/* A text, or NULL when there is none. HW_EVALIDATION. */
int plugin_text(const char **ret, const json_t *inputs, const char *key, struct hw_err *err);
/* NAME[:VERSION], or an ARN with a version behind it, into the arena. HW_EVALIDATION. */
int plugin_document_name(struct plugin_wish *ret, struct arena *a, const char *text,
	struct hw_err *err);
/* A text between single quotes, as a shell reads it back; NULL without memory. */
const char *plugin_quote(struct arena *a, const char *text);

#endif

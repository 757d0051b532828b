/* GetInvocationDocument: another document, for a step of a command that a node runs. */
#include <string.h>

#include "audit/ledger.h"
#include "relay/core/authorise.h"
#include "relay/core/dispatcher.h"
#include "relay/core/document_load.h"
#include "relay/core/fit.h"
#include "relay/core/op.h"
#include "relay/core/op_scope.h"
#include "relay/services/text.h"
#include "relay/store/commands.h"
#include "relay/store/store.h"

#define ACTION	     "ssm:GetDocument"
#define RESOURCE_MAX 512 /* bytes of it in an entry */

struct wanted {
	struct op *op;
	const struct msg_get_invocation_document_request *req;
	struct command_row command;
	struct document_found found;
};

/* --- whether who sent the command may read it --------------------------------------------------
 */

static int
read_command(void *arg, struct db *db, struct hw_err *err)
{
	struct wanted *w = arg;

	return command_get(db, w->req->command_id, &w->command, err);
}

/* On disk before the document leaves, or before it is refused. */
static int
note(struct wanted *w, const struct verdict *v, const char *resource)
{
	struct op *op = w->op;
	char named[RESOURCE_MAX + 1];
	const struct msg_ledger_entry e = {
		.principal = w->command.owner_arn,
		.action = ACTION,
		.resource = named,
		.outcome = v->allow ? OUTCOME_ALLOWED : OUTCOME_DENIED,
		.reason = arena_printf(op->arena, "for a step on %s: %.500s", op->who.id, v->why),
		.request_id = op->request_id,
		.source = op->source,
		.command_id = w->command.id,
	};

	fit_text(named, sizeof(named), resource);
	if (e.reason == NULL || ledger_commit(op->env->ledger, ENTRY_DECISION, &e) < 0)
		return op_fail(op, HW_ERECORD, "the ledger cannot be written");
	if (!v->allow)
		return op_fail(op, HW_EDENIED,
			"%.128s, who sent the command, may not " ACTION " on %.200s",
			w->command.principal, resource);
	return 0;
}

static int
decide(struct wanted *w, struct scope *scope)
{
	struct op *op = w->op;
	struct asker asker;
	struct verdict v;

	/* From where, and how, it was sent. Who has the sender's name since is another. */
	(w->command.by_key ? asker_init_signed : asker_init)(&asker, op->env, w->command.principal,
		w->command.requested, w->command.source, op->now);
	authorise(&v, &asker, ACTION, scope);
	asker_fini(&asker);
	return note(w, &v, scope->targets[0].resource);
}

static int
check_sender(struct wanted *w)
{
	struct op *op = w->op;
	struct scope scope;
	const char *name = arena_printf(op->arena, "document/%s", document_name(op, w->req->name));
	int r;

	if (name == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a document");
	scope_init(&scope, op->arena);
	if ((r = op_scope_named(&scope, op, name)) == 0)
		r = decide(w, &scope);
	scope_fini(&scope);
	return r;
}

/* --- the document ------------------------------------------------------------------------------
 */

static int
look(void *arg, struct db *db, struct hw_err *err)
{
	struct wanted *w = arg;

	(void)err; /* the op's */
	return document_look(&w->found, w->op, db, w->req->name, w->req->document_version, NULL,
		&w->op->err);
}

static int
fill(struct msg_get_invocation_document_reply *rep, const struct wanted *w)
{
	const struct document_found *f = &w->found;
	int r;

	rep->document_format = f->version.format;
	rep->document_version = arena_printf(w->op->arena, "%lld", (long long)f->version.number);
	if (rep->document_version == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for a document");
	r = text_keep(&rep->name, w->op, f->document.name);
	return r == 0 ? text_keep(&rep->content, w->op, f->content) : r;
}

/* A node may read what its command's sender may, for as long as it runs the command, and nothing
 * by itself. */
int
op_get_invocation_document(struct op *op, const struct msg_get_invocation_document_request *req,
	struct msg_get_invocation_document_reply *rep)
{
	struct wanted w = {.op = op, .req = req};
	int r;

	if ((r = dispatcher_document(op->env->dispatcher, req->command_id, op->who.id, &op->err)) <
			0 ||
		(r = store_read(op->env->store, read_command, &w, &op->err)) < 0 ||
		(r = check_sender(&w)) < 0 ||
		(r = store_read(op->env->store, look, &w, &op->err)) < 0)
		return r;
	return fill(rep, &w);
}

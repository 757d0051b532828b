#include <string.h>

#include "relay/core/config.h"
#include "relay/core/op.h"

static const char *
arn(struct op *op, const char *service, const char *kind, const char *id)
{
	const struct relay_config *c = op->env->config;

	return arena_printf(op->arena, "arn:aws:%s:%s:%s:%s/%s", service, c->region, c->account, kind, id);
}

const char *
arn_node(struct op *op, const char *id)
{
	return arn(op, "ssm", "managed-instance", id);
}

const char *
arn_session(struct op *op, const char *id)
{
	return arn(op, "ssm", "session", id);
}

const char *
arn_document(struct op *op, const char *name)
{
	return arn(op, "ssm", "document", name);
}

const char *
arn_activation(struct op *op, const char *id)
{
	return arn(op, "ssm", "activation", id);
}

/* Users belong to no region, as IAM has it. */
const char *
arn_user(struct op *op, const char *name)
{
	return arena_printf(op->arena, "arn:aws:iam::%s:user/%s", op->env->config->account, name);
}

const char *
arn_short(const char *text)
{
	const char *user = strstr(text, ":user/");

	return user != NULL ? user + strlen(":user/") : text;
}

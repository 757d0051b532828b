#include "relay/core/arn.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/policy/managed.h"

static bool
is_plain(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("_.@+=:-", c) != NULL);
}

/* Appends the id to the text's n bytes, or empties the text when it does not fit. */
static void
append_id(char out[ARN_MAX], size_t n, const char *id)
{
	for (; *id != '\0'; id++) {
		if (n + 4 > ARN_MAX) {
			out[0] = '\0';
			return;
		}
		if (is_plain(*id))
			out[n++] = *id;
		else
			n += (size_t)snprintf(out + n, ARN_MAX - n, "%%%02X", (unsigned char)*id);
	}
	out[n] = '\0';
}

static void
write_arn(char out[ARN_MAX], const char *service, const char *region, const char *account,
	const char *kind, const char *id)
{
	const char *const parts[] = {
		"arn:aws:", service, ":", region, ":", account, ":", kind, "/"};
	size_t n = 0;

	/* A list writes one for each of its items, so that it is not printed. */
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t len = strnlen(parts[i], ARN_MAX - 1 - n);

		memcpy(out + n, parts[i], len);
		n += len;
	}
	append_id(out, n, id);
}

static void
write_ssm(char out[ARN_MAX], const struct relay_config *c, const char *kind, const char *id)
{
	write_arn(out, "ssm", c->region, c->account, kind, id);
}

void
arn_write_node(char out[ARN_MAX], const struct relay_config *c, const char *id)
{
	write_ssm(out, c, "managed-instance", id);
}

void
arn_write_session(char out[ARN_MAX], const struct relay_config *c, const char *id)
{
	write_ssm(out, c, "session", id);
}

void
arn_write_document(char out[ARN_MAX], const struct relay_config *c, const char *name,
	const char *account)
{
	write_arn(out, "ssm", c->region, account, "document", name);
}

bool
arn_of_system(const char *document)
{
	return strncmp(document, "AWS-", 4) == 0;
}

/* Users belong to no region, as IAM has it. */
void
arn_write_user(char out[ARN_MAX], const struct relay_config *c, const char *name)
{
	write_arn(out, "iam", "", c->account, "user", name);
}

void
arn_write_local(char out[ARN_MAX], const struct relay_config *c, const char *name)
{
	snprintf(out, ARN_MAX, "arn:aws:iam::%s:local/", c->account);
	append_id(out, strlen(out), name);
}

/* --- for operations --------------------------------------------------------------------------- */

static const char *
keep(struct op *op, const char *text)
{
	return text[0] != '\0' ? arena_strdup(op->arena, text) : NULL;
}

static const char *
keep_ssm(struct op *op, const char *kind, const char *id)
{
	char text[ARN_MAX];

	write_ssm(text, op->env->config, kind, id);
	return keep(op, text);
}

const char *
arn_node(struct op *op, const char *id)
{
	return keep_ssm(op, "managed-instance", id);
}

const char *
arn_session(struct op *op, const char *id)
{
	return keep_ssm(op, "session", id);
}

const char *
arn_document(struct op *op, const char *name)
{
	return keep_ssm(op, "document", name);
}

const char *
arn_activation(struct op *op, const char *id)
{
	return keep_ssm(op, "activation", id);
}

const char *
arn_user(struct op *op, const char *name)
{
	char text[ARN_MAX];

	arn_write_user(text, op->env->config, name);
	return keep(op, text);
}

static const char *
keep_iam(struct op *op, const char *account, const char *kind, const char *name)
{
	char text[ARN_MAX];

	write_arn(text, "iam", "", account, kind, name);
	return keep(op, text);
}

const char *
arn_group(struct op *op, const char *name)
{
	return keep_iam(op, op->env->config->account, "group", name);
}

const char *
arn_resource_group(struct op *op, const char *name)
{
	const struct relay_config *c = op->env->config;
	char text[ARN_MAX];

	write_arn(text, "resource-groups", c->region, c->account, "group", name);
	return keep(op, text);
}

/* With one slash after each part. As it is, but for what no key has: policies name keys so, and one
 * that denies must find what it names. */
static void
append_path(char out[ARN_MAX], const char *path)
{
	size_t n = strlen(out);

	while (*(path += strspn(path, "/")) != '\0') {
		for (; *path != '\0' && *path != '/' && n + 5 < ARN_MAX; path++) {
			if ((unsigned char)*path >= 0x20 && *path != 0x7f)
				out[n++] = *path;
			else
				n += (size_t)snprintf(out + n, ARN_MAX - n, "%%%02X",
					(unsigned char)*path);
		}
		if (n + 5 >= ARN_MAX) {
			out[0] = '\0';
			return;
		}
		out[n++] = '/';
	}
	out[n] = '\0';
}

const char *
arn_bucket(struct op *op, const char *bucket, const char *prefix)
{
	char text[ARN_MAX] = "arn:aws:s3:::";

	append_path(text, bucket);
	if (prefix != NULL && text[0] != '\0')
		append_path(text, prefix);
	return keep(op, text);
}

const char *
arn_policy(struct op *op, const char *name)
{
	bool managed = managed_policy_find(name) != NULL;

	return keep_iam(op, managed ? "aws" : op->env->config->account, "policy", name);
}

const char *
arn_short(const char *text)
{
	const char *user = strstr(text, ":user/");

	return user != NULL ? user + strlen(":user/") : text;
}

#include "client/audit_filter.h"

#include <stdio.h>
#include <string.h>

#include "client/duration.h"
#include "client/session_name.h"
#include "proto/base/clock.h"
#include "proto/base/id.h"

/* --- options ---------------------------------------------------------------------------------- */

static int
parse_moment(int64_t *ret, const char *text)
{
	char whole[40];

	if (rfc3339_parse(ret, text) == 0)
		return 0;
	if (strlen(text) != 10)
		return HW_EVALIDATION;
	snprintf(whole, sizeof(whole), "%sT00:00:00Z", text);
	return rfc3339_parse(ret, whole);
}

int
audit_time(int64_t *ret, struct client *c, const struct input *in, const char *option,
	struct hw_err *err)
{
	const char *text = input_text(in, option);
	int64_t ago;
	int r;

	if (text == NULL)
		return 0;
	if (duration_parse(&ago, text) == 0) {
		if ((r = client_relay_now(ret, c, err)) == 0)
			*ret -= ago;
		return r;
	}
	if (parse_moment(ret, text) == 0)
		return 0;
	return hw_err_set(err, HW_EUSAGE,
		"--%s wants a span like 30d or 2h, or a time like 2026-07-07T08:00:00Z, not '%s'",
		option, text);
}

static int
add(struct audit_filter *f, int key, const char *value, struct hw_err *err)
{
	size_t n = f->req.lookup_attributes.n;

	if (n == AUDIT_ATTRIBUTES)
		return hw_err_set(err, HW_EUSAGE, "more than %d filters", AUDIT_ATTRIBUTES);
	f->attributes[n] =
		(struct msg_lookup_attribute){.attribute_key = key, .attribute_value = value};
	f->req.lookup_attributes.v = f->attributes;
	f->req.lookup_attributes.n = n + 1;
	return 0;
}

static const struct {
	const char *option;
	int key;
} options[] = {
	{"user",	 LOOKUP_KEY_USERNAME	    },
	{"node",	 LOOKUP_KEY_INSTANCE_ID   },
	{"tag",	LOOKUP_KEY_RESOURCE_TAG  },
	{"action",  LOOKUP_KEY_EVENT_NAME	},
	{"kind",	 LOOKUP_KEY_EVENT_KIND    },
	{"result",  LOOKUP_KEY_OUTCOME	     },
	{"from",	 LOOKUP_KEY_SOURCE_ADDRESS},
	{"about",	  LOOKUP_KEY_RESOURCE_NAME },
	{"command", LOOKUP_KEY_COMMAND_ID	 },
};

int
audit_filter_read(struct audit_filter *f, struct client *c, const struct input *in,
	struct hw_err *err)
{
	const char *session = input_text(in, "session");
	int r;

	*f = (struct audit_filter){.req = {.next_token = NULL}};
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const char *value;
		for (size_t k = 0; (value = input_nth(in, options[i].option, k)) != NULL; k++)
			if ((r = add(f, options[i].key, value, err)) < 0)
				return r;
	}
	if (session != NULL &&
		((!id_is_session(session) && (r = client_connect(c, err)) < 0) ||
			(r = session_find_id(&session, c, session, err)) < 0 ||
			(r = add(f, LOOKUP_KEY_SESSION_ID, session, err)) < 0))
		return r;
	if ((r = audit_time(&f->req.start_time, c, in, "since", err)) < 0)
		return r;
	return audit_time(&f->req.end_time, c, in, "until", err);
}

/* --- how an entry is shown -------------------------------------------------------------------- */

const char *
audit_short(const char *arn)
{
	const char *slash = arn != NULL ? strrchr(arn, '/') : NULL;

	return slash != NULL ? slash + 1 : arn != NULL ? arn : "";
}

/* The type in an ARN, as people say it. */
static const char *
type_of(const char *arn)
{
	static const struct {
		const char *in, *said;
	} types[] = {
		{":managed-instance/", ""		 },
		{":session/",	      ""		},
		{":document/",	       "document "  },
		{":user/",		   "user "	  },
		{":group/",	    "group "	    },
		{":policy/",	     "policy "    },
		{":activation/",	 "activation "},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strstr(arn, types[i].in) != NULL)
			return types[i].said;
	return "";
}

const char *
audit_about(struct client *c, const struct msg_ledger_entry *e)
{
	const char *resource =
		e->resource != NULL && strcmp(e->resource, "*") != 0 ? e->resource : NULL;

	if (e->session_id != NULL)
		return e->session_id;
	if (e->command_id != NULL)
		return arena_printf(c->arena, "command %s", e->command_id);
	if (resource == NULL)
		return NULL;
	return arena_printf(c->arena, "%s%s", type_of(resource), audit_short(resource));
}

static const char *
cell_sequence(struct client *c, const void *item)
{
	return output_int(c, ((const struct msg_ledger_entry *)item)->sequence);
}

static const char *
cell_time(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_ledger_entry *)item)->time);
}

static const char *
cell_kind(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_ledger_entry *)item)->kind;
}

static const char *
cell_who(struct client *c, const void *item)
{
	(void)c;
	return audit_short(((const struct msg_ledger_entry *)item)->principal);
}

static const char *
cell_action(struct client *c, const void *item)
{
	const char *action = ((const struct msg_ledger_entry *)item)->action;
	const char *colon = action != NULL ? strchr(action, ':') : NULL;

	(void)c;
	return colon != NULL ? colon + 1 : action;
}

static const char *
cell_about(struct client *c, const void *item)
{
	return audit_about(c, item);
}

static const char *
cell_result(struct client *c, const void *item)
{
	(void)c;
	return enum_text(&enum_OUTCOME, ((const struct msg_ledger_entry *)item)->outcome);
}

static enum table_style
style_result(const void *item)
{
	int outcome = ((const struct msg_ledger_entry *)item)->outcome;

	return outcome == OUTCOME_DENIED || outcome == OUTCOME_FAILED ? STYLE_BAD : STYLE_PLAIN;
}

static const char *
cell_from(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_ledger_entry *)item)->source;
}

static const char *
cell_reason(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_ledger_entry *)item)->reason;
}

static const char *
name_of(const void *item)
{
	static _Thread_local char text[24];

	snprintf(text, sizeof(text), "%lld",
		(long long)((const struct msg_ledger_entry *)item)->sequence);
	return text;
}

static const struct column columns[] = {
	{"ENTRY",	  false, cell_sequence, NULL},
	{"TIME", false, cell_time, NULL},
	{"KIND",		 false, cell_kind, NULL},
	{"WHO",		false, cell_who, NULL},
	{"ACTION",	   false, cell_action, NULL},
	{"ABOUT",	  false, cell_about, NULL},
	{"RESULT",	   false, cell_result, style_result},
	{"FROM",		 true, cell_from, NULL},
	{"REASON", true, cell_reason, NULL},
	{0	  },
};

size_t
audit_say_damaged(struct client *c, const struct msg_ledger_entry *v, size_t n)
{
	size_t damaged = 0;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i].kind, "damaged") != 0)
			continue;
		damaged++;
		client_say(c, "entry %lld is damaged: %s; see hawser audit verify",
			(long long)v[i].sequence, v[i].reason != NULL ? v[i].reason : "?");
	}
	return damaged;
}

const struct listing audit_listing = {
	.reply = msg_row_lookup_events_reply,
	.item = msg_row_ledger_entry,
	.columns = columns,
	.name = name_of,
};

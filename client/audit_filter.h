/* What `hawser audit ls`, `tail` and `export --entries` have in common: options that say which
 * entries are meant, and how an entry is shown. */
#ifndef HAWSER_CLIENT_AUDIT_FILTER_H
#define HAWSER_CLIENT_AUDIT_FILTER_H

#include "client/client.h"

/* Rows of an option table. */
/* clang-format off */
#define AUDIT_FILTER_OPTIONS \
	{"user", 'u', "WHO", "of one user or node: a name, mi-..., or an ARN"}, \
	{"node", 'n', "NODE", "about one node: its id or name"}, \
	{"tag", 't', "K=V", "about nodes that have the tag now; may be repeated"}, \
	{"action", 'a', "ACTION", "StartSession, ssm:SendCommand, ..."}, \
	{"kind", 'k', "KIND", "decision, session.start, alarm, ...; may be repeated"}, \
	{"result", 'r', "RESULT", "allowed, denied, ok or failed"}, \
	{"from", 0, "ADDRESS", "asked from there"}, \
	{"about", 0, "NAME", "on one thing: its ARN, or the last part of it"}, \
	{"session", 's', "SESSION", "of one session"}, \
	{"command", 'c', "ID", "of one command"}
#define AUDIT_TIME_OPTIONS \
	{"since", 0, "TIME", "30d, 2h or 2026-07-07T08:00:00Z; and --until TIME"}, \
	{"until", 0, "TIME", NULL}
/* The same where help has no room for them, and says so. */
#define AUDIT_QUIET_OPTIONS \
	{"user", 'u', "WHO", NULL}, {"node", 'n', "NODE", NULL}, {"tag", 0, "K=V", NULL}, \
	{"action", 'a', "ACTION", NULL}, {"kind", 'k', "KIND", NULL}, \
	{"result", 'r', "RESULT", NULL}, {"from", 0, "ADDRESS", NULL}, \
	{"about", 0, "NAME", NULL}, {"session", 's', "SESSION", NULL}, \
	{"command", 'c', "ID", NULL}, {"since", 0, "TIME", NULL}, {"until", 0, "TIME", NULL}
/* clang-format on */

#define AUDIT_ATTRIBUTES 16

/* A request with its attributes. Does not move: the request points into it. */
struct audit_filter {
	struct msg_lookup_attribute attributes[AUDIT_ATTRIBUTES];
	struct msg_lookup_events_request req;
};
/* Connects when a session's name must be completed. HW_EUSAGE. */
int audit_filter_read(struct audit_filter *f, struct client *c, const struct input *in,
	struct hw_err *err);
/* One of the two time options; *ret stays as it is when it was not given. Connects for a span,
 * which goes back from what the relay's clock says. HW_EUSAGE. */
int audit_time(int64_t *ret, struct client *c, const struct input *in, const char *option,
	struct hw_err *err);

/* What is last in an ARN; "" for NULL. */
const char *audit_short(const char *arn);
/* "session alice-...", "document AWS-RunShellScript": the thing that an entry is about. */
const char *audit_about(struct client *c, const struct msg_ledger_entry *e);

/* Says which of them the relay could not read, whatever was looked for: each may be one of it. How
 * many; with any the command ends with AUDIT_DAMAGED. */
size_t audit_say_damaged(struct client *c, const struct msg_ledger_entry *v, size_t n);
#define AUDIT_DAMAGED 2
#define AUDIT_DAMAGED_ABOUT \
	"  A damaged entry is shown whatever is looked for; the exit status is 2 then."

extern const struct listing audit_listing;

#endif

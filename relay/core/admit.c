/* Who is let in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/journal.h"
#include "audit/ledger.h"
#include "relay/core/arn.h"
#include "relay/core/broker_loop.h"
#include "relay/core/fit.h"
#include "relay/core/local.h"
#include "relay/core/principals.h"
#include "relay/core/registry.h"
#include "relay/core/relay_private.h"
#include "relay/core/workers.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

/* Links of a node that have not spoken: it needs one, and one or two that it has given up. */
#define ARRIVING_MAX 4

/* Whoever dials in vain can do so for ever: not each time is an entry. Its number, or below 0. */
static int64_t
note_arn(struct relay *r, enum entry_kind kind, const char *arn, const char *source,
	const char *why)
{
	char reason[512], more[64] = "";
	struct msg_ledger_entry e = {
		.principal = arn,
		.source = source,
		.outcome = OUTCOME_DENIED,
		.reason = reason,
	};

	struct throttle *t = kind == ENTRY_ALARM ? &r->alarms : &r->refusals;
	uint64_t missed;

	if (!throttle_take(t, clock_mono(r->clock), &missed))
		return -1;
	if (missed > 0)
		snprintf(more, sizeof(more), "; %llu more like it are not told",
			(unsigned long long)missed);
	fit_text(reason, sizeof(reason) - sizeof(more), why);
	strcat(reason, more);
	int64_t number = ledger_append_numbered(r->ledger, kind, &e, NULL);
	if (number >= 0)
		journal_sync(r->journal);
	return number;
}

static int64_t
note(struct relay *r, enum entry_kind kind, const struct cert_identity *who, const char *source,
	const char *why)
{
	char arn[ARN_MAX];

	if (who->role == ROLE_NODE)
		arn_write_node(arn, &r->config, who->id);
	else
		arn_write_user(arn, &r->config, who->id);
	return note_arn(r, kind, arn, source, why);
}

void
relay_local_refused(struct relay *r, const char *name)
{
	char arn[ARN_MAX];

	arn_write_local(arn, &r->config, name);
	int64_t entry = note_arn(r, ENTRY_LINK_REFUSED, arn, LOCAL_SOURCE,
		"the local door is for root and the relay's own user");
	log_warn(r, "local.refused", "user=%s%s", log_value(name), ledger_pair(entry));
}

/* --- certificates that a backup lost ---------------------------------------------------------- */

/* A restored relay does not know what it gave out after its backup was made. */
struct adoption {
	struct relay *relay;
	char id[ID_NODE_LEN + 1], serial[CERT_SERIAL_LEN + 1];
};

static int
write_adoption(void *arg, struct db *db, struct hw_err *err)
{
	const struct adoption *a = arg;
	bool changed;

	int r = node_adopt_serial(db, &changed, a->id, a->serial, err);
	if (r == 0 && changed)
		store_changed(db, STORE_NODE, a->id);
	return r;
}

static void
run_adoption(void *arg)
{
	struct adoption *a = arg;
	struct hw_err err = HW_ERR_INIT;

	if (store_write(a->relay->store, write_adoption, a, &err) < 0)
		log_warn(a->relay, "node.unadopted", "node=%s why=%s", a->id,
			log_value(hw_err_text(&err)));
}

/* The first one that a node shows which is of that time is taken for its newest; from then on a
 * second one is a clone's again. */
static bool
adopt(struct relay *r, const struct cert_identity *who, const struct reg_node *node)
{
	if (node->lost_since == 0 || who->not_before + CERT_BACKDATE < node->lost_since)
		return false;
	struct adoption *a = malloc(sizeof(*a));
	if (a == NULL)
		return false;
	a->relay = r;
	fit_text(a->id, sizeof(a->id), who->id);
	snprintf(a->serial, sizeof(a->serial), "%s", who->serial);
	if (!workers_submit(r->workers, run_adoption, free, a)) {
		free(a);
		return false;
	}
	log_warn(r, "node.adopted", "node=%s serial=%s before=%s", who->id, who->serial,
		node->serial);
	return true;
}

static int
admit_node(struct relay *r, const struct cert_identity *who, const char *source, struct hw_err *err)
{
	struct reg_node node;

	if (!registry_node(r->registry, who->id, &node))
		return hw_err_set(err, HW_EREVOKED, "node %s is not registered, or was removed",
			who->id);
	if (strcmp(who->serial, node.serial) == 0 || strcmp(who->serial, node.serial_before) == 0)
		return 0;
	if (adopt(r, who, &node))
		return 0;
	hw_err_set(err, HW_EREVOKED,
		"node %s showed an outdated certificate: it, or a copy of it, has renewed since",
		who->id);
	int64_t entry = note(r, ENTRY_ALARM, who, source, hw_err_text(err));
	log_error(r, "node.clone", "node=%s serial=%s newest=%s%s", who->id, who->serial,
		node.serial, ledger_pair(entry));
	return HW_EREVOKED;
}

static int
admit_user(struct relay *r, const struct cert_identity *who, bool expired, struct hw_err *err)
{
	if (expired)
		return hw_err_set(err, HW_EEXPIRED,
			"the certificate of %s has expired: log in again", who->id);
	return authority_welcomes(r->authority, who->id, who->not_before, err);
}

/* No decision about who it is, and so no entry: whoever dials again and again would fill the
 * ledger. */
static int
check_room(struct relay *r, const struct cert_identity *who, struct hw_err *err)
{
	const struct relay_config *c = &r->config;
	int rc = 0;

	if (broker_links(r->broker) >= (size_t)c->max_links)
		rc = hw_err_set(err, HW_EFULL, "%d links are open, and no more are allowed",
			c->max_links);
	else if (who->role == ROLE_USER &&
		broker_user_links(r->broker, who->id) >= c->max_links_per_user)
		rc = hw_err_set(err, HW_EFULL, "%s has %d links open, and no more are allowed",
			who->id, c->max_links_per_user);
	else if (who->role == ROLE_NODE &&
		broker_arriving_links(r->broker, who->id) >= ARRIVING_MAX)
		rc = hw_err_set(err, HW_EFULL, "%s has %d links open that say nothing", who->id,
			ARRIVING_MAX);
	if (rc < 0)
		log_warn(r, "link.full", "why=%s", log_value(hw_err_text(err)));
	return rc;
}

int
relay_admit(struct relay *r, const struct cert_identity *who, bool expired, const char *source,
	struct hw_err *err)
{
	struct hw_err mine = HW_ERR_INIT;
	int rc;

	if (who->role == ROLE_NODE)
		rc = admit_node(r, who, source, &mine);
	else if (who->role == ROLE_USER)
		rc = admit_user(r, who, expired, &mine);
	else
		rc = hw_err_set(&mine, HW_ECERT, "a relay's certificate cannot open a link");
	if (rc < 0)
		note(r, ENTRY_LINK_REFUSED, who, source, hw_err_text(&mine));
	else
		rc = check_room(r, who, &mine);
	if (rc < 0 && err != NULL)
		*err = mine;
	return rc;
}

struct link *
relay_link(struct relay *r, const struct cert_identity *who, bool expired, const char *source,
	struct link_transport *transport)
{
	return broker_link(r->broker, who, expired, source, transport);
}

bool
relay_before_write(struct relay *r)
{
	return broker_before_write(r->broker);
}

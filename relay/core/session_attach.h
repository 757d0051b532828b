/*
 * Tickets of a live shell, and who presents one: its owner, who takes the session over, or somebody
 * who watches it or types into it too. A ticket counts once, for a minute, for one user.
 *
 * Loop thread only; the session's own.
 */
#ifndef HAWSER_CORE_SESSION_ATTACH_H
#define HAWSER_CORE_SESSION_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/trust/cert.h"
#include "proto/trust/secret.h"
#include "relay/core/broker.h"

struct channel;
struct msg_resume;
struct peer;
struct session;
struct viewer;

#define TICKETS_MAX 8

/* Who has a terminal of a session, as that one's last link had it. */
struct session_owner {
	char name[CERT_ID_MAX];
	int64_t not_before; /* of the certificate */
	char source[64];
};
void session_owner_of(struct session_owner *ret, const struct peer *user);

/* What such a terminal is called in policies, in the ledger, and before its owner. */
struct access_row {
	const char *action, *detail, *doing;
};
const struct access_row *access_row(enum session_access access);

struct session_ticket {
	enum session_access access;
	char principal[CERT_ID_MAX];
	char hash[2 * SHA256_LEN + 1];
	int64_t expires; /* monotonic */
	bool used;
};

struct session_tickets {
	struct session_ticket v[TICKETS_MAX];
	size_t n;
	bool saving; /* a worker saves whose token takes the session up again */
};

/* One that there is no room for takes the place of a used one, of an older one of the same user, or
 * of the oldest that is not the owner's. */
void session_give_ticket(struct session *s, const struct session_ticket *t);
/* NULL when there is none with this hash. */
struct session_ticket *session_find_ticket(struct session *s, const char *hash);

/* RESUME with a ticket that the session has. Takes over the channel, or rejects it. */
void session_attach(struct session *s, struct peer *user, struct channel *ch,
	const struct msg_resume *resume, struct session_ticket *t);

/* One entry of the ledger for each terminal that comes, and one when it is gone. */
void session_note_detach(struct session *s, const struct viewer *v, const char *why);

#endif

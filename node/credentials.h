/*
 * The node's certificate: who it is, how long it is good, and its renewal over a link when half of
 * its life is over. The key stays the same, so that one atomic file replaces the certificate.
 */
#ifndef HAWSER_NODE_CREDENTIALS_H
#define HAWSER_NODE_CREDENTIALS_H

#include "proto/base/log.h"
#include "proto/trust/cert.h"

struct credentials;
struct link;
struct loop;

/* Who the files in the directory say that this node is. HW_ENOTFOUND when there are none. */
int credentials_identity(struct cert_identity *ret, int dir, struct hw_err *err);

/* Removes key and certificate: the fleet does not know this node any more. */
void credentials_drop(int dir);

struct credentials_config {
	struct loop *loop;
	const struct log_ctx *log;
	int dir; /* stays the caller's */
	/* There is a new certificate; `of_no_use` says that the one of this link is not good any
	 * more: it has expired, and the link admits nothing but renewals, or it is by the authority
	 * before, and the relay is to see that we have another. */
	void (*on_renewed)(void *arg, bool of_no_use);
	void *arg;
};

int credentials_new(struct credentials **ret, const struct credentials_config *config,
	struct hw_err *err);
void credentials_free(struct credentials *c);

const struct cert_identity *credentials_who(const struct credentials *c);
const char *credentials_pin(const struct credentials *c); /* hex, of the authority that we know */

/* The latest of the system's clock, the build's date, and the relay's clock as last told, in this
 * run or an earlier one. That of the relay counts up to the end of our certificate only: one that
 * was wrong for a while must not lock its nodes out for good. */
int64_t credentials_now(const struct credentials *c);
/* The relay's clock as it told in this run, else credentials_now(): for what the relay dated. */
int64_t credentials_relay_now(const struct credentials *c);
/* By how much this machine's clock is ahead of the relay's, as it told last; 0: it told nothing. */
int64_t credentials_ahead(const struct credentials *c);
void credentials_peer_time(struct credentials *c, int64_t wall);

/* The link to renew over: the certificate is looked at now, and each hour until the link goes; and
 * so often the relay's time is kept. */
void credentials_link_up(struct credentials *c, struct link *l);
void credentials_link_down(struct credentials *c);
/* Renews now, whether it is time or not. */
void credentials_renew(struct credentials *c);

/* The fleet's authority is another one by now, for which the one in ca.crt has vouched
 * (trust/succession.h): kept in its place, and our certificate renewed, which is by the one before.
 */
int credentials_succeed(struct credentials *c, X509 *root, struct hw_err *err);

#endif

/*
 * Enrolment: how a machine or a person without a certificate gets one. Makes a key (or takes the
 * one that is there), asks the relay by HTTPS, by way of `proxy` unless that is NULL or has no
 * host, checks what it answered against the pin, and only then writes. Blocks, for half a minute at
 * most; the program ignores SIGPIPE.
 *
 * The files, in `dir`: ca.crt, and node.key and node.crt, or user.key and user.crt. A failed
 * enrolment leaves the directory as it was; files of an earlier one are replaced by a new one.
 */
#ifndef HAWSER_WIRE_ENROL_H
#define HAWSER_WIRE_ENROL_H

#include "proto/base/err.h"
#include "proto/trust/cert.h"

struct proxy;
struct relay_url;
struct msg_register_managed_instance_request;

#define ENROL_CA	"ca.crt"
#define ENROL_NODE_KEY	"node.key"
#define ENROL_NODE_CERT "node.crt"
#define ENROL_USER_KEY	"user.key"
#define ENROL_USER_CERT "user.crt"

struct enrol_result {
	struct cert_identity who; /* its not_after is when it expires */
	char name[257];		  /* the node's name; the user's is who.id */
	char pin[CERT_PIN_LEN +
		1]; /* of the fleet's CA: the URL's, or a later one's (succession.h) */
};

/* Joins the fleet with an activation; req->csr is filled in here. The relay's refusal comes as its
 * code and sentence (HW_EACTIVATION, ...); the rest as tcp_dial.h and https_post() have it; HW_EPIN
 * or HW_ECERT when the answer does not fit the pin or the key. */
int enrol_node(struct enrol_result *ret, const struct relay_url *url, const struct proxy *proxy,
	int dir, const struct msg_register_managed_instance_request *req, struct hw_err *err);

/* Logs in with a one-time invite: HW_EINVITE, and as above. */
int enrol_user(struct enrol_result *ret, const struct relay_url *url, const struct proxy *proxy,
	int dir, const char *invite, struct hw_err *err);

#endif

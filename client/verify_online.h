/* What a relay that runs says of its ledger, held against what this client, nodes and files keep of
 * it. */
#ifndef HAWSER_CLIENT_VERIFY_ONLINE_H
#define HAWSER_CLIENT_VERIFY_ONLINE_H

#include "client/kept.h"

struct client;
struct msg_verify_place;

struct online_result {
	char origin[LOG_ORIGIN_MAX];
	struct log_head head;	 /* the relay's newest */
	uint64_t kept, given_up; /* of the heads from files */
	uint64_t nodes, agree, silent;
	bool may_not_list; /* the caller may see no nodes */
};

/* Findings and doubts are added to *found. An error: the relay could not be asked at all; what it
 * shows that does not hold is a finding. `own` is a head of files that were verified, NULL for
 * none.
 */
int verify_online(struct online_result *ret, struct verify_result *found, struct client *c,
	const struct kept *kept, const struct log_head *own, const char *own_origin,
	struct hw_err *err);

/* The nodes alone, for a summary. */
int verify_nodes(struct online_result *ret, struct verify_result *found, struct client *c,
	struct hw_err *err);

/* One more of either; texts are cut. */
void verify_add_finding(struct verify_result *found, const char *file, const char *fmt, ...)
	HW_PRINTF(3, 4);
void verify_add_doubt(struct verify_result *found, const char *file, const char *fmt, ...)
	HW_PRINTF(3, 4);

/* Those of n that are kept, VERIFY_FINDINGS_MAX at most, as they are shown; texts are lent. Returns
 * how many they are. */
size_t verify_list(struct msg_verify_place *to, const struct verify_finding *from, size_t n);

#endif

/*
 * Nodes. All functions run inside store_read() or store_write(). The caller says
 * store_changed(STORE_NODE) after what the registry should see: node_insert, node_delete,
 * node_set_serial, node_forget_serial.
 */
#ifndef HAWSER_STORE_NODES_H
#define HAWSER_STORE_NODES_H

#include "proto/base/id.h"
#include "relay/store/db.h"

struct node_row {
	char id[ID_NODE_LEN + 1];
	char name[257];
	char serial[41], serial_before[41]; /* of the newest certificate and the one before */
	char activation_id[ID_UUID_LEN + 1];
	char iam_role[65];
	int64_t registered, seen; /* seen: last heard; 0 for never */
	/* What the node says of itself. */
	char agent_version[33];
	char computer_name[256];
	char ip_address[47];
	char ip_addresses[1024]; /* separated by blanks; those that fit */
	char platform_name[65], platform_version[65];
	char kernel[129];
	char architecture[33];
	/* It may have been given certificates since then that a backup does not know; 0: all are.
	 */
	int64_t lost_since;
	int64_t authority; /* which one has issued the newest certificate; from 1 */
};

/* HW_EEXISTS when the id was ever used. */
int node_insert(struct db *db, const struct node_row *row, struct hw_err *err);
int node_get(struct db *db, const char *id, struct node_row *ret,
	struct hw_err *err); /* HW_ENODE */
/* Its tags go too; its id is never used again. HW_ENODE. */
int node_delete(struct db *db, const char *id, int64_t now, struct hw_err *err);

/* From agent_version on, and `seen`. HW_ENODE. */
int node_set_facts(struct db *db, const struct node_row *row, struct hw_err *err);
/* A node that is gone is no error. */
int node_set_seen(struct db *db, const char *id, int64_t when, struct hw_err *err);
/* The serial of the certificate that asked for the new one becomes the one before: should the
 * answer be lost, it is all that the node has. HW_ENODE. */
int node_set_serial(struct db *db, const char *id, const char *asker, const char *serial,
	int64_t authority, struct hw_err *err);
/* Of a node whose newest serials a restored relay does not know: this is one of them, and from now
 * on the newest. *changed: false when one was taken before. */
int node_adopt_serial(struct db *db, bool *changed, const char *id, const char *serial,
	struct hw_err *err);
/* After a restore: what was given to any node from then on is not known. */
int node_set_all_lost(struct db *db, int64_t since, struct hw_err *err);
/* The node has shown the newest serial: the one before is no good any more. Whether that changed
 * anything is in *changed. */
int node_forget_serial(struct db *db, bool *changed, const char *id, const char *newest,
	struct hw_err *err);

enum node_field {
	NODE_ID,
	NODE_NAME,
	NODE_AGENT_VERSION,
	NODE_ACTIVATION_ID,
	NODE_IAM_ROLE,
	NODE_PLATFORM_NAME,
	NODE_TAG,     /* the tag `key` has one of the values */
	NODE_TAG_KEY, /* a tag with one of the values as its key */
};

/* One of the values must be it. */
struct node_filter {
	enum node_field field;
	const char *key;
	const char *const *values;
	size_t n;
};

/*
 * Nodes that pass all filters, by id, from the first one after `after` ("" for all):
 *
 *	int r = node_list(&q, db, filters, n, after, err);
 *	while (r == 0 && (r = node_next(&q, &row, err)) > 0)
 *		r = 0, ...;
 *	query_end(&q);
 */
int node_list(struct query *q, struct db *db, const struct node_filter *filters, size_t n,
	const char *after, struct hw_err *err);
int node_next(struct query *q, struct node_row *ret, struct hw_err *err); /* 1, 0 at the end */

#endif

/*
 * Where a forward may go: the documents that forward, their parameters, and what policies see of a
 * destination.
 */
#ifndef HAWSER_CORE_DESTINATION_H
#define HAWSER_CORE_DESTINATION_H

#include <stdbool.h>

#include "proto/schema/schema.h"
#include "proto/wire/host.h"

/* What allows the node itself as a destination, by whatever document it is reached. */
#define DOCUMENT_NODE_LOCAL "AWS-StartPortForwardingSession"

struct forward_document {
	const char *name;
	bool takes_host; /* a parameter; else it reaches the node itself, or each connection says */
	bool open;	 /* each connection says where to */
	int port;	 /* when the parameter is absent */
};

/* NULL for a document that forwards nothing. */
const struct forward_document *forward_document(const char *name);

struct destination {
	struct host host;
	int port; /* 0 of a Unix socket */
};

/* A host and a port as a peer names them; host_parse()'s errors, and HW_EVALIDATION for a port that
 * does not go with it. */
int destination_set(struct destination *ret, const char *host, int64_t port, struct hw_err *err);
/* A port as text; HW_EPARAMETERS names the parameter. */
int destination_port(int64_t *ret, const char *name, const char *text, struct hw_err *err);
/* The one that the parameters name; HW_EPARAMETERS. `open` documents have none: *ret is empty. */
int destination_read(struct destination *ret, const struct forward_document *doc,
	const struct msg_smap *parameters, struct hw_err *err);

static inline bool
destination_is_empty(const struct destination *d)
{
	return d->host.text[0] == '\0';
}

/* hawser:RemoteHost: localhost for any way to the node itself. */
const char *destination_judged(const struct destination *d);
/* 10.0.0.9:5432, db.internal:5432, [::1]:80, unix:/run/x. */
#define DESTINATION_MAX (HOST_MAX + 16)
void destination_write(char out[DESTINATION_MAX], const struct destination *d);

#endif

/* One node: what it says of itself, whether it is connected, its removal. */
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "relay/core/broker.h"
#include "relay/core/op.h"
#include "relay/services/text.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

#define PUT(to, text) snprintf(to, sizeof(to), "%s", text_or_empty(text))

static int
check_facts(struct op *op, const struct msg_update_instance_information_request *req)
{
	const struct text_field fields[] = {
		{"AgentVersion",	 req->agent_version   },
		{"ComputerName",	 req->computer_name   },
		{"IPAddress",	      req->ip_address	     },
		{"PlatformName",	 req->platform_name   },
		{"PlatformVersion", req->platform_version},
		{"KernelVersion",	  req->kernel	     },
		{"Architecture",	 req->architecture	  },
		{NULL,	       NULL		   },
	};
	int r = text_check(op, fields);

	for (size_t i = 0; r == 0 && i < req->ip_addresses.n; i++) {
		const struct text_field address[] = {
			{"IPAddresses", req->ip_addresses.v[i]},
			 {NULL,		NULL		    }
		     };
		r = text_check(op, address);
	}
	return r;
}

/* As many as there is room for: an address is never cut. */
static void
join_addresses(char *out, size_t room, const struct msg_strs *addresses)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < addresses->n; i++) {
		size_t n = strlen(addresses->v[i]);
		if (n + 2 > room - used)
			return;
		used += (size_t)snprintf(out + used, room - used, "%s%s", used > 0 ? " " : "",
			addresses->v[i]);
	}
}

static int
write_facts(void *arg, struct db *db, struct hw_err *err)
{
	return node_set_facts(db, arg, err);
}

static bool
same_facts(const struct node_row *a, const struct node_row *b)
{
	return strcmp(a->agent_version, b->agent_version) == 0 &&
		strcmp(a->computer_name, b->computer_name) == 0 &&
		strcmp(a->ip_address, b->ip_address) == 0 &&
		strcmp(a->ip_addresses, b->ip_addresses) == 0 &&
		strcmp(a->platform_name, b->platform_name) == 0 &&
		strcmp(a->platform_version, b->platform_version) == 0 &&
		strcmp(a->kernel, b->kernel) == 0 && strcmp(a->architecture, b->architecture) == 0;
}

struct known {
	const struct node_row *said;
	bool same;
};

static int
compare_facts(void *arg, struct db *db, struct hw_err *err)
{
	struct known *k = arg;
	struct node_row row;

	int r = node_get(db, k->said->id, &row, err);
	k->same = r == 0 && same_facts(&row, k->said);
	return r;
}

int
op_update_instance_information(struct op *op,
	const struct msg_update_instance_information_request *req, struct msg_empty *rep)
{
	struct node_row row = {.seen = op->now};
	struct known known = {.said = &row};
	int r;

	(void)rep;
	if ((r = check_facts(op, req)) < 0)
		return r;
	PUT(row.id, op->who.id); /* the certificate's; a message names no node */
	PUT(row.agent_version, req->agent_version);
	PUT(row.computer_name, req->computer_name);
	PUT(row.ip_address, req->ip_address);
	join_addresses(row.ip_addresses, sizeof(row.ip_addresses), &req->ip_addresses);
	PUT(row.platform_name, req->platform_name);
	PUT(row.platform_version, req->platform_version);
	PUT(row.kernel, req->kernel);
	PUT(row.architecture, req->architecture);
	/* A fleet that comes back says what it said before: nothing to write. That it was seen is
	 * noted when the link comes up. */
	if ((r = store_read(op->env->store, compare_facts, &known, &op->err)) < 0 || known.same)
		return r;
	return store_write(op->env->store, write_facts, &row, &op->err);
}

int
op_get_connection_status(struct op *op, const struct msg_get_connection_status_request *req,
	struct msg_get_connection_status_reply *rep)
{
	int64_t seen;

	rep->target = req->target;
	rep->status = broker_node_online(op->env->broker, req->target, &seen)
		? CONNECTION_STATUS_CONNECTED
		: CONNECTION_STATUS_NOTCONNECTED;
	return 0;
}

struct removal {
	const char *id;
	int64_t now;
};

static int
remove_node(void *arg, struct db *db, struct hw_err *err)
{
	const struct removal *w = arg;
	int r;

	if ((r = node_delete(db, w->id, w->now, err)) < 0)
		return r;
	store_changed(db, STORE_NODE, w->id); /* its link and sessions end with that */
	return 0;
}

int
op_deregister_managed_instance(struct op *op,
	const struct msg_deregister_managed_instance_request *req, struct msg_empty *rep)
{
	struct removal w = {req->instance_id, op->now};

	(void)rep;
	return store_write(op->env->store, remove_node, &w, &op->err);
}

/* The nodes that a command is for, as SendCommand names them: found once, when it is sent. */
#ifndef HAWSER_SERVICES_COMMANDS_TARGETS_H
#define HAWSER_SERVICES_COMMANDS_TARGETS_H

#include "proto/schema/schema.h"
#include "relay/core/dispatcher.h"

struct op;

struct targets {
	struct dispatch_target *v; /* by node */
	size_t n, room, denied;
	size_t hidden; /* that were found, and are none: the caller may not see them */
	bool fits;     /* the document is for the nodes' platform */
};

/* By InstanceIds or by Targets. `fits`: the document is for the nodes' platform; else HW_EPLATFORM
 * for InstanceIds, and those that Targets find are unfit. HW_ENODE for an id that no node has,
 * HW_EDUPLICATEID, HW_EVALIDATION, HW_ELIMIT. Nodes that the caller may not send to are among those
 * that Targets find, as denied ones, unless they are hidden from it (node_search.h). */
int targets_find(struct targets *ret, struct op *op, const struct msg_send_command_request *req,
	bool fits);
void targets_fini(struct targets *t);

#endif

#include "relay/core/local.h"

/* What the local door opens beside its own rows (DOOR_LOCAL). Every other operation, and any that
 * is yet to come, is refused there: a row here is a way around each policy that there is. */
static const enum op_id opened[] = {
	/* look */
	OP_describe_instance_information,
	OP_describe_sessions,
	OP_describe_activations,
	OP_list_users,
	OP_get_user,
	OP_list_groups,
	OP_get_group,
	OP_list_policies,
	OP_get_policy,
	OP_list_access_keys,
	/* take away; UpdateUser and UpdateAccessKey also give back */
	OP_terminate_session,
	OP_update_user,
	OP_delete_user,
	OP_remove_user_from_group,
	OP_update_access_key,
	OP_delete_access_key,
	OP_detach_policy,
	OP_deregister_managed_instance,
	OP_delete_activation,
	/* let an administrator in */
	OP_create_user,
	OP_create_invite,
	OP_attach_policy,
};

bool
local_opens(enum op_id id)
{
	if (op_rows[id].door == DOOR_LOCAL)
		return true;
	for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++)
		if (opened[i] == id)
			return true;
	return false;
}

#include "relay/core/door.h"

void
door_decide(struct door_decision *ret, int role, enum op_door door)
{
	bool node = role == ROLE_NODE, user = role == ROLE_USER;

	switch (door) {
	case DOOR_ANON:
		*ret = (struct door_decision){true, "open to whoever has a valid token"};
		return;
	case DOOR_SELF:
		*ret = (struct door_decision){node || user, "concerns the caller alone"};
		return;
	case DOOR_NODE:
		*ret = (struct door_decision){
			node, node ? "nodes report about themselves" : "only a node may do this"};
		return;
	case DOOR_LOCAL:
		*ret = (struct door_decision){false, "only the relay's own machine may do this"};
		return;
	case DOOR_USER:
		break;
	}
	*ret = (struct door_decision){false, "only a user may do this"};
}

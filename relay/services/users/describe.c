#include "relay/services/users/describe.h"

#include "relay/core/op.h"
#include "relay/services/names.h"
#include "relay/services/text.h"
#include "relay/store/tags.h"

static int
keep_policies(struct msg_strs *ret, struct op *op, struct db *db, enum holder_kind kind,
	const char *name)
{
	struct names names = {.op = op};
	struct attachment_row row;
	struct query q;

	int r = attachment_list(&q, db, NULL, kind, name, &op->err);
	while (r == 0 && (r = attachment_next(&q, &row, &op->err)) > 0)
		r = names_add(&names, row.policy);
	query_end(&q);
	return r < 0 ? r : names_keep(ret, &names);
}

/* The other side of each membership of the user, or of the group. */
static int
keep_members(struct msg_strs *ret, struct op *op, struct db *db, const char *group,
	const char *user)
{
	struct names names = {.op = op};
	struct member_row row;
	struct query q;

	int r = member_list(&q, db, group, user, &op->err);
	while (r == 0 && (r = member_next(&q, &row, &op->err)) > 0)
		r = names_add(&names, group != NULL ? row.user : row.group);
	query_end(&q);
	return r < 0 ? r : names_keep(ret, &names);
}

int
describe_user_head(struct msg_user *ret, struct op *op, struct db *db, const struct user_row *row)
{
	int r;

	*ret = (struct msg_user){
		.type = row->type,
		.status = row->disabled	       ? USER_STATUS_DISABLED
			: row->last_login != 0 ? USER_STATUS_ACTIVE
					       : USER_STATUS_INVITED,
		.created = row->created,
		.last_login = row->last_login,
		.last_used = row->last_used,
	};
	if ((r = text_keep(&ret->user_name, op, row->name)) < 0)
		return r;
	if ((ret->arn = arn_user(op, row->name)) == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a user");
	return tag_list(db, op->arena, TAGS_USER, row->name, &ret->tags.v, &ret->tags.n, &op->err);
}

int
describe_user_grants(struct msg_user *ret, struct op *op, struct db *db)
{
	int r = keep_members(&ret->groups, op, db, NULL, ret->user_name);

	return r < 0 ? r : keep_policies(&ret->policies, op, db, HOLDER_USER, ret->user_name);
}

int
describe_user(struct msg_user *ret, struct op *op, struct db *db, const struct user_row *row)
{
	int r = describe_user_head(ret, op, db, row);

	return r < 0 ? r : describe_user_grants(ret, op, db);
}

int
describe_group(struct msg_group *ret, struct op *op, struct db *db, const struct group_row *row)
{
	int r;

	*ret = (struct msg_group){.created = row->created};
	if ((r = text_keep(&ret->group_name, op, row->name)) < 0)
		return r;
	if ((ret->arn = arn_group(op, row->name)) == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a group");
	if ((r = keep_members(&ret->users, op, db, row->name, NULL)) < 0)
		return r;
	return keep_policies(&ret->policies, op, db, HOLDER_GROUP, row->name);
}

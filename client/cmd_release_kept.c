/* hawser release put, ls, rm: those that the relay keeps for its nodes. */
#include "client/client.h"
#include "client/commands.h"
#include "client/release_store.h"

/* --- put -------------------------------------------------------------------------------------- */

static int
run_put(struct client *c, const struct input *in, struct hw_err *err)
{
	char id[RELEASE_ID_LEN + 1];
	struct release release;
	int r;

	if ((r = release_check(&release, in->operands[0], err)) < 0 ||
		(r = release_put(id, c, in->operands[0], err)) < 0)
		return r;
	client_say(c, "the relay has %s for %s, as %s", release.version, release.architecture, id);
	return 0;
}

const struct command cmd_release_put = {
	.name = "release put",
	.operands = "FILE",
	.summary = "Give the relay a release, for its nodes to fetch.",
	.about = "  It keeps 16, and judges none: nodes go by their own keys. What was sent of\n"
		 "  a file before is not sent again. node upgrade --release does this by itself.",
	.examples = {"hawser release put 0.2.0.release", "hawser release put x86.release"},
	.min = 1,
	.max = 1,
	.run = run_put,
};

/* --- ls --------------------------------------------------------------------------------------- */

static const char *
cell_version(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_agent_release *)item)->version;
}

static const char *
cell_architecture(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_agent_release *)item)->architecture;
}

static const char *
cell_follows(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_agent_release *)item)->follows;
}

static const char *
cell_size(struct client *c, const void *item)
{
	return output_int(c, ((const struct msg_agent_release *)item)->size);
}

static const char *
cell_made(struct client *c, const void *item)
{
	return output_age(c, ((const struct msg_agent_release *)item)->made);
}

static const char *
cell_key(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_agent_release *)item)->key;
}

static const char *
cell_id(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_agent_release *)item)->release;
}

static const char *
release_name(const void *item)
{
	return ((const struct msg_agent_release *)item)->release;
}

static const struct column columns[] = {
	{"VERSION",		    .cell = cell_version},
	{"ARCHITECTURE",			  .cell = cell_architecture},
	{"FOLLOWS",.cell = cell_follows},
	{"BYTES",		  .cell = cell_size},
	{"MADE",			  .cell = cell_made},
	{"KEY",.cell = cell_key, .wide = true},
	{"RELEASE",		     .cell = cell_id},
	{0			 },
};

static const struct listing listing = {
	.reply = msg_row_list_agent_releases_reply,
	.item = msg_row_agent_release,
	.columns = columns,
	.name = release_name,
};

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	const struct msg_list_agent_releases_reply *all;
	const struct msg_empty req = {0};
	int r;

	(void)in;
	if ((r = client_connect(c, err)) < 0 ||
		(r = client_call(&all, c, OP_list_agent_releases, &req, err)) < 0)
		return r;
	return output_list(c, &listing, all, all->releases.v, all->releases.n, err);
}

const struct command cmd_release_ls = {
	.name = "release ls",
	.operands = "",
	.summary = "List the releases that the relay keeps.",
	.examples = {"hawser release ls", "hawser release ls -o wide"},
	.shows = true,
	.alone = true,
	.run = run_ls,
};

/* --- rm --------------------------------------------------------------------------------------- */

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_delete_agent_release_request req;
	int r;

	if ((r = client_connect(c, err)) < 0)
		return r;
	return client_call_each(c, OP_delete_agent_release, &req, &req.release, in->operands, in->n,
		err);
}

const struct command cmd_release_rm = {
	.name = "release rm",
	.operands = "RELEASE...",
	.summary = "Remove releases from the relay; nodes that run them go on.",
	.examples = {"hawser release rm $(hawser release ls -o name | tail -1)",
		     "hawser release ls -o name | xargs hawser release rm"},
	.min = 1,
	.max = -1,
	.run = run_rm,
};

#include "client/commands.h"

#include <string.h>

#include "proto/base/display.h"

const struct command *const command_table[] = {
	&cmd_login,
	&cmd_logout,
	&cmd_status,
	&cmd_version,
	&cmd_doctor,
	&cmd_ls,
	&cmd_node_show,
	&cmd_node_tag,
	&cmd_node_untag,
	&cmd_node_rm,
	&cmd_node_upgrade,
	&cmd_release_keygen,
	&cmd_release_sign,
	&cmd_release_show,
	&cmd_release_put,
	&cmd_release_ls,
	&cmd_release_rm,
	&cmd_selector_put,
	&cmd_selector_ls,
	&cmd_selector_show,
	&cmd_selector_rm,
	&cmd_activation_create,
	&cmd_activation_ls,
	&cmd_activation_rm,
	&cmd_user_add,
	&cmd_user_ls,
	&cmd_user_show,
	&cmd_user_rm,
	&cmd_user_invite,
	&cmd_user_disable,
	&cmd_user_enable,
	&cmd_user_tag,
	&cmd_user_untag,
	&cmd_group_create,
	&cmd_group_ls,
	&cmd_group_show,
	&cmd_group_rm,
	&cmd_group_add,
	&cmd_group_remove,
	&cmd_key_create,
	&cmd_key_ls,
	&cmd_key_rm,
	&cmd_key_disable,
	&cmd_key_enable,
	&cmd_policy_put,
	&cmd_policy_show,
	&cmd_policy_ls,
	&cmd_policy_rm,
	&cmd_policy_attach,
	&cmd_policy_detach,
	&cmd_policy_test,
	&cmd_policy_who_can,
	&cmd_document_put,
	&cmd_document_get,
	&cmd_document_ls,
	&cmd_document_rm,
	&cmd_document_versions,
	&cmd_shell,
	&cmd_exec,
	&cmd_attach,
	&cmd_forward,
	&cmd_forwards_ls,
	&cmd_forwards_kill,
	&cmd_run,
	&cmd_runs_ls,
	&cmd_runs_show,
	&cmd_runs_output,
	&cmd_runs_cancel,
	&cmd_runs_retry,
	&cmd_sessions_ls,
	&cmd_sessions_show,
	&cmd_sessions_kill,
	&cmd_sessions_watch,
	&cmd_replay,
	&cmd_audit_ls,
	&cmd_audit_show,
	&cmd_audit_tail,
	&cmd_audit_grep,
	&cmd_audit_export,
	&cmd_audit_hold,
	&cmd_audit_holds,
	&cmd_audit_lift,
	&cmd_audit_keygen,
	&cmd_audit_unseal,
	&cmd_audit_verify,
	&cmd_api,
	&cmd_completion_bash,
	&cmd_completion_zsh,
	&cmd_completion_fish,
	&cmd_completion_words,
	NULL,
};

/* Whether `name` is "group", or "group something". */
static bool
is_of_group(const char *name, const char *group, size_t n)
{
	return strncmp(name, group, n) == 0 && name[n] == ' ';
}

bool
command_is_group(const char *word)
{
	for (size_t i = 0; command_table[i] != NULL; i++) {
		if (is_of_group(command_table[i]->name, word, strlen(word)))
			return true;
	}
	return false;
}

const struct command *
command_find(int *used, int argc, char **argv)
{
	size_t n = argc > 0 ? strlen(argv[0]) : 0;
	const struct command *alone = NULL;

	for (size_t i = 0; argc > 0 && command_table[i] != NULL; i++) {
		const struct command *command = command_table[i];

		*used = 1;
		if (strcmp(command->name, argv[0]) == 0)
			return command;
		if (!is_of_group(command->name, argv[0], n))
			continue;
		if (argc > 1 && strcmp(command->name + n + 1, argv[1]) == 0) {
			*used = 2;
			return command;
		}
		if (command->alone)
			alone = command;
	}
	/* `sessions -o json` is `sessions ls -o json`; `sessions lss` is a mistake. */
	return argc == 1 || (argc > 1 && argv[1][0] == '-') ? alone : NULL;
}

void
commands_help_group(struct buf *out, const char *group)
{
	buf_printf(out, "usage: hawser %s COMMAND [OPTION...]\n\n", group);
	for (size_t i = 0; command_table[i] != NULL; i++) {
		const struct command *command = command_table[i];
		if (!is_of_group(command->name, group, strlen(group)))
			continue;
		buf_printf(out, "  %-20s ", command->name);
		display_wrap(out, command->summary, 23, USAGE_WIDTH);
	}
	buf_printf(out, "\n`hawser %s COMMAND --help` says more.\n", group);
}

/* The whole house on one screen, by what people want to do. */
void
commands_help(struct buf *out)
{
	buf_append_str(out,
		"usage: hawser [--home DIR] COMMAND [OPTION...]\n\n"
		"  login URL INVITE          log in with an invite; logout, status, version\n"
		"  ls [SELECTOR...]          the nodes: names, globs, tag:Env=prod; selector put\n"
		"  shell [USER@]NODE         a recorded shell; attach [SESSION] comes back to it\n"
		"  exec [USER@]NODE -- CMD   a command: clean streams, its exit status\n"
		"  forward NODE -L SPEC      what a node reaches, on ports here; forwards ls\n"
		"  run --target SEL -- CMD   a command on many nodes; runs show|output|retry\n"
		"  sessions ls|watch|kill    who did what, and does now; sessions show\n"
		"  replay SESSION            play a recording; audit ls|show|tail|grep|export\n"
		"  node|activation COMMAND   one node, its tags; join tokens; release sign|show\n"
		"  user|group|key COMMAND    who may log in, their groups and access keys\n"
		"  policy put|attach|test    who may do what; document put|get|ls: what is run\n"
		"  api OPERATION             any operation, as JSON; completion bash|zsh|fish\n"
		"\n"
		"options of every command:\n"
		"  --home DIR                keys and config (HAWSER_HOME, ~/.config/hawser)\n"
		"  --timeout TIME            how long to wait for the relay's answer (30s)\n"
		"  --no-color, --proxy URL   no colours; an HTTP proxy, or none (HTTPS_PROXY)\n"
		"  -h, --help                options and examples of the command\n\n"
		"examples:\n"
		"  hawser shell web-01\n"
		"  hawser exec web-01 -- uname -r\n");
}

/* The table of all commands. */
#ifndef HAWSER_CLIENT_COMMANDS_H
#define HAWSER_CLIENT_COMMANDS_H

#include "client/command.h"

extern const struct command cmd_login, cmd_logout, cmd_status, cmd_version, cmd_doctor;
extern const struct command cmd_completion_bash, cmd_completion_zsh, cmd_completion_fish;
extern const struct command cmd_completion_words;
extern const struct command cmd_ls, cmd_node_show, cmd_node_tag, cmd_node_untag, cmd_node_rm;
extern const struct command cmd_release_keygen, cmd_release_sign, cmd_release_show;
extern const struct command cmd_release_put, cmd_release_ls, cmd_release_rm, cmd_node_upgrade;
extern const struct command cmd_activation_create, cmd_activation_ls, cmd_activation_rm;
extern const struct command cmd_user_add, cmd_user_ls, cmd_user_show, cmd_user_rm, cmd_user_invite;
extern const struct command cmd_user_disable, cmd_user_enable, cmd_user_tag, cmd_user_untag;
extern const struct command cmd_selector_put, cmd_selector_ls, cmd_selector_show, cmd_selector_rm;
extern const struct command cmd_group_create, cmd_group_ls, cmd_group_show, cmd_group_rm;
extern const struct command cmd_group_add, cmd_group_remove;
extern const struct command cmd_key_create, cmd_key_ls, cmd_key_rm, cmd_key_disable, cmd_key_enable;
extern const struct command cmd_policy_put, cmd_policy_show, cmd_policy_ls, cmd_policy_rm;
extern const struct command cmd_policy_attach, cmd_policy_detach, cmd_policy_test;
extern const struct command cmd_policy_who_can;
extern const struct command cmd_document_put, cmd_document_get, cmd_document_ls;
extern const struct command cmd_document_rm, cmd_document_versions;
extern const struct command cmd_shell, cmd_exec, cmd_attach, cmd_forward;
extern const struct command cmd_forwards_ls, cmd_forwards_kill;
extern const struct command cmd_sessions_ls, cmd_sessions_show, cmd_sessions_kill;
extern const struct command cmd_sessions_watch;
extern const struct command cmd_run, cmd_runs_ls, cmd_runs_show, cmd_runs_output;
extern const struct command cmd_runs_cancel, cmd_runs_retry;
extern const struct command cmd_audit_ls, cmd_audit_show, cmd_audit_tail, cmd_audit_grep;
extern const struct command cmd_audit_hold, cmd_audit_holds, cmd_audit_lift;
extern const struct command cmd_audit_keygen, cmd_audit_unseal;
extern const struct command cmd_replay, cmd_audit_export, cmd_audit_verify, cmd_api;

/* In the order in which help shows them; NULL ends. */
extern const struct command *const command_table[];

/* The command of argv[0..]: its name, and how many words that took. Of a group without its second
 * word the one that stands for it. NULL when there is none. */
const struct command *command_find(int *used, int argc, char **argv);
/* Whether some command's name begins with this word. */
bool command_is_group(const char *word);

void commands_help(struct buf *out);			      /* all of them */
void commands_help_group(struct buf *out, const char *group); /* those of one group */

#endif

/* hawser completion: what a shell needs to complete our command lines. */
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/complete.h"
#include "client/names.h"

/* A word ends at blanks, here as in our own parser: bash ends it at : = and @ too, and puts what is
 * completed in the place of $2 alone, which ends at the cursor. */
static const char bash_script[] =
	"# Completion of hawser for bash: eval \"$(hawser completion bash)\"\n"
	"_hawser() {\n"
	"\tlocal line=${COMP_LINE:0:COMP_POINT} word= how= about= kept\n"
	"\tlocal -a words=()\n"
	"\tIFS=$' \\t\\n' read -ra words <<< \"$line\"\n"
	"\t[[ $line == *[[:blank:]] ]] && words+=(\"\")\n"
	"\tkept=${words[${#words[@]} - 1]%\"$2\"}\n"
	"\tCOMPREPLY=()\n"
	"\twhile IFS=$'\\t' read -r word about; do\n"
	"\t\tif [[ -z $how ]]; then how=$word; else COMPREPLY+=(\"${word#\"$kept\"}\"); fi\n"
	"\tdone < <(command \"${COMP_WORDS[0]}\" completion words -- \"${words[@]:1}\" 2> /dev/null)\n"
	"\tcase $how in\n"
	"\tfiles) compopt -o default ;;\n"
	"\tfolders) compopt -o dirnames ;;\n"
	"\tesac\n"
	"}\n"
	"complete -F _hawser hawser\n";

static const char zsh_script[] =
	"#compdef hawser\n"
	"# Completion of hawser for zsh: eval \"$(hawser completion zsh)\", after compinit\n"
	"_hawser() {\n"
	"\tlocal how line\n"
	"\tlocal -a found shown\n"
	"\twhile IFS= read -r line; do\n"
	"\t\tif [[ -z $how ]]; then how=$line; continue; fi\n"
	"\t\tfound+=(\"${line%%$'\\t'*}\")\n"
	"\t\tshown+=(\"${line/$'\\t'/  -- }\")\n"
	"\tdone < <(command ${words[1]} completion words -- \"${(@)words[2,CURRENT]}\" 2> /dev/null)\n"
	"\t[[ $how != words && $PREFIX == --*=* ]] && compset -P 1 '*='\n"
	"\tcase $how in\n"
	"\tfiles) _files ;;\n"
	"\tfolders) _files -/ ;;\n"
	"\t*) compadd -l -d shown -a found ;;\n"
	"\tesac\n"
	"}\n"
	"if [[ $funcstack[1] == _hawser ]]; then _hawser \"$@\"; else compdef _hawser hawser; fi\n";

static const char fish_script[] =
	"# Completion of hawser for fish: hawser completion fish | source\n"
	"function __hawser_words\n"
	"\tset -l found (command hawser completion words -- (commandline -opc)[2..-1] "
	"(commandline -ct) 2> /dev/null)\n"
	"\tset -l kept (string replace -r -- '^(--[^=]*=)?.*' '$1' (commandline -ct))\n"
	"\tset -l path (string replace -r -- '^--[^=]*=' '' (commandline -ct))\n"
	"\tswitch \"$found[1]\"\n"
	"\t\tcase files\n"
	"\t\t\tfor each in (__fish_complete_path $path); printf '%s\\n' $kept$each; end\n"
	"\t\tcase folders\n"
	"\t\t\tfor each in (__fish_complete_directories $path); printf '%s\\n' $kept$each; end\n"
	"\t\tcase '*'\n"
	"\t\t\tprintf '%s\\n' $found[2..-1]\n"
	"\tend\n"
	"end\n"
	"complete -c hawser -f -a '(__hawser_words)'\n";

static int
run_bash(struct client *c, const struct input *in, struct hw_err *err)
{
	(void)c;
	(void)in;
	(void)err;
	return fputs(bash_script, stdout) < 0;
}

static int
run_zsh(struct client *c, const struct input *in, struct hw_err *err)
{
	(void)c;
	(void)in;
	(void)err;
	return fputs(zsh_script, stdout) < 0;
}

static int
run_fish(struct client *c, const struct input *in, struct hw_err *err)
{
	(void)c;
	(void)in;
	(void)err;
	return fputs(fish_script, stdout) < 0;
}

/* The home and the proxy may be named by the line that is being typed. */
static const char *
typed(const struct input *in, const char *option)
{
	size_t len = strlen(option);

	for (size_t i = 0; i + 1 < in->n_words; i++) {
		if (strncmp(in->words[i], option, len) != 0)
			continue;
		if (in->words[i][len] == '=')
			return in->words[i] + len + 1;
		if (in->words[i][len] == '\0' && i + 2 < in->n_words)
			return in->words[i + 1];
	}
	return NULL;
}

/* Whoever is not logged in has no names to complete, and is told nothing in the middle of a line.
 */
static int
run_words(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *home = typed(in, "--home"), *proxy = typed(in, "--proxy");
	struct completion found;
	struct buf names, out;
	int r = 0;

	buf_init(&names, NAMES_MAX);
	buf_init(&out, NAMES_MAX);
	complete_find(&found, in->n_words, (char **)(void *)in->words);
	if (found.what == COMPLETE_NAMES &&
		home_find(&c->home, home != NULL ? home : c->home_dir, err) == 0)
		names_read(&names, &c->home, proxy != NULL ? proxy : c->proxy, found.names);
	complete_print(&out, &found, buf_str(&names));
	if (fwrite(buf_data(&out), 1, out.len, stdout) != out.len)
		r = 1;
	buf_fini(&out);
	buf_fini(&names);
	return r;
}

const struct command cmd_completion_bash = {
	.name = "completion bash",
	.operands = "",
	.summary = "Print what bash needs to complete hawser's words.",
	.about = "  Names of nodes, sessions, users, documents and the like are those of up to\n"
		 "  half a minute ago: nothing that is typed waits for the relay.",
	.examples = {"eval \"$(hawser completion bash)\"",
		     "hawser completion bash > ~/.local/share/bash-completion/completions/hawser"},
	.run = run_bash,
};

const struct command cmd_completion_zsh = {
	.name = "completion zsh",
	.operands = "",
	.summary = "The same for zsh.",
	.examples = {"eval \"$(hawser completion zsh)\"",
		     "hawser completion zsh > \"${fpath[1]}/_hawser\""},
	.run = run_zsh,
};

const struct command cmd_completion_fish = {
	.name = "completion fish",
	.operands = "",
	.summary = "The same for fish.",
	.examples = {"hawser completion fish | source",
		     "hawser completion fish > ~/.config/fish/completions/hawser.fish"},
	.run = run_fish,
};

const struct command cmd_completion_words = {
	.name = "completion words",
	.operands = "-- WORD...",
	.summary = "What could stand where the last of these words is: the scripts ask this.",
	.about = "  The first line says how: words, files or folders. Then a line for each\n"
		 "  word, and after a tab what it is.",
	.examples = {"hawser completion words -- shell we", "hawser completion words -- run --ta"},
	.words = true,
	.run = run_words,
};

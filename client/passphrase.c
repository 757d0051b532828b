#include "client/passphrase.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/terminal.h"

/* Not by stdio, whose buffer would keep it. */
static int
read_line(char out[PASSPHRASE_MAX], struct hw_err *err)
{
	size_t n = 0;

	for (;;) {
		ssize_t got = read(STDIN_FILENO, out + n, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return hw_err_sys(err, "cannot read the passphrase");
		if (got == 0 && n == 0) /* ^D is no word for an empty one */
			return hw_err_set(err, HW_EUSAGE,
				"the input ended before a passphrase was typed");
		if (got == 0 || out[n] == '\n')
			break;
		if (++n == PASSPHRASE_MAX)
			return hw_err_set(err, HW_EUSAGE,
				"that passphrase is too long: %d bytes at most",
				PASSPHRASE_MAX - 1);
	}
	out[n] = '\0';
	return 0;
}

int
passphrase_ask(char out[PASSPHRASE_MAX], const char *prompt, struct hw_err *err)
{
	struct terminal *t = NULL;
	int r;

	if (!isatty(STDIN_FILENO))
		return hw_err_set(err, HW_EUSAGE,
			"a passphrase is asked for at a terminal, and stdin is none");
	if ((r = terminal_open(&t, STDIN_FILENO, TERMINAL_SECRET, err)) < 0)
		return r;
	terminal_enter(t);
	fputs(prompt, stderr);
	r = read_line(out, err);
	terminal_close(t);
	fputc('\n', stderr);
	if (r < 0)
		OPENSSL_cleanse(out, PASSPHRASE_MAX);
	return r;
}

int
passphrase_of(char out[PASSPHRASE_MAX], const char *path, struct hw_err *err)
{
	char prompt[512];

	snprintf(prompt, sizeof(prompt), "Passphrase of %.400s: ", path);
	return passphrase_ask(out, prompt, err);
}

int
passphrase_choose(char out[PASSPHRASE_MAX], struct hw_err *err)
{
	char again[PASSPHRASE_MAX];
	bool same = false;
	int r = 0;

	while (r == 0 && !same) {
		if ((r = passphrase_ask(out, "Passphrase for the key (empty for none): ", err)) ==
			0)
			r = passphrase_ask(again, "The same once more: ", err);
		same = r == 0 && strcmp(out, again) == 0;
		if (r == 0 && !same)
			fputs("They differ; again.\n", stderr);
	}
	OPENSSL_cleanse(again, sizeof(again));
	if (r < 0)
		OPENSSL_cleanse(out, PASSPHRASE_MAX);
	return r;
}

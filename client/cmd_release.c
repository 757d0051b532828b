/* hawser release keygen, sign, show: what nodes are upgraded with. Needs no relay. */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/passphrase.h"
#include "client/release_store.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "proto/trust/cert.h"
#include "proto/trust/log_head.h"
#include "proto/trust/release.h"

#define COPY_BYTES 65536

static const char default_key[] = "release.key";

/* --- keygen ----------------------------------------------------------------------------------- */

static int
show_public(struct client *c, const uint8_t key[RELEASE_KEY_LEN], struct hw_err *err)
{
	char text[BASE64_LEN(RELEASE_KEY_LEN) + 1];

	base64_encode(text, key, RELEASE_KEY_LEN);
	const char *line = arena_printf(c->arena, "key %s\n", text);
	return line != NULL ? output_bytes(line, strlen(line), err)
			    : hw_err_set(err, HW_ENOMEM, "out of memory");
}

static int
make(struct client *c, const char *path, const char *passphrase, struct hw_err *err)
{
	uint8_t public[RELEASE_KEY_LEN];
	EVP_PKEY *key = NULL;
	int r;

	if ((r = key_generate_signing(&key, err)) == 0 &&
		(r = log_key_public(public, key, err)) == 0 &&
		(r = key_create(key, path, passphrase, err)) == 0) {
		client_say(c,
			"the private key is in %s: keep it off the relay, and a copy of it; who has "
			"it can replace the agent on every node that trusts it",
			path);
		client_say(c, "nodes trust it by the line below in their /etc/hawser/node.release");
		r = show_public(c, public, err);
	}
	key_free(key);
	return r;
}

static int
run_keygen(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *path = input_has(in, "key") ? input_text(in, "key") : default_key;
	char passphrase[PASSPHRASE_MAX] = "";
	int r = 0;

	if (access(path, F_OK) == 0)
		return hw_err_set(err, HW_EEXISTS,
			"%s exists already and is not replaced: --key names another file", path);
	if (isatty(STDIN_FILENO) && !input_has(in, "no-passphrase"))
		r = passphrase_choose(passphrase, err);
	if (r == 0)
		r = make(c, path, passphrase, err);
	OPENSSL_cleanse(passphrase, sizeof(passphrase));
	return r;
}

static const struct option_row keygen_options[] = {
	{"key",	'k', "FILE", "the private key's file (release.key)"},
	{"no-passphrase", 0, NULL, "don't ask for one; nor is it without a terminal"},
	{0	  },
};

const struct command cmd_release_keygen = {
	.name = "release keygen",
	.operands = "",
	.summary = "Make a key that signs releases of the node's programs.",
	.about =
		"  The private half stays in FILE, 0600, behind a passphrase that is asked for\n"
		"  at a terminal. The public one, a line on stdout, goes into\n"
		"  /etc/hawser/node.release on the nodes. A node without such a line is not\n"
		"  upgraded by anybody. Needs no relay.",
	.examples = {"hawser release keygen > node.release",
		     "hawser release keygen --key 2027.key >> node.release"},
	.options = keygen_options,
	.run = run_keygen,
};

/* --- sign ------------------------------------------------------------------------------------- */

/* What ELF says of the machine that a program is for; NULL: it says nothing that is known here. */
static const char *
architecture_of(int fd)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} rows[] = {
		{62,  "x86_64" },
		{183, "aarch64"},
		{243, "riscv64"},
	};
	uint8_t p[20];

	if (pread(fd, p, sizeof(p), 0) != (ssize_t)sizeof(p) || memcmp(p, "\177ELF", 4) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (p[18] + 256 * p[19] == rows[i].machine)
			return rows[i].name;
	return NULL;
}

/* All of a file, into a hash or to another one. */
static int
pump(int from, const char *path, EVP_MD_CTX *hash, int to, uint64_t *size, struct hw_err *err)
{
	static uint8_t chunk[COPY_BYTES];
	ssize_t n;
	int r = 0;

	*size = 0;
	while (r == 0 && (n = read(from, chunk, sizeof(chunk))) != 0) {
		if (n < 0)
			return hw_err_sys(err, "cannot read %s", path);
		*size += (uint64_t)n;
		if (hash != NULL && EVP_DigestUpdate(hash, chunk, (size_t)n) <= 0)
			r = hw_err_set(err, HW_EINTERNAL, "cannot hash %s", path);
		if (to >= 0 && r == 0)
			r = fd_write_all(to, chunk, (size_t)n, err);
	}
	return r;
}

/* A program's row, and whose machine it is for while that is not said. */
static int
measure(struct release *r, const char *path, struct hw_err *err)
{
	struct release_file *f = &r->files[r->n_files];
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	int fd = -1, e = file_open(&fd, path, err);

	if (e == 0 && strlen(name) >= sizeof(f->name))
		e = hw_err_set(err, HW_EVALIDATION, "the name %s is too long", name);
	if (e == 0 && (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) <= 0))
		e = hw_err_set(err, HW_ENOMEM, "out of memory");
	if (e == 0 && (e = pump(fd, path, hash, -1, &f->size, err)) == 0) {
		const char *arch = architecture_of(fd);
		strcpy(f->name, name);
		EVP_DigestFinal_ex(hash, f->hash, NULL);
		if (arch != NULL && r->architecture[0] == '\0')
			strcpy(r->architecture, arch);
		r->n_files++;
	}
	EVP_MD_CTX_free(hash);
	fd_close(fd);
	return e;
}

static int
describe(struct release *r, const struct input *in, struct hw_err *err)
{
	const char *arch = input_text(in, "arch"), *version = input_text(in, "release-version");
	const char *follows = input_text(in, "follows");
	int e = 0;

	*r = (struct release){.made = clock_wall(&hw_clock_system)};
	snprintf(r->version, sizeof(r->version), "%s", version != NULL ? version : HAWSER_VERSION);
	snprintf(r->follows, sizeof(r->follows), "%s", follows != NULL ? follows : "0.0.0");
	snprintf(r->architecture, sizeof(r->architecture), "%s", arch != NULL ? arch : "");
	if (in->n > RELEASE_FILES_MAX)
		return hw_err_set(err, HW_EUSAGE, "a release has at most %d files",
			RELEASE_FILES_MAX);
	for (size_t i = 0; e == 0 && i < in->n; i++)
		e = measure(r, in->operands[i], err);
	if (e == 0 && r->architecture[0] == '\0')
		e = hw_err_set(err, HW_EUSAGE,
			"none of the files says for which machines it is: --arch does, as uname -m "
			"has it");
	return e;
}

/* A program that changed since it was hashed would make a release that no node takes. */
static int
append_files(const struct release *r, const struct input *in, int to, struct hw_err *err)
{
	uint64_t size;
	int e = 0;

	for (size_t i = 0; e == 0 && i < in->n; i++) {
		int fd = -1;
		if ((e = file_open(&fd, in->operands[i], err)) < 0)
			return e;
		e = pump(fd, in->operands[i], NULL, to, &size, err);
		if (e == 0 && size != r->files[i].size)
			e = hw_err_set(err, HW_ECORRUPT,
				"%s changed while it was read: sign it again", in->operands[i]);
		fd_close(fd);
	}
	return e;
}

static int
write_release(const struct release *r, const struct input *in, const struct buf *head,
	struct hw_err *err)
{
	const char *path = input_text(in, "out");
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), e;

	if (fd < 0)
		return hw_err_sys(err, "cannot make %s", path);
	if ((e = fd_write_all(fd, buf_data(head), head->len, err)) == 0)
		e = append_files(r, in, fd, err);
	if (e == 0 && fsync(fd) < 0)
		e = hw_err_sys(err, "cannot write %s", path);
	if (e < 0)
		unlink(path);
	fd_close(fd);
	return e;
}

static int
ask(void *arg, char *out, size_t room, const char *name, struct hw_err *err)
{
	char passphrase[PASSPHRASE_MAX];
	int r = passphrase_of(passphrase, name, err);

	(void)arg;
	if (r == 0 && (size_t)snprintf(out, room, "%s", passphrase) >= room)
		r = hw_err_set(err, HW_EUSAGE, "that passphrase is too long");
	OPENSSL_cleanse(passphrase, sizeof(passphrase));
	return r;
}

static int
run_sign(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *path = input_has(in, "key") ? input_text(in, "key") : default_key;
	EVP_PKEY *key = NULL;
	struct release r;
	struct buf head;
	int e;

	if (!input_has(in, "out"))
		return hw_err_set(err, HW_EUSAGE, "--out says where the release goes");
	buf_init(&head, RELEASE_HEAD_MAX);
	if ((e = key_unlock(&key, AT_FDCWD, path, ask, NULL, err)) == 0 &&
		(e = describe(&r, in, err)) == 0 && (e = release_sign(&head, &r, key, err)) == 0 &&
		(e = write_release(&r, in, &head, err)) == 0)
		client_say(c, "%s is release %s for %s, of %zu files", input_text(in, "out"),
			r.version, r.architecture, r.n_files);
	buf_fini(&head);
	key_free(key);
	return e;
}

static const struct option_row sign_options[] = {
	{"key",					    'k', "FILE", "the private key (release.key)"},
	{"out",					  0, "FILE", "where the release goes; never replaces a file"},
	{"release-version",						0, "VERSION", "of the programs (this client's)"},
	{"arch",	 0, "NAME", "machines it is for, of uname -m (the programs')"},
	{"follows", 0, "VERSION", "the oldest version that it may replace (any)"},
	{0			       },
};

const struct command cmd_release_sign = {
	.name = "release sign",
	.operands = "PROGRAM...",
	.summary = "Make a release of a node's programs, signed.",
	.about = "  The programs are hawser-node, hawser-node-monitor, hawser-node-fetch,\n"
		 "  hawser-node-pam and hawser-node-upgrade, of one build. Needs no relay.",
	.examples = {"hawser release sign --out 0.2.0.release build/hawser-node*",
		     "hawser release sign --key 2027.key --follows 0.1.0 --out new.release bin/*"},
	.options = sign_options,
	.min = 1,
	.max = -1,
	.run = run_sign,
};

/* --- show ------------------------------------------------------------------------------------- */

static int
show(struct client *c, const struct release *r, struct hw_err *err)
{
	char key[BASE64_LEN(RELEASE_KEY_LEN) + 1];
	struct buf text;
	int e;

	base64_encode(key, r->key, RELEASE_KEY_LEN);
	buf_init(&text, 16384);
	buf_printf(&text,
		"version       %s\narchitecture  %s\nfollows       %s\nmade          %s\n"
		"key           %s\nbytes         %llu\n",
		r->version, r->architecture, r->follows, output_time(c, r->made), key,
		(unsigned long long)r->size);
	for (size_t i = 0; i < r->n_files; i++)
		buf_printf(&text, "file          %s, %llu bytes\n", r->files[i].name,
			(unsigned long long)r->files[i].size);
	e = text.failed ? hw_err_set(err, HW_ENOMEM, "out of memory")
			: output_bytes(buf_data(&text), text.len, err);
	buf_fini(&text);
	return e;
}

static int
run_show(struct client *c, const struct input *in, struct hw_err *err)
{
	struct release r;
	int e = release_check(&r, in->operands[0], err);

	return e == 0 ? show(c, &r, err) : e;
}

const struct command cmd_release_show = {
	.name = "release show",
	.operands = "FILE",
	.summary = "Check a release, and show what is in it and whose key signed it.",
	.about = "  Whether that key is one to trust is for who knows it: nodes go by theirs.\n"
		 "  Needs no relay.",
	.examples = {"hawser release show 0.2.0.release",
		     "hawser release show new.release | grep '^key'"},
	.min = 1,
	.max = 1,
	.run = run_show,
};

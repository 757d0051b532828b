#include <ctype.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "node/command.h"
#include "node/config.h"
#include "node/credentials.h"
#include "node/ground.h"
#include "proto/base/file.h"
#include "proto/base/service.h"
#include "proto/wire/enrol.h"

#define TAGS_MAX 50

struct join {
	const char *dir;
	struct relay_url url;
	bool proxied;			/* --proxy was given */
	char proxy[PROXY_TEXT_MAX + 1]; /* what it says; one that is cut is still too long */
	char activation[512];		/* ID, NUL, CODE */
	struct msg_register_managed_instance_request request;
	struct msg_tag tags[TAGS_MAX];
};

/* Copied, and wiped where a process list would show it. */
static int
take_activation(struct join *j, char *text, struct hw_err *err)
{
	char *colon;

	if (strcmp(text, "-") == 0) {
		if (fgets(j->activation, sizeof(j->activation), stdin) == NULL)
			return hw_err_set(err, HW_EUSAGE, "no ID:CODE on stdin");
		j->activation[strcspn(j->activation, "\r\n")] = '\0';
	} else {
		if (strlen(text) >= sizeof(j->activation))
			return hw_err_set(err, HW_EUSAGE, "the activation is too long");
		strcpy(j->activation, text);
		memset(text, '*', strlen(text));
	}
	if ((colon = strchr(j->activation, ':')) == NULL || colon == j->activation ||
		colon[1] == '\0')
		return hw_err_set(err, HW_EUSAGE, "the activation is not of the form ID:CODE");
	*colon = '\0';
	j->request.activation_id = j->activation;
	j->request.activation_code = colon + 1;
	return 0;
}

static int
take_tag(struct join *j, char *text)
{
	char *equals = strchr(text, '=');

	if (equals == NULL || equals == text || j->request.tags.n == TAGS_MAX)
		return -1;
	*equals = '\0';
	j->tags[j->request.tags.n++] = (struct msg_tag){.key = text, .value = equals + 1};
	return 0;
}

/* Copied, and wiped likewise when it holds a password. */
static void
take_proxy(struct join *j, char *text)
{
	j->proxied = true;
	snprintf(j->proxy, sizeof(j->proxy), "%s", text);
	if (strchr(text, '@') != NULL)
		memset(text, '*', strlen(text));
}

static int
take_options(struct join *j, const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir",	required_argument, NULL, 'd'},
		{"name",	 required_argument, NULL, 'n'},
		{"tag",	required_argument, NULL, 't'},
		{"proxy", required_argument, NULL, 'p'},
		{NULL,    0,		  NULL, 0	 },
	};
	struct hw_err err = HW_ERR_INIT;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'd')
			j->dir = optarg;
		else if (o == 'n')
			j->request.name = optarg;
		else if (o == 'p')
			take_proxy(j, optarg);
		else if (o != 't')
			return EXIT_USAGE;
		else if (take_tag(j, optarg) < 0)
			return command_usage(self, "--tag %s: not KEY=VALUE, or more than %d",
				optarg, TAGS_MAX);
	}
	if (argc - optind != 2 || j->dir == NULL)
		return command_usage(self, "join takes URL, ID:CODE and --dir DIR");
	if (relay_url_parse(&j->url, argv[optind], &err) < 0 ||
		take_activation(j, argv[optind + 1], &err) < 0)
		return command_usage(self, "%s", hw_err_text(&err));
	if (j->url.pin[0] == '\0')
		return command_usage(self,
			"the URL lacks #sha256:..., by which the relay is known");
	return EXIT_OK;
}

static int
refuse_second(int dir, const char *path, struct hw_err *err)
{
	struct cert_identity who;
	struct stat st;

	if (credentials_identity(&who, dir, NULL) < 0 && fstatat(dir, ENROL_NODE_KEY, &st, 0) < 0)
		return 0;
	return hw_err_set(err, HW_EEXISTS,
		"%s is a node already: see hawser-node status --dir %s. To join another fleet, stop the "
		"agent, remove %s/" ENROL_NODE_KEY " and %s/" ENROL_NODE_CERT ", and join again",
		path, path, path, path);
}

/* For root only what is root's own: it would become so by being written again. */
static int
read_settings(struct node_config *ret, int dir, struct hw_err *err)
{
	char why[128];
	struct buf old;
	int r;

	if (geteuid() == 0)
		return ground_settings(ret, dir, why, sizeof(why), err);
	buf_init(&old, 65536);
	r = file_read(&old, dir, NODE_CONF, err);
	if (r == 0)
		r = buf_str(&old) != NULL ? node_config_parse(ret, buf_str(&old), err)
					  : hw_err_set(err, HW_ENOMEM, "out of memory");
	buf_fini(&old);
	return r;
}

/* The settings that somebody made before stay. Those that cannot be read are not replaced: they may
 * have named lesser users than the ones that we would write. */
static int
old_settings(struct node_config *ret, const struct join *j, int dir, struct hw_err *err)
{
	int r = read_settings(ret, dir, err);

	if (r == HW_ENOTFOUND) {
		*ret = (struct node_config){.run_as = "hawser", .agent_user = "hawser-node"};
		node_config_pam(ret);
		return 0;
	}
	return r < 0 ? hw_err_prefix(err,
			       "the settings that are there cannot be kept: mend %s/" NODE_CONF
			       ", or remove it, and join again",
			       j->dir)
		     : 0;
}

/* What the command line says, else what somebody has set before, else what the environment says:
 * the agent, which a service starts, has no such. *ret is the way to the relay. */
static int
choose_proxy(struct proxy *ret, struct node_config *c, const struct join *j, struct hw_err *err)
{
	int r;

	*ret = (struct proxy){.port = 0};
	if (j->proxied && (r = node_config_set_proxy(c, j->proxy, err)) < 0) {
		hw_err_prefix(err, "--proxy");
		return r;
	}
	if (c->proxy[0] != '\0')
		return proxy_parse(ret, c->proxy, err);
	if (j->proxied)
		return 0;
	if ((r = proxy_of_environment(ret, j->url.host, j->url.port, err)) < 0)
		return r;
	if (ret->host[0] != '\0' && proxy_format(c->proxy, ret) < 0)
		return hw_err_set(err, HW_ELIMIT, "the proxy of the environment is too long");
	return 0;
}

static int
write_config(const struct join *j, int dir, const char *name, struct node_config *c,
	struct hw_err *err)
{
	c->relay = j->url;
	snprintf(c->name, sizeof(c->name), "%s", name);
	return node_config_save(dir, c, err);
}

static int
join(struct join *j, int dir, struct enrol_result *who, struct hw_err *err)
{
	struct node_config c;
	struct proxy proxy;
	struct utsname u;
	int r;

	if (uname(&u) == 0)
		j->request.computer_name = u.nodename;
	j->request.tags.v = j->tags;
	if ((r = refuse_second(dir, j->dir, err)) < 0 || (r = old_settings(&c, j, dir, err)) < 0 ||
		(r = choose_proxy(&proxy, &c, j, err)) < 0 ||
		(r = enrol_node(who, &j->url, &proxy, dir, &j->request, err)) < 0)
		return r;
	memcpy(j->url.pin, who->pin, sizeof(who->pin));
	if ((r = write_config(j, dir, who->name, &c, err)) < 0)
		return r;
	unlinkat(dir, NODE_DEREGISTERED, 0);
	unlinkat(dir, NODE_RELAY_TIME, 0); /* of another fleet */
	if (geteuid() == 0 && ground_user_exists(c.agent_user))
		return ground_give(dir, c.agent_user, err);
	return 0;
}

int
command_join(const struct command *self, int argc, char **argv)
{
	struct join j = {.dir = NULL};
	struct enrol_result who;
	struct hw_err err = HW_ERR_INIT;
	bool service;
	int dir, r;

	signal(SIGPIPE, SIG_IGN);
	umask(077);
	if ((r = take_options(&j, self, argc, argv)) != EXIT_OK)
		return r;
	if (dir_open(&dir, j.dir, true, &err) < 0)
		return command_fail(&err);
	r = join(&j, dir, &who, &err);
	explicit_bzero(j.activation, sizeof(j.activation));
	explicit_bzero(j.proxy, sizeof(j.proxy));
	fd_close(dir);
	if (r < 0)
		return command_fail(&err);
	printf("%s\n", who.who.id);
	service = service_runs("", "hawser-node", j.dir);
	fprintf(stderr, "hawser-node: joined as %s (%s); now run: %s%s\n", who.name, who.who.id,
		service ? "systemctl start hawser-node" : "hawser-node run --dir ",
		service ? "" : j.dir);
	return EXIT_OK;
}
